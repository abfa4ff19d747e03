"""Knowledge as one house has it: who may see and change which base, and every way in and out; knows no door.

A base belongs to a project, and nobody outside finds it. What of a document a caller may see is asked of the store,
with the question, and held once more against what is written down: a store that forgot a change shows nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import msgspec
from msgspec import Struct

from sizewise.auth.authorization import Thing, demand
from sizewise.catalog.loader import known
from sizewise.data_class import CLASSES, DataClass, Place
from sizewise.errors import BadRequest, SizewiseError, UnknownPath, nearest
from sizewise.handler import Answerer, Ask
from sizewise.knowledge.document_store import Kept, Ledger, Piece
from sizewise.knowledge.embedder import Embedder
from sizewise.knowledge.folder import files
from sizewise.knowledge.ingestion import Brought, Filling, Left, Taken
from sizewise.knowledge.keyword_index import Terms
from sizewise.knowledge.open_stores import USUAL, Shelves
from sizewise.knowledge.reranker import by_model, by_words
from sizewise.knowledge.results import Found
from sizewise.knowledge.tables import Size
from sizewise.knowledge.vector_store import Base, Every, Is, Query, Some, Tag, Where, Without
from sizewise.knowledge.web_page import Terms as Given
from sizewise.knowledge.web_page import Web, is_url
from sizewise.model_card import Card
from sizewise.principal import Caller
from sizewise.settings.knowledge import Knowledge
from sizewise.settings.load import Settings
from sizewise.settings.validators import NAME

Mode = Literal["hybrid", "vector", "words"]
MANAGE = "manage_knowledge"
QUERY = 20_000  # characters of a question
WIDER = 3
"""So many times as many as are wanted are put in order."""
MOST = 200
STEP_S = 5.0


class Told(Struct, frozen=True):
    """A base, as its project sees it."""

    name: str
    project: str
    created: int
    model: str
    size: Size


class Synced(Struct, frozen=True):
    """What became of the sources that the settings name: those that were read, those removed, and what went wrong."""

    taken: tuple[Taken, ...]
    removed: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Library:
    """`given`: on which terms an Ask stands."""

    ledger: Ledger
    shelves: Shelves
    embedder: Embedder
    answer: Answerer
    web: Web
    said: Mapping[str, Knowledge]
    given: Callable[[Ask], Given]
    usual: DataClass

    # Looking

    async def search(
        self,
        ask: Ask,
        name: str,
        query: str,
        *,
        limit: int = 5,
        mode: Mode = "hybrid",
        alpha: float | None = None,
        most: DataClass | None = None,
        documents: Sequence[str] = (),
        where: Where | None = None,
    ) -> list[Found]:
        """Passages that `ask.caller` may see, the best first. `most`: of no stricter class than this.

        Raises UnknownPath, BadRequest, and as the house and the store do. Whatever uses what is found must be kept as
        closely as `tightest` says.
        """
        caller = ask.caller
        demand(caller, "ask", self._thing(caller, name))
        base, said = Base(caller.tenant, caller.project, name), self._said(name)
        if not query.strip() or len(query) > QUERY:
            hint = "cut it" if query.strip() else "say what to look for"
            raise BadRequest(f"a question has 1 to {QUERY:,} characters", hint, param="query")
        if not 1 <= limit <= MOST:
            raise BadRequest(f"a search brings 1 to {MOST} passages, not {limit!r}", param="limit")
        open = await self.ledger.base(base)
        if open is None:
            raise await self._unknown(base)
        if not open.dimension:
            return []
        weigh = {"hybrid": said.alpha, "vector": 1.0, "words": 0.0}[mode] if alpha is None else alpha
        vector: Sequence[float] = ()
        if weigh > 0:
            cut = self._shortened(query, open.model)
            vector = (await self.embedder.vectors(ask, open.model, [cut], None))[0]
        terms, given = Terms(open.key), self.given(ask)
        asked = Query(
            vector,
            terms(query) if weigh < 1 else {},
            weigh,
            min(MOST, limit if said.rerank == "none" else max(10, WIDER * limit)),
            readers(caller),
            CLASSES if most is None else CLASSES[: CLASSES.index(most) + 1],
            tuple(documents),
            None if where is None else _keyed(where, terms),
            given.data_class,
            given.limit or "process",
        )
        hits = await (await self.shelves.shelf(base, open.dimension)).search(asked)
        found = await self._found(base, caller, [(hit.id, hit.score) for hit in hits], asked.reach)
        if said.rerank == "words":
            found = by_words(query, found)
        elif said.rerank != "none":
            found = await by_model(self.answer, ask, said.rerank, query, found)
        return found[:limit]

    async def _found(
        self, base: Base, caller: Caller, hits: Sequence[tuple[str, float]], reach: Sequence[DataClass]
    ) -> list[Found]:
        """Hits with their words, as far as what is written down lets the caller see them."""
        pieces = await self.ledger.some(base, [id for id, _ in hits])
        documents = await self.ledger.known(base, list({each.document for each in pieces.values()}))
        found = list[Found]()
        for id, score in hits:
            piece = pieces.get(id)
            document = documents.get(piece.document) if piece is not None else None
            if piece is None or document is None or document.state == "leaving":
                continue
            if document.data_class not in reach or not _reads(caller, document):
                continue
            found.append(_told(piece, document, score))
        return found

    def _shortened(self, query: str, model: str) -> str:
        """What of a long question the model reads: the beginning and, where people ask, the end."""
        most = self.embedder.room(model)
        if self.embedder.count(query) <= most:
            return query
        words, half = query.split(), most // 2
        while words and self.embedder.count(" ".join([*words[:half], *words[-half:]])) > most and half > 1:
            half = half * 3 // 4
        return " ".join([*words[:half], *words[-half:]])[: most * 4]

    # Filling

    async def ingest(self, ask: Ask, name: str, brought: Sequence[Brought], seconds: float = 3_600) -> list[Taken]:
        """Written down and embedded when this returns, if that is done in `seconds`."""
        taken = [await self.bring(ask, name, each) for each in brought]
        left = await self.embed(ask, name, seconds)
        if left.waiting:
            raise BadRequest(
                f"{left.waiting:,} passages still wait to be embedded", "call again: it goes on from there"
            )
        return taken

    async def bring(self, ask: Ask, name: str, brought: Brought) -> Taken:
        """Written down; `embed` does the rest. Raises BadRequest for what cannot be read."""
        base = self._managed(ask.caller, name)
        return await self._filling.bring(ask, base, brought, self._said(name))

    async def bring_page(self, ask: Ask, name: str, url: str, brought: Brought | None = None) -> Taken:
        """A page of the web, of an origin that a source of the base has. Raises UnknownPath where it is gone."""
        self._managed(ask.caller, name)
        data = await self.web.page(url, self._said(name), self.given(ask))
        if data is None:
            raise UnknownPath(f"there is nothing at {url.partition('?')[0][:200]!r} any more", "name another page")
        return await self.bring(ask, name, msgspec.structs.replace(brought or Brought(url), source=url, data=data))

    async def embed(self, ask: Ask, name: str, seconds: float = STEP_S) -> Left:
        """Some of what waits."""
        base = self._managed(ask.caller, name)
        return await self._filling.embed(ask, base, self._said(name), seconds)

    async def sync(self, ask: Ask, name: str) -> Synced:
        """Reads the sources that the settings name; what is there no more is removed."""
        base, said, caller = self._managed(ask.caller, name), self._said(name), ask.caller
        if not said.sources:
            hint = f'sources = ["docs"] in [knowledge.{name}] of sizewise.toml, or name a folder'
            raise BadRequest(f"the settings name no sources for {name!r}", hint)
        if caller.tenant != "local" or caller.project != said.project:
            raise BadRequest(f"the sources of {name!r} are read for the project {said.project!r}", "use a key of it")
        taken, failed, there = list[Taken](), list[tuple[str, str]](), set[str]()
        for source in said.sources:
            if is_url(source):
                try:
                    taken.append(await self.bring_page(ask, name, source))
                except UnknownPath:
                    continue
                except SizewiseError as error:
                    failed.append((source, error.message))
                there.add(source)
                continue
            for file in await asyncio.to_thread(files, Path(source)):
                there.add(file.source)
                try:
                    data = await asyncio.to_thread(file.path.read_bytes)
                    taken.append(await self.bring(ask, name, Brought(file.source, data)))
                except OSError as error:
                    failed.append((file.source, error.strerror or "cannot be read"))
                except SizewiseError as error:
                    failed.append((file.source, error.message))
        roots = tuple(f"{Path(source).name}/" for source in said.sources if not is_url(source))
        removed = list[str]()
        for kept in await self.documents(caller, name):
            source = kept.about.source
            if source not in there and (is_url(source) or source.startswith(roots)):
                await self.ledger.leave(base, kept.id, caller)
                removed.append(source)
        return Synced(tuple(taken), tuple(removed), tuple(failed))

    async def forget(self, caller: Caller, name: str, document: str) -> None:
        """A document, by its id. Raises UnknownPath."""
        base = self._managed(caller, name)
        if not await self.ledger.leave(base, document, caller):
            raise _no_document(document)

    async def release(self, caller: Caller, name: str, document: str) -> int:
        """Passages that were held back as suspect are found from now on, once they are embedded. How many."""
        base = self._managed(caller, name)
        if await self.ledger.document(base, document) is None:
            raise _no_document(document)
        return await self.ledger.release(base, document, caller)

    async def remove(self, caller: Caller, name: str) -> None:
        """The base with all that is in it. Raises UnknownPath."""
        base = self._managed(caller, name)
        async with self.shelves.turn(base):
            open = await self.ledger.base(base)
            if open is None:
                raise await self._unknown(base)
            if open.dimension:
                await self.shelves.remove(base)
            await self.ledger.remove_base(base, caller)

    # Telling

    async def bases(self, caller: Caller) -> list[Told]:
        found = await self.ledger.bases(caller.tenant, None if caller.wide else caller.project)
        return [Told(base.name, base.project, created, model, size) for base, created, model, size in found]

    async def documents(self, caller: Caller, name: str, after: str = "", limit: int = 100_000) -> list[Kept]:
        """Of those that the caller may read, or manage. Raises UnknownPath."""
        base = Base(caller.tenant, caller.project, name)
        if await self.ledger.base(base) is None:
            raise await self._unknown(base)
        found, manages = list[Kept](), MANAGE in caller.may
        while len(found) < limit:
            page = await self.ledger.documents(base, after, min(1_000, limit))
            found += [each for each in page if each.state != "leaving" and (manages or _reads(caller, each))]
            if len(page) < min(1_000, limit):
                break
            after = page[-1].id
        return found[:limit]

    async def document(self, caller: Caller, name: str, id: str) -> tuple[Kept, list[Piece]]:
        """With its passages where the caller may read it. Raises UnknownPath."""
        base = Base(caller.tenant, caller.project, name)
        found = await self.ledger.document(base, id)
        manages = MANAGE in caller.may
        if found is None or found.state == "leaving" or not (manages or _reads(caller, found)):
            raise _no_document(id)
        pieces = await self.ledger.pieces(base, id) if _reads(caller, found) else []
        return found, [each for each in pieces if each.state != "old"]

    # Whose

    @property
    def _filling(self) -> Filling:
        return Filling(self.ledger, self.shelves, self.embedder, self.usual)

    def _said(self, name: str) -> Knowledge:
        return self.said.get(name, USUAL)

    def _managed(self, caller: Caller, name: str) -> Base:
        """Raises Forbidden, and BadRequest for what cannot be a name."""
        if not NAME.match(name) or len(name) > 64:
            raise BadRequest(f"{name[:100]!r} is no name of a base", "letters, digits, '.', '_', '-'", param="base")
        demand(caller, MANAGE, self._thing(caller, name))
        return Base(caller.tenant, caller.project, name)

    def _thing(self, caller: Caller, name: str) -> Thing:
        return Thing(caller.tenant, caller.project, name=f"knowledge:{name[:100]}")

    async def _unknown(self, base: Base) -> UnknownPath:
        known = [each.name for each, *_ in await self.ledger.bases(base.tenant, base.project)]
        hint = nearest(base.name, known) or f"fill it: sizewise knowledge add {base.name[:64]} FILE..."
        return UnknownPath(f"there is no knowledge base {base.name[:100]!r} in this project", hint)


class Bounds(Protocol):
    """On which terms a request stands, as routing has it."""

    @property
    def data_class(self) -> DataClass: ...
    @property
    def limit(self) -> Place | None: ...


def library(
    settings: Settings,
    ledger: Ledger,
    shelves: Shelves,
    answer: Answerer,
    cards: Sequence[Card],
    reach: Mapping[DataClass, Place],
    bounds: Callable[[Ask], Bounds],
) -> Library:
    """For one house, whose whole onion `answer` is. Raises ConfigError."""
    fetchable = [card.model for card in known(settings) if card.task == "embed"]

    def given(ask: Ask) -> Given:
        its = bounds(ask)
        return Given(its.data_class, its.limit)

    return Library(
        ledger,
        shelves,
        Embedder(answer, cards, fetchable),
        answer,
        Web(reach, settings.proxies, settings.ca),
        settings.knowledge,
        given,
        settings.router.data_class,
    )


def _no_document(id: str) -> UnknownPath:
    return UnknownPath(f"there is no document {id[:100]!r} in this base", "`sizewise knowledge list NAME` lists them")


def readers(caller: Caller) -> tuple[str, ...]:
    """Whom a document can name so that this caller may see it."""
    return tuple(
        filter(None, (f"user:{caller.user}" if caller.user else "", f"key:{caller.key}" if caller.key else ""))
    )


def _reads(caller: Caller, document: Kept) -> bool:
    return not document.readers or bool(set(document.readers).intersection(readers(caller)))


def _told(piece: Piece, document: Kept, score: float) -> Found:
    its = piece.words
    return Found(
        piece.id,
        document.id,
        document.about.source,
        document.about.title,
        its.text,
        score,
        its.first,
        tuple(range(its.first, its.last + 1)) if its.first else (),
        its.headings,
        its.start,
        its.end,
        document.data_class,
        its.suspect,
    )


def _keyed(where: Where, terms: Terms) -> Where:
    """The same filter, with texts as the store knows them."""
    if isinstance(where, Is):
        values = tuple(terms.token(each) if isinstance(each, str) else each for each in where.values)
        return Is(where.field, values)
    if isinstance(where, (Every, Some)):
        return type(where)(tuple(_keyed(each, terms) for each in where.of))
    if isinstance(where, Without):
        return Without(_keyed(where.it, terms))
    return where


def equals(where: Mapping[str, Tag]) -> Where | None:
    """A filter in plain JSON: each tag equal to its value, or to one of several."""
    tests = tuple(Is(name, value if isinstance(value, tuple) else (value,)) for name, value in where.items())
    return None if not tests else tests[0] if len(tests) == 1 else Every(tests)
