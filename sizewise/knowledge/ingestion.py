"""Documents into a base: read, cut, looked through, written down, then embedded step by step; resumes where it stopped.

Writing down comes first and is one transaction: from then on nothing that was brought is lost. Embedding takes passages
that wait, some at a time, whoever calls, so that a killed server goes on at the passage where it was.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import msgspec
from msgspec import Struct

from sizewise.data_class import DataClass, strictest
from sizewise.errors import BadRequest, StoreFailed
from sizewise.handler import Ask
from sizewise.knowledge.chunk import Cut, cut
from sizewise.knowledge.document import Document
from sizewise.knowledge.document_store import About, Kept, Ledger, Open, Piece, Words
from sizewise.knowledge.embedder import TOGETHER, Embedder, Vector, same_length
from sizewise.knowledge.injection_scan import Why, suspects
from sizewise.knowledge.keyword_index import Terms
from sizewise.knowledge.load import load
from sizewise.knowledge.open_stores import Shelves
from sizewise.knowledge.vector_store import FIELD, MOST_TAGS, Base, Passage, Tag
from sizewise.settings.knowledge import Knowledge

SOURCE = 1_000  # characters of a path, URL or name
READERS = 100
CLEAN = Why((), False)


class Brought(Struct, frozen=True):
    """A document as somebody brings it. `source` names it: the same one again takes its place. `sha256` (in hex) where
    it is known already, so that bytes need not come for what has not changed."""

    source: str
    data: bytes = b""
    sha256: str = ""
    read: Document | None = None  # where whoever brings it has read it; `sha256` is its bytes' then
    title: str = ""
    readers: tuple[str, ...] = ()
    data_class: DataClass | None = None
    tags: Mapping[str, Tag] = {}


class Taken(Struct, frozen=True):
    """What became of it: `added`, `changed`, `same`, or `wanted`: it is not known, and its bytes did not come."""

    source: str
    id: str
    outcome: str
    passages: int = 0
    held: int = 0
    notes: tuple[str, ...] = ()


class Left(Struct, frozen=True):
    """Passages embedded just now, and those that still wait."""

    done: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Filling:
    """Of one house."""

    ledger: Ledger
    shelves: Shelves
    embedder: Embedder
    usual: DataClass
    """The class of documents of which nobody says one."""

    async def bring(self, ask: Ask, base: Base, brought: Brought, said: Knowledge) -> Taken:
        """Reads it and writes it down; nothing is embedded yet. Raises BadRequest for what cannot be read."""
        _refuse(brought)
        model = self.embedder.model(said.embedding_model)
        open = await self.ledger.make(base, model, ask.caller)
        id = open.id(brought.source)
        data_class = brought.data_class or said.data_class or self.usual
        if ask.wishes.data_class is not None:  # what was found in one base is not kept less closely in another
            data_class = strictest(data_class, ask.wishes.data_class)
        hashed = brought.sha256 or sha256(brought.data).hexdigest()
        tags = {name: _tag(open, value) for name, value in brought.tags.items()}
        how = msgspec.json.encode(
            [said.chunk_tokens, said.chunk_overlap, said.on_injection, brought.title, 1], order="deterministic"
        )
        seen = msgspec.json.encode([data_class, sorted(brought.readers), tags], order="deterministic")
        digest = f"{open.digest(hashed.encode(), how)}{open.digest(seen)}"
        before = await self.ledger.document(base, id)
        if before is not None and before.state == "leaving":
            before = None
        if before is not None and before.digest == digest:
            return Taken(brought.source, id, "same", before.size.passages, before.size.held)
        if brought.sha256 and not brought.data and brought.read is None:
            return Taken(brought.source, id, "wanted")
        document = brought.read or await load(brought.data, brought.source)
        pieces = await asyncio.to_thread(self._pieces, open, id, document, brought, said, model)
        now = time.time_ns() // 1_000_000
        about = About(
            brought.source,
            brought.title or document.title,
            ask.caller.user or ask.caller.key,
            document.notes,
            dict(brought.tags),
        )
        kept = Kept(
            id,
            "waiting",
            digest,
            document.kind,
            data_class,
            brought.readers,
            document.pages,
            before.created if before else now,
            now,
            about,
        )
        anew = before is None or before.digest[40:] != digest[40:]
        async with self.shelves.turn(base):
            await self.ledger.put(base, kept, pieces, anew, ask.caller)
        held = sum(each.state == "held" for each in pieces)
        outcome = "added" if before is None else "changed"
        return Taken(brought.source, id, outcome, len(pieces), held, tuple(document.notes))

    def _pieces(
        self, open: Open, id: str, document: Document, brought: Brought, said: Knowledge, model: str
    ) -> list[Piece]:
        """Not for the event loop's thread. Raises BadRequest where there is nothing in it."""
        most = min(said.chunk_tokens, self.embedder.room(model))
        cuts = cut(document, self.embedder.count, most, min(said.chunk_overlap, most // 3))
        if not cuts:
            raise BadRequest(f"{brought.source[:200]!r} has no words in it", "add a file with something in it")
        why = suspects(cuts, brought.source)
        turns: Counter[str] = Counter()
        found = list[Piece]()
        for place, each in enumerate(cuts):
            above = " > ".join(each.headings)
            key = f"{above}\n{each.text}"
            turns[key] += 1
            words = Words(
                each.text,
                each.start,
                each.end,
                each.first,
                each.last,
                each.headings,
                each.tokens,
                why.get(place, CLEAN).reasons,
            )
            state = "held" if why.get(place, CLEAN).sure and said.on_injection == "hold" else "waiting"
            found.append(Piece(open.passage(id, key, turns[key]), id, place, state, words))
        return found

    async def embed(self, ask: Ask, base: Base, said: Knowledge, seconds: float) -> Left:
        """Embeds what waits in the base for some `seconds`, and has the store forget what left. Raises as the house,
        StoreFailed: then all goes on where it stood."""
        until, done = time.monotonic() + seconds, 0
        model = self.embedder.model(said.embedding_model)
        async with self.shelves.turn(base):
            open = await self.ledger.base(base)
            if open is None:
                return Left(0, 0)
            if open.model != model:
                await self.shelves.remove(base)
                await self.ledger.embedded_by(base, model, 0)
                open = await self.ledger.base(base)
                assert open is not None
            terms = Terms(open.key)
            while documents := await self.ledger.unsettled(base):
                for document in documents:
                    if document.state == "leaving":
                        if open.dimension:
                            await (await self.shelves.shelf(base, open.dimension)).drop(document.id)
                        await self.ledger.gone(base, document.id)
                        continue
                    while pieces := await self.ledger.pieces(base, document.id, "waiting", TOGETHER):
                        open = await self._some(ask, open, document, pieces, terms)
                        done += len(pieces)
                        if time.monotonic() > until:
                            return Left(done, (await self.ledger.size(base)).waiting)
                    await self._finish(open, document)
                if time.monotonic() > until:
                    break
        return Left(done, (await self.ledger.size(base)).waiting)

    async def _some(self, ask: Ask, open: Open, document: Kept, pieces: Sequence[Piece], terms: Terms) -> Open:
        title, base = document.about.title or document.about.source, open.base
        texts = [self.embedder.said(_cut(each), title) for each in pieces]
        vectors = await self.embedder.vectors(ask, open.model, texts, document.data_class)
        dimension = same_length(vectors, open.dimension)
        if not open.dimension:
            await self.ledger.embedded_by(base, open.model, dimension)
            open = msgspec.structs.replace(open, dimension=dimension)
        shelf = await self.shelves.shelf(base, dimension)
        refused = await shelf.put(await asyncio.to_thread(_passages, open, document, pieces, vectors, texts, terms))
        if refused:
            raise StoreFailed(f"the store did not take a passage: {next(iter(refused.values()))}", "see its own log")
        await self.ledger.mark(base, [each.id for each in pieces], "ready")
        return open

    async def _finish(self, open: Open, document: Kept) -> None:
        """All of it is embedded: what was there before goes."""
        if open.dimension:
            shelf = await self.shelves.shelf(open.base, open.dimension)
            await shelf.drop(document.id, but=await self.ledger.ids(open.base, document.id))
        await self.ledger.settled(open.base, document.id)


def _passages(
    open: Open,
    document: Kept,
    pieces: Sequence[Piece],
    vectors: Sequence[Vector],
    texts: Sequence[str],
    terms: Terms,
) -> list[Passage]:
    tags = {name: _tag(open, value) for name, value in document.about.tags.items()}
    return [
        Passage(
            each.id,
            document.id,
            vector,
            terms(text),
            b"",
            document.readers,
            document.data_class,
            tags,
        )
        for each, vector, text in zip(pieces, vectors, texts, strict=True)
    ]


def _cut(piece: Piece) -> Cut:
    its = piece.words
    return Cut(its.text, its.start, its.end, its.first, its.last, its.headings, its.tokens)


def _tag(open: Open, value: Tag) -> Tag:
    """As the store sees it: a text as a token that is only equal to itself."""
    terms = Terms(open.key)
    if isinstance(value, str):
        return terms.token(value)
    return tuple(terms.token(each) for each in value) if isinstance(value, tuple) else value


def _refuse(brought: Brought) -> None:
    """Raises BadRequest for what cannot be a document, whatever is in it."""
    if not brought.source.strip() or len(brought.source) > SOURCE or not brought.source.isprintable():
        hint = f"a path, URL or name of up to {SOURCE:,} printable characters"
        raise BadRequest(f"{brought.source[:100]!r} names no document", hint, param="source")
    if len(brought.readers) > READERS or any(not each.isprintable() or len(each) > 200 for each in brought.readers):
        raise BadRequest(f"a document has at most {READERS} readers", "user:ID or key:ID", param="readers")
    if wrong := next((each for each in brought.readers if each.partition(":")[0] not in ("user", "key")), ""):
        raise BadRequest(f"{wrong[:100]!r} is no reader", "user:ID or key:ID", param="readers")
    if len(brought.tags) > MOST_TAGS or any(not FIELD.match(name) for name in brought.tags):
        raise BadRequest(f"a document has at most {MOST_TAGS} tags, named by letters, digits and '_'", param="tags")
