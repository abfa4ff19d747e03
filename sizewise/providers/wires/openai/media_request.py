"""Bodies of OpenAI's speech, image and transcription APIs as requests, and as bodies for an upstream; pure.

Source: the OpenAI API reference, Audio and Images. Fields that we do not know pass unread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from sizewise.errors import BadBody, NotTranslatable
from sizewise.messages import (
    ImageRequest,
    JsonFields,
    MediaRequest,
    Message,
    SpeechRequest,
    TranscriptionRequest,
    UploadedFile,
)
from sizewise.money import MediaUnits
from sizewise.providers.wires.openai.request_response import decode_client_body

MAX_IMAGES = 10
MIN_AUDIO_BYTES_PER_S = 750
"""Fewest bytes of a second of audio, those of Opus at 6 kbit/s."""
MS_PER_CHARACTER = 1_000
"""Most audio of a character of speech: a twentieth of the usual pace."""

_encode = msgspec.json.Encoder().encode
_messages = msgspec.json.Decoder(list[Message])


class SpeechBody(Struct):
    """The type-checked fields of a speech body; all others pass unread."""

    model: str
    input: Annotated[str, Meta(min_length=1, max_length=1_000_000)]
    instructions: str | None = None
    response_format: str | None = None
    speed: float | None = None
    stream_format: Literal["audio", "sse"] | None = None


class ImageBody(Struct):
    """The type-checked fields of an image body; all others pass unread."""

    model: str
    prompt: Annotated[str, Meta(min_length=1, max_length=1_000_000)]
    n: Annotated[int, Meta(ge=1, le=MAX_IMAGES)] | None = None
    size: str | None = None
    quality: str | None = None
    response_format: str | None = None
    stream: bool | None = None


_speech = msgspec.json.Decoder(SpeechBody)
_image = msgspec.json.Decoder(ImageBody)


def read_speech(body: bytes, *, is_checked: bool = False) -> tuple[SpeechRequest, Raw | None]:
    """A speech body and its `sizewise` object. Raises BadBody."""
    seen, fields = decode_client_body(body, _speech, is_checked)
    ours = fields.pop("sizewise", None)
    count = len(seen.input)
    request = SpeechRequest(
        model=seen.model,
        **_text_fields(fields, "input", seen.input),
        stream=True,
        path="/audio/speech",
        units=MediaUnits(audio_ms=None, characters=count),
        most=MediaUnits(audio_ms=count * MS_PER_CHARACTER, characters=count),
    )
    return request, ours


def read_image(body: bytes, *, is_checked: bool = False) -> tuple[ImageRequest, Raw | None]:
    """An image body and its `sizewise` object. Raises BadBody."""
    seen, fields = decode_client_body(body, _image, is_checked)
    ours = fields.pop("sizewise", None)
    units = image_units(seen.n or 1, seen.size, seen.quality)
    request = ImageRequest(
        model=seen.model,
        **_text_fields(fields, "prompt", seen.prompt),
        stream=seen.stream is True,
        path="/images/generations",
        units=units,
        most=units,
    )
    return request, ours


def image_units(count: int, size: str | None, quality: str | None) -> MediaUnits:
    """A size or quality that the upstream chooses is no kind of image."""
    chosen = [each for each in (quality, size) if each and each != "auto"]
    return MediaUnits(images=count, image_kind=" ".join(chosen))


def transcription_request(
    path: str, form: Mapping[str, Sequence[str]], file: UploadedFile, most_bytes: int
) -> tuple[TranscriptionRequest, Raw | None]:
    """A transcription or translation, and the form's `sizewise` object. `most_bytes`: of the file. Raises BadBody."""
    fields: JsonFields = {
        name: Raw(_encode(values[0] if len(values) == 1 and not name.endswith("[]") else list(values)))
        for name, values in form.items()
    }
    ours = fields.pop("sizewise", None)
    streams = _flag(form, "stream")
    if streams and form.get("response_format") == ["diarized_json"]:
        raise NotTranslatable(
            "a transcript with speakers is not streamed: guardrails could not read it whole",
            "leave out `stream`, or use another `response_format`",
            param="stream",
        )
    request = TranscriptionRequest(
        model=_model(form),
        **_text_fields(fields, "prompt", form.get("prompt", ("",))[0]),
        stream=streams,
        path=path,
        units=MediaUnits(audio_ms=None),
        most=MediaUnits(audio_ms=most_bytes * 1000 // MIN_AUDIO_BYTES_PER_S),
        files=(file,),
    )
    return request, _options(ours)


def image_form_request(
    path: str, form: Mapping[str, Sequence[str]], files: Sequence[UploadedFile]
) -> tuple[ImageRequest, Raw | None]:
    """An edit or variation of images, and the form's `sizewise` object. Raises BadBody."""
    fields: JsonFields = {
        name: Raw(_encode(values[0] if len(values) == 1 else list(values))) for name, values in form.items()
    }
    ours = fields.pop("sizewise", None)
    said = form.get("n", ("1",))[0]
    if not said.isdecimal() or not 1 <= int(said[:9]) <= MAX_IMAGES:
        raise BadBody(f"`n` is {said[:50]!r}", f"use 1 to {MAX_IMAGES}", param="n")
    units = image_units(int(said), *(form.get(name, (None,))[0] for name in ("size", "quality")))
    request = ImageRequest(
        model=_model(form),
        **_text_fields(fields, "prompt", form.get("prompt", ("",))[0]),
        stream=_flag(form, "stream"),
        path=path,
        units=units,
        most=units,
        files=tuple(files),
    )
    return request, _options(ours)


def _text_fields(fields: JsonFields, name: str, text: str) -> dict[str, Any]:
    """`messages` and `fields` of a request whose text is in the field `name`."""
    messages = Raw(_encode([{"role": "user", "content": text}] if text else []))
    others = {each: raw for each, raw in fields.items() if each not in (name, "messages")}
    return {"messages": _messages.decode(messages), "fields": {**others, "messages": messages}}


def _model(form: Mapping[str, Sequence[str]]) -> str:
    said = form.get("model", ("",))[0].strip()
    if not said:
        raise BadBody("`model` is missing", "send it as a field of the form, before the file", param="model")
    return said


def _flag(form: Mapping[str, Sequence[str]], name: str) -> bool:
    said = form.get(name, ("false",))[0].strip().lower()
    if said not in ("true", "false", "1", "0", ""):
        raise BadBody(f"`{name}` is {said[:50]!r}", "use true or false", param=name)
    return said in ("true", "1")


def _options(said: Raw | None) -> Raw | None:
    """The `sizewise` object of a form, whose value is JSON text."""
    if said is None:
        return None
    text = msgspec.json.decode(said)
    if not isinstance(text, str):
        raise BadBody("`sizewise` is sent twice", "send one JSON object", param="sizewise")
    try:
        msgspec.json.decode(text, type=dict[str, Raw])
    except msgspec.DecodeError as error:
        raise BadBody(
            "`sizewise` is no JSON object", 'send one, such as {"policy": "..."}', param="sizewise"
        ) from error
    return Raw(text.encode())


# ---- for an upstream


def write_fields(request: MediaRequest, model: str) -> JsonFields:
    """The body's fields with the upstream's model name, files left out. What is not a user's text is not sent."""
    text = next((message.text for message in request.messages if message.role == "user"), "")
    said = {request.text_field: Raw(_encode(text))} if text else {}
    others = {name: raw for name, raw in request.fields.items() if name not in ("messages", "model")}
    return {"model": Raw(_encode(model)), **said, **others}


def form_fields(fields: JsonFields) -> list[tuple[str, str]]:
    """The same as fields of a form; a list repeats its name."""
    pairs: list[tuple[str, str]] = []
    for name, raw in fields.items():
        value = msgspec.json.decode(raw)
        for each in value if isinstance(value, list) else [value]:
            pairs.append((name, each if isinstance(each, str) else _encode(each).decode()))
    return pairs
