"""What is remembered of a user or a session: kept sealed, recalled by its words, and forgotten in plain sight.

What is recalled was said by somebody once, so it is data and no instruction. By words and not by meaning: a memory is
found by the rare words it shares with the question, the newer of equals first.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from hashlib import blake2b
from secrets import token_hex
from typing import Protocol, TypeVar

import msgspec
from msgspec import Struct

from sizewise.agents import tables
from sizewise.agents.tables import Row
from sizewise.audit_log.hash_chain import Deed
from sizewise.data_class import DataClass
from sizewise.errors import BadRequest
from sizewise.handler import Ask
from sizewise.principal import Caller
from sizewise.storage.database import Work
from sizewise.storage.encryption import Vault
from sizewise.storage.keys.tables import Run

T = TypeVar("T")

TABLE = "memories"
TEXT = 8_192
"""Characters of one memory."""
WHOSE = 200
WORDS = re.compile(r"[^\W_]+")


class Remembered(Struct, frozen=True, array_like=True):
    """What is sealed."""

    whose: str
    text: str
    data_class: DataClass | None = None


class Memory(Struct, frozen=True):
    """`created`: unix ms. `data_class`: how closely it must be kept, where whoever remembered it knew."""

    id: str
    text: str
    created: int
    data_class: DataClass | None = None


class Writing(Protocol):
    def __call__(self, work: Work[T]) -> Awaitable[T]: ...


class Memories:
    """Of one keeper. Whoever asks sees those of their own project alone. `whose` is an id of the application's."""

    def __init__(self, vault: Vault, read: Run, write: Writing, aside: Executor, most: int = 1_000) -> None:
        """`aside` runs what may take long. `most`: memories of one user or session."""
        self._vault = vault
        self._read = read
        self._write = write
        self._aside = aside
        self._most = most

    async def remember(self, ask: Ask, whose: str, text: str, *, key: str = "") -> list[dict[str, object]]:
        """What is remembered now; a second time by the same `key` nothing changes. Raises BadRequest, VaultLocked,
        StoreFailed."""
        text = text.strip()
        if not text or len(text) > TEXT:
            raise BadRequest(f"a memory has 1 to {TEXT} characters", "say it in fewer words")
        caller, hashed = ask.caller, _hashed(ask.caller, whose)
        drawn = blake2b(f"{hashed}/{key}".encode(), digest_size=10).hexdigest() if key else token_hex(10)
        id, now = f"mem_{drawn}", time.time_ns() // 1_000_000
        data_class = ask.wishes.data_class
        plain = msgspec.msgpack.encode(Remembered(whose, text, data_class))
        sealed = await self._off(lambda: self._vault.seal(plain, caller.tenant, TABLE, f"{caller.project}/{id}"))
        row = Row(caller.tenant, caller.project, hashed, id, now, sealed)
        await self._write(lambda c: tables.add(c, row, self._most))
        return [_shown(Memory(id, text, now, data_class))]

    async def recall(self, ask: Ask, whose: str, query: str, limit: int = 5) -> list[dict[str, object]]:
        """Those that share words with `query`, the best first; without a query the newest. Raises VaultLocked."""
        return [_shown(each) for each in (await self.found(ask.caller, whose, query))[:limit]]

    async def forget(self, ask: Ask, whose: str, query: str) -> list[dict[str, object]]:
        """What was forgotten: the memory of that id, or all that hold each word of `query`; never all for no word."""
        wanted = set(_words(query))
        if not wanted:
            raise BadRequest("what to forget is said in words, or by an id", "recall shows ids")
        found = await self.all(ask.caller, whose)
        gone = [each for each in found if each.id == query.strip()] or [
            each for each in found if wanted <= set(_words(each.text))
        ]
        await self.remove(ask.caller, whose, [each.id for each in gone])
        return [_shown(each) for each in gone]

    async def found(self, caller: Caller, whose: str, query: str) -> list[Memory]:
        """The same, all of them."""
        return ranked(await self.all(caller, whose), query)

    async def all(self, caller: Caller, whose: str) -> list[Memory]:
        """The newest first. Raises VaultLocked, StoreFailed."""
        hashed = _hashed(caller, whose)
        return await self._off(lambda: self._opened(caller, hashed, whose))

    async def remove(self, caller: Caller, whose: str, ids: Sequence[str], told: Deed | None = None) -> int:
        """How many there were. `told`: the line of the trail, in the same transaction."""
        hashed = _hashed(caller, whose)
        if not ids:
            return 0
        return await self._write(lambda c: tables.remove(c, caller.tenant, caller.project, hashed, ids, told))

    def _opened(self, caller: Caller, hashed: str, whose: str) -> list[Memory]:
        found: list[Memory] = []
        for row in self._read(lambda c: tables.of(c, caller.tenant, caller.project, hashed, self._most)):
            plain = self._vault.open(row.sealed, row.tenant, TABLE, f"{row.project}/{row.id}")
            said = msgspec.msgpack.decode(plain, type=Remembered)
            if said.whose == whose:
                found.append(Memory(row.id, said.text, row.created, said.data_class))
        return found

    async def _off(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._aside, work)


def ranked(found: Sequence[Memory], query: str) -> list[Memory]:
    """The newest first where nothing is asked. Else by the words they share, a rare one counting more; none, none."""
    wanted = set(_words(query))
    if not wanted:
        return list(found)
    texts = [Counter(_words(each.text)) for each in found]
    seen = Counter(word for words in texts for word in words)
    weigh = {word: math.log(1 + len(found) / seen[word]) for word in wanted if seen[word]}
    scores = [sum(weigh[word] for word in weigh if word in words) / math.sqrt(1 + len(words)) for words in texts]
    order = sorted(range(len(found)), key=lambda place: (-scores[place], -found[place].created))
    return [found[place] for place in order if scores[place] > 0]


def _words(text: str) -> list[str]:
    return [word for word in WORDS.findall(text[:TEXT].casefold()) if len(word) > 2]


def _hashed(caller: Caller, whose: str) -> str:
    if not whose.strip() or len(whose) > WHOSE:
        raise BadRequest(f"whose memory it is takes 1 to {WHOSE} characters", "give an id of the user or the session")
    return blake2b(msgspec.json.encode((caller.tenant, caller.project, whose)), digest_size=20).hexdigest()


def _shown(memory: Memory) -> dict[str, object]:
    """Whatever uses it must be kept as its `data_class` says."""
    shown: dict[str, object] = {"id": memory.id, "text": memory.text, "created": memory.created}
    return shown | ({} if memory.data_class is None else {"data_class": memory.data_class})
