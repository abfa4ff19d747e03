"""`web_search_options` of /v1/chat/completions: one search before any model is called, by a grant, and its citations.

The pages are put in front of the user's last words, and the option does not reach the model.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from sizewise.app.application import Application
from sizewise.errors import NotTranslatable, SizewiseError
from sizewise.gateway.question_turns import ends_with_question, question_of, with_text_before_question
from sizewise.gateway.web_query import WebSearchOutcome, search_unasked, search_web
from sizewise.gateway.web_search import UserLocation, checked_country, converted, url_citations
from sizewise.gateway.web_search_grant import grant_of, search_refusal, searches_unasked
from sizewise.handler import ChoiceFinished, Event, RawDelta, ReasoningDelta, Request, Send, TextDelta, ToolDelta
from sizewise.messages import ChatRequest, JsonFields, Message, request_size
from sizewise.web_search.search_engines import WebQuery

Json = dict[str, Any]
OPTION = "web_search_options"

_encode = msgspec.json.Encoder().encode


class SearchLocation(Struct):
    type: Literal["approximate"] = "approximate"
    approximate: UserLocation | None = None


class ChatSearchOptions(Struct, forbid_unknown_fields=True):
    """The option as a client sends it. `search_context_size` is accepted: the settings say how much is found."""

    search_context_size: Literal["low", "medium", "high"] | None = None
    user_location: SearchLocation | None = None

    def limits(self) -> WebQuery:
        """Raises BadBody."""
        place = None if self.user_location is None else self.user_location.approximate
        where = f"{OPTION}.user_location.approximate.country"
        return WebQuery("", country=checked_country((None if place is None else place.country) or "", where))


def may_search_chat(app: Application, request: Request, chat: ChatRequest) -> bool:
    """Takes under 1 us."""
    return OPTION in chat.fields or searches_unasked(app, request.principal)


async def search_before_chat(app: Application, request: Request) -> tuple[Request, WebSearchOutcome | None]:
    """The request with what was found and without the option; unchanged if this server has nothing to search for it.

    Raises BadBody, and what `search_web` raises.
    """
    chat = request.payload
    assert isinstance(chat, ChatRequest)
    raw = chat.fields.get(OPTION)
    has_option = raw is not None and bytes(raw) != b"null"
    if grant_of(app, request.principal) == "deny":
        return request, None
    run = app.resources.offload.run
    turns: list[Json] = await run(request_size(chat), msgspec.json.decode, chat.fields["messages"])
    question, outcome = question_of(turns).strip(), None
    if has_option:
        limits = converted(msgspec.json.decode(raw or b""), ChatSearchOptions, OPTION).limits()
        outcome = await search_web(app, request, chat.model, question, limits) if question else None
    elif searches_unasked(app, request.principal) and ends_with_question(turns) and not _forbids_tools(chat):
        outcome = await search_unasked(app, request, chat.model, question)
    if outcome is None and not has_option:
        return request, None
    payload = await run(request_size(chat), _searched, chat, turns, outcome)
    return replace(request, payload=payload), outcome


def explained(error: SizewiseError, app: Application, request: Request) -> SizewiseError:
    """The error of a model whose API lacks the option: why the search was not done here."""
    if isinstance(error, NotTranslatable) and error.param == OPTION:
        return search_refusal(app, request.principal, OPTION)
    return error


def citing(send: Send, outcome: WebSearchOutcome) -> Send:
    """`send` with the citations of each choice before its end. Chunks are composed here, with one id."""
    texts: dict[int, list[str]] = {}

    async def send_cited(event: Event) -> None:
        if isinstance(event, TextDelta):
            texts.setdefault(event.choice, []).append(event.text)
        elif isinstance(event, ChoiceFinished) and event.choice in texts:
            found = chat_annotations("".join(texts.pop(event.choice)), outcome)
            if found:
                await send(RawDelta(event.choice, {"annotations": Raw(_encode(found))}))
        if isinstance(event, TextDelta | ToolDelta | ReasoningDelta | RawDelta | ChoiceFinished):
            event = replace(event, frame=None)
        await send(event)

    return send_cited


def with_citations(written: bytes, outcome: WebSearchOutcome) -> bytes:
    """A whole completion, in which each message has its citations."""
    completion: Json = msgspec.json.decode(written)
    for choice in completion["choices"]:
        message: Json = choice["message"]
        found = chat_annotations(message.get("content") or "", outcome)
        message["annotations"] = [*(message.get("annotations") or ()), *found]
    return _encode(completion)


def chat_annotations(text: str, outcome: WebSearchOutcome) -> list[Json]:
    """As those of Responses, one level deeper."""
    return [
        {"type": "url_citation", "url_citation": {name: value for name, value in each.items() if name != "type"}}
        for each in url_citations(text, outcome)
    ]


def _forbids_tools(chat: ChatRequest) -> bool:
    return bytes(chat.fields.get("tool_choice", b"")) == b'"none"'


def _searched(chat: ChatRequest, turns: list[Json], outcome: WebSearchOutcome | None) -> ChatRequest:
    fields: JsonFields = {name: raw for name, raw in chat.fields.items() if name != OPTION}
    if outcome is None:
        return replace(chat, fields=fields)
    messages = _encode(with_text_before_question(turns, outcome.passages_text()))
    fields["messages"] = Raw(messages)
    return replace(chat, messages=msgspec.json.decode(messages, type=list[Message]), fields=fields)
