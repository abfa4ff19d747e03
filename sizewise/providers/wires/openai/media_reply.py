"""Replies of OpenAI's speech, image and transcription APIs, whole and streamed, read and written; pure.

Source: the OpenAI API reference, Audio and Images. All text of a reply is in its choices, where guardrails read it.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from sizewise.handler import ChoiceFinished, Event, RawDelta, Send, TextDelta
from sizewise.messages import Choice, JsonFields, MediaRequest, Reply, Usage
from sizewise.money import MediaUnits
from sizewise.providers.wires.openai.usage_and_errors import protocol_error

AUDIO = "audio"
"""Field of a RawDelta with bytes of audio, in base64."""
CONTENT_TYPE = "content_type"
"""Field of the first RawDelta of audio, and of a reply in plain text."""
EVENT = "event"
"""Field of a RawDelta with an event of the upstream's stream."""
PLAIN_TYPE = "text/plain; charset=utf-8"
CONTENT_TYPES: Mapping[str, str] = MappingProxyType({"vtt": "text/vtt; charset=utf-8"})
"""By `response_format`, of transcripts that are no JSON; else PLAIN_TYPE."""
FINAL_EVENTS = frozenset(
    {"speech.audio.done", "transcript.text.done", "image_generation.completed", "image_edit.completed"}
)

_encode = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(JsonFields).decode
_CUE_END = re.compile(r"-->\s*(?:(\d{1,4}):)?(\d{1,2}):(\d{2})[.,](\d{3})")


class MediaTokenDetails(Struct):
    text_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


class MediaUsage(Struct):
    """Usage in tokens, or in seconds of audio."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    seconds: float | None = None
    input_token_details: MediaTokenDetails | None = None
    input_tokens_details: MediaTokenDetails | None = None


class TranscriptSegment(Struct):
    text: str = ""


class TranscriptBody(Struct):
    text: str
    segments: list[TranscriptSegment] | None = None
    usage: MediaUsage | None = None
    duration: float | str | None = None


class ImageData(Struct):
    revised_prompt: str | None = None


class ImageEvents(Struct):
    data: list[JsonFields] = []


class ImageList(Struct):
    data: list[ImageData]
    usage: MediaUsage | None = None


def usage_of(body: MediaUsage | None, units: MediaUnits) -> Usage:
    """`units`: what is known of the request. Tokens of several kinds have several prices, which ours are not."""
    if body is None:
        return Usage(units=units)
    details = body.input_token_details or body.input_tokens_details or MediaTokenDetails()
    media = (details.audio_tokens or 0) + (details.image_tokens or 0)
    mixed = media > 0 and (details.text_tokens or 0) > 0
    if body.seconds is not None:
        units = MediaUnits(_milliseconds(body.seconds), units.characters, units.images, units.image_kind)
    return Usage(
        input=_count(body.input_tokens),
        output=_count(body.output_tokens),
        unpriced_reason="tokens of text and of media in one prompt" if mixed else "",
        units=units,
    )


def _count(tokens: int | None) -> int:
    return min(max(tokens or 0, 0), 1_000_000_000)


def _milliseconds(seconds: float | str) -> int | None:
    try:
        found = float(seconds)
    except ValueError:
        return None
    return round(found * 1000) if 0 <= found < 10_000_000 else None


# ---- whole replies


def read_reply(request: MediaRequest, body: bytes) -> Reply:
    """Raises UpstreamProtocolError."""
    try:
        return _read_images(request, body) if request.task == "image" else _read_transcript(request, body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise protocol_error(str(error)) from error


def _read_images(request: MediaRequest, body: bytes) -> Reply:
    seen = msgspec.json.decode(body, type=ImageList)
    units = MediaUnits(images=len(seen.data), image_kind=request.units.image_kind)
    choices = tuple(Choice(at, each.revised_prompt or "", "stop") for at, each in enumerate(seen.data))
    return Reply(choices, usage_of(seen.usage, units), body=body)


def response_format(request: MediaRequest) -> str:
    """The requested format of a transcript."""
    said = request.fields.get("response_format")
    found = "json" if said is None else msgspec.json.decode(said)
    return found if isinstance(found, str) else "json"


def is_json(request: MediaRequest) -> bool:
    return request.task == "image" or response_format(request) in ("json", "verbose_json", "diarized_json", "")


def _read_transcript(request: MediaRequest, body: bytes) -> Reply:
    if not is_json(request):
        text, kind = body.decode(), CONTENT_TYPES.get(response_format(request), PLAIN_TYPE)
        cues = _CUE_END.findall(text)
        usage = Usage(units=request.units)
        if cues:
            ms = max(((int(h or 0) * 60 + int(m)) * 60 + int(s)) * 1000 + int(rest) for h, m, s, rest in cues)
            usage = Usage(estimated=True, units=MediaUnits(ms))
        return Reply((Choice(0, text, "stop"),), usage, fields={CONTENT_TYPE: Raw(_encode(kind))})
    seen = msgspec.json.decode(body, type=TranscriptBody)
    usage = usage_of(seen.usage, request.units)
    if usage.units is not None and usage.units.audio_ms is None and seen.duration is not None:
        usage = replace(usage, units=MediaUnits(_milliseconds(seen.duration)))
    texts = [seen.text, *(each.text for each in seen.segments or ())]
    choices = tuple(Choice(at, text, "stop") for at, text in enumerate(texts))
    return Reply(choices, usage, body=body)


def write_reply(request: MediaRequest, reply: Reply) -> tuple[str, bytes]:
    """The content type and the body: the upstream's, or with the texts that guardrails have changed."""
    if reply.body is not None:
        return "application/json", reply.body
    if (kind := reply.fields.get(CONTENT_TYPE)) is not None:
        return msgspec.json.decode(kind, type=str), reply.text.encode()
    fields = {name: msgspec.json.decode(raw) for name, raw in reply.fields.items()}
    if request.task == "image":
        _replace_texts(fields.get("data"), "revised_prompt", [choice.text for choice in reply.choices])
        return "application/json", _encode(fields)
    for name in ("words", "logprobs"):  # single words, in which no guardrail would find anything
        fields.pop(name, None)
    fields["text"] = reply.text
    _replace_texts(fields.get("segments"), "text", [choice.text for choice in reply.choices[1:]])
    return "application/json", _encode(fields)


def _replace_texts(items: Any, name: str, texts: list[str]) -> None:
    for item, text in zip(items if isinstance(items, list) else (), texts, strict=False):
        if isinstance(item, dict) and name in item:
            item[name] = text
            item.pop("tokens", None)  # the text before


# ---- streams


def audio_delta(data: bytes, content_type: str = "") -> RawDelta:
    """Bytes of audio as an event. `content_type`: of the first."""
    fields: JsonFields = {AUDIO: Raw(b'"%b"' % b64encode(data))}
    return RawDelta(0, {CONTENT_TYPE: Raw(_encode(content_type)), **fields} if content_type else fields)


async def send_reply(request: MediaRequest, reply: Reply, send: Send) -> Reply:
    """Sends a whole reply as a stream, for an upstream that does not stream: guardrails read a stream's events."""
    if request.task == "transcribe":
        await send(TextDelta(0, reply.text))
        await send(ChoiceFinished(0, "stop"))
        return Reply(reply.choices[:1], reply.usage)
    body = msgspec.json.decode(reply.body or b"{}", type=ImageEvents)
    for item in body.data:
        event = {"type": "image_generation.completed", **{k: v for k, v in item.items() if k != "revised_prompt"}}
        await send(RawDelta(0, {EVENT: Raw(_encode(event))}))
    return Reply((), reply.usage)


class MediaStreamReader:
    """Reads a stream of server-sent events. A transcript's text is a TextDelta, every other event a RawDelta."""

    def __init__(self, request: MediaRequest) -> None:
        self.done = False
        self._request = request
        self._text: list[str] = []
        self._usage = Usage(units=request.units)
        self._images = 0
        self._last: JsonFields = {}
        self._has_ended = False

    def read_frame(self, payload: bytes) -> list[Event]:
        """Raises UpstreamProtocolError."""
        if payload == b"[DONE]":
            self.done = True
            return []
        try:
            fields = _fields(payload)
            kind = msgspec.json.decode(fields.get("type", b'""'), type=str)
            usage = msgspec.json.decode(fields.get("usage", b"null"), type=MediaUsage | None)
            if kind == "transcript.text.delta":
                self._text.append(msgspec.json.decode(fields["delta"], type=str))
                return [TextDelta(0, self._text[-1], frame=payload)]
        except (msgspec.DecodeError, KeyError, RecursionError) as error:
            raise protocol_error(str(error)) from error
        if kind not in FINAL_EVENTS:
            return [RawDelta(0, {EVENT: Raw(payload)})]
        self._has_ended = True
        self._images += self._request.task == "image"
        self._usage = usage_of(usage, self._request.units)
        self._last = {name: raw for name, raw in fields.items() if name not in ("type", "text")}
        if kind == "transcript.text.done":
            return [ChoiceFinished(0, "stop")]
        return [RawDelta(0, {EVENT: Raw(payload)})]

    def reply(self) -> Reply:
        """Raises UpstreamProtocolError if the stream ended too early."""
        if not self._has_ended:
            raise protocol_error("the stream ended without its last event")
        usage = self._usage
        if self._images:
            units = MediaUnits(images=self._images, image_kind=self._request.units.image_kind)
            usage = replace(usage, units=units)
        if self._request.task != "transcribe":
            return Reply((), usage)
        return Reply((Choice(0, "".join(self._text), "stop"),), usage, fields=self._last)


def last_transcript_event(reply: Reply, text: str, *, is_unchanged: bool) -> bytes:
    """The event that ends a transcript. `text`: what was sent. Unless it is the upstream's, the log-probabilities of
    its words are left out.
    """
    others = {name: raw for name, raw in reply.fields.items() if name != "logprobs" or is_unchanged}
    return _encode({"type": "transcript.text.done", "text": text, **others})


def transcript_delta(text: str) -> bytes:
    return _encode({"type": "transcript.text.delta", "delta": text})
