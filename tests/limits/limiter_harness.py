"""Several workers on one store, a clock that only a test turns, and attempts of known cost; for this room's tests."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from sizewise.audit_log import tables as audit
from sizewise.limits import tables
from sizewise.limits.limiter import Budgets
from sizewise.limits.reservations import Lease
from sizewise.limits.rules import Key
from sizewise.messages import Chat
from sizewise.model_card import Card
from sizewise.principal import Caller
from sizewise.providers.echo import echo_card
from sizewise.providers.wires.openai.request_response import read_request
from sizewise.storage.database import Database, Work, connect, file

T = TypeVar("T")
MODEL: Card = echo_card("echo/small", context=None)
READ, SAID = 1_000, 2_000  # pico-dollars a token of the echo
NOON = 1_800_014_400.0  # 2027-01-15T12:00:00Z
ANNA = Caller("local", "shop", "sw-anna", user="anna")


@dataclass
class Clock:
    now: float = NOON

    def __call__(self) -> float:
        return self.now


class Shop:
    """One store. `fails` makes its next write fail; each write gives way once before and once after."""

    def __init__(self, folder: Path, url: str = "") -> None:
        rooms = [audit.SCHEMA, tables.SCHEMA]
        self.database: Database = connect(url or file(str(folder / "shop.db")), rooms)
        self.clock = Clock()
        self.fails: Exception | None = None
        self.writes = 0

    def read(self, work: Work[T]) -> T:
        with self.database.read() as connection:
            return work(connection)

    async def look(self, work: Work[T]) -> T:
        await asyncio.sleep(0)
        return self.read(work)

    async def write(self, work: Work[T]) -> T:
        await asyncio.sleep(0)
        self.writes += 1
        if self.fails is not None:
            raise self.fails
        with self.database.write() as connection:
            done = work(connection)
        await asyncio.sleep(0)
        return done

    def worker(self, shared: bool = False) -> Budgets:
        return Budgets(self.read(tables.known), self.look, self.write, shared=shared, clock=self.clock)

    def pot(self, key: Key, since: int) -> tuple[int, int]:
        """(taken, spent) as the store has it."""
        return self.read(lambda c: tables.standing(c, [(key, since)])).get((key, since), (0, 0))


def chat(words: str = "Hello", max_tokens: int | None = 100, **more: object) -> Chat:
    body = {"model": "auto", "messages": [{"role": "user", "content": words}], **more}
    return read_request(msgspec.json.encode(body | ({"max_tokens": max_tokens} if max_tokens else {})))[0]


def worst(what: Chat, out: int | None = None) -> int:
    """Pico-dollars at most."""
    return what.size() * READ + (what.max_tokens or out or 0) * SAID


async def held(budgets: Budgets, what: Chat, caller: Caller = ANNA, card: Card = MODEL) -> Lease:
    lease = budgets.lease(caller, card, what)
    assert lease is not None
    await lease.hold()
    return lease
