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
"""Limit on all cached queries together, counted in characters."""
MAX_LIST_BYTES = 16_000_000
"""Limit on one file of trusted documents."""


class ManifestOperation(Struct):
    id: str
    body: str


class QueryManifest(Struct):
    """The output of generate-persisted-query-manifest, without names and types of operations."""

    operations: list[ManifestOperation]


class PersistedQueries:
    """Cached queries belong to an organization: no other one can read or replace them."""

    def __init__(self) -> None:
        self._cache: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._bytes = 0
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
                    "the query does not have the hash that came with it",
                    "send its SHA-256 in hexadecimal",
                )
            self._store((principal.tenant, hash), request.query, bounds.max_persisted_queries)
            return request.query
        found = self._cache.get((principal.tenant, hash))
        if found is None:
            raise PersistedQueryNotFound("PersistedQueryNotFound", "send the query itself along, once")
        self._cache.move_to_end((principal.tenant, hash))
        return found

    def _store(self, place: tuple[str, str], query: str, most: int) -> None:
        if place not in self._cache:
            self._bytes += len(query)
        self._cache[place] = query
        self._cache.move_to_end(place)
        while self._cache and (len(self._cache) > most or self._bytes > MAX_CACHED_BYTES):
            _, gone = self._cache.popitem(last=False)
            self._bytes -= len(gone)

    def _resolve_listed(self, query: str | None, hash: str, app: Application) -> str:
        if self._listed_for is not app:
            self._listed, self._listed_for = load_listed_queries(app), app
        found = self._listed.get(hash or (query_hash(query.strip()) if query else ""))
        if found is None or (query is not None and query.strip() != found.strip()):
            raise Forbidden("this server takes listed queries only", "whoever runs it lists them in [graphql] listed")
        return found


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
                "part it",
            )
        text = path.read_text("utf-8")
        if path.suffix != ".json":
            return [(query_hash(text), text)]
        return [(each.id, each.body) for each in msgspec.json.decode(text, type=QueryManifest).operations]
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"graphql.trusted_documents: {str(path)!r} cannot be read: {error}",
            "name a file of queries",
        ) from error
