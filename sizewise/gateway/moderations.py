"""/v1/moderations: inputs in, a judgement of each out, by the guardrails and by a model that judges."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from sizewise.app.application import Application
from sizewise.errors import ModelNotFound, NotTranslatable, SizewiseError, UpstreamProtocolError
from sizewise.gateway.body_reading import read_payload
from sizewise.gateway.error_response import send_error
from sizewise.gateway.moderation_by_chat import LABEL, chat_judgement, read_judgement
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.response_metadata import ResponseMetadata
from sizewise.gateway.response_writer import ResponseWriter
from sizewise.guardrails.text_judge import JudgedText, TextJudge
from sizewise.handler import Request, discard_events
from sizewise.messages import ChatRequest, Choice, Message, Reply
from sizewise.providers.wires.openai.moderation import (
    CATEGORIES,
    CATEGORY_BY_KIND,
    Moderation,
    TextFinding,
    UpstreamResult,
    category_kind,
    chat_request,
    read_moderation,
    result,
)


async def moderations(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    head.authorize(app, "moderations")
    offload = app.resources.offload
    asked, options = await read_payload(offload, read_moderation, body, head.options)
    model = _model(app, asked)
    by_chat = bool(model) and _judges_by_chat(app, model)
    if asked.image_path and (by_chat or not model):
        hint = 'send the text alone, or configure a model with `task = "moderate"` in [models."PROVIDER/MODEL"]'
        whose = "a chat model is asked for texts alone" if by_chat else "the guardrails judge no images"
        raise NotTranslatable(whose, hint, param=asked.image_path)
    payload = await offload.run(len(body), chat_request, asked, model or "auto")
    request = head.request(payload, options, "moderations")
    heard = ResponseMetadata()
    try:
        seen, theirs = await _judge(app, request, heard, asks_model=bool(model), by_chat=by_chat)
    except SizewiseError as error:
        return await send_error(writer, error, heard.final_headers(head.trace))
    name = heard.selection.model if heard.selection is not None else model
    scoring = LABEL if by_chat else "model"
    written = await offload.run(
        len(body), _write, app, seen, theirs, f"modr-{head.trace}", name, scoring if theirs else "guardrails"
    )
    await writer.send_response(200, [], written, heard.header_lines(head.trace))


async def _judge(
    app: Application, request: Request, heard: ResponseMetadata, *, asks_model: bool, by_chat: bool
) -> tuple[list[JudgedText], list[UpstreamResult]]:
    """What the guardrails and the model say of each input. An input that the guardrails block reaches no model."""
    if not asks_model:
        return _texts(await app.moderation(request, heard)), []
    seen = _texts(await TextJudge(app.guardrails)(_by_guards(request), discard_events))
    if any(action == "block" for each in seen for *_, action in each.findings):
        return _texts(await app.moderation(_by_guards(request), heard)), []
    if by_chat:
        texts = [message.text for message in _messages_of(request)]
        chat = await app.resources.offload.run(sum(map(len, texts)), chat_judgement, texts, request.payload.model)
        reply = await app.handler(replace(request, payload=chat), heard)
        return seen, read_judgement(reply, len(texts))
    choices = (await app.handler(request, heard)).choices
    if len(choices) != len(seen):
        raise UpstreamProtocolError(f"the upstream judged {len(choices)} of {len(seen)} inputs", "try again")
    return seen, [_upstream_result(choice) for choice in choices]


def _messages_of(request: Request) -> list[Message]:
    payload = request.payload
    assert isinstance(payload, ChatRequest)
    return payload.messages


def _by_guards(request: Request) -> Request:
    """The request without the model, whose policy might not exist."""
    return replace(request, payload=replace(request.payload, model="auto"))


def _texts(reply: Reply) -> list[JudgedText]:
    return [msgspec.json.decode(choice.message or b"", type=JudgedText) for choice in reply.choices]


def _upstream_result(choice: Choice) -> UpstreamResult:
    try:
        return msgspec.json.decode(choice.message or b"", type=UpstreamResult)
    except msgspec.DecodeError as error:
        raise UpstreamProtocolError(f"the upstream's result is none: {error}", "try again") from error


def _model(app: Application, asked: Moderation) -> str:
    """The model that judges too; empty if there is none. Without a name, or with OpenAI's, that of [moderation], or the
    first with the task `moderate`.

    Raises ModelNotFound.
    """
    configured = app.settings.moderation.model
    cards = [card for card in app.cards if card.task == "moderate"]
    named = next((card for card in cards if asked.model in (card.name, card.model)), None)
    if named is not None:
        return named.name
    if configured and asked.model == configured:
        return configured
    if asked.model and asked.model != "auto" and ("/" in asked.model or "moderation" not in asked.model):
        known = ", ".join(dict.fromkeys([*filter(None, [configured]), *(card.name for card in cards)]))
        hint = f"known: {known}" if known else "leave out `model`: the guardrails judge"
        raise ModelNotFound(f"there is no moderation model named {asked.model[:200]!r}", hint, param="model")
    return configured or (cards[0].name if cards else "")


def _judges_by_chat(app: Application, model: str) -> bool:
    return model in app.aliases.role_names or app.aliases.find_card(model).task == "chat"


def _write(
    app: Application, seen: Sequence[JudgedText], theirs: Sequence[UpstreamResult], id: str, model: str, scoring: str
) -> bytes:
    guards = seen[0].guards if seen else []
    topics = app.settings.guardrails.denied_topics if "topics" in guards else ()
    own = {CATEGORY_BY_KIND[kind] for name in topics if (kind := category_kind(name)) in CATEGORY_BY_KIND}
    judged = own | {name for each in theirs for name, said in each.categories.items() if said is not None}
    added: Sequence[UpstreamResult | None] = theirs or [None] * len(seen)
    return msgspec.json.encode(
        {
            "id": id,
            "model": model,
            "results": [
                result([TextFinding(*row) for row in each.findings], own, said)
                for each, said in zip(seen, added, strict=True)
            ],
            "sizewise": {
                "scoring": scoring,
                "guards": guards,
                "judged": [name for name in CATEGORIES if name in judged],
                "not_judged": [name for name in CATEGORIES if name not in judged],
            },
        },
    )
