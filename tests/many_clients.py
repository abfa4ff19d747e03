"""Clients that ask several servers all the time, as behind a load balancer: who is away is passed over."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import create_engine

from tests.running_server import Answer, Served

APART = 1_000_000
"""Between the numbers of two clients."""
Kind = Callable[[Served, int], Answer]


def _chat(server: Served, number: int) -> Answer:
    return server.chat("echo/small", f"[[say {number}]]")


def _stream(server: Served, number: int) -> Answer:
    answer = server.chat("echo/small", f"[[say a b c {number}]]", stream=True)
    whole = answer.body.rstrip().endswith(b"data: [DONE]")
    return answer if whole or answer.status != 200 else Answer(0, answer.headers, answer.body, cut=True)


def _message(server: Served, number: int) -> Answer:
    body = {"model": "echo/small", "max_tokens": 20, "messages": [{"role": "user", "content": f"[[say {number}]]"}]}
    return server.ask("/v1/messages", body)


def _response(server: Served, number: int) -> Answer:
    return server.ask("/v1/responses", {"model": "echo/small", "input": f"[[say {number}]]", "store": True})


def _vectors(server: Served, number: int) -> Answer:
    return server.ask("/v1/embeddings", {"model": "echo/vectors", "input": f"text {number}"})


def _keyed(server: Served, number: int) -> Answer:
    """Two in a row, and each client of this kind at about the same time, have one key: at most one may be paid."""
    key = f"key-{number % APART // 2}"
    body = {"model": "echo/small", "messages": [{"role": "user", "content": f"[[say {key}]]"}], "user": key}
    return server.ask("/v1/chat/completions", body, idempotency_key=key)


KINDS: dict[str, Kind] = {
    "chat": _chat,
    "stream": _stream,
    "message": _message,
    "response": _response,
    "vectors": _vectors,
    "keyed": _keyed,
}


@dataclass(frozen=True)
class Answered:
    kind: str
    server: Served
    at: float  # time.monotonic()


@dataclass
class Clients:
    """What was asked so far. `servers` may be exchanged while they ask."""

    servers: list[Served]
    kinds: Mapping[str, Kind]
    traces: dict[str, Answered] = field(default_factory=dict)  # of answers with status 200
    refused: Counter[tuple[str, int, str]] = field(default_factory=Counter)  # kind, status and code of all others
    passed_over: int = 0  # no connection: the next server was asked
    broken: int = 0  # the connection ended before the answer did

    def asked(self) -> int:
        return len(self.traces) + sum(self.refused.values()) + self.broken

    def ask(self, kind: str, number: int) -> None:
        for server in itertools.islice(itertools.cycle(self.servers), number, number + len(self.servers)):
            try:
                answer = self.kinds[kind](server, number)
            except ConnectionRefusedError:
                self.passed_over += 1
                continue
            except (OSError, http.client.HTTPException):
                self.broken += 1
                return
            if answer.status == 200:
                self.traces[answer.headers["x-sizewise-trace"]] = Answered(kind, server, time.monotonic())
            else:
                code = "" if answer.cut else str(answer.error.get("code", ""))
                self.refused[kind, answer.status, code] += 1
            return
        time.sleep(0.05)  # none is there


@contextlib.contextmanager
def asking(
    *servers: Served, kinds: Mapping[str, Kind] = KINDS, each: int = 1, pause_s: float = 0.01
) -> Iterator[Clients]:
    """`each`: clients for each kind of request."""
    seen, over = Clients(list(servers), kinds), threading.Event()

    def ask(kind: str, first: int) -> None:
        for number in itertools.count(first):
            if over.is_set():
                return
            seen.ask(kind, number)
            time.sleep(pause_s)

    threads = [threading.Thread(target=ask, args=(kind, APART * n)) for kind in kinds for n in range(each)]
    for one in threads:
        one.start()
    try:
        yield seen
    finally:
        over.set()
        for one in threads:
            one.join(120)


def recorded(store: str) -> set[str]:
    """The traces of all answers with status 200 in the database at the URL `store`, or in the file of that name."""
    return {trace for (trace,) in rows(store, "SELECT trace FROM records WHERE status = 200")}


def paid_twice(store: str) -> list[Any]:
    """Idempotency keys of these clients for which a model was called more than once, and how often."""
    words = "SELECT end_user, count(*) FROM records WHERE substr(end_user, 1, 4) = 'key-' AND cost > 0"
    return rows(store, f"{words} GROUP BY end_user HAVING count(*) > 1")


def rows(store: str, words: str) -> list[Any]:
    """What a query of the database at `store` finds."""
    if "://" not in store:
        with contextlib.closing(sqlite3.connect(store, timeout=60)) as database:
            return database.execute(words).fetchall()
    engine = create_engine(store)
    try:
        with engine.connect() as connection:
            return list(connection.exec_driver_sql(words))
    finally:
        engine.dispose()
