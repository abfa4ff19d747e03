"""OpenAPI document at /openapi.json: every operation except the HTML pages, generated from the request types.

Tests compare it with the routes of routes.py, and with what a running server answers to bodies generated from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from msgspec import Struct

from sizewise import __version__
from sizewise.app.application import Application
from sizewise.auth.browser_security import SESSION_COOKIE
from sizewise.errors import SizewiseError
from sizewise.gateway.batches import BatchCreation
from sizewise.gateway.decisions_request import DecisionBody
from sizewise.gateway.eval_bodies import EvalChange, EvalCreation, EvalRunCreation
from sizewise.gateway.file_search_bodies import (
    AttributeChange,
    FileAttachment,
    FileBatchCreation,
    VectorStoreChange,
    VectorStoreCreation,
    VectorStoreSearch,
)
from sizewise.gateway.file_upload import PURPOSES
from sizewise.gateway.mcp_message import McpMessage
from sizewise.gateway.openapi_batches import batch_answers, batch_paths
from sizewise.gateway.openapi_evals import eval_answers, eval_paths
from sizewise.gateway.openapi_file_search import vector_store_answers, vector_store_paths
from sizewise.gateway.openapi_sign_in import SIGN_IN_TYPES, sign_in_paths
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.request_options import SizewiseOptions
from sizewise.gateway.rerank_request import RerankBody
from sizewise.gateway.response_writer import JSON, ResponseWriter
from sizewise.gateway.scores import ScoreCreation
from sizewise.gateway.systemone import SystemOneBody
from sizewise.providers.wires.anthropic import request_in as anthropic_request
from sizewise.providers.wires.openai import completion_request, media_request, moderation, request_response
from sizewise.providers.wires.responses import request_in as responses_request
from sizewise.telemetry.edges.report import EdgeReport

Json = Mapping[str, Any]

SCHEMA_PREFIX = "#/components/schemas/"
ASK_TAG = "inference"
"""Tag of the operations that call a model: only they take routing options and report a cost."""


class ChatRequest(request_response.ChatCompletionBody):
    """OpenAI's chat body; other fields are passed to the model unread."""

    sizewise: SizewiseOptions | None = None


class CompletionRequest(completion_request.CompletionBody):
    """OpenAI's text completion body; other fields are passed to the model unread."""

    sizewise: SizewiseOptions | None = None


class ModerationRequest(moderation.ModerationBody):
    """OpenAI's moderation body."""

    sizewise: SizewiseOptions | None = None


class EmbeddingRequest(request_response.EmbeddingBody):
    """OpenAI's embedding body."""

    sizewise: SizewiseOptions | None = None


class SpeechRequest(media_request.SpeechBody):
    """OpenAI's speech body; other fields are passed to the model unread."""

    sizewise: SizewiseOptions | None = None


class ImageRequest(media_request.ImageBody):
    """OpenAI's image generation body; other fields are passed to the model unread."""

    sizewise: SizewiseOptions | None = None


class DecisionRequest(DecisionBody):
    """OpenAI's body of decisions: 1 to 400 questions about one input."""

    sizewise: SizewiseOptions | None = None


class SystemOneRequest(SystemOneBody):
    """TypeSafe's body of decisions: named questions about one state."""

    sizewise: SizewiseOptions | None = None


class RerankRequest(RerankBody):
    """Cohere's and Jina's rerank body; other fields are passed to a reranking upstream unread."""

    sizewise: SizewiseOptions | None = None


class ResponseRequest(responses_request.ResponsesBody):
    """OpenAI's response body."""

    sizewise: SizewiseOptions | None = None


class CountableRequest(responses_request.CountableBody):
    """OpenAI's response body, of which only the input counts."""

    sizewise: SizewiseOptions | None = None


class MessageRequest(anthropic_request.MessagesBody):
    """Anthropic's message body."""

    sizewise: SizewiseOptions | None = None


class GraphQLRequest(Struct, rename="camel"):
    """A GraphQL request; the schema is in sizewise/graphql/schema.graphql and available by introspection."""

    query: str | None = None
    variables: dict[str, object] | None = None
    operation_name: str | None = None
    extensions: dict[str, object] | None = None


BODY_TYPES: tuple[type[Struct], ...] = (
    *(
        ChatRequest,
        CompletionRequest,
        ModerationRequest,
        EmbeddingRequest,
        RerankRequest,
        DecisionRequest,
        SystemOneRequest,
    ),
    *(ResponseRequest, CountableRequest, MessageRequest, SpeechRequest, ImageRequest),
    *(VectorStoreCreation, VectorStoreChange, VectorStoreSearch),
    *(FileAttachment, FileBatchCreation, AttributeChange),
    *(BatchCreation, EvalCreation, EvalChange, EvalRunCreation, ScoreCreation, EdgeReport),
    *(GraphQLRequest, McpMessage),
    *SIGN_IN_TYPES,
)


def build_document() -> Json:
    _, schemas = msgspec.json.schema_components(
        BODY_TYPES,
        schema_hook=_open_schema,
        ref_template=SCHEMA_PREFIX + "{name}",
    )
    for schema in schemas.values():
        if schema.get("properties", {}).get("sizewise") == {"default": None}:  # a body that keeps them unread
            schema["properties"]["sizewise"] = {"anyOf": [_ref("SizewiseOptions"), {"type": "null"}], "default": None}
    said = schemas["SizewiseOptions"]["properties"]
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
                    "name": SESSION_COOKIE,
                    "description": f"Sign-in session; named __Host-{SESSION_COOKIE} over TLS.",
                },
            },
            "parameters": {**_option_parameters(said), **REQUEST_HEADERS},
            "headers": RESPONSE_HEADERS,
            "schemas": {
                **schemas,
                "SizewiseOptions": _with_snake_case(schemas["SizewiseOptions"]),
                **_messages(schemas["MessageRequest"]),
                **_answers(),
            },
        },
    }


def _open_schema(kind: type) -> dict[str, Any]:
    """The schema of values that are passed on unread."""
    if kind is object:
        return {"description": "any JSON"}  # an empty one would not count as a schema
    raise NotImplementedError


def _with_snake_case(options: Json) -> Json:
    """Option names with underscores, as in the rest of the body; header names with hyphens are accepted too."""
    return {**options, "properties": {name.replace("-", "_"): schema for name, schema in options["properties"].items()}}


def _messages(body: Json) -> Json:
    """A message needs `max_tokens`; counting its tokens does not."""
    bounded = {**body["properties"], "max_tokens": _without_null(body["properties"]["max_tokens"])}
    return {
        "MessageRequest": {**body, "properties": bounded, "required": [*body["required"], "max_tokens"]},
        "TokenCountRequest": {**body, "title": "TokenCountRequest"},
    }


# ---- parameters and headers


def _option_parameters(options: Json) -> Json:
    """A header parameter per option, from its schema without null."""
    return {f"option-{name}": _header(f"x-sizewise-{name}", _without_null(schema)) for name, schema in options.items()}


def _without_null(schema: Json) -> Json:
    several = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if several:
        return several[0] if len(several) == 1 else {"anyOf": several}
    words = [each for each in schema.get("enum", ()) if each is not None]
    return {"enum": words} if words else {name: value for name, value in schema.items() if name != "default"}


def _header(name: str, schema: Json, description: str = "") -> Json:
    return {"name": name, "in": "header", "schema": schema, **({"description": description} if description else {})}


_WORD: Mapping[str, Any] = {"type": "string"}
REQUEST_HEADERS: Mapping[str, Any] = {
    "traceparent": _header("traceparent", _WORD, "W3C trace context; ignored if malformed."),
    "trace": _header("x-sizewise-trace", _WORD, "Trace id, 32 hex digits; if malformed, ignored and generated."),
    "idempotency": _header(
        "idempotency-key",
        {"type": "string", "minLength": 1, "maxLength": 200},
        "Retries with the same key return the first answer and are billed once.",
    ),
    "cache": _header("cache-control", _WORD, "no-cache and no-store are supported."),
    "release": _header(
        "x-sizewise-release",
        _WORD,
        "Where there are environments: answer with this release, by its hash; needs the permission `manage_releases`.",
    ),
}
RESPONSE_HEADERS: Mapping[str, Any] = {
    "x-sizewise-trace": {"schema": _WORD, "description": "Trace id of the request record."},
    "x-request-id": {"schema": _WORD, "description": "The same as `x-sizewise-trace`."},
    "x-sizewise-model": {"schema": _WORD, "description": "The model that answered."},
    "x-sizewise-why": {"schema": _WORD, "description": "Reason for the routing decision."},
    "x-sizewise-cost-usd": {"schema": _WORD, "description": "Cost of all attempts in US dollars, exact; or `unknown`."},
    "x-sizewise-attempts": {"schema": _WORD, "description": "Number of attempts, if more than one."},
    "x-sizewise-compacted": {
        "schema": _WORD,
        "description": "Which part of the conversation the model got as excerpts, in one sentence; only if any.",
    },
    "x-sizewise-degraded": {
        "schema": _WORD,
        "description": "1 if an untrusted answer is returned because the policy allows it.",
    },
    "x-sizewise-freshness": {
        "schema": _WORD,
        "description": "Why the answer may be out of date, if the question is about a time after the model's training.",
    },
    "x-sizewise-guards": {"schema": _WORD, "description": "Findings of guardrails, as counts by kind; only if any."},
    "x-sizewise-release": {"schema": _WORD, "description": "Hash of the release that answered, in an environment."},
    "x-sizewise-arm": {
        "schema": {"enum": ["stable", "canary", "unsplit", "forced"]},
        "description": "Which of two, while there is a canary; or that the stable release answers all for now.",
    },
    "retry-after": {"schema": {"type": "integer"}, "description": "Seconds until a refused request may be repeated."},
    **{
        f"x-ratelimit-{what}-{unit}": {"schema": _WORD, "description": f"{said} {unit}, of the tightest limit, if any."}
        for unit in ("requests", "tokens")
        for what, said in (
            ("limit", "Most"),
            ("remaining", "What is left of"),
            ("reset", "Time until there are all again of"),
        )
    },
}


def _query(name: str, schema: Json, description: str) -> Json:
    return {"name": name, "in": "query", "schema": schema, "description": description}


_MODEL_FORMAT: Mapping[str, Any] = _header(
    "anthropic-version", _WORD, "If sent, models and errors have Anthropic's format."
)
_MODEL_PAGE: Sequence[Json] = (
    _query("limit", {"type": "integer", "minimum": 1, "maximum": 1_000}, "Page size in Anthropic's format."),
    _query("after_id", _WORD, "In Anthropic's format: the page after this model."),
    _query("before_id", _WORD, "In Anthropic's format: the page before this model."),
)


FILE_LIST_QUERY: Mapping[str, Any] = {
    "after": _WORD,
    "limit": {"type": "integer", "minimum": 1, "maximum": 10_000},
    "order": {"enum": ["asc", "desc"]},
    "purpose": _WORD,
}


# ---- operations


def _operation(
    id: str,
    summary: str,
    answer: str = "",
    *,
    body: str = "",
    form: str = "",
    query: Mapping[str, Json] | None = None,
    tags: tuple[str, ...] = ("read",),
    streams: bool = False,
    text: bool = False,
    key: bool = True,
    error: str = "Error",
    kind: str = "application/json",
    also: Mapping[str, Json] | None = None,
    secured: Sequence[Json] = (),
    done: str = "200",
) -> Json:
    """`answer`, `body`, `form`, `error`: schema names; an empty `answer` is text of type `kind`."""
    content: dict[str, Any] = {kind: {"schema": _ref(answer) if answer else _WORD}}
    if streams:
        content["text/event-stream"] = {"schema": _ref("Event")}
    if text:
        content |= {"text/plain": {"schema": _WORD}, "text/vtt": {"schema": _WORD}}
    asking = ASK_TAG in tags
    told = {name: {"$ref": f"#/components/headers/{name}"} for name in RESPONSE_HEADERS} if asking else {}
    refused: dict[str, Any] = {"description": "error", "content": {"application/json": {"schema": _ref(error)}}}
    refused |= {"headers": told} if told else {}
    shown: dict[str, Any] = {
        "operationId": id,
        "summary": summary,
        "tags": list(tags),
        "responses": {
            done: {"description": "success", "content": content} | ({"headers": told} if told else {}),
            **(also or {}),
            "4XX": refused,
            "5XX": refused,
        },
    }
    if query:
        shown["parameters"] = [{"name": name, "in": "query", "schema": schema} for name, schema in query.items()]
    if form:
        shown["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": _ref(form)}}}
    if body:
        shown["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(body)}}}
    if asking:
        named = [*(f"option-{each}" for each in SizewiseOptions.__struct_encode_fields__), *REQUEST_HEADERS]
        shown["parameters"] = [{"$ref": f"#/components/parameters/{name}"} for name in named]
    if secured or not key:
        shown["security"] = list(secured)
    return shown


def _ref(name: str) -> Json:
    return {"$ref": SCHEMA_PREFIX + name}


def _at(id: str, **operations: Json) -> Json:
    """The operations of a path with an `{id}`."""
    return {
        "parameters": [{"name": "id", "in": "path", "required": True, "schema": _WORD, "description": id}],
        **operations,
    }


def _paths() -> Json:
    request = partial(_operation, tags=(ASK_TAG,))
    unready = {
        "503": {"description": "no model is available", "content": {"application/json": {"schema": _ref("Readiness")}}},
    }
    return {
        "/v1/chat/completions": {
            "post": request(
                "createChatCompletion", "OpenAI chat completion", "ChatReply", body="ChatRequest", streams=True
            ),
        },
        "/v1/responses": {
            "post": request("createResponse", "OpenAI response", "ResponseReply", body="ResponseRequest", streams=True),
        },
        "/v1/responses/input_tokens": {
            "post": _operation(
                "countInputTokens", "Count the tokens of a response's input", "InputTokenCount", body="CountableRequest"
            ),
        },
        "/v1/responses/{id}": _at(
            "response id",
            get=_operation("getResponse", "Get or stream a stored response", "ResponseReply", streams=True),
            delete=_operation("deleteResponse", "Delete a stored response", "DeletedResponse", tags=("write",)),
        ),
        "/v1/responses/{id}/cancel": _at(
            "response id",
            post=_operation("cancelResponse", "Cancel a background response", "ResponseReply", tags=("write",)),
        ),
        "/v1/responses/{id}/input_items": _at(
            "response id", get=_operation("listResponseInputItems", "List its input items", "ResponseItems"),
        ),
        "/v1/messages": {
            "post": request(
                "createMessage", "Anthropic message", "MessageReply",
                body="MessageRequest", streams=True, error="MessageError",
            ),
        },
        "/v1/messages/count_tokens": {
            "post": _operation(
                "countTokens", "Count the tokens of a message", "TokenCount",
                body="TokenCountRequest", error="MessageError",
            ),
        },
        "/v1/completions": {
            "post": request(
                "createCompletion", "OpenAI text completion", "CompletionReply", body="CompletionRequest", streams=True
            ),
        },
        "/v1/moderations": {
            "post": request("createModeration", "OpenAI moderation", "Moderations", body="ModerationRequest")
        },
        "/v1/embeddings": {
            "post": request("createEmbedding", "OpenAI embedding", "Embeddings", body="EmbeddingRequest")
        },
        "/v1/audio/speech": {
            "post": request("createSpeech", "OpenAI speech", body="SpeechRequest", streams=True, kind="audio/*"),
        },
        "/v1/audio/transcriptions": {
            "post": request(
                "createTranscription", "OpenAI transcription", "Transcript", form="AudioForm", streams=True, text=True
            ),
        },
        "/v1/audio/translations": {
            "post": request(
                "createTranslation", "OpenAI translation of audio", "Transcript", form="AudioForm", text=True
            ),
        },
        "/v1/images/generations": {
            "post": request("createImage", "OpenAI image generation", "Images", body="ImageRequest", streams=True),
        },
        "/v1/images/edits": {
            "post": request("editImage", "OpenAI image edit", "Images", form="ImageForm", streams=True),
        },
        "/v1/images/variations": {
            "post": request("varyImage", "OpenAI image variation", "Images", form="ImageForm"),
        },
        "/v1/decisions": {"post": request("decide", "Decisions", "Decisions", body="DecisionRequest")},
        "/v1/systemone": {"post": request("decideSystemOne", "Decisions", "SystemOne", body="SystemOneRequest")},
        "/v1/rerank": {"post": request("rerank", "Documents by relevance", "Ranking", body="RerankRequest")},
        "/v2/rerank": {"post": request("rerankV2", "Documents by relevance", "Ranking", body="RerankRequest")},
        "/v1/files": {
            "get": _operation("listFiles", "List the files of the project", "Files", query=FILE_LIST_QUERY),
            "post": _operation("createFile", "Upload a file", "File", form="FileForm", tags=("write",)),
        },
        "/v1/files/{id}": _at(
            "file id",
            get=_operation("getFile", "Get a file", "File"),
            delete=_operation("deleteFile", "Delete a file", "DeletedFile", tags=("write",)),
        ),
        "/v1/files/{id}/content": _at(
            "file id", get=_operation("getFileContent", "Its content", kind="application/octet-stream"),
        ),
        **vector_store_paths(_operation, _at),
        **batch_paths(_operation, _at),
        **eval_paths(_operation, _at),
        "/v1/scores": {
            "post": _operation("createScore", "Score an answer", "Score", body="ScoreCreation", tags=("write",))
        },
        "/edge/records": {
            "post": _operation(
                "reportEdgeRecords", "Report what an edge answered", "EdgeReceipt", body="EdgeReport", tags=("write",)
            ),
        },
        "/edge/join": {
            "post": _operation("joinEdge", "Change the key of a small machine for one that only it has", "EdgeMachine")
        },
        "/edge/release": {"get": _operation("getEdgeRelease", "What an edge is to answer with, signed", "SignedOffer")},
        "/edge/releases/{id}": _at(
            "hash of the release",
            get=_operation("getEdgeReleaseArchive", "The bytes that were signed", kind="application/octet-stream"),
        ),
        "/v1/models": {
            "get": {
                **_operation("listModels", "List the models that this key can use", "Models", error="ModelError"),
                "parameters": [*_MODEL_PAGE, _MODEL_FORMAT],
            },
        },
        "/v1/models/{id}": _at(
            "model name; may contain a slash",
            get={**_operation("getModel", "Get a model", "Model", error="ModelError"), "parameters": [_MODEL_FORMAT]},
        ),
        "/hooks/flows/{id}": _at(
            "flow name, or trigger name for signed webhooks",
            post=_operation(
                "triggerFlow", "Start a flow run", "StartedFlowRun", body="FlowInputs", tags=("write",), done="202",
            ),
        ),
        "/hooks/git": {
            "post": _operation(
                "gitWebhook", "Have the server look at its git branch; signed by the host", "AcceptedPush", key=False,
                done="202",
            ),
        },
        "/graphql": {
            "post": _operation(
                "graphql", "Query and manage everything but model inference", "GraphQLResponse",
                body="GraphQLRequest", tags=("read", "write"), error="GraphQLResponse", streams=True,
            ),
        },
        "/mcp": {
            "post": _operation(
                "mcp", "Flows and knowledge bases as tools (Model Context Protocol)", "McpResponse",
                body="McpMessage", tags=("read", "write"), error="McpResponse",
                also={"202": {"description": "accepted: a notification has no response"}},
            ),
        },
        **sign_in_paths(_operation),
        "/healthz": {"get": _operation("healthz", "Liveness", "Health", key=False)},
        "/readyz": {"get": _operation("readyz", "Readiness", "Readiness", key=False, also=unready)},
        "/metrics": {"get": _operation("metrics", "Metrics in Prometheus text format", kind="text/plain")},
        "/openapi.json": {"get": _operation("getOpenAPI", "This document", "OpenAPIDocument", key=False)},
    }  # fmt: skip


# ---- answers


def _object(required: str = "", **properties: Json) -> dict[str, Any]:
    """An object that may have other fields too, such as an upstream's own."""
    return {"type": "object", "properties": properties, "required": required.split() or list(properties)}


def _list(items: Json) -> Json:
    return {"type": "array", "items": items}


_COUNT: Mapping[str, Any] = {"type": "integer", "minimum": 0}
_NUMBER: Mapping[str, Any] = {"type": "number"}
_MAYBE: Mapping[str, Any] = {"type": ["string", "null"]}
_ANY: Mapping[str, Any] = {"type": "object"}
_FILE: Mapping[str, Any] = {"type": "string", "format": "binary"}


def _answers() -> Json:
    codes = {"enum": sorted({each.code for each in _errors(SizewiseError)})}
    theirs = {"type": "string", "pattern": "^[a-z]+(_[a-z]+)*$", "description": "the code of a model's API"}
    code = {"anyOf": [codes, theirs]}
    about: Json = {"message": _WORD, "type": _WORD, "param": _MAYBE, "code": code, "hint": _WORD, "docs": _WORD}
    used = _object(input_tokens=_COUNT, output_tokens=_COUNT)
    told = _object(code=codes, status=_COUNT, hint=_WORD, docs=_WORD)
    fault = _object("message extensions", message=_WORD, extensions=told, path=_list({}), locations=_list(_ANY))
    return {
        "Error": _object(error=_object(**about)),
        "MessageError": _object(type={"const": "error"}, error=_object(**about), request_id=_MAYBE),
        "McpResponse": _object("jsonrpc id", jsonrpc={"const": "2.0"}, id={}, result=_ANY, error=_ANY),
        "FlowInputs": {"type": "object", "description": "inputs of the flow"},
        "AcceptedPush": _object("branch", branch=_WORD),
        "StartedFlowRun": _object(run=_WORD, flow=_WORD, version=_WORD, state=_WORD),
        "ChatReply": _object(
            "choices",
            id=_WORD,
            object=_WORD,
            created=_COUNT,
            model=_WORD,
            choices=_list(_object("message", index=_COUNT, message=_ANY, finish_reason=_MAYBE)),
            usage={"type": ["object", "null"]},
        ),
        "CompletionReply": _object(
            "id object created model choices",
            id=_WORD,
            object={"const": "text_completion"},
            created=_COUNT,
            model=_WORD,
            choices=_list(_object("text index finish_reason", text=_WORD, index=_COUNT, finish_reason=_WORD)),
            usage={"type": ["object", "null"]},
        ),
        "Moderations": _object(
            id=_WORD,
            model=_WORD,
            results=_list(
                _object(
                    flagged={"type": "boolean"},
                    categories=_ANY,
                    category_scores=_ANY,
                    category_applied_input_types=_ANY,
                    sizewise={**_ANY, "description": "findings of the guardrails, in our own kinds"},
                )
            ),
            sizewise={**_ANY, "description": "the categories that are judged, those that are not, and the guardrails"},
        ),
        "AudioForm": _object(
            "file model", file=_FILE, model=_WORD, prompt=_WORD, language=_WORD, response_format=_WORD,
            stream={"type": "boolean"}, sizewise={**_WORD, "description": "SizewiseOptions as JSON text"},
        ),
        "ImageForm": _object(
            "image model", image=_FILE, mask=_FILE, model=_WORD, prompt=_WORD, n={"type": "integer"}, size=_WORD,
            sizewise={**_WORD, "description": "SizewiseOptions as JSON text"},
        ),
        "Transcript": _object("text", text=_WORD, usage=_ANY, duration=_NUMBER, segments=_list(_ANY)),
        "Images": _object("data", created=_COUNT, data=_list(_ANY), usage=_ANY),
        "ResponseReply": _object(
            "id object created_at status model output store usage",
            id=_WORD,
            object={"const": "response"},
            created_at=_COUNT,
            status={"enum": ["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]},
            model=_WORD,
            output=_list(_object("type", type=_WORD)),
            store={"type": "boolean"},
            previous_response_id=_MAYBE,
            usage={"anyOf": [used, {"type": "null"}]},
        ),
        "Event": _object("data", event=_WORD, data=_WORD) | {"description": "A server-sent event of the API."},
        "DeletedResponse": _object(id=_WORD, object={"const": "response"}, deleted={"const": True}),
        "SignOut": _object(signed_out={"const": True}),
        "ResponseItems": _object(
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
        "FileForm": _object(
            "file purpose", file={"type": "string", "format": "binary"}, purpose={"enum": list(PURPOSES)},
        ) | {"additionalProperties": False},
        "File": _object(
            "id object bytes created_at filename purpose", id=_WORD, object={"const": "file"}, bytes=_COUNT,
            created_at=_COUNT, expires_at=_COUNT, filename=_WORD, purpose=_WORD, status=_WORD, status_details=_MAYBE,
        ),
        "Files": _object(object={"const": "list"}, data=_list(_ref("File")), has_more={"type": "boolean"}),
        "DeletedFile": _object(id=_WORD, object={"const": "file"}, deleted={"const": True}),
        **vector_store_answers(_ref, _object),
        **batch_answers(_ref, _object),
        **eval_answers(_ref, _object),
        "EdgeMachine": _object(object={"const": "edge.machine"}, id=_WORD, key=_WORD),
        "SignedOffer": _object(statement=_WORD, signature=_WORD, key=_WORD),
        "EdgeReceipt": _object(object={"const": "edge.report"}, new=_COUNT, known=_COUNT),
        "Decisions": _object(
            "answers model usage", answers=_list(_ANY), model=_WORD, usage=_ANY, sizewise=_ANY,
        ),
        "SystemOne": _object("answers model usage", answers=_ANY, model=_WORD, usage=_ANY, sizewise=_ANY),
        "Score": _object(
            "id object target target_id name source created_at",
            id=_WORD, object={"const": "score"}, target={"enum": ["trace", "record", "session"]}, target_id=_WORD,
            trace=_MAYBE, session=_MAYBE, name=_WORD, value={"type": ["number", "null"]}, label=_MAYBE,
            source={"enum": ["user", "person", "judge", "code"]}, scorer=_WORD, created_at=_COUNT,
        ),
        "Ranking": _object(
            "results", id=_WORD, object=_WORD, model=_WORD, usage=_ANY, meta=_ANY, scoring=_WORD,
            results=_list(_object("index relevance_score", index=_COUNT, relevance_score=_NUMBER, document=_ANY)),
        ),
        "TokenCount": _object(
            "input_tokens",
            input_tokens=_COUNT,
            estimated={"const": True, "description": "If present, by the length of the prompt."},
        ),
        "InputTokenCount": _object(
            object={"const": "response.input_tokens"}, input_tokens=_COUNT, estimated={"type": "boolean"}
        ),
        "Embeddings": _object("data", object=_WORD, data=_list(_ANY), model=_WORD, usage=_ANY),
        "Model": {"anyOf": [_ref("OpenAiModel"), _ref("AnthropicModel")]},
        "Models": {"anyOf": [_ref("OpenAiModels"), _ref("AnthropicModels")]},
        "ModelError": {"anyOf": [_ref("Error"), _ref("MessageError")]},
        "AnthropicModel": _object(
            type={"const": "model"},
            id=_WORD,
            display_name=_WORD,
            created_at={"type": "string", "format": "date-time"},
            lifecycle={"const": "active"},
            max_input_tokens={"type": ["integer", "null"]},
            max_tokens={"type": ["integer", "null"]},
        ),
        "AnthropicModels": _object(
            data=_list(_ref("AnthropicModel")), first_id=_MAYBE, last_id=_MAYBE, has_more={"type": "boolean"},
        ),
        "OpenAiModel": _object(
            "id object created owned_by",
            id=_WORD,
            object={"const": "model"},
            created=_COUNT,
            owned_by=_WORD,
            sizewise={**_ANY, "description": "context, size, place and tools, if known"},
        ),
        "OpenAiModels": _object(object={"const": "list"}, data=_list(_ref("OpenAiModel"))),
        "GraphQLResponse": _object("", data={"type": ["object", "null"]}, errors=_list(fault)) | {"required": []},
        "Health": _object(status={"const": "ok"}),
        "Readiness": _object(status={"enum": ["ready", "not ready"]}, impaired=_list(_WORD)),
        "OpenAPIDocument": _object(openapi=_WORD, info=_ANY, paths=_ANY, components=_ANY),
    }  # fmt: skip


def _errors(kind: type[SizewiseError]) -> list[type[SizewiseError]]:
    return [kind, *(each for below in kind.__subclasses__() for each in _errors(below))]


class OpenApiEndpoint:
    """Route handler of the document, which is built at the first request."""

    def __init__(self) -> None:
        self._bytes = b""

    async def __call__(self, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
        self._bytes = self._bytes or msgspec.json.encode(build_document())
        await writer.send_response(200, [JSON], self._bytes)
