"""Reads the configured sources of a base: files, some at once, and web pages; checks no access and removes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from sizewise.errors import PathNotFound, SizewiseError
from sizewise.jobs.map_batches import Batch, map_batches
from sizewise.knowledge.folder import SourceFile, list_files
from sizewise.knowledge.upload import DocumentUpload, IngestionResult
from sizewise.knowledge.web_page import is_url


class SyncResult(Struct, frozen=True):
    """Result of syncing the configured sources. `removed`: sources; `failed`: (source, message)."""

    results: tuple[IngestionResult, ...]
    removed: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SourceSync:
    """`add_file`, `add_page`: store a document without embedding it. `concurrency`: of files."""

    add_file: Callable[[DocumentUpload], Awaitable[IngestionResult]]
    add_page: Callable[[str, DocumentUpload], Awaitable[IngestionResult]]
    concurrency: int

    async def __call__(self, sources: Sequence[str], access: DocumentUpload) -> tuple[SyncResult, set[str]]:
        """Results and failures in the order of the sources, and the documents that the sources contain. `access`: who
        reads them, in which data class.
        """
        taken, failed, there = list[IngestionResult](), list[tuple[str, str]](), set[str]()
        for source in sources:
            if is_url(source):
                try:
                    taken.append(await self.add_page(source, replace(access, source=source)))
                except PathNotFound:
                    continue
                except SizewiseError as error:
                    failed.append((source, error.message))
                there.add(source)
                continue
            files = await asyncio.to_thread(list_files, Path(source))
            added, refused = await self._add_files(files, access)
            there |= {file.source for file in files}
            taken, failed = taken + added, failed + refused
        return SyncResult(tuple(taken), (), tuple(failed)), there

    async def _add_files(
        self, files: Sequence[SourceFile], access: DocumentUpload
    ) -> tuple[list[IngestionResult], list[tuple[str, str]]]:
        """Results and failures in the order of the files."""
        taken, failed = dict[str, IngestionResult](), dict[str, str]()

        async def batches() -> AsyncIterator[Batch[SourceFile]]:
            for file in files:
                yield Batch(file.source, file)

        async def add(file: SourceFile) -> IngestionResult | None:
            try:
                data = await asyncio.to_thread(file.path.read_bytes)
                return await self.add_file(replace(access, source=file.source, data=data))
            except OSError as error:
                failed[file.source] = error.strerror or "cannot be read"
            except SizewiseError as error:
                failed[file.source] = error.message
            return None

        def keep(source: str, result: IngestionResult | None) -> None:
            if result is not None:
                taken[source] = result

        await map_batches(batches(), add, keep, concurrency=self.concurrency)
        order = [file.source for file in files]
        return [taken[each] for each in order if each in taken], [
            (each, failed[each]) for each in order if each in failed
        ]
