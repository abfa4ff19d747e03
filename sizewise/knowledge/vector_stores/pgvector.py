"""Vector store in the Postgres of `[database]` with the `vector` extension; can be shared by several servers.

Each base has tables of its own: passages; term weights, so that BM25 is a sum over an index; and the number of passages
per term. So filters and vector indexes never see rows of another base. What is stored in plain: vector_store.py.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text, TextClause, delete, insert, select, text
from sqlalchemy.schema import CreateTable

from sizewise.errors import ConfigError, Conflict, StorageError
from sizewise.knowledge.fusion import candidate_limit, fuse_scores
from sizewise.knowledge.vector_store import (
    K1,
    MAX_DIMENSIONS,
    FilterAnd,
    FilterOr,
    KnowledgeBaseId,
    Passage,
    PassageQuery,
    SearchHit,
    StoreContext,
    TagFilter,
    TagIn,
    TagRange,
    Vector,
    bm25_weights,
    filter_tokens,
    inverse_document_frequency,
    match_tokens,
    numeric_tags,
    required_tokens,
    validate_passages,
    validate_query,
)
from sizewise.storage.database import Database, open_database, translate_errors
from sizewise.storage.migrations import BIG_INTEGER, Migrations

T = TypeVar("T")
BindValues = dict[str, object]

THREADS = 8
BATCH_SIZE = 1_000
INDEXED = 2_000
"""Largest dimension that the extension indexes in full precision; up to twice that in half precision."""
SELECTED = 0.05
"""The rarest terms of a query select the passages that are scored, up to this share of the base (and
SELECTED_AT_LEAST); more common terms only add to the scores of these. Otherwise a query with a few common words scores
most of the base."""
SELECTED_AT_LEAST = 2_000
SCORED_WHOLE = 0.2  # share of the base that the rarest term selects from which one sum over all terms is faster
READ_FACTOR = 4
"""Passages read per hit, best scores first, to leave out those that a filter excludes. Reading all that are scored
took most of the time: 75,000 of 100,000 for a query with `of`, `the` and `to`."""
BESIDE = 1_500
"""Largest dimension stored in the row itself; larger vectors cost a lookup each in a full scan."""
FRESH = 20_000  # passages searched without an index; a full scan takes about 30 ms
SCANNED = 200  # minimum hnsw.ef_search
BUILDING = "256MB"  # maintenance_work_mem for building an index

PASSAGE_COLLECTIONS = Table(
    "passage_shelves",
    MetaData(),
    Column("key", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("dimension", Integer, nullable=False),
    Column("passages", BIG_INTEGER, nullable=False),  # updated with every write; its row lock serializes writers
)
SCHEMA = Migrations("passages", ((CreateTable(PASSAGE_COLLECTIONS),),))


@dataclass(frozen=True, slots=True)
class TableNames:
    """Table names of a base. They contain only `key`, a hash, and no user input."""

    key: str
    dimension: int

    @property
    def passages(self) -> str:
        return f"passages_{self.key}"

    @property
    def terms(self) -> str:
        return f"passage_terms_{self.key}"

    @property
    def distance_operator(self) -> str:
        """The vector expression; the same as in the index, so that the index is used."""
        kind = "vector" if self.dimension <= INDEXED else "halfvec"
        return f"CAST(vector AS {kind}({self.dimension}))"

    def sql(self, statement: str) -> TextClause:
        said = (
            statement.replace("{passages}", self.passages)
            .replace("{terms}", self.terms)
            .replace("{near}", self.distance_operator)
        )
        said = said.replace("{words}", f"passage_words_{self.key}")
        said = said.replace("{near_index}", f"passages_near_{self.key}")
        kind = "vector" if self.dimension <= INDEXED else "halfvec"
        said = said.replace("{storage}", "PLAIN" if self.dimension <= BESIDE else "EXTERNAL")
        return text(said.replace("{kind}", kind).replace("{size}", str(self.dimension)))


class PgvectorStore:
    """One per server; several servers may share a database."""

    def __init__(self, context: StoreContext) -> None:
        """Raises ConfigError if `[database]` is not a Postgres."""
        if not context.url.startswith("postgresql"):
            hint = 'set url in [database] to a Postgres, or vector_store = "qdrant" in [knowledge.NAME]'
            raise ConfigError("the store 'pgvector' needs a Postgres", hint)
        self._url = context.url
        self._database: Database | None = None
        self._threads = ThreadPoolExecutor(THREADS, "sizewise-pgvector")
        self._connecting = asyncio.Lock()
        self._optimizing = asyncio.Lock()
        self._open: dict[str, TableNames] = {}
        self._due: dict[str, asyncio.Task[None]] = {}

    async def open(self, base: KnowledgeBaseId, dimension: int) -> PgvectorCollection:
        if not 1 <= dimension <= MAX_DIMENSIONS:
            raise ConfigError(f"vectors must have 1 to {MAX_DIMENSIONS} dimensions, not {dimension}")
        names = TableNames(base.hashed, dimension)
        await self.write(partial(_opened, base, names))
        self._open[base.hashed] = names
        return PgvectorCollection(self, names)

    async def remove(self, base: KnowledgeBaseId) -> None:
        self._open.pop(base.hashed, None)
        await self.write(partial(_removed, TableNames(base.hashed, 1)))

    async def count(self, base: KnowledgeBaseId) -> int:
        return await self.read(partial(_stored, TableNames(base.hashed, 1)))

    async def optimize(self) -> None:
        for names in list(self._open.values()):
            await self._optimize(names)

    async def close(self) -> None:
        await asyncio.gather(*self._due.values(), return_exceptions=True)
        await asyncio.to_thread(self._threads.shutdown)
        if self._database is not None:
            self._database.close()

    async def read(self, work: Callable[[Connection], T]) -> T:
        def done(database: Database) -> T:
            with database.read() as connection:
                return work(connection)

        return await self._done(done)

    async def write(self, work: Callable[[Connection], T]) -> T:
        def done(database: Database) -> T:
            with database.write() as connection:
                return work(connection)

        return await self._done(done)

    def schedule_optimize(self, names: TableNames) -> None:
        """Optimizes a base in the background, unless that is already running."""
        if names.key not in self._due:
            self._due[names.key] = task = asyncio.create_task(self._optimize_in_background(names))
            task.add_done_callback(lambda _: self._due.pop(names.key, None))

    async def _optimize_in_background(self, names: TableNames) -> None:
        with suppress(StorageError, Conflict):  # searches stay slower until the next attempt
            await self._optimize(names)

    async def _optimize(self, names: TableNames) -> None:
        async with self._optimizing:
            await self._done(partial(_settled, names))

    async def _done(self, work: Callable[[Database], T]) -> T:
        loop = asyncio.get_running_loop()
        async with self._connecting:
            if self._database is None:
                self._database = await loop.run_in_executor(self._threads, _connected, self._url)
        return await loop.run_in_executor(self._threads, work, self._database)


class PgvectorCollection:
    def __init__(self, store: PgvectorStore, names: TableNames) -> None:
        self._store = store
        self._names = names

    async def upsert(self, passages: Sequence[Passage]) -> Mapping[str, str]:
        refused = dict[str, str]()
        for first in range(0, len(passages), BATCH_SIZE):
            good, bad = validate_passages(passages[first : first + BATCH_SIZE], self._names.dimension)
            refused |= bad
            if good:
                before, after = await self._store.write(partial(_put, self._names, good))
                if before // FRESH != after // FRESH:
                    self._store.schedule_optimize(self._names)
        return refused

    async def delete_document(self, document: str, *, keep: Iterable[str] = ()) -> int:
        return await self._store.write(partial(_dropped, self._names, document, list(keep)))

    async def search(self, query: PassageQuery) -> list[SearchHit]:
        query = validate_query(query, self._names.dimension)
        return await self._store.read(partial(_searched, self._names, query))

    async def count(self) -> int:
        return await self._store.read(partial(_counted, self._names))

    async def stored_ids(self, ids: Sequence[str]) -> set[str]:
        stored = set[str]()
        for first in range(0, len(ids), BATCH_SIZE):
            stored |= await self._store.read(partial(_stored_ids, self._names, list(ids[first : first + BATCH_SIZE])))
        return stored


def _connected(url: str) -> Database:
    """Creates the extension if necessary. Raises ConfigError if it is not available, StorageError."""
    database = open_database(url, [SCHEMA])
    try:
        with database.write() as connection:
            if connection.scalar(text("SELECT 1 FROM pg_extension WHERE extname = 'vector'")) is None:
                if connection.scalar(text("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'")) is None:
                    hint = "install pgvector 0.8 or newer on its server (Debian: postgresql-17-pgvector)"
                    raise ConfigError("the Postgres of [database] does not have the extension 'vector'", hint)
                # `IF NOT EXISTS` is an error in all but one of several servers that start at once.
                connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('vector', 0))"))
                connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
    except BaseException as error:
        database.close()
        if isinstance(error, StorageError) and "permission denied" in error.message:
            hint = "have the owner of the database run once: CREATE EXTENSION vector"
            raise ConfigError("the user of the Postgres in [database] may not create extensions", hint) from error
        raise
    return database


def _opened(base: KnowledgeBaseId, names: TableNames, connection: Connection) -> None:
    known = select(PASSAGE_COLLECTIONS.c.dimension).where(PASSAGE_COLLECTIONS.c.key == base.hashed)
    found = connection.scalar(known)
    if found is None:
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": base.hashed})
        found = connection.scalar(known)
    elif not _has_tables(names, connection):  # such as after a restore without them
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": base.hashed})
        if not _has_tables(names, connection):
            _removed(names, connection)
            found = None
    if found is None:
        row = {"key": base.hashed, "tenant": base.tenant, "project": base.project, "name": base.name}
        connection.execute(insert(PASSAGE_COLLECTIONS).values(**row, dimension=names.dimension, passages=0))
        for words in TABLES:
            connection.execute(names.sql(words))
    elif found != names.dimension:
        told = f"the knowledge base has vectors with {found} dimensions, not {names.dimension}"
        raise Conflict(told, "use another knowledge base, or ingest this one again")


TABLES = (
    "CREATE TABLE {passages} (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id uuid NOT NULL UNIQUE,"
    " document text NOT NULL, vector vector({size}) NOT NULL, marks text[] NOT NULL, numbers jsonb NOT NULL,"
    " terms bigint[] NOT NULL, sealed bytea NOT NULL)",
    "ALTER TABLE {passages} ALTER vector SET STORAGE {storage}",
    "CREATE INDEX ON {passages} USING gin (marks)",
    "CREATE TABLE {terms} (term bigint NOT NULL, number bigint NOT NULL, weight real NOT NULL,"
    " PRIMARY KEY (term, number) INCLUDE (weight))",
    "CREATE TABLE {words} (term bigint PRIMARY KEY, held bigint NOT NULL) WITH (fillfactor = 70)",
)


def _removed(names: TableNames, connection: Connection) -> None:
    connection.execute(delete(PASSAGE_COLLECTIONS).where(PASSAGE_COLLECTIONS.c.key == names.key))
    connection.execute(names.sql("DROP TABLE IF EXISTS {passages}, {terms}, {words}"))


def _put(names: TableNames, passages: Sequence[Passage], connection: Connection) -> tuple[int, int]:
    """Number of passages before and after."""
    before = _turn(names, connection)
    gone = _forgotten(names, "id = ANY(CAST(:ids AS uuid[]))", {"ids": [each.id for each in passages]}, connection)
    row = names.sql(
        "INSERT INTO {passages} (id, document, vector, marks, numbers, terms, sealed) VALUES"
        " (:id, :document, CAST(:vector AS vector), :marks, CAST(:numbers AS jsonb), CAST(:terms AS bigint[]),"
        " :sealed)",
    )
    connection.execute(row, [_row(each) for each in passages])
    numbered = names.sql("SELECT id, number FROM {passages} WHERE id = ANY(CAST(:ids AS uuid[]))")
    ids = {str(row.id): row.number for row in connection.execute(numbered, {"ids": [each.id for each in passages]})}
    said = [(term, ids[each.id], weight) for each in passages for term, weight in bm25_weights(each.terms).items()]
    if said:
        words = (
            "INSERT INTO {terms} SELECT * FROM unnest(CAST(:term AS bigint[]), CAST(:number AS bigint[]),"
            " CAST(:weight AS real[]))"
        )
        term, number, weight = (list(column) for column in zip(*said, strict=True))
        connection.execute(names.sql(words), {"term": term, "number": number, "weight": weight})
        counted = (
            "INSERT INTO {words} SELECT term, count(*) FROM unnest(CAST(:term AS bigint[])) AS term GROUP BY term"
            " ON CONFLICT (term) DO UPDATE SET held = {words}.held + excluded.held"
        )
        connection.execute(names.sql(counted), {"term": term})
    return before, _recount(names, len(passages) - gone, connection)


def _row(passage: Passage) -> BindValues:
    return {
        "id": passage.id,
        "document": passage.document,
        "vector": _text(passage.vector),
        "marks": filter_tokens(passage.document, passage.data_class, passage.readers, passage.tags),
        "numbers": json.dumps(numeric_tags(passage.tags)),
        "terms": list(passage.terms),
        "sealed": passage.sealed,
    }


def _dropped(names: TableNames, document: str, but: list[str], connection: Connection) -> int:
    _turn(names, connection)
    which = "marks && CAST(:its AS text[]) AND NOT (id = ANY(CAST(:but AS uuid[])))"
    gone = _forgotten(names, which, {"its": [f"d={document}"], "but": but}, connection)
    _recount(names, -gone, connection)
    return gone


def _turn(names: TableNames, connection: Connection) -> int:
    """Locks the base against other writers. Returns its number of passages."""
    waited = select(PASSAGE_COLLECTIONS.c.passages).where(PASSAGE_COLLECTIONS.c.key == names.key).with_for_update()
    found = connection.scalar(waited)
    if found is None:
        raise StorageError("the knowledge base was deleted", "open it again")
    return int(found)


def _forgotten(names: TableNames, which: str, values: BindValues, connection: Connection) -> int:
    words = (
        "WITH gone AS (DELETE FROM {passages} WHERE " + which + " RETURNING number, terms),"
        " words AS (DELETE FROM {terms} USING (SELECT number, unnest(terms) AS term FROM gone) AS its"
        " WHERE {terms}.term = its.term AND {terms}.number = its.number),"
        " fewer AS (UPDATE {words} SET held = held - its.times FROM"
        " (SELECT term, count(*) AS times FROM gone, unnest(terms) AS term GROUP BY term) AS its"
        " WHERE {words}.term = its.term)"
        " SELECT count(*) FROM gone"
    )
    return int(connection.scalar(names.sql(words), values) or 0)


def _recount(names: TableNames, more: int, connection: Connection) -> int:
    words = "UPDATE passage_shelves SET passages = passages + :more WHERE key = :key RETURNING passages"
    return int(connection.scalar(text(words), {"more": more, "key": names.key}) or 0)


def _counted(names: TableNames, connection: Connection) -> int:
    return int(
        connection.scalar(select(PASSAGE_COLLECTIONS.c.passages).where(PASSAGE_COLLECTIONS.c.key == names.key)) or 0,
    )


def _stored(names: TableNames, connection: Connection) -> int:
    """Counts the rows themselves, which may have been lost without the count of `passage_shelves`."""
    if not _has_tables(names, connection):
        return 0
    return int(connection.scalar(names.sql("SELECT count(*) FROM {passages}")) or 0)


def _stored_ids(names: TableNames, ids: list[str], connection: Connection) -> set[str]:
    words = names.sql("SELECT CAST(id AS text) FROM {passages} WHERE id = ANY(CAST(:ids AS uuid[]))")
    return set(connection.scalars(words, {"ids": ids}))


def _has_tables(names: TableNames, connection: Connection) -> bool:
    return bool(connection.scalar(text("SELECT to_regclass(:name) IS NOT NULL"), {"name": names.passages}))


def _settled(names: TableNames, database: Database) -> None:
    """Builds the vector index if there are many passages, concurrently with other work, and updates statistics. One
    server at a time.

    An index whose build was interrupted exists but is invalid; it is rebuilt.
    """
    autocommit = database.engine.execution_options(isolation_level="AUTOCOMMIT", begin="")
    with translate_errors(database.location), autocommit.connect() as connection:
        key = {"key": f"settle {names.key}"}
        if not connection.scalar(text("SELECT pg_try_advisory_lock(hashtextextended(:key, 0))"), key):
            return
        try:
            many = _counted(names, connection)
            if many >= FRESH and names.dimension <= 2 * INDEXED and not _indexed(names, connection):
                connection.execute(names.sql("DROP INDEX IF EXISTS {near_index}"))
                connection.execute(text(f"SET maintenance_work_mem = '{BUILDING}'"))
                index = "CREATE INDEX CONCURRENTLY {near_index} ON {passages} USING hnsw (({near}) {kind}_cosine_ops)"
                connection.execute(names.sql(index))
                connection.execute(text("RESET maintenance_work_mem"))
            connection.execute(names.sql("VACUUM ANALYZE {passages}"))
            connection.execute(names.sql("VACUUM ANALYZE {terms}"))
            connection.execute(names.sql("VACUUM ANALYZE {words}"))
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(hashtextextended(:key, 0))"), key)


def _indexed(names: TableNames, connection: Connection) -> bool:
    words = names.sql("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('{near_index}')")
    return bool(connection.scalar(words))


def _searched(names: TableNames, query: PassageQuery, connection: Connection) -> list[SearchHit]:
    if query.alpha == 1 or (query.alpha > 0 and not query.terms):
        return _near(names, query, query.limit, connection)
    if query.alpha == 0:
        return _worded(names, query, query.limit, connection) if query.terms else []
    many = candidate_limit(query.limit)
    near, worded = _near(names, query, many, connection), _worded(names, query, many, connection)
    hits = {hit.id: hit for hit in (*near, *worded)}
    cosines, scores = {hit.id: hit.score for hit in near}, {hit.id: hit.score for hit in worded}
    cosines |= _cosines(names, query, list(hits.keys() - cosines.keys()), connection)
    scores |= _keyword_scores(names, query, list(hits.keys() - scores.keys()), connection)
    fused = fuse_scores(cosines, scores, words=len(query.terms), alpha=query.alpha, limit=query.limit)
    return [SearchHit(id, hits[id].document, score, hits[id].sealed) for id, score in fused.items()]


def _cosines(names: TableNames, query: PassageQuery, ids: list[str], connection: Connection) -> dict[str, float]:
    words = (
        "SELECT CAST(id AS text) AS id, 1 - ({near} <=> CAST(:asked AS {kind}({size}))) AS score FROM {passages}"
        " WHERE id = ANY(CAST(:ids AS uuid[]))"
    )
    rows = connection.execute(names.sql(words), {"asked": _text(query.vector), "ids": ids}) if ids else ()
    return {row.id: float(row.score) for row in rows}


def _keyword_scores(names: TableNames, query: PassageQuery, ids: list[str], connection: Connection) -> dict[str, float]:
    """Of those of the ids that have one of the query's terms."""
    if not ids:
        return {}
    worth = _worth(query, *_document_frequencies(names, query, connection))
    words = (
        "SELECT CAST(id AS text) AS id, sum(weight * worth) AS score FROM {passages} JOIN {terms} USING (number)"
        " JOIN unnest(CAST(:terms AS bigint[]), CAST(:worth AS float8[])) AS a(term, worth) USING (term)"
        " WHERE id = ANY(CAST(:ids AS uuid[])) GROUP BY id"
    )
    given = {"terms": list(worth), "worth": list(worth.values()), "ids": ids}
    return {row.id: float(row.score) for row in connection.execute(names.sql(words), given)}


def _document_frequencies(names: TableNames, query: PassageQuery, connection: Connection) -> tuple[int, dict[int, int]]:
    """Passages of the base, and of each term of the query."""
    counted = names.sql("SELECT term, held FROM {words} WHERE term = ANY(CAST(:terms AS bigint[])) AND held > 0")
    rows = connection.execute(counted, {"terms": list(query.terms)})
    return _counted(names, connection), {row.term: row.held for row in rows}


def _worth(query: PassageQuery, passages: int, having: Mapping[int, int]) -> dict[int, float]:
    """Of each term of the query that occurs: what its weight in a passage is multiplied with."""
    return {term: query.terms[term] * inverse_document_frequency(passages, count) for term, count in having.items()}


def _near(names: TableNames, query: PassageQuery, limit: int, connection: Connection) -> list[SearchHit]:
    """Falls back to a full scan if the index returns fewer than `limit` hits, because a filter excludes most."""
    which, values = visibility_condition(query)
    words = (
        "SELECT CAST(id AS text) AS id, document, sealed, 1 - distance AS score FROM ("
        " SELECT id, document, sealed, {near} <=> CAST(:asked AS {kind}({size})) AS distance FROM {passages}"
        f" WHERE {which} ORDER BY distance LIMIT :many) AS nearest ORDER BY distance, id"
    )
    connection.execute(text("SET LOCAL hnsw.iterative_scan = strict_order"))
    connection.execute(text(f"SET LOCAL hnsw.ef_search = {max(SCANNED, limit)}"))
    given = {**values, "asked": _text(query.vector), "many": limit}
    found = _hits(names.sql(words), given, connection)
    if len(found) < limit and _counted(names, connection) >= FRESH:
        connection.execute(text("SET LOCAL enable_indexscan = off"))
        found = _hits(names.sql(words), given, connection)
    return found


def _worded(names: TableNames, query: PassageQuery, limit: int, connection: Connection) -> list[SearchHit]:
    """Reads the passages with the best scores, and all that are scored if a filter excludes too many of those."""
    many, having = _document_frequencies(names, query, connection)
    worth = _worth(query, many, having)
    selecting = selecting_terms(having, many)
    which, values = visibility_condition(query)
    words = names.sql(
        "WITH asked AS (SELECT * FROM unnest(CAST(:terms AS bigint[]), CAST(:worth AS float8[])) AS a(term, worth)),"
        " chosen AS MATERIALIZED (SELECT number, sum(weight * worth) AS score FROM {terms} JOIN asked USING (term)"
        " WHERE term = ANY(CAST(:selecting AS bigint[])) GROUP BY number),"
        " scored AS (SELECT number, score + coalesce(("
        "SELECT sum(its.weight * asked.worth) FROM asked JOIN {terms} AS its ON its.term = asked.term"
        " WHERE its.number = chosen.number AND NOT asked.term = ANY(CAST(:selecting AS bigint[]))), 0) AS score"
        " FROM chosen WHERE score >= coalesce((SELECT score FROM chosen ORDER BY score DESC OFFSET :read LIMIT 1), 0)"
        " - :added),"
        " best AS MATERIALIZED (SELECT number, score FROM scored ORDER BY score DESC, number LIMIT :read)"
        " SELECT CAST(id AS text) AS id, document, sealed, score"
        f" FROM best JOIN {{passages}} USING (number) WHERE {which} ORDER BY score DESC, id LIMIT :many"
    )
    values |= {"terms": list(worth), "worth": list(worth.values()), "selecting": selecting, "many": limit}
    # The most that the other terms add, so that none of the best is left out; weights are rounded to 32 bits.
    values["added"] = sum(each for term, each in worth.items() if term not in selecting) * (K1 + 1) * 1.001
    found = _hits(words, {**values, "read": READ_FACTOR * limit}, connection)
    if len(found) < limit and sum(having.values()) > READ_FACTOR * limit:
        found = _hits(words, {**values, "read": many}, connection)
    return found


def selecting_terms(having: Mapping[int, int], passages: int) -> list[int]:
    """The rarest terms that select few passages together, at least one; all if even the rarest is in many passages.

    `having`: term -> passages with it.
    """
    selecting, selected = list[int](), 0
    for term in sorted(having, key=lambda each: (having[each], each)):
        if selecting and selected + having[term] > max(SELECTED_AT_LEAST, SELECTED * passages):
            break
        selecting.append(term)
        selected += having[term]
    return list(having) if selected > max(SELECTED_AT_LEAST, SCORED_WHOLE * passages) else selecting


def _hits(words: TextClause, values: BindValues, connection: Connection) -> list[SearchHit]:
    return [SearchHit(row.id, row.document, float(row.score), row.sealed) for row in connection.execute(words, values)]


def visibility_condition(query: PassageQuery) -> tuple[str, BindValues]:
    """SQL condition for access and filters of the query, and its bound values."""
    values: BindValues = {}
    parts = [_any(each, values) for each in required_tokens(query)]
    if query.where is not None:
        parts.append(filter_condition(query.where, values))
    return " AND ".join(parts) or "true", values


def filter_condition(where: TagFilter, values: BindValues) -> str:
    """SQL that is never NULL. All values are bound parameters, added to `values`."""
    if isinstance(where, TagIn):
        return _any(match_tokens(where), values)
    if isinstance(where, TagRange):
        limits = {">": where.gt, ">=": where.gte, "<": where.lt, "<=": where.lte}
        field = f"CAST(numbers ->> {_bound(where.field, values)} AS float8)"
        tests = [f"{field} {sign} {_bound(limit, values)}" for sign, limit in limits.items() if limit is not None]
        return f"coalesce({' AND '.join(tests) or field + ' IS NOT NULL'}, false)"
    if isinstance(where, (FilterAnd, FilterOr)):
        joined = " AND " if isinstance(where, FilterAnd) else " OR "
        return (
            f"({joined.join(filter_condition(each, values) for each in where.filters)})"
            if where.filters
            else _empty(where)
        )
    return f"NOT {filter_condition(where.filter, values)}"


def _empty(where: FilterAnd | FilterOr) -> str:
    return "true" if isinstance(where, FilterAnd) else "false"


def _any(of: list[str], values: BindValues) -> str:
    return f"(marks && CAST({_bound(of, values)} AS text[]))"


def _bound(value: object, values: BindValues) -> str:
    name = f"v{len(values)}"
    values[name] = value
    return f":{name}"


def _text(vector: Vector) -> str:
    return "[" + ",".join(map(repr, map(float, vector))) + "]"
