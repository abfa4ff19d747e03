"""Servers and requests of the tests of audio and images: settings, the SDK, forms by hand, and a request's record."""

from __future__ import annotations

import json
from typing import Any

from openai import OpenAI

from tests.gateway.server_harness import booked
from tests.running_server import Answer, Served, until

SETTINGS = """
[server]
embedded = false
discover = false
max_body_bytes = 2_097_152
max_upload_bytes = 6_291_456
{more}
[providers.echo]
wire = "echo"
place = "process"
models = ["small"]
[providers.up]
base_url = "{url}"
key = "env:UPSTREAM_KEY"
place = "network"
[providers.near]
base_url = "{near}"
place = "machine"
"""
PRICES = {
    "speak": 'character = "0.000015"',
    "transcribe": 'second = "0.0001"',
    "image": 'image = "0.04", images = {"1024x1024" = "0.02", "hd 1024x1024" = "0.08"}',
}
MODELS = {
    "speak": ("voice", "page", "cut-speech", "locked-1", "near/voice"),
    "transcribe": ("ear", "whole", "uncounted", "cut-transcript", "busy", "locked", "near/ear"),
    "image": ("brush", "broken"),
}
UNPRICED = {"speak": "dear-voice", "transcribe": "dear-ear"}
FILE = bytes(range(256)) * 40


def settings(url: str, more: str = "") -> str:
    rows = [
        SETTINGS.replace("{url}", url).replace("{near}", url.replace("127.0.0.1", "localhost")).replace("{more}", more)
    ]
    for task, models in MODELS.items():
        for model in models:
            name = model if "/" in model else f"up/{model}"
            rows.append(f'[models."{name}"]\ntask = "{task}"\nprice = {{{PRICES[task]}}}')
    rows += [f'[models."up/{model}"]\ntask = "{task}"' for task, model in UNPRICED.items()]
    rows.append('[models."up/by-token"]\ntask = "image"\nprice = {input = "5", output = "40"}')
    return "\n".join(rows)


def sdk(served: Served, **more: Any) -> OpenAI:
    return OpenAI(
        base_url=f"{served.url}/v1", api_key=served.key, max_retries=0, _strict_response_validation=True, **more
    )


def form(*parts: tuple[str, str] | tuple[str, str, bytes] | tuple[str, str, bytes, str]) -> bytes:
    """A form with the boundary `b`: fields as (name, value), files as (name, file name, bytes) and their type."""
    body = b""
    for part in parts:
        if len(part) == 2:
            body += f'--b\r\nContent-Disposition: form-data; name="{part[0]}"\r\n\r\n{part[1]}\r\n'.encode()
        else:
            name, filename, content, *kind = part
            said = f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n'
            body += f"{said}Content-Type: {kind[0] if kind else 'audio/mpeg'}\r\n\r\n".encode() + content + b"\r\n"
    return body + b"--b--\r\n"


def post(served: Served, path: str, body: bytes, *, key: str | None = "", **headers: str) -> Answer:
    kind = headers.pop("content_type", "multipart/form-data; boundary=b")
    return served.ask(path, body, key=key, content_type=kind, **headers)  # type: ignore[arg-type]  # headers are texts


def transcribe(served: Served, *, file: bytes = FILE, **fields: str) -> Answer:
    body = form(*({"model": "up/ear", **fields}.items()), ("file", "call.mp3", file))
    return post(served, "/v1/audio/transcriptions", body)


def record_of(served: Served, answer: Any) -> dict[str, Any]:
    """The only record of an answer, by its headers."""
    trace = answer.headers["x-sizewise-trace"]
    until(lambda: booked(served.home, trace))
    (record,) = booked(served.home, trace)
    return record


def events(answer: Answer) -> list[dict[str, Any]]:
    lines = answer.body.decode().split("\n\n")
    return [json.loads(line.partition("data: ")[2]) for line in lines if "data: " in line]
