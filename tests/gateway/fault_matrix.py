"""The fault matrix: its cells, the servers' settings for them, and a client that reads every endpoint to its end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import md5
from typing import Any, Literal
from urllib.parse import urlsplit

from sizewise.testing.fault_expectations import FAULT_EXPECTATIONS, GOOD, ExpectedOutcome
from sizewise.testing.faults import FAULTS
from tests.gateway.server_harness import SECRET
from tests.running_server import KEY, Served

Json = dict[str, Any]
Lane = Literal["fast", "plain"]
Policy = Literal["named", "fallback", "resume"]

PROMPT = "canary-prompt"
BACKUP = "backup/well"
WIRES = ("openai", "anthropic", "responses")
TIMEOUTS = "timeouts = {connect_s = 5, first_byte_s = 3.0, idle_s = 3.0, total_s = 6.0}"
BODY_S = 0.5
ERROR = {"message", "type", "param", "code", "hint", "docs"}


# ---- endpoints: a new one is a row of ENDPOINTS ---------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """What a client read: status and code, the words, and whether they were cut short by an error event."""

    status: int
    code: str = ""
    text: str = ""
    cut: bool = False
    error: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Endpoint:
    """One way in. `ask` makes a body of a prompt, `text` and `streaming` read an answer, and fail on what is
    malformed."""

    name: str
    path: str
    lane: Lane
    ask: Callable[[str], Json]
    text: Callable[[Json], str]
    stream: Callable[[list[tuple[str, Any]]], Seen] | None

    def __str__(self) -> str:
        return f"{self.name}-{self.lane}"

    def body(self, model: str, prompt: str, stream: bool) -> Json:
        return {"model": model, **self.ask(prompt)} | ({"stream": True} if stream else {})


def _error(shown: Json) -> Json:
    error: Json = shown["error"]
    assert set(error) == ERROR, error
    assert error["message"] and error["hint"], error
    return error


def _chat_stream(events: list[tuple[str, Any]]) -> Seen:
    payloads = [payload for _, payload in events]
    text, finished = "", 0
    for payload in payloads[:-1]:
        assert payload["object"] == "chat.completion.chunk", payload
        for choice in payload["choices"]:
            text += choice["delta"].get("content") or ""
            finished += choice["finish_reason"] is not None
    last = payloads[-1]
    if last != "[DONE]":
        return Seen(200, _error(last)["code"], text, True, last["error"])
    assert finished == 1, payloads
    return Seen(200, text=text)


def _messages_stream(events: list[tuple[str, Any]]) -> Seen:
    assert all(kind == payload["type"] for kind, payload in events), events
    kinds = [kind for kind, _ in events if kind != "ping"]
    assert kinds[0] == "message_start" and kinds.count("message_start") == 1, kinds
    text = "".join(p["delta"]["text"] for kind, p in events if kind == "content_block_delta")
    if kinds[-1] == "error":
        assert kinds.count("error") == 1 and "message_stop" not in kinds
        return Seen(200, _error(events[-1][1])["code"], text, True, events[-1][1]["error"])
    assert kinds[-2:] == ["message_delta", "message_stop"] and kinds.count("message_stop") == 1, kinds
    assert kinds.count("content_block_start") == kinds.count("content_block_stop")
    return Seen(200, text=text)


def _responses_stream(events: list[tuple[str, Any]]) -> Seen:
    assert all(kind == payload["type"] for kind, payload in events), events
    assert [payload["sequence_number"] for _, payload in events] == list(range(len(events)))
    kinds = [kind for kind, _ in events]
    assert kinds[:2] == ["response.created", "response.in_progress"], kinds
    text = "".join(payload["delta"] for kind, payload in events if kind == "response.output_text.delta")
    if kinds[-1] == "response.failed":
        assert kinds[-2] == "error" and kinds.count("error") == 1 and "response.completed" not in kinds
        return Seen(200, _error(events[-2][1])["code"], text, True, events[-2][1]["error"])
    assert kinds[-1] == "response.completed" and kinds.count("response.completed") == 1, kinds
    return Seen(200, text=text)


def _chat(prompt: str) -> Json:
    return {"messages": [{"role": "user", "content": prompt}]}


def _chat_text(shown: Json) -> str:
    (choice,) = shown["choices"]
    return str(choice["message"]["content"])


def _messages_text(shown: Json) -> str:
    assert shown["type"] == "message" and shown["stop_reason"] == "end_turn"
    return "".join(block["text"] for block in shown["content"])


def _responses_text(shown: Json) -> str:
    assert shown["status"] == "completed"
    return "".join(part["text"] for item in shown["output"] for part in item["content"])


def _messages(prompt: str) -> Json:
    return _chat(prompt) | {"max_tokens": 100}


def _responses(prompt: str) -> Json:
    return {"input": prompt, "store": False}


def _vectors_text(shown: Json) -> str:
    return str(shown["data"])


ENDPOINTS = (
    Endpoint("chat", "/v1/chat/completions", "fast", _chat, _chat_text, _chat_stream),
    Endpoint("chat", "/v1/chat/completions", "plain", _chat, _chat_text, _chat_stream),
    Endpoint("messages", "/v1/messages", "fast", _messages, _messages_text, _messages_stream),
    Endpoint("messages", "/v1/messages", "plain", _messages, _messages_text, _messages_stream),
    Endpoint("responses", "/v1/responses", "fast", _responses, _responses_text, _responses_stream),
    Endpoint("responses", "/v1/responses", "plain", _responses, _responses_text, _responses_stream),
    Endpoint("embeddings", "/v1/embeddings", "plain", lambda prompt: {"input": prompt}, _vectors_text, None),
)
"""Those of the lane `plain` are reached through ASGI; embeddings always are."""
VECTOR = str([{"object": "embedding", "index": 0, "embedding": [0.5, -0.5]}])


# ---- cells -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    wire: str  # that the upstream speaks
    endpoint: Endpoint
    stream: bool
    policy: Policy
    fault: str

    def __str__(self) -> str:
        return f"{self.fault}: {self.column}"

    @property
    def column(self) -> str:
        way = "stream" if self.stream else "whole"
        return f"{self.wire}-{self.endpoint.name}-{self.endpoint.lane}-{way}-{self.policy}"

    @property
    def model(self) -> str:
        return f"{self.column}/{self.fault}" if self.policy == "named" else f"auto:{self.column}-{self.fault}"

    @property
    def trace(self) -> str:
        return md5(str(self).encode(), usedforsecurity=False).hexdigest()

    @property
    def alone(self) -> ExpectedOutcome:
        """How the model with the fault ends."""
        end = FAULT_EXPECTATIONS[self.fault].streaming if self.stream else FAULT_EXPECTATIONS[self.fault].non_streaming
        assert end is not None
        return end

    @property
    def end(self) -> ExpectedOutcome:
        """How the client's answer ends."""
        if self.policy == "named" or (self.policy == "fallback" and self.alone.interrupted):
            return self.alone
        return GOOD


def cells() -> Iterator[Cell]:
    """Every fault, endpoint, and stream or not, under every policy on the chat wire, and by its name on the others.

    Embeddings know no policy: vectors of two models cannot be compared. Neither do the other wires have them.
    """
    for wire in WIRES:
        for endpoint in ENDPOINTS:
            if endpoint.lane == "plain" and wire != "openai":
                continue
            chosen = wire == "openai" and endpoint.stream is not None
            policies: tuple[Policy, ...] = ("named", "fallback", "resume") if chosen else ("named",)
            for stream in (False, True) if endpoint.stream else (False,):
                for policy in policies:
                    for fault in FAULTS:
                        if (
                            FAULT_EXPECTATIONS[fault].streaming if stream else FAULT_EXPECTATIONS[fault].non_streaming
                        ) is not None:
                            yield Cell(wire, endpoint, stream, policy, fault)


def settings(url: str, lane: Lane) -> str:
    """A server for the cells of one lane. Each column has a provider of its own: what one has seen, no other feels."""
    mine = [cell for cell in cells() if cell.endpoint.lane == lane]
    columns: dict[str, list[Cell]] = {}
    for cell in mine:
        columns.setdefault(cell.column, []).append(cell)
    lines = [
        f"[server]\nembedded = false\ndiscover = false\nfast_path = {_toml(lane == 'fast')}\nbody_timeout_s = {BODY_S}",
        _provider("backup", "openai", url, ["well"], ""),
        f'[models."{BACKUP}"]\nprefill = true',
        _provider("patient", "openai", url, ["hang", "hang-word", "endless", "flood"], ""),
        _provider("vectors", "openai", url, ["hang", "well"], ""),
        *(f'[models."vectors/{model}"]\ntask = "embed"' for model in ("hang", "well")),
    ]
    for column, members in columns.items():
        wire, endpoint = members[0].wire, members[0].endpoint
        lines.append(_provider(column, wire, url, [cell.fault for cell in members], TIMEOUTS))
        for cell in members:
            if endpoint.stream is None:
                lines.append(f'[models."{column}/{cell.fault}"]\ntask = "embed"')
            if cell.policy != "named":
                lines.append(f'[policies."{column}-{cell.fault}"]\nkind = "fixed"')
                resumes = _toml(cell.policy == "resume")
                lines.append(f'models = ["{column}/{cell.fault}", "{BACKUP}"]\nresume = {resumes}')
    return "\n".join(lines)


def _toml(yes: bool) -> str:
    return "true" if yes else "false"


def _provider(name: str, wire: str, url: str, models: list[str], more: str) -> str:
    row = f'[providers."{name}"]\nbase_url = "{url}"\nwire = "{wire}"\nkey = "env:UPSTREAM_KEY"\nplace = "machine"'
    return f"{row}\nmodels = {json.dumps(models)}\n{more}"


# ---- a client -------------------------------------------------------------------------------------------------------


class Line:
    """One connection that is used again and again: whatever is left over from one answer breaks the next.

    `cut`: whether the last answer was closed without its last chunk; then the next has a new connection.
    """

    def __init__(self, served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._served = served
        self._reader = reader
        self._writer = writer
        self.cut = False

    @classmethod
    async def to(cls, served: Served) -> Line:
        return cls(served, *await _connected(served))

    def close(self) -> None:
        self._writer.close()

    async def ask(self, path: str, body: Json, trace: str) -> tuple[int, dict[str, str], bytes]:
        if self.cut:
            self.close()
            self._reader, self._writer = await _connected(self._served)
            self.cut = False
        data = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {KEY}\r\n"
        head += f"x-sizewise-trace: {trace}\r\ncontent-length: {len(data)}\r\n\r\n"
        self._writer.write(head.encode() + data)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = [line.partition(":") for line in lines[1:] if line]
        headers = {name.lower(): value.strip() for name, _, value in fields}
        assert len(headers) == len(lines) - 3, "a header is said twice"
        if "content-length" in headers:
            return int(lines[0].split()[1]), headers, await self._reader.readexactly(int(headers["content-length"]))
        assert headers["transfer-encoding"] == "chunked", headers
        pieces = []
        while (line := await self._reader.readline()) not in (b"0\r\n", b""):
            pieces.append(await self._reader.readexactly(int(line, 16)))
            assert await self._reader.readexactly(2) == b"\r\n"
        self.cut = line == b""
        assert self.cut or await self._reader.readexactly(2) == b"\r\n"
        return int(lines[0].split()[1]), headers, b"".join(pieces)


async def _connected(served: Served) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(served.url)
    assert parts.hostname is not None
    return await asyncio.open_connection(parts.hostname, parts.port)


async def asked(line: Line, cell: Cell) -> tuple[Seen, dict[str, str]]:
    """Asks one cell and reads to its end. AssertionError for whatever is not well-formed, or tells what it must not."""
    prompt = f"{PROMPT} {cell}"
    body = cell.endpoint.body(cell.model, prompt, cell.stream)
    status, headers, data = await line.ask(cell.endpoint.path, body, cell.trace)
    assert SECRET.encode() not in data and SECRET not in str(headers), "the upstream's key is told"
    assert headers["x-sizewise-trace"] == cell.trace
    text = data.decode()  # whatever is said is UTF-8
    if status == 200 and cell.stream:
        assert headers["content-type"].startswith("text/event-stream")
        assert cell.endpoint.stream is not None
        seen = cell.endpoint.stream(list(events(text)))
    else:
        assert headers["content-type"] == "application/json"
        shown = json.loads(text)
        if status == 200:
            return Seen(200, text=cell.endpoint.text(shown)), headers
        error = error_in(cell.endpoint, shown)
        seen = Seen(status, error["code"], error=error)
    assert line.cut is (cell.endpoint.name == "chat" and status == 200 and bool(seen.code)), "cut after an error alone"
    assert PROMPT not in json.dumps(dict(seen.error)), "the error tells the prompt"
    return seen, headers


def error_in(endpoint: Endpoint, shown: Json) -> Json:
    """The error of a whole answer, in the shape of its endpoint."""
    assert endpoint.name != "messages" or (shown["type"], len(shown["request_id"])) == ("error", 32), shown
    return _error(shown)


def events(text: str) -> Iterator[tuple[str, Any]]:
    """Each frame as the name of its event and its payload."""
    assert text.endswith("\n\n"), text[-80:]
    for frame in text[:-2].split("\n\n"):
        if frame.startswith(":"):
            continue
        *named, data = frame.split("\n")
        assert data.startswith("data: ") and len(named) <= 1, frame
        kind = named[0].removeprefix("event: ") if named else ""
        yield kind, data[6:] if data == "data: [DONE]" else json.loads(data[6:])
