"""/openapi.json: every operation of the port but its pages for people, made from the types that read the bodies.

A test holds it against the routes of app.py, and one against what a running server answers to bodies made from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from msgspec import Struct

from sizewise import __version__
from sizewise.accounts.browser import COOKIE
from sizewise.errors import SizewiseError
from sizewise.gateway.exchange import JSON, Knock, Out, Said
from sizewise.gateway.mcp import McpMessage
from sizewise.gateway.signin import Accept, Change, Move, SignedIn, SignIn
from sizewise.house import House
from sizewise.providers.wires import anthropic_asking, openai_bodies, responses_asking

Json = Mapping[str, Any]

SESSION: Sequence[Json] = ({"session": []},)
SCHEMAS = "#/components/schemas/"
ASKING = "ask"
"""The tag of the operations that ask a model: only they take wishes, and book what they cost."""


class ChatRequest(openai_bodies.Body):
    """OpenAI's chat body; fields that are not named here go to the model unread."""

    sizewise: Said | None = None


class EmbeddingRequest(openai_bodies.EmbedBody):
    """OpenAI's body for embeddings."""

    sizewise: Said | None = None


class ResponseRequest(responses_asking.Body):
    """OpenAI's body for responses."""

    sizewise: Said | None = None


class MessageRequest(anthropic_asking.Body):
    """Anthropic's body for messages."""

    sizewise: Said | None = None


class GraphQLRequest(Struct, rename="camel"):
    """A question in GraphQL; sizewise/graphql/schema.graphql is the schema, and introspection tells it."""

    query: str | None = None
    variables: dict[str, object] | None = None
    operation_name: str | None = None
    extensions: dict[str, object] | None = None


BODIES: tuple[type[Struct], ...] = (
    *(ChatRequest, EmbeddingRequest, ResponseRequest, MessageRequest, GraphQLRequest, McpMessage),
    *(SignIn, Accept, Change, Move, SignedIn),
)


def document() -> Json:
    """The whole of it, anew."""
    _, schemas = msgspec.json.schema_components(BODIES, schema_hook=_anything, ref_template=SCHEMAS + "{name}")
    said = schemas["Said"]["properties"]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sizewise",
            "version": __version__,
            "summary": "One API that answers with the smallest language model that is good enough.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"bearer": []}, {"key": []}, {"session": []}],
        "paths": _paths(),
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": COOKIE,
                    "description": f"Of a person who signed in; by TLS it is called __Host-{COOKIE}.",
                },
            },
            "parameters": {**_wishes(said), **HEADERS},
            "headers": TOLD,
            "schemas": {
                **schemas,
                "Said": _spelt(schemas["Said"]),
                **_messages(schemas["MessageRequest"]),
                **_answers(),
            },
        },
    }


def _anything(kind: type) -> dict[str, Any]:
    """The schema of what passes unread."""
    if kind is object:
        return {"description": "any JSON"}  # empty, it would count as no schema
    raise NotImplementedError


def _spelt(said: Json) -> Json:
    """In a body, words are joined as everywhere in it; the hyphens of the headers are understood there too."""
    return {**said, "properties": {name.replace("-", "_"): schema for name, schema in said["properties"].items()}}


def _messages(body: Json) -> Json:
    """An answer needs a bound on its tokens; to count those of a question needs none."""
    bounded = {**body["properties"], "max_tokens": _present(body["properties"]["max_tokens"])}
    return {
        "MessageRequest": {**body, "properties": bounded, "required": [*body["required"], "max_tokens"]},
        "CountRequest": {**body, "title": "CountRequest"},
    }


# ---- parameters and headers


def _wishes(said: Json) -> Json:
    """A parameter for each wish, from the type that reads it; null is no header."""
    return {f"wish-{name}": _header(f"x-sizewise-{name}", _present(schema)) for name, schema in said.items()}


def _present(schema: Json) -> Json:
    several = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if several:
        return several[0] if len(several) == 1 else {"anyOf": several}
    words = [each for each in schema.get("enum", ()) if each is not None]
    return {"enum": words} if words else {name: value for name, value in schema.items() if name != "default"}


def _header(name: str, schema: Json, says: str = "") -> Json:
    return {"name": name, "in": "header", "schema": schema, **({"description": says} if says else {})}


_WORD: Mapping[str, Any] = {"type": "string"}
HEADERS: Mapping[str, Any] = {
    "traceparent": _header("traceparent", _WORD, "W3C trace context; one that is not well formed is passed over."),
    "trace": _header("x-sizewise-trace", _WORD, "32 hex digits; another is passed over and a new one made."),
    "idempotency": _header(
        "idempotency-key", {"type": "string", "minLength": 1, "maxLength": 200}, "The call is paid for once."
    ),
    "cache": _header("cache-control", _WORD, "no-cache and no-store are heard."),
}
TOLD: Mapping[str, Any] = {
    "x-sizewise-trace": {"schema": _WORD, "description": "What the record of this request is called."},
    "x-sizewise-model": {"schema": _WORD, "description": "Who answered."},
    "x-sizewise-why": {"schema": _WORD, "description": "Why that one, in a sentence."},
    "x-sizewise-cost-usd": {"schema": _WORD, "description": "Of all attempts together, exact; or `unknown`."},
    "x-sizewise-attempts": {"schema": _WORD, "description": "How many models were asked, where it was not one."},
    "x-sizewise-degraded": {"schema": _WORD, "description": "1 where the policy would rather have said no."},
}


# ---- operations


def _operation(
    id: str,
    summary: str,
    answer: str = "",
    *,
    body: str = "",
    tags: tuple[str, ...] = ("look",),
    streams: bool = False,
    key: bool = True,
    error: str = "Error",
    kind: str = "application/json",
    also: Mapping[str, Json] | None = None,
    secured: Sequence[Json] = (),
    done: str = "200",
) -> Json:
    """`answer`, `body`, `error`: names of schemas; an empty `answer` is text of this `kind`."""
    content: dict[str, Any] = {kind: {"schema": _ref(answer) if answer else _WORD}}
    if streams:
        content["text/event-stream"] = {"schema": _ref("Event")}
    asking = ASKING in tags
    told = {name: {"$ref": f"#/components/headers/{name}"} for name in TOLD} if asking else {}
    refused = {"description": "refused", "content": {"application/json": {"schema": _ref(error)}}}
    shown: dict[str, Any] = {
        "operationId": id,
        "summary": summary,
        "tags": list(tags),
        "responses": {
            done: {"description": "done", "content": content} | ({"headers": told} if told else {}),
            **(also or {}),
            "4XX": refused,
            "5XX": refused,
        },
    }
    if body:
        shown["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(body)}}}
    if asking:
        named = [*(f"wish-{each}" for each in Said.__struct_encode_fields__), *HEADERS]
        shown["parameters"] = [{"$ref": f"#/components/parameters/{name}"} for name in named]
    if secured or not key:
        shown["security"] = list(secured)
    return shown


def _ref(name: str) -> Json:
    return {"$ref": SCHEMAS + name}


def _at(id: str, **operations: Json) -> Json:
    """The operations of a path with an `{id}`."""
    return {
        "parameters": [{"name": "id", "in": "path", "required": True, "schema": _WORD, "description": id}],
        **operations,
    }


def _paths() -> Json:
    ask = partial(_operation, tags=(ASKING,))
    coming = partial(_operation, tags=("change",), key=False)
    unready = {
        "503": {"description": "no model can answer", "content": {"application/json": {"schema": _ref("Ready")}}}
    }
    return {
        "/v1/chat/completions": {
            "post": ask("chat", "OpenAI's chat", "ChatReply", body="ChatRequest", streams=True)
        },
        "/v1/responses": {
            "post": ask("respond", "OpenAI's responses", "ResponseReply", body="ResponseRequest", streams=True)
        },
        "/v1/responses/{id}": _at(
            "of a response",
            get=_operation("response", "a response that was kept", "ResponseReply"),
            delete=_operation("forgetResponse", "forget it", "Deleted", tags=("change",)),
        ),
        "/v1/responses/{id}/input_items": _at(
            "of a response", get=_operation("responseInput", "what was said before it", "Items")
        ),
        "/v1/messages": {
            "post": ask(
                "message", "Anthropic's messages", "MessageReply",
                body="MessageRequest", streams=True, error="MessageError",
            )
        },
        "/v1/messages/count_tokens": {
            "post": _operation(
                "countTokens", "how many tokens a message has, exactly", "Count",
                body="CountRequest", error="MessageError",
            )
        },
        "/v1/embeddings": {"post": ask("embed", "OpenAI's embeddings", "Vectors", body="EmbeddingRequest")},
        "/v1/models": {"get": _operation("models", "what this key may name", "Models")},
        "/v1/models/{id}": _at(
            "of a model; it may have a slash in it", get=_operation("model", "one of them", "Model")
        ),
        "/hooks/flows/{id}": _at(
            "of a flow; of a trigger where the message is signed",
            post=_operation(
                "hook", "start a flow", "Started", body="Given", tags=("change",), done="202",
            ),
        ),
        "/graphql": {
            "post": _operation(
                "graphql", "everything but tokens", "GraphQLAnswer",
                body="GraphQLRequest", tags=("look", "change"), error="GraphQLAnswer", streams=True,
            )
        },
        "/mcp": {
            "post": _operation(
                "mcp", "flows and knowledge as tools, by the Model Context Protocol", "McpAnswer",
                body="McpMessage", tags=("look", "change"), error="McpAnswer",
                also={"202": {"description": "heard; a notification has no answer"}},
            )
        },
        "/auth/sign-in": {"post": coming("signIn", "sign in with a password", "SignedIn", body="SignIn")},
        "/auth/invitation": {"post": coming("accept", "come in by an invitation", "SignedIn", body="Accept")},
        "/auth/sign-out": {"post": coming("signOut", "be signed in no more", "SignedOut")},
        "/auth/password": {
            "post": _operation(
                "changePassword", "take a new password", "SignedIn", body="Change", tags=("change",), secured=SESSION
            )
        },
        "/auth/session": {
            "get": _operation("session", "who is signed in", "SignedIn", secured=SESSION),
            "post": _operation(
                "moveSession", "go on in another project", "SignedIn", body="Move", tags=("change",), secured=SESSION
            ),
        },
        "/healthz": {"get": _operation("healthz", "the process is up", "Health", key=False)},
        "/readyz": {"get": _operation("readyz", "it can answer, and what limps", "Ready", key=False, also=unready)},
        "/metrics": {"get": _operation("metrics", "counters for Prometheus", kind="text/plain")},
        "/openapi.json": {"get": _operation("openapi", "this document", "Document", key=False)},
    }  # fmt: skip


# ---- answers


def _object(required: str = "", **properties: Json) -> dict[str, Any]:
    """An object that may have more than is named: what an upstream adds of its own passes."""
    return {"type": "object", "properties": properties, "required": required.split() or list(properties)}


def _list(items: Json) -> Json:
    return {"type": "array", "items": items}


_COUNT: Mapping[str, Any] = {"type": "integer", "minimum": 0}
_MAYBE: Mapping[str, Any] = {"type": ["string", "null"]}
_ANY: Mapping[str, Any] = {"type": "object"}


def _answers() -> Json:
    codes = {"enum": sorted({each.code for each in _errors(SizewiseError)})}
    about: Json = {"message": _WORD, "type": _WORD, "param": _MAYBE, "code": codes, "hint": _WORD, "docs": _WORD}
    used = _object(input_tokens=_COUNT, output_tokens=_COUNT)
    told = _object(code=codes, status=_COUNT, hint=_WORD, docs=_WORD)
    fault = _object("message extensions", message=_WORD, extensions=told, path=_list({}), locations=_list(_ANY))
    return {
        "Error": _object(error=_object(**about)),
        "MessageError": _object(type={"const": "error"}, error=_object(**about), request_id=_MAYBE),
        "McpAnswer": _object("jsonrpc id", jsonrpc={"const": "2.0"}, id={}, result=_ANY, error=_ANY),
        "Given": {"type": "object", "description": "what its flow takes"},
        "Started": _object(run=_WORD, flow=_WORD, version=_WORD, state=_WORD),
        "ChatReply": _object(
            "choices",
            id=_WORD,
            object=_WORD,
            created=_COUNT,
            model=_WORD,
            choices=_list(_object("message", index=_COUNT, message=_ANY, finish_reason=_MAYBE)),
            usage={"type": ["object", "null"]},
        ),
        "ResponseReply": _object(
            "id object created_at status model output store usage",
            id=_WORD,
            object={"const": "response"},
            created_at=_COUNT,
            status={"enum": ["completed", "incomplete"]},
            model=_WORD,
            output=_list(_object("type", type=_WORD)),
            store={"type": "boolean"},
            previous_response_id=_MAYBE,
            usage=used,
        ),
        "Event": _object("data", event=_WORD, data=_WORD) | {"description": "Of a stream, as its API has it."},
        "Deleted": _object(id=_WORD, object={"const": "response"}, deleted={"const": True}),
        "SignedOut": _object(signed_out={"const": True}),
        "Items": _object(
            object={"const": "list"},
            data=_list(_object("type id", type=_WORD, id=_WORD)),
            first_id=_WORD,
            last_id=_WORD,
            has_more={"type": "boolean"},
        ),
        "MessageReply": _object(
            id=_WORD,
            type={"const": "message"},
            role={"const": "assistant"},
            model=_WORD,
            content=_list(_object("type", type=_WORD)),
            stop_reason=_MAYBE,
            stop_sequence=_MAYBE,
            usage=used,
        ),
        "Count": _object(input_tokens=_COUNT),
        "Vectors": _object("data", object=_WORD, data=_list(_ANY), model=_WORD, usage=_ANY),
        "Model": _object(
            "id object created owned_by",
            id=_WORD,
            object={"const": "model"},
            created=_COUNT,
            owned_by=_WORD,
            sizewise={**_ANY, "description": "context, size, place and tools, as far as they are known"},
        ),
        "Models": _object(object={"const": "list"}, data=_list(_ref("Model"))),
        "GraphQLAnswer": _object("", data={"type": ["object", "null"]}, errors=_list(fault)) | {"required": []},
        "Health": _object(status={"const": "ok"}),
        "Ready": _object(status={"enum": ["ready", "not ready"]}, limps=_list(_WORD)),
        "Document": _object(openapi=_WORD, info=_ANY, paths=_ANY, components=_ANY),
    }  # fmt: skip


def _errors(kind: type[SizewiseError]) -> list[type[SizewiseError]]:
    return [kind, *(each for below in kind.__subclasses__() for each in _errors(below))]


class Written:
    """The door: the document is made at the first request, and is the same bytes from then on."""

    def __init__(self) -> None:
        self._bytes = b""

    async def __call__(self, house: House, seen: Knock, body: bytes, out: Out) -> None:
        self._bytes = self._bytes or msgspec.json.encode(document())
        await out.whole(200, [JSON], self._bytes)
