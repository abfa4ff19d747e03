"""Detects which model server runs at a URL (Ollama, vLLM, LM Studio, ...) and which models it serves.

All answers must arrive within 3 s. A server is recognized by what only it returns, per its documentation: Ollama's
/api/version, llama.cpp's /props, LM Studio's /api/v0/models, TGI's /info, `owned_by` in the lists of vLLM and SGLang,
our own x-sizewise headers.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from sizewise.errors import BadRequest, ExternalFailure, SizewiseError, UpstreamError, UpstreamUnreachable
from sizewise.http.client import HttpClient, HttpEndpoint, HttpTimeouts
from sizewise.http.egress import EgressPolicy, origin
from sizewise.settings.provider_presets import provider_presets

DEADLINE_S = 3.0
MAX_ANSWER_BYTES = 4 << 20
"""Bytes of one response."""
MAX_MODELS_PROBED = 64
"""The most models whose window is requested one by one."""
PROBE_PATHS = ("/v1/models", "/api/version", "/props", "/api/v0/models", "/info", "/version")
OTHER_KIND = "other"
"""A server that only has OpenAI's list of models."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model as its server reports it; `context` in tokens, prompt and reply together."""

    name: str
    context: int | None = None


@dataclass(frozen=True, slots=True)
class DetectedServer:
    """`kind`: the name of a provider preset, or "other"."""

    kind: str
    title: str
    version: str
    base_url: str
    models: tuple[ServedModel, ...]

    def to_toml(self, key: str = "") -> str:
        """The lines for sizewise.toml. The place is "anyone" until the user declares it."""
        name = "server" if self.kind == OTHER_KIND else self.kind
        known = {} if self.kind == OTHER_KIND else {"endpoint": self.kind}
        said = {**known, "base_url": self.base_url, **({"key": key} if key else {})}
        lines = [f"{each} = {_quoted(value)}" for each, value in said.items()]
        models = _quoted([model.name for model in self.models])
        place = 'place = "anyone"  # "machine" or "network", if you know that it forwards nowhere'
        return "\n".join([f"[providers.{name}]", *lines, f"models = {models}", place])


def _quoted(value: object) -> str:
    """A TOML value: like JSON, except that DEL must be escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


class _Model(Struct):
    id: str
    owned_by: str = ""
    max_model_len: int | None = None  # vLLM, SGLang
    max_context_length: int | None = None  # LM Studio
    loaded_context_length: int | None = None
    type: str = ""


class _Models(Struct):
    data: list[_Model]


class _Version(Struct):
    version: str


class _Settings(Struct):
    n_ctx: int | None = None


class _Props(Struct):
    """llama.cpp. `n_ctx`: the context window of one slot."""

    default_generation_settings: _Settings
    build_info: str = ""


class _Info(Struct):
    """TGI. Embedding servers report no total."""

    model_id: str
    max_total_tokens: int
    version: str = ""


class _Shown(Struct):
    """Ollama's model_info contains `<architecture>.context_length`."""

    model_info: dict[str, object] = {}


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes
    ours: bool  # it has an x-sizewise header


async def detect_server(url: str, *, key: str = "", ca: Path | None = None) -> DetectedServer:
    """The server at `url`, a base URL with or without /v1. `key` is sent with every request.

    Raises ConfigError for an invalid URL, ExternalFailure if no known server answers in time, BadRequest if it needs a
    key or rejects it.
    """
    root = _root(url)
    egress = EgressPolicy({root: "anyone"}, {"public": "anyone"})
    headers = [("authorization", f"Bearer {key}")] if key else []
    async with HttpClient(egress, ca_file=ca) as client:  # without a proxy: it is a server nearby
        endpoint = client.endpoint(root, headers)
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await _detect(root, endpoint)
        except TimeoutError as error:
            hint = "If the server is still loading its model, try again; else see its output."
            raise ExternalFailure(f"{root!r} did not answer within {DEADLINE_S:g} s", hint) from error
        except UpstreamUnreachable as error:
            raise ExternalFailure(
                f"there is no server at {root!r}: {error.message}",
                f"Check that the server is running. {_usual_ports()}",
            ) from error


def _root(url: str) -> str:
    """The URL without /v1 and trailing slashes; http by default."""
    whole = url if "://" in url else f"http://{url}"
    where = origin(whole)
    return where + urlsplit(whole).path.rstrip("/").removesuffix("/v1").rstrip("/")


def _usual_ports() -> str:
    told = (f"{row.title} {urlsplit(row.base_url).port}" for row in provider_presets().values() if row.local)
    return f"Usual ports: {', '.join(told)}."


async def _detect(root: str, endpoint: HttpEndpoint) -> DetectedServer:
    first = await _get(endpoint, PROBE_PATHS[0])
    others = await asyncio.gather(*(_get(endpoint, path) for path in PROBE_PATHS[1:]))
    told = dict(zip(PROBE_PATHS, (first, *others), strict=True))
    listed = _read(told["/v1/models"], _Models)
    models = listed.data if listed else []
    kind, version = next(_kinds(told, models), ("", ""))
    if not kind or (not models and first.status in (401, 403)):
        raise _unknown_server(root, first, kind)
    windows = await _context_windows(kind, told, models, endpoint)
    title = provider_presets()[kind].title if kind != OTHER_KIND else "a server with an OpenAI-compatible model list"
    return DetectedServer(
        kind=kind,
        title=title,
        version=version,
        base_url=f"{root}/v1",
        models=tuple(ServedModel(*each) for each in windows.items()),
    )


async def _get(endpoint: HttpEndpoint, path: str, body: bytes = b"") -> _Answer:
    """The response, whatever its status; status 0 for an invalid one. UpstreamUnreachable for the first path only."""
    timeouts = HttpTimeouts(connect=DEADLINE_S, first_byte=DEADLINE_S, between_bytes=DEADLINE_S, total=DEADLINE_S)
    method = "POST" if body else "GET"
    try:
        asked = endpoint.request(method, path, body, purpose="probe", data_class="public", timeouts=timeouts)
        async with await asked as response:
            ours = any(name.startswith("x-sizewise") for name, _ in response.headers)
            return _Answer(response.status, await response.read(MAX_ANSWER_BYTES), ours)
    except UpstreamUnreachable:
        if path == PROBE_PATHS[0]:
            raise
        return _Answer(0, b"", False)
    except UpstreamError:  # too slow, too large, or not HTTP
        return _Answer(0, b"", False)


def _kinds(answers: Mapping[str, _Answer], models: list[_Model]) -> Iterator[tuple[str, str]]:
    """(kind, version), the most reliable sign first."""
    owners = {model.owned_by for model in models}
    if any(answer.ours for answer in answers.values()):
        yield "sizewise", ""
    if version := _read(answers["/api/version"], _Version):
        yield "ollama", version.version
    if props := _read(answers["/props"], _Props):
        yield "llamacpp", props.build_info
    for name in ("llamacpp", "sglang", "vllm"):
        if name in owners:
            said = _read(answers["/version"], _Version)
            yield name, said.version if said else ""
    if info := _read(answers["/info"], _Info):
        yield "tgi", info.version
    if _read(answers["/api/v0/models"], _Models):
        yield "lmstudio", ""
    if models:
        yield OTHER_KIND, ""


async def _context_windows(
    kind: str,
    answers: Mapping[str, _Answer],
    models: list[_Model],
    endpoint: HttpEndpoint,
) -> Mapping[str, int | None]:
    """Model -> context window in tokens, None if not reported."""
    windows = {model.id: model.max_model_len for model in models}
    if kind == "ollama":
        names = list(windows)[:MAX_MODELS_PROBED]
        found = await asyncio.gather(*(_ollama_context_window(endpoint, name) for name in names))
        return {**windows, **dict(zip(names, found, strict=True))}
    if kind == "llamacpp" and (props := _read(answers["/props"], _Props)):
        return dict.fromkeys(windows, props.default_generation_settings.n_ctx)
    if kind == "tgi" and (info := _read(answers["/info"], _Info)):
        return dict.fromkeys(windows or [info.model_id], info.max_total_tokens)
    if kind == "lmstudio" and (known := _read(answers["/api/v0/models"], _Models)):
        chat = [model for model in known.data if not model.type.startswith("embed")]
        return {model.id: model.loaded_context_length or model.max_context_length for model in chat}
    return windows


async def _ollama_context_window(endpoint: HttpEndpoint, name: str) -> int | None:
    """The window that the model was trained for; the server may use less."""
    answer = await _get(endpoint, "/api/show", msgspec.json.encode({"model": name}))
    shown = _read(answer, _Shown)
    lengths = [value for field, value in shown.model_info.items() if field.endswith(".context_length")] if shown else []
    return next((value for value in lengths if isinstance(value, int)), None)


ReplyT = TypeVar("ReplyT")


def _read(answer: _Answer, model: type[ReplyT]) -> ReplyT | None:
    """None for an error status, or another format."""
    if answer.status != 200:
        return None
    try:
        return msgspec.json.decode(answer.body, type=model)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _unknown_server(root: str, first: _Answer, kind: str) -> SizewiseError:
    if first.status in (401, 403):
        who = provider_presets()[kind].title if kind else "the server"
        return BadRequest(f"{who} at {root!r} rejected the key (status {first.status})", "Pass its key: --key env:NAME")
    said = f"status {first.status}" if first.status else "no HTTP response"
    hint = "Pass the base URL of a model server, such as http://127.0.0.1:11434"
    return ExternalFailure(f"{root!r} lists no models: {said} for /v1/models", hint)
