"""The embedded store: what every store does, and what is its own: a process that may die, and files without words."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sizewise.errors import ConfigError, StorageError
from sizewise.knowledge.vector_store import KnowledgeBaseId, PassageQuery, StoreContext
from sizewise.testing import vector_store_conformance as kit

pytest.importorskip("qdrant_edge", reason="needs the extra knowledge: pip install qdrant-edge-py")
from sizewise.knowledge.vector_stores.qdrant import QdrantStore


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[asyncio.Runner, QdrantStore]]:
    with asyncio.Runner() as runner:
        store = runner.run(opened(tmp_path_factory.mktemp("home")))
        yield runner, store
        runner.run(store.close())


async def opened(home: Path) -> QdrantStore:
    return QdrantStore(StoreContext(home), min_indexed=0)


@pytest.mark.long
@pytest.mark.parametrize("check", [*kit.every(), kit.scores_by_bm25, kit.weighs_common_terms, kit.takes_many_at_once])
def test_it_does_what_every_store_does(check: kit.Check, ground: tuple[asyncio.Runner, QdrantStore]) -> None:
    runner, store = ground
    runner.run(check(store))


async def test_it_comes_back_with_all_that_was_there(tmp_path: Path) -> None:
    kept = kit.base()

    for check in (kit.writes_before_restart, kit.reads_after_restart):
        store = await opened(tmp_path)
        await check(store, kept)
        await store.close()


async def test_what_was_acknowledged_outlives_a_worker_that_is_killed(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    its = await store.open(kit.base(), kit.DIMENSION)
    assert not await its.upsert([kit.passage(number) for number in range(1_000)])
    child = store._child
    assert child is not None
    os.kill(child.pid, signal.SIGKILL)
    failed = 0
    for number in range(1_000, 1_020):
        try:
            assert not await its.upsert([kit.passage(number)])
        except StorageError as error:
            failed += 1
            assert "try again" in error.hint
            assert not await its.upsert([kit.passage(number)])
    assert failed <= 1
    assert await its.count() == 1_020
    found = await its.search(PassageQuery((), {1_999: 1}, 0.0, 5, None))
    assert [hit.sealed for hit in found] == [b"sealed 999"]
    await store.close()


WRITER = """
import asyncio, sys
from pathlib import Path
from sizewise.knowledge.vector_store import KnowledgeBaseId, StoreContext
from sizewise.knowledge.vector_stores.qdrant import QdrantStore
from sizewise.testing import vector_store_conformance as kit

async def write():
    store = QdrantStore(StoreContext(Path(sys.argv[1])), min_indexed=0)
    its = await store.open(KnowledgeBaseId("a", "b", "c"), kit.DIMENSION)
    for number in range(0, 1_000_000, 20):
        await its.upsert([kit.passage(each) for each in range(number, number + 20)])
        print(number + 20, flush=True)
        if number % 400 == 0:
            store.schedule_optimize(KnowledgeBaseId("a", "b", "c").hashed, kit.DIMENSION)

asyncio.run(write())
"""


@pytest.mark.long
@pytest.mark.parametrize("acknowledged", [20, 500, 1_300])
async def test_what_was_acknowledged_outlives_all_of_us_being_killed(acknowledged: int, tmp_path: Path) -> None:
    """Also while a copy of the base is being put in order."""
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    for line in writer.stdout:
        if int(line) >= acknowledged:
            break
    writer.kill()
    told = [int(line) for line in [line, *writer.stdout.read().split()]]
    writer.wait()
    writer.stdout.close()

    store = await opened(tmp_path)
    its = await store.open(KnowledgeBaseId("a", "b", "c"), kit.DIMENSION)
    many, last = (
        await its.count(),
        await kit.matching_numbers(its, kit.match_all(alpha=0.0, terms={1000 + told[-1] - 1: 1})),
    )
    await store.close()
    assert many >= told[-1] and many % 20 == 0, "all that was acknowledged, and no half of a call"
    assert last == {told[-1] - 1}


@pytest.mark.long
async def test_its_files_hold_no_names(tmp_path: Path) -> None:
    """Of organizations, projects and bases: what else lies there is what it was given."""

    store = await opened(tmp_path)
    mine = KnowledgeBaseId("canary-tenant", "canary-project", "canary-base")
    its = await store.open(mine, kit.DIMENSION)
    await its.upsert([kit.passage(number) for number in range(50)])
    await store.optimize()
    await store.close()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if b"canary" in path.read_bytes() or "canary" in str(path.relative_to(tmp_path))]


def test_it_needs_its_library_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "qdrant_edge", None)
    with pytest.raises(ConfigError, match="needs a library") as told:
        QdrantStore(StoreContext(tmp_path))
    assert "sizewise[knowledge]" in told.value.hint
