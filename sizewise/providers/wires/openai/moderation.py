"""OpenAI's moderations: inputs, categories and results, and those of an upstream; judges nothing itself.

Source: the OpenAI API reference, Moderations. A result says only what was judged: all other categories are false, with
a score of 0, and are listed as not judged.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct

from sizewise.errors import BadBody
from sizewise.handler import Event
from sizewise.messages import ChatRequest, Choice, JsonFields, Message, ModerationRequest, Reply, Usage
from sizewise.providers.wires.openai.request_response import EMPTY_VALUES, decode_client_body
from sizewise.providers.wires.openai.usage_and_errors import protocol_error

CATEGORIES = (
    *("harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent"),
    *("self-harm", "self-harm/intent", "self-harm/instructions", "sexual", "sexual/minors"),
    *("violence", "violence/graphic"),
)
"""The API's, each with a field in every result."""
MAX_INPUTS = 2048
FLAGGING_ACTIONS = frozenset({"flag", "mark", "local", "block"})
"""Actions on a finding that make a text flagged. What is masked is dealt with."""
OWN_GUARDS = frozenset({"pii", "secrets", "injection", "leakage", "tools"})
"""Guards whose kinds are our own: none of them means one of the API's categories."""

_encode = msgspec.json.Encoder().encode


def category_kind(name: str) -> str:
    """The name of a category, or of a denied topic, as the kind of a guard's finding."""
    return re.sub(r"[^A-Z0-9]+", "_", name.upper())


CATEGORY_BY_KIND: Mapping[str, str] = MappingProxyType({category_kind(name): name for name in CATEGORIES})


class ImageUrl(Struct):
    url: str


class InputPart(Struct):
    type: str
    text: str | None = None
    image_url: ImageUrl | None = None


class ModerationBody(Struct):
    """`input`: one text, several, or one input in parts."""

    input: str | Annotated[list[str | InputPart], Meta(min_length=1, max_length=MAX_INPUTS)]
    model: str | None = None


FIELDS = frozenset(ModerationBody.__struct_fields__)
_body = msgspec.json.Decoder(ModerationBody)
_messages = msgspec.json.Decoder(list[Message])


class Moderation(Struct, frozen=True):
    """A request to judge each of the `messages`. `image_path`: of the first image in the body; else empty."""

    model: str  # empty: what the server has
    messages: Raw
    image_path: str = ""


def read_moderation(body: bytes, *, is_checked: bool = False) -> tuple[Moderation, Raw | None]:
    """A moderation and its `sizewise` object. Raises BadBody."""
    seen, sent = decode_client_body(body, _body, is_checked)
    ours = sent.pop("sizewise", None)
    strange = next((name for name, raw in sent.items() if name not in FIELDS and bytes(raw) not in EMPTY_VALUES), None)
    if strange is not None:
        hint = f"the fields are: {', '.join(sorted(FIELDS))}"
        raise BadBody(f"`{strange}` is not a field of moderations", hint, param=strange)
    said = [seen.input] if isinstance(seen.input, str) else seen.input
    texts = [each for each in said if isinstance(each, str)]
    if len(texts) == len(said):
        messages = Raw(_encode([{"role": "user", "content": text} for text in texts]))
        return Moderation(seen.model or "", messages), ours
    if texts:
        raise BadBody("`input` mixes texts and parts", "send texts, or the parts of one input", param="input")
    image = ""
    for at, part in enumerate(said):
        image = image or (f"input[{at}]" if _is_image(part, f"input[{at}]") else "")
    return Moderation(seen.model or "", Raw(_encode([{"role": "user", "content": sent["input"]}])), image), ours


def _is_image(part: str | InputPart, path: str) -> bool:
    """Whether a part is an image and no text. Raises BadBody for any other."""
    if isinstance(part, InputPart):
        if part.type == "text" and part.text is not None:
            return False
        if part.type == "image_url" and part.image_url is not None:
            return True
    raise BadBody(f"`{path}` is no part of an input", 'send parts of type "text" or "image_url"', param=path)


def chat_request(asked: Moderation, model: str) -> ModerationRequest:
    """The inputs as messages of a user, for the layers that guard, count and record. The model judges, or answers."""
    fields: JsonFields = {"model": Raw(_encode(model)), "messages": asked.messages}
    return ModerationRequest(model=model, messages=_messages.decode(asked.messages), fields=fields)


# ---- an upstream that judges


class ResultList(Struct):
    results: list[Raw]
    model: str | None = None
    id: str | None = None


def is_moderation(chat: ChatRequest) -> bool:
    return chat.task == "moderate"


def write_request(chat: ChatRequest, model: str) -> bytes:
    """The body for an upstream, with its model name."""
    messages: list[dict[str, Any]] = msgspec.json.decode(chat.fields["messages"])
    inputs = [message["content"] for message in messages if message["role"] == "user"]
    return _encode({"model": model, "input": inputs[0] if isinstance(inputs[0], list) else inputs})


def read_reply(body: bytes) -> Reply:
    """One choice for each result, which is its `message`. Raises UpstreamProtocolError."""
    try:
        seen = msgspec.json.decode(body, type=ResultList)
    except (msgspec.DecodeError, RecursionError) as error:
        raise protocol_error(str(error)) from error
    choices = tuple(Choice(at, message=raw, finish_reason="stop") for at, raw in enumerate(seen.results))
    return Reply(choices, Usage(), seen.model or "", seen.id or "")


class NoStream:
    """The reader of a stream that is never asked for."""

    done = True

    def __init__(self, strip_usage: bool) -> None: ...

    def read_frame(self, payload: bytes) -> list[Event]:
        return []

    def reply(self) -> Reply:
        raise protocol_error("a moderation does not stream")


# ---- results


class TextFinding(Struct, frozen=True):
    """What a guard found in one text, and the action that the settings take on it."""

    guard: str
    kind: str
    count: int
    action: str

    @property
    def category(self) -> str:
        """The API's category that it means; empty for our own kinds."""
        return "" if self.guard in OWN_GUARDS else CATEGORY_BY_KIND.get(self.kind, "")


class UpstreamResult(Struct):
    flagged: bool = False
    categories: dict[str, bool | None] = {}
    category_scores: dict[str, float | None] = {}
    category_applied_input_types: dict[str, list[str]] = {}


def result(
    findings: Sequence[TextFinding], judged: Collection[str], theirs: UpstreamResult | None
) -> dict[str, object]:
    """The result for one input. `judged`: categories that the guards judge. `theirs`: an upstream's judgement."""
    said = theirs or UpstreamResult()
    hit = {each.category for each in findings}
    flagged = said.flagged or any(each.action in FLAGGING_ACTIONS or each.category for each in findings)
    types = said.category_applied_input_types
    return {
        "flagged": flagged,
        "categories": {name: name in hit or bool(said.categories.get(name)) for name in CATEGORIES},
        "category_scores": {
            name: max(float(name in hit), said.category_scores.get(name) or 0.0) for name in CATEGORIES
        },
        "category_applied_input_types": {
            name: types.get(name) or (["text"] if name in judged or name in hit else []) for name in CATEGORIES
        },
        "sizewise": {"findings": findings},
    }
