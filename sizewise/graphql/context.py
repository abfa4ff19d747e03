"""What one request may use while it is answered: the house, who asks, how much is left; knows no field."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from msgspec.structs import replace

from sizewise.app.application import House
from sizewise.auth.api_keys import deed
from sizewise.auth.authorization import Thing, demand, may
from sizewise.auth.denied_audit import more
from sizewise.errors import BadRequest, Forbidden
from sizewise.principal import Caller

T = TypeVar("T")
Live = Callable[[], House]
"""The house of the moment; a reload swaps it."""
Reload = Callable[[], Awaitable[object]]

ROWS = 2_000
"""Rows of the database that one request may bring out, however many fields ask for them."""
BREATH = 20
"""Rows written between two turns of the event loop: about 3 ms, so that a long list delays nobody's tokens."""


@dataclass(slots=True)
class Context:
    """Of one request; its fields may be answered side by side."""

    live: Live
    reload: Reload
    house: House
    caller: Caller
    trace: str = ""
    fresh: bool = False  # nothing that a cache remembers
    rows: int = ROWS

    def may(self, *actions: str) -> None:
        """Raises Forbidden unless the caller may do one of `actions` to anything at all."""
        if actions and not any(may(self.caller, action) for action in actions):
            wanted = " or ".join(f"`{action}`" for action in actions)
            raise Forbidden(
                f"{self.caller.key!r} lacks the right {wanted}", "use a key, or sign in as somebody, that has it"
            )

    def whole(self, action: str) -> None:
        """Raises Forbidden where the caller sees one project alone: this is about all of them together."""
        demand(self.caller, action, Thing(self.caller.tenant))

    async def refused(self, field: str, id: str, code: str) -> None:
        """A line of the trail; of one user or key no more than ten a minute, so that nobody fills it, and then how many
        more there were. Raises StoreFailed."""
        keeper, caller = self.house.means.keeper, self.caller
        who = caller.user or caller.key
        left = keeper.refusals.take(caller.tenant, who)
        if left is None:
            return
        if left:
            await keeper.note(more(caller.tenant, who, left))
        shown = id[:100] if id.isprintable() else ""
        await keeper.note(replace(deed(caller, caller.tenant, field, shown), refused=code))

    def take(self, rows: int) -> None:
        """Raises BadRequest when all fields together ask for more than ROWS."""
        self.rows -= max(rows, 0)
        if self.rows < 0:
            raise BadRequest(f"one request returns at most {ROWS:,} records", "ask for fewer at once")


async def unhurried(items: Iterable[T]) -> AsyncIterator[T]:
    """The same items, giving way to others now and then."""
    for number, item in enumerate(items):
        if number % BREATH == BREATH - 1:
            await asyncio.sleep(0)
        yield item
