"""What is written in one turn leaves together, in its order, and at once for who cannot wait."""

from __future__ import annotations

import asyncio

from sizewise.http.write_coalescing import WriteCoalescer


class Holder:
    def __init__(self, name: str, said: list[str]) -> None:
        self._name = name
        self._said = said

    def push(self) -> None:
        self._said.append(self._name)


async def test_all_of_a_turn_leaves_behind_its_other_work_and_in_order() -> None:
    said: list[str] = []

    cork = WriteCoalescer()
    for name in ("first", "second", "third"):
        cork(Holder(name, said))
    said.append("work")
    await asyncio.sleep(0)
    cork(Holder("next turn", said))
    await asyncio.sleep(0)
    assert said == ["work", "first", "second", "third", "next turn"]


async def test_who_cannot_wait_makes_all_leave_and_nobody_leaves_twice() -> None:
    said: list[str] = []

    cork = WriteCoalescer()
    cork(Holder("held", said))
    cork.flush()
    said.append("at once")
    cork(Holder("later", said))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert said == ["held", "at once", "later"]
