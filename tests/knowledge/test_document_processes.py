"""Documents are split in worker processes as they are here; a killed worker costs nothing, a limit is an error."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from sizewise.errors import BadRequest
from sizewise.knowledge.document_batches import SplitDocument, SplitOrder, split_document
from sizewise.knowledge.load import SPLIT_AT_ONCE, DocumentProcesses
from sizewise.knowledge.text_formats import read
from sizewise.knowledge.token_count import count_tokens
from sizewise.providers.local.wordpiece_tokenizer import WordPieceTokenizer
from sizewise.settings.jobs import JobsSettings

ORDER = SplitOrder("handbook.md", 60, 10)
COUNT = partial(count_tokens, WordPieceTokenizer())
LONG = read(
    "text", b"".join(b"Rule %d: ask your lead before you order a laptop. " % each for each in range(120)), "a.txt"
)


def worked(work: Callable[[DocumentProcesses], Awaitable[SplitDocument]]) -> SplitDocument:
    async def run() -> SplitDocument:
        processes = DocumentProcesses(JobsSettings(workers=1))
        try:
            return await work(processes)
        finally:
            await processes.close()

    return asyncio.run(run())


def children() -> list[int]:
    return [int(each) for task in Path("/proc/self/task").iterdir() for each in (task / "children").read_text().split()]


@pytest.mark.long
def test_a_document_is_split_in_a_process_as_it_is_here() -> None:
    assert len(LONG.text) > SPLIT_AT_ONCE
    found = worked(lambda processes: processes.split(LONG, ORDER, COUNT))
    assert found == split_document(LONG, ORDER, COUNT) and len(found.chunks) > 20


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux's /proc")
def test_a_killed_worker_costs_the_document_nothing() -> None:
    async def killed(processes: DocumentProcesses) -> SplitDocument:
        before = set(children())
        task = asyncio.ensure_future(processes.split(replace(LONG, blocks=LONG.blocks * 20), ORDER, COUNT))
        while not (mine := set(children()) - before):
            await asyncio.sleep(0.005)
        os.kill(mine.pop(), signal.SIGKILL)
        return await task

    assert len(worked(killed).chunks) > 400


@pytest.mark.long
def test_a_document_of_too_many_passages_is_refused_by_its_process() -> None:
    huge = read("text", b"word. " * 110_000, "a.txt")
    with pytest.raises(BadRequest, match="more than 100,000 passages"):
        worked(lambda processes: processes.split(huge, SplitOrder("huge.txt", 1, 0), COUNT))
