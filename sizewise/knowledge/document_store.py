"""What is kept of bases, documents and passages, opened and sealed; knows no store of vectors, no model and no file.

Everything goes in and comes out as plain values, off the event loop. Every call names whose base it is about.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from functools import partial
from hashlib import blake2b
from typing import ParamSpec, TypeVar
from uuid import UUID

import msgspec
from msgspec import Struct

from sizewise.audit_log.hash_chain import Deed, Shown
from sizewise.auth.api_keys import deed
from sizewise.data_class import DataClass
from sizewise.knowledge import tables
from sizewise.knowledge.tables import BaseRow, DocumentRow, PassageRow, Size
from sizewise.knowledge.vector_store import Base, Tag
from sizewise.principal import Caller
from sizewise.storage.database import Work
from sizewise.storage.encryption import Vault
from sizewise.storage.keys.tables import Run

T = TypeVar("T")
P = ParamSpec("P")

KEY = 32  # bytes
BASES, DOCUMENTS, PASSAGES = tuple(each.name for each in tables.SEALED)


class Open(Struct, frozen=True):
    """A base as it stands, with the key of its terms, ids and digests."""

    base: Base
    created: int
    model: str
    dimension: int
    key: bytes

    def id(self, source: str) -> str:
        """Of the document from there."""
        return self._keyed(b"source", source.encode("utf-8", "replace"))[:24]

    def digest(self, *parts: bytes) -> str:
        return self._keyed(b"digest", *parts)[:40]

    def passage(self, document: str, text: str, turn: int) -> str:
        """The same for the same words of the same document, so that what did not change is embedded once. `turn`: the
        how manieth of the same words it is."""
        made = self._keyed(b"passage", document.encode(), text.encode("utf-8", "replace"), b"%d" % turn)
        return str(UUID(hex=made[:32]))

    def _keyed(self, what: bytes, *parts: bytes) -> str:
        said = b"".join(b"%d:%b" % (len(part), part) for part in parts)
        return blake2b(said, key=self.key, digest_size=32, person=what).hexdigest()


class About(Struct, frozen=True, array_like=True):
    """What of a document is sealed. `source`: path, URL or name; `by`: who brought it."""

    source: str
    title: str
    by: str
    notes: list[str] = []
    tags: dict[str, Tag] = {}


class Words(Struct, frozen=True, array_like=True):
    """What of a passage is sealed. `suspect`: why, where it is."""

    text: str
    start: int
    end: int
    first: int
    last: int
    headings: tuple[str, ...]
    tokens: int
    suspect: tuple[str, ...] = ()


class Kept(Struct, frozen=True):
    """A document. `state`: waiting (some of it is not embedded yet), ready, leaving."""

    id: str
    state: str
    digest: str
    kind: str
    data_class: DataClass
    readers: tuple[str, ...]
    pages: int
    created: int
    changed: int
    about: About
    size: Size = Size()


class Piece(Struct, frozen=True):
    """A passage in its document, opened."""

    id: str
    document: str
    place: int
    state: str
    words: Words


class Ledger:
    """One per keeper."""

    def __init__(self, vault: Vault, read: Run, write: Run, aside: Executor) -> None:
        """`write`: in one transaction. `aside`: where sealing and the database may take their time."""
        self._vault = vault
        self._read = read
        self._write = write
        self._aside = aside

    # Bases

    async def bases(self, tenant: str, project: str | None) -> list[tuple[Base, int, str, Size]]:
        """With when they were made, whose vectors they have, and how large they are."""

        def work() -> list[tuple[Base, int, str, Size]]:
            found = self._read(lambda c: tables.bases(c, tenant, project))
            return [
                (
                    Base(row.tenant, row.project, row.name),
                    row.created,
                    row.model,
                    self._read(partial(tables.size, tenant=row.tenant, project=row.project, name=row.name)),
                )
                for row in found
            ]

        return await self._off(work)

    async def base(self, base: Base) -> Open | None:
        return await self._off(self._base, base)

    async def make(self, base: Base, model: str, by: Caller) -> Open:
        """The one of this name, made now where there is none."""

        def work() -> Open:
            there = self._base(base)
            if there is not None:
                return there
            sealed = self._vault.seal(secrets.token_bytes(KEY), base.tenant, BASES, _place(base))
            row = BaseRow(base.tenant, base.project, base.name, _now(), model, 0, sealed)
            self._write(
                partial(tables.add_base, row=row, deed=_deed(by, base, "knowledge.create", None, {"model": model}))
            )
            made = self._base(base)
            assert made is not None
            return made

        return await self._off(work)

    def _base(self, base: Base) -> Open | None:
        row = self._read(lambda c: tables.base(c, base.tenant, base.project, base.name))
        if row is None:
            return None
        key = self._vault.open(row.sealed, base.tenant, BASES, _place(base))
        return Open(base, row.created, row.model, row.dimension, key)

    async def embedded_by(self, base: Base, model: str, dimension: int) -> None:
        """From now on; where that is another model, all that was embedded waits to be embedded anew."""
        await self._write_to(base, tables.embedded_by, model=model, dimension=dimension)

    async def remove_base(self, base: Base, by: Caller) -> bool:
        return await self._write_to(base, tables.remove_base, deed=_deed(by, base, "knowledge.remove"))

    async def size(self, base: Base, document: str = "") -> Size:
        return await self._read_of(base, tables.size, document=document)

    # Documents

    async def documents(self, base: Base, after: str = "", limit: int = 1_000) -> list[Kept]:
        """By their ids, behind `after`. Those that are leaving are told too."""

        def work() -> list[Kept]:
            found = self._read(lambda c: tables.documents(c, base.tenant, base.project, base.name, after, limit))
            return [self._kept(row) for row in found]

        return await self._off(work)

    async def document(self, base: Base, id: str) -> Kept | None:
        def work() -> Kept | None:
            row = self._read(lambda c: tables.document(c, base.tenant, base.project, base.name, id))
            if row is None:
                return None
            size = self._read(lambda c: tables.size(c, base.tenant, base.project, base.name, id))
            return msgspec.structs.replace(self._kept(row), size=size)

        return await self._off(work)

    async def known(self, base: Base, ids: Sequence[str]) -> dict[str, Kept]:
        """By their ids, without their sizes."""

        def work() -> dict[str, Kept]:
            found = self._read(lambda c: tables.documents_of(c, base.tenant, base.project, base.name, ids))
            return {row.id: self._kept(row) for row in found}

        return await self._off(work)

    async def unsettled(self, base: Base, limit: int = 100) -> list[Kept]:
        """Documents that wait to be embedded, or to be forgotten by the store."""

        def work() -> list[Kept]:
            found = self._read(lambda c: tables.unsettled(c, base.tenant, base.project, base.name, limit))
            return [self._kept(row) for row in found]

        return await self._off(work)

    async def put(self, base: Base, kept: Kept, pieces: Sequence[Piece], anew: bool, by: Caller) -> None:
        """A document with its passages, in place of what there was of it. `anew`: see rows.put_document."""

        def work() -> None:
            about = msgspec.msgpack.encode(kept.about)
            place = f"{_place(base)}/{kept.id}"
            sealed = self._vault.seal(about, base.tenant, DOCUMENTS, place)
            row = DocumentRow(
                base.tenant,
                base.project,
                base.name,
                kept.id,
                "waiting",
                kept.digest,
                kept.kind,
                kept.data_class,
                "\n".join(kept.readers),
                kept.pages,
                kept.created,
                kept.changed,
                sealed,
            )
            passages = [
                PassageRow(base.tenant, base.project, base.name, kept.id, each.id, each.place, each.state, sealed)
                for each in pieces
                for sealed in (self._sealed(base, each),)
            ]
            shown: Shown = {
                "passages": len(pieces),
                "held": sum(each.state == "held" for each in pieces),
                "data_class": kept.data_class,
                "readers": list(kept.readers),
                "digest": kept.digest,
            }
            told = _deed(by, base, "knowledge.put", None, shown, kept.id)
            self._write(partial(tables.put_document, row=row, passages=passages, anew=anew, deed=told))

        await self._off(work)

    async def settled(self, base: Base, document: str) -> None:
        await self._write_to(base, tables.settled, id=document)

    async def leave(self, base: Base, document: str, by: Caller) -> bool:
        told = _deed(by, base, "knowledge.forget", None, None, document)
        return await self._write_to(base, tables.leave, id=document, deed=told)

    async def gone(self, base: Base, document: str) -> None:
        await self._write_to(base, tables.gone, id=document)

    async def release(self, base: Base, document: str, by: Caller) -> int:
        told = _deed(by, base, "knowledge.release", None, None, document)
        return await self._write_to(base, tables.release, document=document, deed=told)

    # Passages

    async def pieces(self, base: Base, document: str, state: str = "", limit: int = 100_000) -> list[Piece]:
        """In their order."""

        def work() -> list[Piece]:
            where = base.tenant, base.project, base.name, document, state, limit
            return [self._piece(row) for row in self._read(lambda c: tables.passages(c, *where))]

        return await self._off(work)

    async def ids(self, base: Base, document: str) -> list[str]:
        """Of its passages that are embedded."""
        return await self._read_of(base, tables.ids, document=document)

    async def some(self, base: Base, ids: Sequence[str]) -> dict[str, Piece]:
        """By their ids, as far as they may be found now."""

        def work() -> dict[str, Piece]:
            found = self._read(lambda c: tables.some(c, base.tenant, base.project, base.name, ids))
            return {row.id: self._piece(row) for row in found}

        return await self._off(work)

    async def mark(self, base: Base, ids: Iterable[str], state: str) -> None:
        await self._write_to(base, tables.mark, ids=list(ids), state=state)

    # Sealing

    def _sealed(self, base: Base, piece: Piece) -> bytes:
        place = f"{_place(base)}/{piece.id}"
        return self._vault.seal(msgspec.msgpack.encode(piece.words), base.tenant, PASSAGES, place)

    def _piece(self, row: PassageRow) -> Piece:
        place = f"{row.project}/{row.base}/{row.id}"
        plain = self._vault.open(row.sealed, row.tenant, PASSAGES, place)
        return Piece(row.id, row.document, row.place, row.state, msgspec.msgpack.decode(plain, type=Words))

    def _kept(self, row: DocumentRow) -> Kept:
        place = f"{row.project}/{row.base}/{row.id}"
        about = msgspec.msgpack.decode(self._vault.open(row.sealed, row.tenant, DOCUMENTS, place), type=About)
        readers = tuple(filter(None, row.readers.split("\n")))
        return Kept(
            row.id,
            row.state,
            row.digest,
            row.kind,
            msgspec.convert(row.data_class, DataClass),
            readers,
            row.pages,
            row.created,
            row.changed,
            about,
        )

    async def _read_of(self, base: Base, work: Callable[..., T], **given: object) -> T:
        return await self._off(self._read, _bound(base, work, given))

    async def _write_to(self, base: Base, work: Callable[..., T], **given: object) -> T:
        return await self._off(self._write, _bound(base, work, given))

    async def _off(self, work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._aside, partial(work, *given, **named))


def _bound(base: Base, work: Callable[..., T], given: dict[str, object]) -> Work[T]:
    return partial(work, tenant=base.tenant, project=base.project, name=base.name, **given)


def _place(base: Base) -> str:
    """What rows of it are bound to, as rows.SEALED says."""
    return f"{base.project}/{base.name}"


def _deed(
    by: Caller, base: Base, action: str, before: Shown | None = None, after: Shown | None = None, document: str = ""
) -> Deed:
    thing = f"knowledge:{base.project}/{base.name}" + (f"/{document}" if document else "")
    return deed(by, base.tenant, action, thing, before, after)


def _now() -> int:
    """Unix ms."""
    return time.time_ns() // 1_000_000
