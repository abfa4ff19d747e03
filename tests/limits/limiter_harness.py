"""Several workers on one store, a clock that only a test turns, and attempts of known cost; for this room's tests."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from sizewise.audit_log import tables as audit
from sizewise.limits import tables
from sizewise.limits.rate_limiter import Limiter
from sizewise.limits.reservations import Reservation
from sizewise.limits.rules import LimitKey
from sizewise.messages import ChatRequest
from sizewise.model_card import ModelCard
from sizewise.principal import Principal
from sizewise.providers.echo import echo_card
from sizewise.providers.wires.openai.request_response import read_request
from sizewise.storage.database import Database, UnitOfWork, open_database, sqlite_url

T = TypeVar("T")
MODEL: ModelCard = echo_card("echo/small", context=None)
READ, SAID = 1_000, 2_000  # pico-dollars a token of the echo
NOON = 1_800_014_400.0  # 2027-01-15T12:00:00Z
ANNA = Principal("local", "shop", "sw-anna", user_id="anna")


@dataclass
class Clock:
    now: float = NOON

    def __call__(self) -> float:
        return self.now

    def sync(self, store_time: float) -> None:
        """Follows nobody."""


class Shop:
    """One store. `fails` makes its next write fail; each write gives way once before and once after."""

    def __init__(self, folder: Path, url: str = "") -> None:
        rooms = [audit.SCHEMA, tables.SCHEMA]
        self.database: Database = open_database(url or sqlite_url(str(folder / "shop.db")), rooms)
        self.clock = Clock()
        self.fails: Exception | None = None
        self.writes = 0
        self.alerts: list[tuple[str, Mapping[str, object], str]] = []

    def read(self, work: UnitOfWork[T]) -> T:
        with self.database.read() as connection:
            return work(connection)

    async def look(self, work: UnitOfWork[T]) -> T:
        await asyncio.sleep(0)
        return self.read(work)

    async def write(self, work: UnitOfWork[T]) -> T:
        await asyncio.sleep(0)
        self.writes += 1
        if self.fails is not None:
            raise self.fails
        with self.database.write() as connection:
            done = work(connection)
        await asyncio.sleep(0)
        return done

    def worker(self, shared: bool = False) -> Limiter:
        return Limiter(
            self.read(tables.read_snapshot),
            self.look,
            self.write,
            shared=shared,
            publish_event=lambda *alert: lambda connection: self.alerts.append(alert),
            clock=self.clock,
        )

    def window(self, key: LimitKey, since: int) -> tuple[int, int]:
        """(taken, spent) as the store has it."""
        return self.read(lambda c: tables.read_windows(c, [(key, since)])).get((key, since), (0, 0))


def chat(words: str = "Hello", max_tokens: int | None = 100, **more: object) -> ChatRequest:
    body = {"model": "auto", "messages": [{"role": "user", "content": words}], **more}
    return read_request(msgspec.json.encode(body | ({"max_tokens": max_tokens} if max_tokens else {})))[0]


def worst(what: ChatRequest, out: int | None = None) -> int:
    """Pico-dollars at most."""
    return what.prompt_bytes() * READ + (what.max_tokens or out or 0) * SAID


async def held(
    budgets: Limiter,
    what: ChatRequest,
    principal: Principal = ANNA,
    card: ModelCard = MODEL,
) -> Reservation:
    lease = budgets.reserve(principal, card, what)
    assert lease is not None
    await lease.acquire()
    return lease
