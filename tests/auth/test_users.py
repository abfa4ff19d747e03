"""Who comes in and what they become: by invitation only, never above whoever invites, gone at once when disabled."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from sizewise.auth.denied_audit import DeniedRequestLog
from tests.auth.user_client import INVITE, Browser, invited, new_user
from tests.cli.terminal import sizewise
from tests.graphql.graphql_client import graphql
from tests.running_server import ECHO, Answer, Served, read_all, serving, until

SETTINGS = f"""
{ECHO}
[roles.auditor]
permissions = ["read_audit", "read_users"]
[roles.asker]
permissions = ["ask"]
"""
NUMBER = itertools.count()
SET_ROLE = (
    "mutation($id: String!, $role: String!, $project: String) { setRole(id: $id, role: $role, project: $project) \
{ role } }"
)
DISABLE = "mutation($id: String!) { disableUser(id: $id) { state } }"
ENABLE = "mutation($id: String!) { enableUser(id: $id) { state } }"
OWN_KEY = (
    'mutation($may: [Permission!]) { createKey(name: "mine", permissions: '
    "$may, personal: true) { secret key { id user } } }"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("people"), SETTINGS) as served:
        new_user(served, "first@example.com", "owner")
        yield served


def email() -> str:
    return f"user{next(NUMBER)}@example.com"


def trail(server: Served, last: int = 20) -> list[dict[str, object]]:
    query = "query($last: Int) { audit(last: $last) { actor action resource before after error } }"
    lines: list[dict[str, object]] = graphql(server, query, last=last).data["audit"]
    return lines


def test_nobody_comes_in_without_an_invitation(server: Served) -> None:
    tokens: tuple[object, ...] = (None, "", "null", "x" * 43, 0, [], {})
    for token in tokens:
        answer = Browser(server).send("/auth/invitation", {"token": token, "password": "a quite long sentence"})
        assert answer.status in (400, 403) and answer.error["code"] in ("bad_body", "forbidden")


def test_an_invitation_is_good_once_and_for_its_role(server: Served) -> None:
    token = invited(server, mine := email(), "developer")
    browser = Browser(server)
    assert browser.accept(token, "Ada").status == 200
    assert (browser.said["email"], browser.said["role"], browser.said["name"]) == (mine, "developer", "Ada")
    again = Browser(server).accept(token, "Eve")
    assert (again.status, again.error["code"]) == (403, "forbidden")
    assert browser.chat().status == 200
    assert browser.graphql("{ records { rows { trace } } }").code == ""
    assert browser.graphql("{ users { id } }").code == "forbidden"


def test_a_second_invitation_ends_the_first_and_one_can_be_withdrawn(server: Served) -> None:
    first = invited(server, mine := email(), "viewer")
    second = graphql(server, INVITE, email=mine, role="viewer").data["inviteUser"]
    assert Browser(server).accept(first).status == 403
    graphql(server, "mutation($id: String!) { withdrawInvitation(id: $id) { id } }", id=second["invitation"]["id"])
    assert Browser(server).accept(second["token"]).status == 403


def test_no_token_of_an_invitation_and_no_password_lies_anywhere_on_the_disk(server: Served) -> None:
    token = invited(server, email(), "viewer")
    password = "a-sentence-nobody-else-has"
    browser = Browser(server)
    assert browser.accept(token, password=password).status == 200
    secrets = [token, password, browser.cookie.partition("=")[2], browser.csrf]
    for path in (path for path in server.home.rglob("*") if path.is_file()):
        assert not any(secret.encode() in path.read_bytes() for secret in secrets), path


@pytest.mark.parametrize("password", ["short", "password1234", "123456789012", "aaaaaaaaaaaaaaaa", "x" * 300])
def test_a_password_that_is_easily_guessed_is_refused(server: Served, password: str) -> None:
    token = invited(server, email(), "viewer")
    refused = Browser(server).accept(token, password=password)
    assert refused.status == 400 and refused.error["code"] == "bad_request" and password not in refused.body.decode()
    assert Browser(server).accept(token).status == 200, "the invitation is still good"


@pytest.mark.parametrize("role", ["owner", "editor"])
def test_nobody_gives_a_role_beyond_their_own(server: Served, role: str) -> None:
    admin = new_user(server, email(), "admin")
    other = new_user(server, email(), "viewer")
    for tried in (
        admin.graphql(INVITE, email=email(), role=role),
        admin.graphql(SET_ROLE, id=other.user, role=role),
    ):
        assert (tried.status, tried.code) == (403, "forbidden") and "read_contents" in tried.message
    assert admin.graphql(SET_ROLE, id=other.user, role="developer").data == {"setRole": {"role": "developer"}}


def test_nobody_changes_their_own_role_and_nobody_touches_who_stands_above(server: Served) -> None:
    admin, owner = new_user(server, email(), "admin"), new_user(server, email(), "owner")
    for tried in (
        admin.graphql(SET_ROLE, id=admin.user, role="admin"),
        admin.graphql(SET_ROLE, id=owner.user, role="viewer"),
        admin.graphql(DISABLE, id=owner.user),
        admin.graphql(DISABLE, id=admin.user),
        admin.graphql("mutation($u: String) { signOut(user: $u) { id } }", u=owner.user),
        admin.graphql(INVITE, email=owner.said["email"]),
    ):
        assert tried.code == "forbidden", tried
    refused = [(line["action"], line["error"]) for line in trail(server, 6)]
    assert ("disableUser", "forbidden") in refused and ("setRole", "forbidden") in refused


@pytest.mark.parametrize(
    ("mutation", "resource"),
    [
        ('restorePolicy(policy: "gold") { policy }', "gold"),
        ('inviteOwner(organization: "acme", email: "o@example.com") { token }', "acme"),
        ('embedDocuments(base: "handbook") { embedded }', "handbook"),
        ('addDocument(base: "handbook", source: "a.txt", text: "a") { id }', "handbook"),
        ('removeKnowledge(base: "handbook")', "handbook"),
        ('withdrawFlow(name: "triage") { name }', "triage"),
        ('releaseEmail(email: "o@example.com") { id }', ""),  # an address could not be erased from the audit log
    ],
)
def test_the_audit_entry_of_a_denied_change_names_its_resource(server: Served, mutation: str, resource: str) -> None:
    viewer = new_user(server, email(), "viewer")
    assert viewer.graphql(f"mutation {{ {mutation} }}").code == "forbidden"
    line = trail(server, 1)[0]
    assert (line["action"], line["resource"], line["error"]) == (mutation.partition("(")[0], resource, "forbidden")


@pytest.mark.long
def test_the_last_owner_can_be_neither_demoted_nor_disabled(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        owner = new_user(server, "one@example.com", "owner")
        for tried in (graphql(server, SET_ROLE, id=owner.user, role="viewer"), graphql(server, DISABLE, id=owner.user)):
            assert (tried.status, tried.code) == (409, "conflict")
        second = new_user(server, "two@example.com", "owner")
        assert second.graphql(DISABLE, id=owner.user).code == ""
        assert owner.send("/auth/session").status == 401
        assert graphql(server, DISABLE, id=second.user).code == "conflict"


def test_a_role_of_the_settings_can_be_given_and_says_what_it_may(server: Served) -> None:
    auditor = new_user(server, email(), "auditor")
    assert auditor.graphql("{ audit(last: 1) { seq } users { id } }").code == ""
    assert auditor.chat().status == 403
    assert graphql(server, INVITE, email=email(), role="auditer").hint == "Did you mean 'auditor'?"


@pytest.mark.parametrize(
    ("role", "words"),
    [
        ('[roles.x]\npermissions = ["reed"]', "roles.x.permissions"),
        ('[roles.owner]\npermissions = ["ask"]', "is a built-in role"),
        ('[roles.x]\npermissions = ["create_organizations"]', "create_organizations"),
    ],
)
def test_a_role_that_cannot_be_is_refused_at_start(tmp_path: Path, role: str, words: str) -> None:
    file = tmp_path / "sizewise.toml"
    file.write_text(f"{ECHO}\n{role}")
    ended = sizewise("up", "--port", "0", "--config", str(file), home=tmp_path)
    assert ended.code == 2 and words in ended.err


def test_a_key_of_a_user_never_has_more_than_the_user_has_now(server: Served) -> None:
    user = new_user(server, email(), "editor")
    made = user.graphql(OWN_KEY, may=["ask", "read_records"]).data["createKey"]
    assert made["key"]["user"] == user.user
    assert server.ask("/v1/models", key=made["secret"]).status == 200
    assert graphql(server, "{ records { rows { trace } } }", key=made["secret"]).code == ""
    graphql(server, SET_ROLE, id=user.user, role="asker")
    assert graphql(server, "{ records { rows { trace } } }", key=made["secret"]).code == "forbidden"
    assert graphql(server, "{ models { name } }", key=made["secret"]).code == ""
    assert user.graphql("{ records { rows { trace } } }").code == "forbidden", "the session too, at once"
    graphql(server, SET_ROLE, id=user.user, role="viewer")
    assert chat(server, made["secret"]).status == 403
    graphql(server, DISABLE, id=user.user)
    assert (chat(server, made["secret"]).status, user.send("/auth/session").status) == (401, 401)
    graphql(server, ENABLE, id=user.user)
    assert graphql(server, "{ records { rows { trace } } }", key=made["secret"]).code == ""
    assert user.send("/auth/session").status == 401, "a session that ended stays over"


def chat(server: Served, key: str) -> Answer:
    body = {"model": "echo/small", "messages": [{"role": "user", "content": "Hello"}]}
    return server.ask("/v1/chat/completions", body, key=key)


def test_a_new_password_is_a_new_invitation_and_ends_the_old_one_with_all_sessions(server: Served) -> None:
    user = new_user(server, mine := email(), "developer")
    token = graphql(server, INVITE, email=mine).data["inviteUser"]["token"]
    new = Browser(server)
    assert new.accept(token, password="another long sentence here").status == 200
    assert (new.user, new.said["role"]) == (user.user, "developer")
    assert user.send("/auth/session").status == 401
    assert Browser(server).sign_in(mine).status == 401
    assert Browser(server).sign_in(mine, "another long sentence here").status == 200


def test_somebody_who_is_here_is_not_invited_to_another_role(server: Served) -> None:
    new_user(server, mine := email(), "developer")
    assert graphql(server, INVITE, email=mine.upper(), role="admin").code == "conflict"
    assert graphql(server, INVITE, email=email()).code == "not_found"
    assert graphql(server, INVITE, email="no address", role="viewer").code == "bad_request"


def test_a_role_in_a_project_holds_there_alone(server: Served) -> None:
    lead = new_user(server, email(), "admin", "shop")
    assert (lead.said["project"], lead.said["all_projects"], lead.said["projects"]) == ("shop", False, ["shop"])
    assert "read_audit" not in lead.said["permissions"] and "manage_settings" not in lead.said["permissions"]
    member = Browser(server)
    assert member.accept(invited(server, mine := email(), "viewer", "shop", by=lead)).status == 200
    seen = lead.graphql("{ users { email role projects { project role } } }").data["users"]
    assert {"email": mine, "role": "", "projects": [{"project": "shop", "role": "viewer"}]} in seen
    assert {user["email"] for user in seen} == {lead.said["email"], mine}
    for tried in (
        lead.graphql(INVITE, email=email(), role="viewer"),
        lead.graphql(INVITE, email=email(), role="viewer", project="lab"),
        lead.graphql(SET_ROLE, id=member.user, role="viewer"),
        lead.graphql(SET_ROLE, id=member.user, role="viewer", project="lab"),
        lead.graphql(DISABLE, id=member.user),
    ):
        assert tried.code == "forbidden", tried
    assert lead.graphql(SET_ROLE, id=member.user, role="developer", project="shop").code == ""
    assert member.chat().status == 200
    assert member.send("/auth/session", {"project": "lab"}).status == 404
    stranger = graphql(server, "{ users { id email } }").data["users"][0]["id"]
    unknown, other = lead.graphql(DISABLE, id="us-nobody"), lead.graphql(DISABLE, id=stranger)
    assert (unknown.status, unknown.message) == (other.status, other.message.replace(stranger, "us-nobody"))


def test_who_has_more_in_one_project_sees_it_alone_while_working_there(server: Served) -> None:
    user = new_user(server, email(), "viewer")
    graphql(server, SET_ROLE, id=user.user, role="editor", project="lab")
    assert (user.send("/auth/session").status, user.said["all_projects"]) == (200, True)
    assert user.send("/auth/session", {"project": "lab"}).status == 200
    assert (user.said["project"], user.said["all_projects"]) == ("lab", False)
    assert user.chat().status == 200
    assert user.send("/auth/session", {"project": "default"}).status == 200
    assert user.chat().status == 403


def test_an_organization_is_founded_by_the_admin_token_and_is_another_world(server: Served) -> None:
    found = "mutation($id: String!, $email: String!) { createOrganization(id: $id, email: $email) { token } }"
    owner = new_user(server, email(), "owner")
    assert owner.graphql(found, id="acme", email=email()).code == "forbidden"
    token = graphql(server, found, id="acme", email=(theirs := email())).data["createOrganization"]["token"]
    assert graphql(server, found, id="acme", email=email()).code == "conflict"
    other = Browser(server)
    assert other.accept(token).status == 200
    assert (other.said["organization"], other.said["role"]) == ("acme", "owner")
    assert [user["email"] for user in other.graphql("{ users { email } }").data["users"]] == [theirs]
    assert theirs not in str(owner.graphql("{ users { email } invitations { email } signInSessions { email } }").data)
    assert "manage_settings" not in other.said["permissions"] and "read_metrics" not in other.said["permissions"]
    for query in (DISABLE, ENABLE, "mutation($id: String!) { signOut(user: $id) { id } }"):
        foreign, unknown = other.graphql(query, id=owner.user), other.graphql(query, id="us-aaaaaaaaaa")
        assert (foreign.status, foreign.code) == (unknown.status, unknown.code)
        assert foreign.message.replace(owner.user, "") == unknown.message.replace("us-aaaaaaaaaa", "")
    assert owner.send("/auth/session").status == 200
    taken = other.graphql(INVITE, email=owner.said["email"], role="viewer")
    assert taken.code == "", "it is not told that somebody has this address elsewhere"
    refused = Browser(server).accept(taken.data["inviteUser"]["token"])
    assert refused.error == Browser(server).accept("x" * 43).error, "nor is it told to whoever comes by the link"


def test_every_change_stands_in_the_trail_without_a_name_or_an_address(server: Served) -> None:
    user = new_user(server, mine := email(), "viewer")
    graphql(server, SET_ROLE, id=user.user, role="developer")
    id = user.user
    user.send("/auth/sign-out", {})
    lines = trail(server, 6)
    assert [(line["action"], line["actor"]) for line in lines[:5]] == [
        ("session.end", id),
        ("user.role", "admin"),
        ("session.begin", id),
        ("user.join", id),
        ("user.invite", "admin"),
    ]
    assert lines[1]["before"] == {"role": "viewer", "project": ""} and lines[1]["after"] != lines[1]["before"]
    assert mine not in str(lines)


@pytest.mark.parametrize("by", ["session", "key"])
def test_who_is_disabled_or_may_no_longer_ask_is_stopped_in_mid_stream(server: Served, by: str) -> None:
    changes: tuple[tuple[str, dict[str, str]], ...] = ((DISABLE, {}), (SET_ROLE, {"role": "viewer"}))
    for change, more in changes:
        user = new_user(server, email(), "editor")
        key = user.graphql(OWN_KEY, may=["ask"]).data["createKey"]["secret"]
        with user.streaming("Hello [[repeat 500]] [[pace 0.05]]", key if by == "key" else "") as stream:
            assert b"Hello" in stream.read1(4_096)
            assert graphql(server, change, id=user.user, **more).code == ""
            rest, _ = read_all(stream)
        assert b"invalid_api_key" in rest and b"[DONE]" not in rest


def test_who_loses_a_role_takes_the_invitations_along_that_it_gave(server: Served) -> None:
    admin = new_user(server, email(), "admin")
    token = invited(server, email(), "developer", by=admin)
    graphql(server, SET_ROLE, id=admin.user, role="viewer")
    assert Browser(server).accept(token).status == 403


def test_a_key_that_is_confined_makes_no_wider_one_by_rotating_another(server: Served) -> None:
    create = """mutation($may: [Permission!], $project: String, $models: [String!], $class: DataClass) {
      createKey(name: "t", permissions: $may, project: $project, models: $models, dataClass: $class) { secret key {
      id } } }"""
    rotate = "mutation($id: String!) { rotateKey(id: $id) { secret } }"
    may = ["ask", "manage_keys"]
    wide = graphql(server, create, may=may).data["createKey"]["key"]["id"]
    beside = graphql(server, create, may=may, project="shop").data["createKey"]["key"]["id"]
    for confined in ({"project": "default"}, {"models": ["echo/small"]}, {"class": "confidential"}):
        mine = graphql(server, create, may=may, **confined).data["createKey"]["secret"]
        assert graphql(server, rotate, key=mine, id=wide).code == "forbidden", confined
    mine = graphql(server, create, may=may, project="default").data["createKey"]["secret"]
    assert graphql(server, rotate, key=mine, id=beside).code == "not_found"
    assert graphql(server, rotate, id=wide).code == ""


@pytest.mark.long
def test_two_owners_who_demote_each_other_at_once_leave_one(tmp_path: Path) -> None:
    with serving(tmp_path) as server, ThreadPoolExecutor(2) as pool:

        def demote(id: str) -> str:
            return graphql(server, SET_ROLE, id=id, role="viewer").code

        for name in ("one", "two"):
            new_user(server, f"{name}@example.com", "owner")
        ids = [each["id"] for each in graphql(server, "{ users { id } }").data["users"]]
        for _ in range(5):
            assert sorted(pool.map(demote, ids)) == ["", "conflict"]
            for id in ids:
                graphql(server, SET_ROLE, id=id, role="owner")


KEY = """mutation($name: String!, $may: [Permission!], $project: String, $days: Float, $own: Boolean) {
  createKey(name: $name, permissions: $may, project: $project, expiresInDays: $days, personal: $own) {
    secret key { id project user allProjects expires } } }"""
ROTATE = "mutation($id: String!) { rotateKey(id: $id, overlapHours: 0) { secret key { id user expires } } }"
REVOKE = "mutation($id: String!) { revokeKey(id: $id) { id } }"
BUDGET = (
    "mutation($scope: String!, $most: NonNegativeSafeInt) { "
    "setBudget(scope: $scope, requestsPerMinute: $most) { limit } }"
)


def test_a_right_in_a_project_ends_at_its_wall_for_ones_own_too(server: Served) -> None:
    lead = new_user(server, email(), "admin", "shop")
    graphql(server, SET_ROLE, id=lead.user, role="admin", project="lab")
    for own in (False, True):
        made = lead.graphql(KEY, name="over the wall", may=["ask"], project="lab", own=own)
        assert (made.status, made.code) == (403, "forbidden"), made
    assert lead.graphql(KEY, name="till", may=["ask"], project="shop").data["createKey"]["key"]["user"] == ""
    graphql(server, BUDGET, scope=f"user:{lead.user}", most=1_000)
    lifted = lead.graphql(BUDGET, scope=f"user:{lead.user}", most=1_000_000)
    assert lifted.code == "forbidden" and lead.chat().status == 200
    seen = lead.graphql("{ budgets { scope limit } }").data["budgets"]
    assert f"user:{lead.user}" in {each["scope"] for each in seen}, "what limits somebody is told"
    assert lead.send("/auth/session", {"project": "lab"}).status == 200
    theirs = lead.graphql(KEY, name="mine", may=["ask"], own=True).data["createKey"]["key"]["id"]
    assert lead.send("/auth/session", {"project": "shop"}).status == 200
    assert lead.graphql(ROTATE, id=theirs).code == "forbidden", "its text would open the other project"
    assert lead.graphql(REVOKE, id=theirs).code == ""


@pytest.mark.long
def test_a_link_to_a_new_password_ends_with_a_new_role_and_with_who_had_it_made(server: Served) -> None:
    admin = new_user(server, email(), "admin")
    changes: tuple[tuple[str, dict[str, str]], ...] = (
        (SET_ROLE, {"role": "owner"}),
        (SET_ROLE, {"role": "owner", "project": "shop"}),
        (SET_ROLE, {"role": "viewer"}),
        (DISABLE, {}),
    )
    for change, more in changes:
        user = new_user(server, mine := email(), "developer")
        token = admin.graphql(INVITE, email=mine).data["inviteUser"]["token"]
        assert graphql(server, change, id=user.user, **more).code == ""
        if change is DISABLE:
            graphql(server, ENABLE, id=user.user)
        assert Browser(server).accept(token, "", "chosen by somebody else").status == 403, more
        assert Browser(server).sign_in(mine).status == 200
    for role in ("viewer", "admin"):
        key = graphql(server, KEY, name="inviter", may=["manage_users", "read", "ask", "own_keys"]).data["createKey"]
        token = graphql(server, INVITE, key=key["secret"], email=email(), role="viewer").data["inviteUser"]["token"]
        if role == "viewer":
            assert Browser(server).accept(token).status == 200
        else:
            graphql(server, REVOKE, id=key["key"]["id"])
            assert Browser(server).accept(token).status == 403, "the key that invited is revoked"


def test_no_key_outlives_the_one_that_made_it(server: Served) -> None:
    user = new_user(server, email(), "developer")
    short = user.graphql(KEY, name="short", may=["ask", "own_keys"], days=1).data["createKey"]
    lasting = user.graphql(KEY, name="lasting", may=["ask"]).data["createKey"]["key"]
    assert lasting["expires"] is None
    made = graphql(server, KEY, key=short["secret"], name="heir", may=["ask"]).data["createKey"]["key"]
    assert made["expires"] == short["key"]["expires"]
    assert graphql(server, KEY, key=short["secret"], name="heir", may=["ask"], days=2).code == "forbidden"
    assert graphql(server, ROTATE, key=short["secret"], id=lasting["id"]).code == "forbidden"
    again = graphql(server, ROTATE, key=short["secret"], id=short["key"]["id"]).data["rotateKey"]
    assert again["key"]["expires"] == short["key"]["expires"]


def test_the_text_of_somebodys_own_key_is_for_nobody_else(server: Served) -> None:
    owner, admin = new_user(server, email(), "owner"), new_user(server, email(), "admin")
    mine = owner.graphql(KEY, name="mine", may=["ask"], own=True).data["createKey"]["key"]["id"]
    assert admin.graphql(ROTATE, id=mine).code == graphql(server, ROTATE, id=mine).code == "forbidden"
    text = owner.graphql(ROTATE, id=mine).data["rotateKey"]["secret"]
    assert chat(server, text).status == 200
    assert admin.graphql(REVOKE, id=text[:11]).code == "" and chat(server, text).status == 401
    assert owner.graphql(ROTATE, id=text[:11]).code == "conflict", "what is revoked stays so"


def test_the_trail_says_by_which_key_a_user_did_it(server: Served) -> None:
    user = new_user(server, email(), "developer")
    key = user.graphql(KEY, name="robot", may=["ask", "own_keys"]).data["createKey"]
    graphql(server, KEY, key=key["secret"], name="heir", may=["ask"])
    user.graphql(KEY, name="by hand", may=["ask"])
    by_hand, by_key = graphql(server, "{ audit(last: 2) { actor credential } }").data["audit"]
    assert by_key == {"actor": user.user, "credential": key["key"]["id"]}
    assert by_hand["actor"] == user.user and by_hand["credential"].startswith("ss-")
    assert graphql(server, "{ audit(last: 1) { credential } keys { createdBy } }").data["keys"][-1] == {
        "createdBy": user.user
    }
    assert sizewise("audit", "verify", home=server.home).code == 0


@pytest.mark.long
def test_who_is_refused_without_end_hides_nobody_else(server: Served) -> None:
    loud, quiet = new_user(server, email(), "developer"), new_user(server, email(), "viewer")
    keys = [loud.graphql(KEY, name="x", may=["own_keys"]).data["createKey"]["secret"] for _ in range(31)]
    newest = graphql(server, "{ audit(last: 1) { seq } }").data["audit"][0]["seq"]
    for key in keys:
        for _ in range(10):
            graphql(server, REVOKE, key=key, id="nobody")
    assert quiet.graphql(DISABLE, id="us-nobody").code == "forbidden"
    after = "query($after: Int) { audit(last: 100, after: $after) { actor action resource error } }"
    lines = graphql(server, after, after=newest).data["audit"]
    of_loud = [line for line in lines if line["actor"] == loud.user and line["resource"] == "nobody"]
    assert len(of_loud) <= 20, "ten a minute, however many keys"
    assert lines[-1] == {"actor": quiet.user, "action": "disableUser", "resource": "us-nobody", "error": "forbidden"}


def test_how_many_refusals_were_left_out_is_told() -> None:
    clock = iter([*[0.0] * 25, 61.0, *[61.0] * 12, 125.0, 200.0])
    refusals = DeniedRequestLog(60.0, lambda: next(clock))
    told = [refusals.record("local", "us-1") for _ in range(26)]
    assert told == [*[0] * 10, *[None] * 15, 15]
    assert [refusals.record("local", "us-1") for _ in range(12)] == [*[0] * 9, *[None] * 3]
    assert [(deed.who, deed.after) for deed in refusals.take_expired()] == [("us-1", {"more": 3})]
    assert refusals.take_expired() == []


def test_a_project_is_there_or_begun_by_who_makes_keys(server: Served) -> None:
    user, admin = new_user(server, email(), "developer"), new_user(server, email(), "admin")
    for name in ("nowhere", "no\nwhere", "<b>", "x" * 101):
        assert user.send("/auth/session", {"project": name}).status in (400, 404)
        assert user.graphql(KEY, name="x", may=["ask"], project=name).code in ("forbidden", "bad_request")
    for name in ("a b", "<b>", "", "x" * 101):
        assert admin.graphql(KEY, name="x", may=["ask"], project=name).code == "bad_request"
        assert admin.send("/auth/session", {"project": name}).status in (400, 404)
    assert admin.send("/auth/session", {"project": "begun"}).status == 200
    assert user.send("/auth/session", {"project": "begun"}).status == 404, "nothing is there yet"
    assert admin.graphql(KEY, name="x", may=["ask"], project="begun").code == ""
    assert user.send("/auth/session", {"project": "begun"}).status == 200


@pytest.mark.long
def test_keys_and_sessions_of_one_user_are_not_without_end(server: Served) -> None:
    user = new_user(server, email(), "developer")
    made = [user.graphql(KEY, name="x", may=["ask"]).data["createKey"]["key"]["id"] for _ in range(100)]
    assert user.graphql(KEY, name="x", may=["ask"]).code == "conflict"
    user.graphql(REVOKE, id=made[0])
    assert user.graphql(KEY, name="x", may=["ask"]).code == ""
    first, browser = user.cookie, Browser(server)
    for _ in range(20):
        assert browser.sign_in(user.said["email"]).status == 200
    assert len(browser.graphql("{ signInSessions { id } }").data["signInSessions"]) == 20
    assert user.send("/auth/session").status == 401 and user.cookie == first, "the oldest ends"


@pytest.mark.long
def test_keys_long_over_are_forgotten(tmp_path: Path) -> None:
    ago = 100 * 86_400_000
    with serving(tmp_path) as server:
        gone, stays = (graphql(server, KEY, name=name, may=["ask"]).data["createKey"] for name in ("gone", "stays"))
        for each in (gone, stays):
            graphql(server, REVOKE, id=each["key"]["id"])
    with closing(sqlite3.connect(tmp_path / "sizewise.db")) as database, database:
        database.execute("UPDATE keys SET revoked = revoked - ? WHERE name = 'gone'", (ago,))
    with serving(tmp_path) as server:
        names = "{ keys { name } }"
        until(lambda: {"name": "gone"} not in graphql(server, names).data["keys"])
        assert {"name": "stays"} in graphql(server, names).data["keys"]


def test_service_keys_of_who_goes_are_listed_or_revoked(server: Served) -> None:
    admin = new_user(server, email(), "admin")
    may = ["ask", "manage_keys"]
    first = admin.graphql(KEY, name="door", may=may).data["createKey"]
    second = graphql(server, KEY, key=first["secret"], name="back door", may=["ask"]).data["createKey"]
    shown = sizewise("users", "disable", admin.user, home=server.home)
    assert shown.code == 0 and first["key"]["id"] in shown.err and second["key"]["id"] in shown.err
    assert chat(server, second["secret"]).status == 200
    shown = sizewise("users", "disable", admin.user, "--with-keys", "--json", home=server.home)
    assert shown.json["serviceKeys"] == []
    assert {chat(server, key["secret"]).status for key in (first, second)} == {401}


FOUND = "mutation($id: String!, $email: String!) { createOrganization(id: $id, email: $email) { token } }"
ERASE = "mutation($id: String!) { eraseRecords(key: $id) { records } }"


def founder(server: Served, id: str) -> Browser:
    """The owner of another organization."""
    browser = Browser(server)
    token = graphql(server, FOUND, id=id, email=email()).data["createOrganization"]["token"]
    assert browser.accept(token).status == 200
    return browser


def test_who_erases_reaches_the_keys_to_erase(server: Served) -> None:
    made = graphql(server, KEY, name="theirs", may=["ask"], project="lab").data["createKey"]
    assert chat(server, made["secret"]).status == 200
    id, shop, lab = made["key"]["id"], *(new_user(server, email(), "owner", each) for each in ("shop", "lab"))
    strange, unknown = shop.graphql(ERASE, id=id), shop.graphql(ERASE, id="sw-nobody")
    assert (strange.code, strange.message) == ("not_found", unknown.message.replace("sw-nobody", id))
    assert founder(server, "erasers").graphql(ERASE, id=id).data == {"eraseRecords": {"records": 0}}
    assert lab.graphql(ERASE, id=id).data == {"eraseRecords": {"records": 1}}
    lines = [line for line in trail(server, 6) if line["resource"] == f"key:{id}" and not line["error"]]
    assert [line["after"] for line in lines[:2]] == [{"records": 1, "contents": 0, "feedback": 0}, None]
    assert graphql(server, ERASE, id="ss-ofsomesession").data == {"eraseRecords": {"records": 0}}


def test_what_seals_every_organization_is_rotated_by_the_first_alone(server: Served) -> None:
    other = founder(server, "sealers")
    assert "manage_encryption" not in other.said["permissions"]
    for query in ("mutation { rotateEncryptionKeys(newDataKeys: true) { rewrapped } }", "{ encryption { wrappedBy } }"):
        assert other.graphql(query).code == "forbidden"


@pytest.mark.long
def test_an_address_that_another_organization_took_is_freed(server: Served) -> None:
    other, theirs = founder(server, "squatters"), email()
    squatter = Browser(server)
    assert squatter.accept(invited(server, theirs, "viewer", by=other)).status == 200
    assert Browser(server).accept(invited(server, theirs, "viewer")).status == 403
    assert other.graphql("mutation($e: String!) { releaseEmail(email: $e) { id } }", e=theirs).code == "forbidden"
    assert sizewise("users", "release-email", theirs, home=server.home).out.startswith(squatter.user)
    assert squatter.send("/auth/session").status == 401 and squatter.sign_in(theirs).status == 401
    mine = Browser(server)
    assert mine.accept(invited(server, theirs, "viewer")).status == 200 and mine.said["organization"] == "local"
    assert sizewise("users", "release-email", "nobody@example.org", home=server.home).code == 2


def test_what_is_not_there_is_told_with_the_hint_of_what_cannot_be_seen(server: Served) -> None:
    lead = new_user(server, email(), "admin", "shop")
    key = graphql(server, KEY, name="x", may=["ask"], project="lab").data["createKey"]["key"]["id"]
    user = new_user(server, email(), "viewer").user
    for real, not_there, query, more in (
        (key, "sw-nobody", REVOKE, "{}"),
        (key, "sw-nobody", BUDGET, "key:{}"),
        (user, "us-nobody", DISABLE, "{}"),
        (user, "us-nobody", BUDGET, "user:{}"),
    ):
        name = "scope" if query is BUDGET else "id"
        strange, unknown = (lead.graphql(query, **{name: more.format(id)}) for id in (real, not_there))
        assert strange.code == unknown.code == "not_found"
        assert (strange.message.replace(real, not_there), strange.hint) == (unknown.message, unknown.hint)
    assert graphql(server, BUDGET, scope="user:us-nobody", most=1).code == "not_found"
