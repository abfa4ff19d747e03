"""Persisted queries by hash: stored by clients, or listed in the settings; parses none of them.

Uses the protocol of Apollo's clients, which send the hash alone and, if it is unknown, repeat it with the query.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256
from pathlib import Path

import msgspec
from msgspec import Struct

from sizewise.app.application import Application
from sizewise.auth.authenticator import ADMIN_KEY_ID
from sizewise.errors import BadRequest, ConfigError, Forbidden, PersistedQueryNotFound
from sizewise.graphql.request import OperationRequest
from sizewise.principal import Principal

MAX_CACHED_BYTES = 4_000_000
"""Limit on the cached queries of all organizations together, as UTF-8."""
MAX_LIST_BYTES = 16_000_000
"""Limit on one file of trusted documents."""


class ManifestOperation(Struct):
    id: str
    body: str


class QueryManifest(Struct):
    """The output of generate-persisted-query-manifest, without names and types of operations."""

    operations: list[ManifestOperation]


class _OrganizationCache:
    """The cached queries of one organization by hash, the least recently used first."""

    def __init__(self) -> None:
        self.queries: OrderedDict[str, str] = OrderedDict()
        self.bytes = 0

    def add(self, hash: str, query: str) -> None:
        if hash not in self.queries:
            self.bytes += _byte_length(query)
        self.queries[hash] = query
        self.queries.move_to_end(hash)

    def evict(self) -> None:
        _, query = self.queries.popitem(last=False)
        self.bytes -= _byte_length(query)


class PersistedQueries:
    """Cached queries belong to an organization: no other one can read or replace them.

    All organizations share the limits. If one is exceeded, the organization that uses the most loses its least recently
    used query, so one that caches many evicts its own.
    """

    def __init__(self) -> None:
        self._cached: dict[str, _OrganizationCache] = {}
        self._listed_for: Application | None = None
        self._listed: dict[str, str] = {}

    def resolve(self, request: OperationRequest, app: Application, principal: Principal) -> str:
        """The query to execute. Raises PersistedQueryNotFound, BadRequest (hash and query differ), Forbidden (not
        trusted), ConfigError (unreadable list).
        """
        persisted = request.extensions.persisted_query if request.extensions else None
        hash = persisted.sha256_hash.lower()[:200] if persisted else ""
        bounds = app.settings.graphql
        if bounds.queries == "trusted" and principal.key_id != ADMIN_KEY_ID:
            return self._resolve_listed(request.query, hash, app)
        if not hash:
            return request.query or ""
        if request.query is not None:
            if query_hash(request.query) != hash:
                raise BadRequest(
                    "`sha256Hash` is not the hash of the query",
                    "send the SHA-256 of the query's UTF-8 text in hexadecimal",
                )
            self._store(principal.tenant, hash, request.query, bounds.max_persisted_queries)
            return request.query
        cache = self._cached.get(principal.tenant)
        if cache is None or hash not in cache.queries:
            raise PersistedQueryNotFound("PersistedQueryNotFound", "send the hash and the query once")
        cache.queries.move_to_end(hash)
        return cache.queries[hash]

    def _store(self, tenant: str, hash: str, query: str, max_queries: int) -> None:
        self._cached.setdefault(tenant, _OrganizationCache()).add(hash, query)
        while sum(len(each.queries) for each in self._cached.values()) > max_queries:
            self._evict_from(max(self._cached, key=lambda name: len(self._cached[name].queries)))
        while sum(each.bytes for each in self._cached.values()) > MAX_CACHED_BYTES:
            self._evict_from(max(self._cached, key=lambda name: self._cached[name].bytes))

    def _evict_from(self, tenant: str) -> None:
        self._cached[tenant].evict()
        if not self._cached[tenant].queries:
            del self._cached[tenant]

    def _resolve_listed(self, query: str | None, hash: str, app: Application) -> str:
        if self._listed_for is not app:
            self._listed, self._listed_for = load_listed_queries(app), app
        found = self._listed.get(hash or (query_hash(query.strip()) if query else ""))
        if found is None or (query is not None and query.strip() != found.strip()):
            raise Forbidden(
                "the query is not one of this server's trusted documents",
                "ask the operator to add it to a file of `trusted_documents` in [graphql] of sizewise.toml",
            )
        return found


def _byte_length(query: str) -> int:
    return len(query.encode("utf-8", "surrogatepass"))


def query_hash(query: str) -> str:
    return sha256(query.encode("utf-8", "surrogatepass")).hexdigest()


def load_listed_queries(app: Application) -> dict[str, str]:
    """All trusted documents, by id and by hash. Raises ConfigError."""
    folder = app.settings.config_file.parent if app.settings.config_file else Path()
    found: dict[str, str] = {}
    for said in app.settings.graphql.trusted_documents:
        place = folder / Path(said).expanduser()
        for path in sorted(place.iterdir()) if place.is_dir() else [place]:
            if path.suffix in (".graphql", ".gql", ".json") or path == place:
                for id, query in _file(path):
                    found |= {id.lower(): query, query_hash(query): query, query_hash(query.strip()): query}
    return found


def _file(path: Path) -> list[tuple[str, str]]:
    try:
        if path.stat().st_size > MAX_LIST_BYTES:
            raise ConfigError(
                f"graphql.trusted_documents: {str(path)!r} is larger than {MAX_LIST_BYTES:,} bytes",
                "split it into several files",
            )
        text = path.read_text("utf-8")
        if path.suffix != ".json":
            return [(query_hash(text), text)]
        return [(each.id, each.body) for each in msgspec.json.decode(text, type=QueryManifest).operations]
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"graphql.trusted_documents: {str(path)!r} cannot be read: {error}",
            "give a readable .graphql file, or an Apollo manifest as .json",
        ) from error
