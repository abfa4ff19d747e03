"""One store, filled and asked; its row of the table."""

from __future__ import annotations

import asyncio
import secrets
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from uuid import UUID

from msgspec import Struct

from bench.knowledge.texts import SIZE, Texts, term
from sizewise.knowledge.vector_store import KnowledgeBaseId, Passage, PassageQuery, SearchHit, TagIn, VectorStore

TOP = 10
PART = 7  # the one that the filter leaves


class Row(Struct):
    """Seconds, shares, milliseconds, megabytes; None where a thing cannot be done or was not measured."""

    store: str
    put_s: float
    index_s: float
    near: Asked
    filtered: Asked
    hybrid: Asked | None
    disk_mb: float | None


class Asked(Struct):
    """`recall`: of the ten truly nearest. `found`: how often the passage that a question was made from is among ten."""

    p50_ms: float
    p99_ms: float
    recall: float | None
    found: float


async def measured(name: str, store: VectorStore, texts: Texts, folder: Path | None) -> Row:
    base = KnowledgeBaseId("bench", "bench", f"bench-{secrets.token_hex(4)}")
    shelf = await store.open(base, SIZE)
    began = time.perf_counter()
    for first in range(0, len(texts.passages), 1_000):
        block = range(first, min(first + 1_000, len(texts.passages)))
        refused = await shelf.upsert([_passage(texts, number) for number in block])
        assert not refused, refused
    put = time.perf_counter()
    await store.optimize()
    done = time.perf_counter()

    async def near(place: int, part: int | None = None) -> list[SearchHit]:
        where = None if part is None else TagIn("part", (part,))
        return await shelf.search(PassageQuery(texts.asked[place].tolist(), {}, 1.0, TOP, None, where=where))

    async def hybrid(place: int) -> list[SearchHit]:
        terms = {term(word): 1 for word in texts.questions[place]}
        return await shelf.search(PassageQuery(texts.asked[place].tolist(), terms, 0.5, TOP, None))

    row = Row(
        name,
        put - began,
        done - put,
        await asked(texts, near, texts.nearest(TOP)),
        await asked(texts, lambda place: near(place, PART), texts.nearest(TOP, PART)),
        await asked(texts, hybrid, None),
        None if folder is None else sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6,
    )
    await store.remove(base)
    return row


async def asked(
    texts: Texts,
    request: Callable[[int], Awaitable[list[SearchHit]]],
    true: Sequence[Sequence[int]] | None,
) -> Asked:
    for place in range(5):  # the first pages from the disk
        await request(place)
    times, found, right = list[float](), 0, 0
    for place, answer in enumerate(texts.answers):
        began = time.perf_counter()
        hits = await request(place)
        times.append((time.perf_counter() - began) * 1e3)
        got = {UUID(hit.id).int for hit in hits}
        found += answer in got
        right += len(got & set(true[place])) if true is not None else 0
        await asyncio.sleep(0)
    cuts = statistics.quantiles(times, n=100)
    recall = right / sum(map(len, true)) if true is not None else None
    return Asked(cuts[49], cuts[98], recall, found / len(texts.answers))


def _passage(texts: Texts, number: int) -> Passage:
    terms = dict[int, int]()
    for word in texts.passages[number]:
        terms[term(word)] = terms.get(term(word), 0) + 1
    sealed = secrets.token_bytes(400)
    tags = {"part": texts.parts[number]}
    return Passage(str(UUID(int=number)), f"d{number // 50}", texts.vectors[number].tolist(), terms, sealed, tags=tags)
