"""Every caller at every endpoint and field: a server does what the matrix says, and a new endpoint needs a rule.

The callers: each role as somebody signed in, each action alone and all but each as a key. The endpoints come from the
routes of app.py, the fields from the list behind the schema, so nothing new stays out of here.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLList,
    GraphQLObjectType,
    GraphQLScalarType,
    get_named_type,
    is_leaf_type,
    is_required_argument,
)
from starlette.routing import Route

from docs.roles import PAGE, pages
from sizewise.auth.authorization import OWN_RESOURCE_ACTIONS, Resource, is_allowed
from sizewise.auth.permissions import ACTIONS, BUILTIN_ROLES
from sizewise.gateway.routes import METHOD_ACTIONS, ROUTE_ACTIONS, MethodRouter, RouteEndpoint
from sizewise.graphql.schema import RESOLVERS, SERVED
from sizewise.principal import Principal
from tests import properties
from tests.auth.user_client import Browser, invited, new_user
from tests.fakes.unstarted_app import unstarted_app
from tests.graphql.graphql_client import admin, graphql
from tests.running_server import ECHO, Served, serving

ALL = frozenset(ACTIONS)
GRANTABLE = sorted(ALL - {"create_organizations"})
"""What a key can be allowed; the other one is the admin token's alone."""
SCHEMA = SERVED.schema
FOUND = "mutation($id: String!, $email: String!) { createOrganization(id: $id, email: $email) { token } }"

CHAT = {"model": "echo/small", "messages": [{"role": "user", "content": "Hello"}]}
FACTOR = "/auth/second-factor"
PEOPLE = (
    *("/auth/session", "/auth/password", FACTOR),
    *(f"{FACTOR}/confirm", f"{FACTOR}/recovery-codes", f"{FACTOR}/remove"),
)
"""For whoever is signed in, and no key."""
JOIN = "/edge/join"
"""It changes the key that asks for another one."""
PROJECT_KEYS = ("widgets", "widget", "createWidget", "setWidget")
"""For who manages keys: a widget is nobody's own."""
QUESTION = {"type": "predicate", "instructions": "It is a greeting."}
BODIES: Mapping[str, object] = {
    "/v1/chat/completions": CHAT,
    "/v1/messages": {**CHAT, "max_tokens": 5},
    "/v1/messages/count_tokens": CHAT,
    "/v1/responses": {"model": "echo/small", "input": "Hello"},
    "/v1/completions": {"model": "echo/small", "prompt": "Hello"},
    "/v1/moderations": {"input": "Hello"},
    "/v1/embeddings": {"model": "echo/vectors", "input": "Hello"},
    "/v1/audio/speech": {"model": "none", "input": "Hello"},
    "/v1/audio/transcriptions": {},
    "/v1/audio/translations": {},
    "/v1/images/generations": {"model": "none", "prompt": "Hello"},
    "/v1/images/edits": {},
    "/v1/images/variations": {},
    "/v1/decisions": {"model": "echo/small", "input": "Hello", "questions": [QUESTION]},
    "/v1/rerank": {"model": "echo/vectors", "query": "Hello", "documents": ["Hello"]},
    "/v2/rerank": {"model": "echo/vectors", "query": "Hello", "documents": ["Hello"]},
    "/graphql": {"query": "{ me { key } }"},
    "/mcp": {"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
    "/auth/session": {"project": "default"},
}
ARGUMENTS: Mapping[str, Mapping[str, str]] = {
    "inviteUser": {"role": '"nonsense"'},  # a role that none has is refused after the question whether one may invite
    "explain": {"prompt": '"Hello"'},
    "ask": {"prompt": '"Hello"'},
}
SETTINGS = f"""
{ECHO.replace('"large"]', '"large", "vectors"]')}
[models."echo/vectors"]
task = "embed"
"""


@dataclass
class Caller:
    """`is_allowed`: what it is allowed. A browser, or a key."""

    name: str
    may: frozenset[str]
    browser: Browser | None = None
    key: str = ""

    def headers(self, *, proof: bool = True) -> dict[str, str]:
        if self.browser is None:
            return {"authorization": f"Bearer {self.key}"}
        shown = {"cookie": self.browser.cookie, "origin": self.browser.server.url}
        return shown | ({"x-sizewise-csrf": self.browser.csrf} if proof else {})


@dataclass
class MatrixServer:
    server: Served
    callers: list[Caller]
    connection: HTTPConnection

    def ask(self, method: str, path: str, body: object, headers: Mapping[str, str]) -> tuple[int, str, str]:
        """Status, and the error's code and message where there is one."""
        data = None if body is None else json.dumps(body)
        kind = {} if data is None else {"content-type": "application/json", "accept": "text/event-stream"}
        self.connection.request(method, path, data, {**kind, **headers})
        got = self.connection.getresponse()
        if got.headers["content-type"] != "application/json":
            self.connection.close()  # a stream may have no end; the next request opens another one
            return got.status, "", ""
        shown: Any = json.loads(got.read())
        if shown.get("errors"):
            first = shown["errors"][0]
            return got.status, first["extensions"]["code"], first["message"]
        error = shown.get("error") or {}
        if isinstance(error, str):
            return got.status, error, ""  # as OAuth writes it, at the door of identity providers
        code = error.get("data", error).get("code")  # JSON-RPC has numbers, and ours beside them
        return got.status, code or "", error.get("message") or ""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MatrixServer]:
    with serving(tmp_path_factory.mktemp("matrix"), SETTINGS) as server:
        new_user(server, "first@example.com", "owner")
        principals = [Caller("admin", ALL, key=admin(server))]
        principals += [
            Caller(f"{role}", may, new_user(server, f"{role}@example.com", role)) for role, may in BUILTIN_ROLES.items()
        ]
        for action in GRANTABLE:
            principals.append(Caller(f"only {action}", frozenset({action}), key=_key(server, [action])))
            left = [each for each in GRANTABLE if each != action]
            principals.append(Caller(f"all but {action}", frozenset(left), key=_key(server, left)))
        connection = server.connection()
        yield MatrixServer(server, principals, connection)
        connection.close()


def _key(server: Served, may: list[str]) -> str:
    made = graphql(server, 'mutation($m: [Permission!]) { createKey(name: "t", permissions: $m) { secret } }', m=may)
    assert made.errors == [], made.errors
    return str(made.data["createKey"]["secret"])


def routes() -> list[tuple[str, str]]:
    found = []
    for route in unstarted_app().routes:
        if isinstance(route, Route):
            endpoint = route.endpoint
            methods = (
                list(endpoint._endpoints)
                if isinstance(endpoint, MethodRouter)
                else [getattr(endpoint, "_method", "") or "POST"]
            )
            assert isinstance(endpoint, (RouteEndpoint, MethodRouter)) or route.path.startswith("/graphql")
            found += [(method, route.path) for method in methods]
    return found


def fields() -> list[tuple[str, str, tuple[str, ...]]]:
    return [(kind, name, actions) for kind, known in RESOLVERS.items() for name, (_, actions) in known.items()]


def query(kind: str, name: str, given: Mapping[str, str], may: frozenset[str] = frozenset()) -> str:
    """The field with just what it must have, made from its types: ids that nobody has, so that nothing is changed."""
    known = SCHEMA.type_map[kind]
    assert isinstance(known, GraphQLObjectType)
    field: GraphQLField = known.fields[name]
    said = {**ARGUMENTS.get(name, {}), **given}
    if name == "createKey" and may:
        said["permissions"] = f"[{min(may)}]"
    needed = {each: spec for each, spec in field.args.items() if is_required_argument(spec) or each in said}
    arguments = ", ".join(f"{each}: {said.get(each) or _literal(spec.type)}" for each, spec in needed.items())
    shown = "" if is_leaf_type(get_named_type(field.type)) else " { __typename }"
    return f"{kind.lower()} {{ {name}{f'({arguments})' if arguments else ''}{shown} }}"


def _literal(kind: Any) -> str:
    inner = getattr(kind, "of_type", kind)
    if isinstance(inner, GraphQLList):
        return "[]"
    if isinstance(inner, GraphQLEnumType):
        return str(next(iter(inner.values)))
    if isinstance(inner, GraphQLScalarType):
        return {
            "Int": "1",
            "Float": "1",
            "Boolean": "false",
            "NonNegativeSafeInt": "1",
            "Timestamp": "1",
            "Dollars": '"1"',
        }.get(inner.name, '"nobody"')
    return "{}"


def opens(principal: Caller, name: str, actions: tuple[str, ...]) -> bool:
    own = {OWN_RESOURCE_ACTIONS[action] for action in actions if action in OWN_RESOURCE_ACTIONS}
    if name in PROJECT_KEYS or (name == "createKey" and principal.browser is None):
        own = set()  # what is one's own needs somebody whose it is
    if name == "createWidget" and "ask" not in principal.may:
        return False  # its visitors would do what its maker may not
    return not actions or bool(principal.may & ({*actions} | own))


# ---- endpoints


def test_every_route_has_a_rule_and_every_rule_a_route() -> None:
    assert set(ROUTE_ACTIONS) == {path for _, path in routes()}
    assert set(METHOD_ACTIONS) <= set(routes())


@pytest.mark.parametrize(("method", "path"), routes())
def test_an_endpoint_opens_to_whom_the_matrix_says(house: MatrixServer, method: str, path: str) -> None:
    rule = METHOD_ACTIONS.get((method, path), ROUTE_ACTIONS[path])
    at = re.sub(r"\{\w+(:path)?\}", "nobody", path)
    body = BODIES.get(path, {}) if method == "POST" else None
    status, code, _ = house.ask(method, at, body, {})
    if rule is None:
        assert code not in ("invalid_api_key", "forbidden")
        return
    assert (status, code) == (401, "invalid_api_key"), "without a key"
    for principal in house.callers:
        status, code, message = house.ask(method, at, body, principal.headers())
        if path in PEOPLE and principal.browser is None:
            assert status == 401, "a key is no session"
        elif not rule or principal.may & set(rule):
            assert status not in (401, 403), (principal.name, status, code, message)
        else:
            assert (status, code) == (403, "forbidden"), (principal.name, status, code, message)
        if path == JOIN and status == 200:
            principal.key = _key(house.server, sorted(principal.may))
        if principal.browser is not None and method != "GET":
            status, code, _ = house.ask(method, at, body, principal.headers(proof=False))
            assert (status, code) == (403, "forbidden"), f"{principal.name} without a proof"


# ---- fields


def test_every_field_of_the_schema_is_behind_the_list() -> None:
    for kind, known in RESOLVERS.items():
        there = SCHEMA.type_map[kind]
        assert isinstance(there, GraphQLObjectType) and set(there.fields) == set(known)
        assert {action for _, actions in known.values() for action in actions} <= ALL


@pytest.mark.long
@properties.tried_with_all
@pytest.mark.parametrize(("kind", "name", "actions"), fields(), ids=[name for _, name, _ in fields()])
def test_a_field_opens_to_whom_the_matrix_says(
    house: MatrixServer,
    kind: str,
    name: str,
    actions: tuple[str, ...],
) -> None:
    place = fields().index((kind, name, actions))
    for principal in house.callers if properties.ALL else house.callers[place % 5 :: 5]:
        asked = {"query": query(kind, name, {"user": '"nobody"'} if name == "signOut" else {}, principal.may)}
        status, code, message = house.ask("POST", "/graphql", asked, principal.headers())
        assert "Syntax" not in message and code != "bad_body", message
        if opens(principal, name, actions):
            assert code not in ("forbidden", "invalid_api_key", "internal_error"), (
                principal.name,
                status,
                code,
                message,
            )
        else:
            assert code == "forbidden" and "lacks the permission" in message, (principal.name, status, code, message)
        if principal.browser is not None:
            assert house.ask("POST", "/graphql", asked, principal.headers(proof=False))[0] == 403


# ---- things of others


def others(app: MatrixServer) -> list[str]:
    """Ids of things of the organization `local`, in its project `default`."""
    server = app.server
    query = "{ keys { id } users { id } invitations { id } signInSessions { id } records(last: 5) { rows { trace } } }"
    data = graphql(server, query).data
    ids = [each["id"] for kind in ("keys", "users", "invitations", "signInSessions") for each in data[kind][:2]]
    return [*ids, *(each["trace"] for each in data["records"]["rows"][:2])]


@pytest.mark.long
def test_what_belongs_to_another_organization_or_project_is_told_as_what_is_not_there(house: MatrixServer) -> None:
    server = house.server
    invited(server, "waiting@example.com", "viewer")
    mine = house.callers[0]
    body = {"model": "echo/small", "input": "Hello", "store": True}
    house.connection.request("POST", "/v1/responses", json.dumps(body), mine.headers())
    kept = json.loads(house.connection.getresponse().read())["id"]
    assert house.ask("GET", f"/v1/responses/{kept}", None, mine.headers())[0] == 200
    ids = [*others(house), kept]
    token = graphql(server, FOUND, id="acme", email="owner@acme.example").data["createOrganization"]["token"]
    foreign, beside = Browser(server), new_user(server, "lead@example.com", "owner", "shop")
    assert foreign.accept(token).status == 200
    asked = 0
    for stranger in (foreign, beside):
        headers = Caller("", ALL, stranger).headers()
        for kind, known in RESOLVERS.items():
            there = SCHEMA.type_map[kind]
            assert isinstance(there, GraphQLObjectType)
            for name in known:
                for argument in {"id", "trace", "user"} & set(there.fields[name].args):
                    for id in ids:
                        asked += 1
                        nobody = _unknown(id)
                        real = {"query": query(kind, name, {argument: json.dumps(id)})}
                        unknown = {"query": query(kind, name, {argument: json.dumps(nobody)})}
                        got = house.ask("POST", "/graphql", real, headers)
                        want = house.ask("POST", "/graphql", unknown, headers)
                        assert _alike(got, id) == _alike(want, nobody), (name, id)
        for path in ("/v1/responses/{}", "/v1/responses/{}/input_items"):
            for id in ids:
                got = house.ask("GET", path.format(id), None, headers)
                assert _alike(got, id) == _alike(house.ask("GET", path.format("nobody"), None, headers), "nobody")
    assert asked > 50


def _unknown(id: str) -> str:
    """Nobody's, and spelt as `id` is: some fields refuse what can be no id at all."""
    return "0" * 32 if re.fullmatch("[0-9a-f]{32}", id) else "no-such"


def _alike(told: tuple[int, str, str], id: str) -> tuple[int, str, str]:
    return told[0], told[1], told[2].replace(id, "ID")


# ---- the question itself


@pytest.mark.parametrize("action", ACTIONS)
def test_the_question_is_answered_for_every_caller_and_thing(action: str) -> None:
    """Organisation, project and owner of a thing in every combination, its own project and a foreign one among them."""
    rights = [frozenset({each}) for each in ACTIONS] + [ALL, ALL - {action}, ALL - {"own_keys"}, frozenset()]
    own_route = {"manage_keys": "own_keys", "read_keys": "own_keys", "read_budgets": "read_budgets"}
    wide_or_not, users = (True, False), ("", "us-1")
    things = [
        Resource(tenant, project, user)
        for tenant in ("local", "acme")
        for project in ("", "default", "shop")
        for user in ("", "us-1", "us-2")
    ]
    for has, wide, user, thing in itertools.product(rights, wide_or_not, users, things):
        principal = Principal(permissions=has, all_projects=wide, user_id=user)
        ours = thing.tenant == "local"
        right = action in has and ours and (wide or thing.project == "default")
        own = bool(user) and thing.user == user and ours and own_route.get(action) in has
        assert is_allowed(principal, action, thing) == (right or own), (principal, action, thing)


# ---- the page


def test_the_page_of_roles_is_the_matrix() -> None:
    text = pages()[PAGE]
    for action in ACTIONS:
        row = next(line for line in text.splitlines() if line.startswith(f"| `{action}` |"))
        marks = [cell.strip() == "yes" for cell in row.split("|")[2 : 2 + len(BUILTIN_ROLES)]]
        assert marks == [action in may for may in BUILTIN_ROLES.values()]
    for _, name, _ in fields():
        assert f"`{name}`" in text
