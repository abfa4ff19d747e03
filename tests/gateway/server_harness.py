"""What the tests of this room share: a server with good and bad upstreams, a raw line to it, its stream taken apart."""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from sizewise.testing.upstream import FAULTS, FakeOpenAI
from tests.running_server import Answer, Served

SECRET = "sk-upstream-secret"
CHAT = "/v1/chat/completions"
GOOD = ("crlf", "one-byte", "counted")
"""Upstream models that behave oddly and yet answer."""
BAD = tuple(name for name in FAULTS if name not in GOOD)


def closed_port() -> int:
    """A port of this machine where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def settings(upstream: str, *, fast: bool = True, more: str = "") -> str:
    """Echo models with prices, and one upstream under several names: each name has its own circuit breaker.

    `whole` and `first` are for replies in one piece, `flow` and `second` for streams. The policy `first-<fault>` asks
    that one and then echo/large. `recorded` is for the test of records, whose failures open no circuit for others.
    """
    models = json.dumps(["well", *FAULTS])
    row = f'base_url = "{upstream}"\nkey = "env:UPSTREAM_KEY"\nplace = "machine"\nmodels = {models}\n'
    row += "timeouts = {connect_s = 2, first_byte_s = 1.5, idle_s = 1.5}\n"
    names = ("whole", "alone", "flow", "first", "second", "recorded")
    providers = "".join(f"[providers.{name}]\n{row}" for name in names)
    nowhere = f'base_url = "http://127.0.0.1:{closed_port()}/v1"\nmodels = ["it"]\n'
    gone = "".join(f"[providers.gone-{name}]\n{nowhere}" for name in ("whole", "alone", "flow", "first", "second"))
    falls = "".join(
        f'[policies.{first}-{fault}]\nkind = "cheapest"\nmodels = ["{model}", "echo/large"]\n'
        f'[models."{model}"]\nprice = {{input = "0", output = "0"}}\n'
        for first in ("first", "second")
        for fault in (*BAD, "gone")
        for model in [f"gone-{first}/it" if fault == "gone" else f"{first}/{fault}"]
    )
    return f"""
[server]
embedded = false
discover = false
fast_path = {str(fast).lower()}
{more}
[policies.default]
kind = "cascade"
threshold = 0.5
models = ["echo/small", "echo/large"]
[providers.echo]
wire = "echo"
place = "process"
models = ["small", "large", "narrow", "vectors"]
[models."echo/vectors"]
task = "embed"
[models."echo/small"]
parameters = 100_000_000
logprobs = true
price = {{input = "1", output = "2.5"}}
[models."echo/large"]
parameters = 70_000_000_000
logprobs = true
price = {{input = "10", output = "25", cached = "1"}}
[models."echo/narrow"]
context = 4096
[models."whole/well"]
price = {{input = "0.15", output = "0.6", cached = "0.075"}}
[models."whole/counted"]
price = {{input = "0.15", output = "0.6", cached = "0.075"}}
[providers.far]
base_url = "{upstream}"
key = "env:UPSTREAM_KEY"
models = ["well"]
[providers.patient]
base_url = "{upstream}"
place = "machine"
models = ["hang", "hang-mid"]
{gone}{providers}{falls}
"""


Double = TypeVar("Double", bound=FakeOpenAI)


@contextlib.contextmanager
def beside(make: Callable[[], Double]) -> Iterator[Double]:
    """A double, in an event loop of its own."""
    ready: queue.Queue[tuple[Double, asyncio.AbstractEventLoop, asyncio.Event]] = queue.Queue()

    async def serve() -> None:
        over = asyncio.Event()
        async with make() as upstream:
            ready.put((upstream, asyncio.get_running_loop(), over))
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    upstream, loop, over = ready.get(timeout=60)
    try:
        yield upstream
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(60)


def misbehaving() -> contextlib.AbstractContextManager[FakeOpenAI]:
    return beside(FakeOpenAI)


class Line:
    """One TCP connection to the server: exactly these bytes out, one parsed answer after the other back."""

    def __init__(self, served: Served, timeout: float = 20) -> None:
        parts = urlsplit(served.url)
        self.host = parts.netloc
        self._key = served.key
        self.socket = socket.create_connection((parts.hostname or "", parts.port or 0), timeout)
        self._file = self.socket.makefile("rb")
        self.cut = False  # whether the last body that was read ended without its last chunk

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.socket.close()

    def request(
        self,
        path: str = CHAT,
        body: bytes = b"",
        *headers: str,
        method: str = "POST",
        version: str = "1.1",
        length: bool = True,
    ) -> bytes:
        """The bytes of a request; a header that is given replaces ours of the same name."""
        ours = {"host": self.host, "authorization": f"Bearer {self._key}"}
        if length:
            ours["content-length"] = str(len(body))
        given = {line.partition(":")[0].lower() for line in headers}
        lines = [f"{method} {path} HTTP/{version}", *(f"{k}: {v}" for k, v in ours.items() if k not in given), *headers]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body

    def say(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> Answer:
        """The next response, interim ones left out; an AssertionError where the connection ends instead."""
        status, headers = self.head()
        while status < 200:
            status, headers = self.head()
        if "content-length" in headers:
            body = self._file.read(int(headers["content-length"]))
        elif headers.get("transfer-encoding") == "chunked":
            body = b"".join(iter(self.chunk, b""))
        else:
            body = self._file.read()
        return Answer(status, headers, body, self.cut)

    def head(self) -> tuple[int, dict[str, str]]:
        line = self._file.readline()
        assert line.startswith(b"HTTP/1.1 "), f"no status line: {line!r}"
        headers: dict[str, str] = {}
        while field := self._file.readline().decode("latin-1").rstrip("\r\n"):
            name, _, value = field.partition(":")
            assert name.lower() not in headers or name.lower() == "set-cookie", f"{name} is said twice"
            headers[name.lower()] = value.strip()
        return int(line.split()[1]), headers

    def chunk(self) -> bytes:
        """One chunk of a chunked body, b"" for the last and where the connection ends between two (`cut`);
        AssertionError where it ends within one.
        """
        size = self._file.readline()
        self.cut = size == b""
        if self.cut:
            return b""
        assert size.endswith(b"\r\n"), f"the body is cut short: {size!r}"
        data = self._file.read(int(size, 16))
        assert self._file.read(2) == b"\r\n", "the body is cut short"
        return data

    def ended(self) -> bool:
        """Whether the server closes now without another word."""
        return self._file.read(1) == b""


def question(words: str = "Hello there", model: str = "echo/small", **more: object) -> bytes:
    return json.dumps({"model": model, "messages": [{"role": "user", "content": words}], **more}).encode()


def refused(answer: Answer, status: int, code: str) -> dict[str, str]:
    """The error of an answer, once it is sure that it has OpenAI's shape and all that ours adds."""
    assert (answer.status, answer.error["code"]) == (status, code), answer.body
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.error) == {"message", "type", "param", "code", "hint", "docs"}
    assert answer.error["message"] and answer.error["hint"]
    assert code == "bad_request" or len(answer.headers["x-request-id"]) == 32
    return answer.error


def frames(body: bytes) -> list[Any]:
    """The payloads of a stream, decoded; "[DONE]" as itself. Every line must be well formed."""
    assert body.endswith(b"\n\n"), body[-80:]
    lines = [line for line in body.decode().split("\n\n") if line and not line.startswith(":")]
    assert all(line.startswith("data: ") and "\n" not in line for line in lines), lines
    return [line[6:] if line == "data: [DONE]" else json.loads(line[6:]) for line in lines]


def words(payloads: list[Any]) -> str:
    chunks = [each for each in payloads if isinstance(each, dict) and each.get("choices")]
    return "".join(each["choices"][0]["delta"].get("content") or "" for each in chunks)


def rows(home: Path, query: str, *values: object) -> list[dict[str, Any]]:
    """What the database file says, read by a stranger."""
    connection = sqlite3.connect(f"file:{home / 'sizewise.db'}?mode=ro", uri=True)
    try:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(query, values)]
    finally:
        connection.close()


def booked(home: Path, trace: str) -> list[dict[str, Any]]:
    """The records of one trace, each with its `tries`; not those of calls whose end is not recorded."""
    found = rows(home, "SELECT * FROM records WHERE trace = ? AND status > 0 ORDER BY id", trace)
    for record in found:
        record["tries"] = rows(home, "SELECT * FROM tries WHERE record = ? ORDER BY number", record["id"])
    return found
