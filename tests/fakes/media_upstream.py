"""An OpenAI-shaped server with audio and images: speaks, writes down and draws made-up things, or fails by its model.

Written from the API reference; no recorded answers. `uploads` is what arrived of each form, also while it arrives.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sizewise.testing.upstream import FAULTS, FakeOpenAI

AUDIO = bytes(range(256)) * 400
"""What it says, whatever the text."""
PICTURE = base64.b64encode(b"\x89PNG" + bytes(64)).decode()
WORDS = ("Write", " to", " bob@example.org", ", please.")
"""What it hears."""
TEXT = "".join(WORDS)
USAGE = {"type": "tokens", "input_tokens": 14, "output_tokens": 45, "total_tokens": 59}
IMAGE_USAGE = {**USAGE, "input_tokens_details": {"text_tokens": 14, "image_tokens": 0}}
IMAGE_EVENT = {"b64_json": PICTURE, "created_at": 1, "background": "auto", "output_format": "png", "quality": "low",
               "size": "1024x1024"}  # fmt: skip


@dataclass
class ReceivedForm:
    path: str
    headers: Mapping[str, str]
    body: bytearray = field(default_factory=bytearray)
    is_whole: bool = False

    def fields(self) -> dict[str, list[str]]:
        """Fields and, by name, file names and contents; a file's content is `name=` and its length."""
        found: dict[str, list[str]] = {}
        mark = b"--" + self.headers["content-type"].partition("boundary=")[2].encode()
        for part in bytes(self.body).split(mark)[1:-1]:
            head, _, content = part.strip(b"\r\n").partition(b"\r\n\r\n")
            content = content.removesuffix(b"\r\n")
            named = head.decode().partition('name="')[2].partition('"')[0]
            is_file = b"filename=" in head
            found.setdefault(named, []).append(
                f"{head.decode().partition('filename=')[2].splitlines()[0]}:{len(content)}"
                if is_file
                else content.decode()
            )
        return found


class MediaUpstream(FakeOpenAI):
    def __init__(self) -> None:
        super().__init__()
        self.uploads: list[ReceivedForm] = []
        self.disconnected_uploads = 0
        self.refuses_early = False  # answers a form with 413 before it has read it

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await _next(reader):
                line, *rest = head.decode("latin-1").strip().split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in rest)}
                path = line.split(" ")[1].removeprefix("/v1")
                form = ReceivedForm(path, headers)
                is_form = headers["content-type"].startswith("multipart/")
                if is_form:
                    self.uploads.append(form)
                if is_form and self.refuses_early:
                    _whole(writer, b'{"error": {"message": "no room"}}', "application/json", "413 Content Too Large")
                    await self._read(form, reader)
                    continue
                await self._read(form, reader)
                fields: dict[str, Any] = form.fields() if is_form else json.loads(bytes(form.body))
                if not is_form:
                    self.received.paths.append(path)
                    self.received.bodies.append(fields)
                self.received.headers.append(headers)
                if not await self._answer(path, fields, reader, writer):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            self.disconnected_uploads += 1
        finally:
            writer.close()

    async def _read(self, form: ReceivedForm, reader: asyncio.StreamReader) -> None:
        if "content-length" in form.headers:
            left = int(form.headers["content-length"])
            while left:
                piece = await reader.read(min(left, 65536))
                if not piece:
                    raise ConnectionError
                form.body += piece
                left -= len(piece)
        else:
            while size := int(await reader.readuntil(b"\r\n"), 16):
                form.body += await reader.readexactly(size)
                await reader.readexactly(2)
            await reader.readexactly(2)
        form.is_whole = True

    async def _answer(
        self, path: str, fields: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        said = {name: value[0] if isinstance(value, list) else value for name, value in fields.items()}
        model = said["model"]
        if model in FAULTS:
            return await FAULTS[model](said, reader, writer)
        if path == "/audio/speech":
            return _speak(said, writer)
        if path.startswith("/images/"):
            return _draw(said, writer)
        return _write_down(said, writer)


def _speak(said: dict[str, Any], writer: asyncio.StreamWriter) -> bool:
    if said["model"] == "page":
        return _whole(writer, b"<html></html>", "text/html")
    if said.get("stream_format") == "sse":
        half = len(AUDIO) // 2
        pieces = [base64.b64encode(each).decode() for each in (AUDIO[:half], AUDIO[half:])]
        events = [{"type": "speech.audio.delta", "audio": each} for each in pieces]
        return _stream(writer, [*events, {"type": "speech.audio.done", "usage": USAGE}])
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ntransfer-encoding: chunked\r\n\r\n")
    for at in range(0, len(AUDIO), 10_000):
        _chunk(writer, AUDIO[at : at + 10_000])
        if said["model"] == "cut-speech":
            writer.transport.abort()
            return False
    writer.write(b"0\r\n\r\n")
    return True


def _draw(said: dict[str, Any], writer: asyncio.StreamWriter) -> bool:
    if str(said.get("stream", "")).lower() == "true":
        partial = {"type": "image_generation.partial_image", **IMAGE_EVENT, "partial_image_index": 0}
        return _stream(writer, [partial, {"type": "image_generation.completed", **IMAGE_EVENT, "usage": IMAGE_USAGE}])
    one = {"b64_json": PICTURE, "revised_prompt": f"a nice {said.get('prompt', 'picture')}"}
    body: dict[str, Any] = {"created": 1, "data": [one] * int(said.get("n", 1))}
    if said["model"] == "by-token":
        body["usage"] = IMAGE_USAGE
    return _whole(writer, json.dumps(body).encode(), "application/json")


def _write_down(said: dict[str, Any], writer: asyncio.StreamWriter) -> bool:
    form = said.get("response_format", "json")
    if said.get("stream") == "true" and said["model"] != "whole":
        deltas = [{"type": "transcript.text.delta", "delta": word} for word in WORDS]
        if said["model"] == "cut-transcript":
            return _stream(writer, deltas[:2])
        done = {"type": "transcript.text.done", "text": TEXT, "usage": USAGE}
        return _stream(writer, [*deltas, done])
    if form in ("json", "verbose_json"):
        body: dict[str, Any] = {"text": TEXT}
        if form == "json" and said["model"] != "uncounted":
            body["usage"] = {"type": "duration", "seconds": 12}
        elif form == "verbose_json":
            body |= {"task": "transcribe", "language": "english", "duration": 12.34,
                     "segments": [{"id": 0, "start": 0.0, "end": 12.34, "text": TEXT, "tokens": [1, 2],
                                   "seek": 0, "temperature": 0.0, "avg_logprob": -0.1, "compression_ratio": 1.0,
                                   "no_speech_prob": 0.0}],
                     "words": [{"word": "bob@example.org", "start": 1.0, "end": 2.0}]}  # fmt: skip
        return _whole(writer, json.dumps(body).encode(), "application/json")
    if form == "text":
        return _whole(writer, f"{TEXT}\n".encode(), "text/plain")
    times = {"srt": "00:00:00,000 --> 00:00:12,340", "vtt": "00:00.000 --> 00:12.340"}[form]
    return _whole(writer, f"{'WEBVTT' if form == 'vtt' else 1}\n{times}\n{TEXT}\n".encode(), "text/plain")


def _whole(writer: asyncio.StreamWriter, body: bytes, kind: str, status: str = "200 OK") -> bool:
    writer.write(f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
    return True


def _stream(writer: asyncio.StreamWriter, events: list[dict[str, Any]]) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    for event in events:
        _chunk(writer, f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
    writer.write(b"0\r\n\r\n")
    return True


def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(b"%x\r\n%b\r\n" % (len(data), data))


async def _next(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
