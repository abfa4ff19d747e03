"""A real `sizewise up` in its own process, for tests: settings in, URL and key out, always stopped."""

from __future__ import annotations

import atexit
import contextlib
import http.client
import itertools
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.forked import Process, command, start

KEY = "sk-test-0a1b2c3d4e5f6071829a"
ECHO = """
[server]
embedded = false
discover = false
[providers.echo]
wire = "echo"
place = "process"
models = ["small", "large"]
"""
THRESHOLD = "\n[policies.default]\nthreshold = 0.5\n"


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    cut: bool = False  # closed without its last chunk

    @property
    def json(self) -> object:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, str]:
        shown: dict[str, dict[str, str]] = json.loads(self.body)
        return shown["error"]


@dataclass
class Served:
    """A running server. `ask` sends one HTTP request on a connection of its own."""

    url: str
    home: Path
    process: Process
    said: list[str] = field(default_factory=list)  # lines of its stderr
    key: str = KEY
    tls: ssl.SSLContext | None = None  # whom to trust, where it speaks TLS
    sign_in: str = ""  # the link that `up` printed

    def connection(self, timeout: float = 30) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        if parts.scheme == "https":
            return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout, context=self.tls)
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)

    def ask(
        self,
        path: str,
        body: object = None,
        *,
        key: str | None = "",
        method: str = "",
        timeout: float = 30,
        **headers: str,
    ) -> Answer:
        """`body` bytes go as they are, anything else as JSON. `key=None` sends none."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        kind = {} if data is None else {"content-type": "application/json"}
        sent = kind | {name.replace("_", "-").lower(): value for name, value in headers.items()}
        if key is not None:
            sent["Authorization"] = f"Bearer {key or self.key}"
        connection = self.connection(timeout)
        try:
            connection.request(method or ("GET" if data is None else "POST"), path, data, sent)
            answer = connection.getresponse()
            named = {name.lower(): value for name, value in answer.getheaders()}
            read = Answer(answer.status, named, *read_all(answer))
        finally:
            connection.close()
        if b"internal_error" in read.body:
            sys.stderr.writelines(self.said[-20:])  # where it happened, for whoever reads of a test that failed
        return read

    def chat(self, model: str, words: str = "Hello there", **more: object) -> Answer:
        body = {"model": model, "messages": [{"role": "user", "content": words}], **more}
        return self.ask("/v1/chat/completions", body)

    def cpu(self) -> float:
        """Seconds of CPU time so far, of the server and all it started (Linux)."""
        return sum(_cpu(pid) for pid in [self.process.pid, *children(self.process.pid)])


def read_all(answer: http.client.HTTPResponse) -> tuple[bytes, bool]:
    """The rest of a body, and whether it was cut: closed without its last chunk."""
    try:
        return answer.read(), False
    except http.client.IncompleteRead as cut:
        return cut.partial, True


def children(pid: int) -> list[int]:
    """All processes below `pid` (Linux)."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += [int(child), *children(int(child))]
    return found


def _cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


STATE = Path(tempfile.mkdtemp(prefix="sizewise-tests-state-"))
"""State folders of users: no test registers a server where the commands of this machine look for one."""
atexit.register(shutil.rmtree, STATE, ignore_errors=True)
_users = itertools.count(1)


def environment(**more: str) -> dict[str, str]:
    """As a user of its own, who finds no server of another test; share XDG_STATE_HOME where one is to be found."""
    more = {"XDG_STATE_HOME": str(STATE / str(next(_users))), **more}
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SIZEWISE_") or k == "SIZEWISE_CACHE"}
    return {**kept, "PYTHONUNBUFFERED": "1", **more}


@contextlib.contextmanager
def serving(
    home: Path,
    config: str = ECHO,
    *arguments: str,
    key: str = KEY,
    program: str = "",
    **environ: str,
) -> Iterator[Served]:
    """Starts `sizewise up` on a free port, waits until it can answer, and stops it by SIGTERM.

    `program`: a file that is run in its place, with the same arguments. `auto` is a cascade with a threshold of its own
    unless `config` has a [policies.default]; tests/gateway/test_cold_start.py tests the shipped default.
    """
    home.mkdir(parents=True, exist_ok=True)
    file = home / "sizewise.toml"
    file.write_text(config if "[policies.default" in config or "[policies]" in config else config + THRESHOLD)
    words = command("up", "--json", "--port", "0", "--home", str(home), "--config", str(file), *arguments)
    if program:
        words = [sys.executable, program, *words[3:]]
    env = environment(SIZEWISE_KEY=key, **environ) if key else environment(**environ)
    process = start(words, env=env)
    assert process.stdout is not None and process.stderr is not None
    said: list[str] = []
    reading = threading.Thread(target=lambda: said.extend(process.stderr or ()), daemon=True)
    reading.start()
    try:
        line = process.stdout.readline()
        if line.strip() in ("", "{"):  # nothing, or the error as JSON on several lines
            process.wait(60)
            reading.join(60)
            told = line + process.stdout.read() + "".join(said)
            raise AssertionError(f"`sizewise up` ended with {process.returncode}: {told}")
        told = json.loads(line)
        yield Served(told["url"], home, process, said, told["key"] or key, sign_in=told.get("sign_in") or "")
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(45)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(60)
        reading.join(60)
        process.stdout.close()
        process.stderr.close()


def until(what: object, seconds: float = 60, every: float = 0.02) -> None:
    """Polls `what` (a callable) until it is true; fails with its last value after `seconds`."""
    assert callable(what)
    end = time.monotonic() + seconds
    while not (last := what()):
        assert time.monotonic() < end, f"still {last!r} after {seconds} s"
        time.sleep(every)
