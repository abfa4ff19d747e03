"""Queries by their hash: those that clients had kept here, and those that the settings list; parses none of them.

The way to ask is that of Apollo's clients: the hash alone, and where it is not known once more with the query.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256
from pathlib import Path

import msgspec
from msgspec import Struct

from sizewise.app.application import House
from sizewise.auth.authenticator import ADMIN
from sizewise.errors import BadRequest, ConfigError, Forbidden, QueryNotKept
from sizewise.graphql.request import Question
from sizewise.principal import Caller

BYTES = 4_000_000
"""Of all kept queries together."""
LISTED_BYTES = 16_000_000
"""Of one file."""


class Operation(Struct):
    id: str
    body: str


class Manifest(Struct):
    """As generate-persisted-query-manifest writes it; names and types of operations are not needed."""

    operations: list[Operation]


class Queries:
    """`kept` belong to an organisation: nobody fills another's, nor learns what another asks."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._bytes = 0
        self._read_for: House | None = None
        self._listed: dict[str, str] = {}

    def text(self, question: Question, house: House, caller: Caller) -> str:
        """The query that is meant. Raises QueryNotKept, BadRequest (hash and query differ), Forbidden (not listed),
        ConfigError (a list that cannot be read)."""
        persisted = question.extensions.persisted_query if question.extensions else None
        hash = persisted.sha256_hash.lower()[:200] if persisted else ""
        bounds = house.settings.graphql
        if bounds.queries == "trusted" and caller.key != ADMIN:
            return self._of_list(question.query, hash, house)
        if not hash:
            return question.query or ""
        if question.query is not None:
            if digest(question.query) != hash:
                raise BadRequest(
                    "the query does not have the hash that came with it", "send its SHA-256 in hexadecimal"
                )
            self._keep((caller.tenant, hash), question.query, bounds.max_persisted_queries)
            return question.query
        found = self._kept.get((caller.tenant, hash))
        if found is None:
            raise QueryNotKept("PersistedQueryNotFound", "send the query itself along, once")
        self._kept.move_to_end((caller.tenant, hash))
        return found

    def _keep(self, place: tuple[str, str], query: str, most: int) -> None:
        if place not in self._kept:
            self._bytes += len(query)
        self._kept[place] = query
        self._kept.move_to_end(place)
        while self._kept and (len(self._kept) > most or self._bytes > BYTES):
            _, gone = self._kept.popitem(last=False)
            self._bytes -= len(gone)

    def _of_list(self, query: str | None, hash: str, house: House) -> str:
        if self._read_for is not house:
            self._listed, self._read_for = listed(house), house
        found = self._listed.get(hash or (digest(query.strip()) if query else ""))
        if found is None or (query is not None and query.strip() != found.strip()):
            raise Forbidden("this server takes listed queries only", "whoever runs it lists them in [graphql] listed")
        return found


def digest(query: str) -> str:
    return sha256(query.encode("utf-8", "surrogatepass")).hexdigest()


def listed(house: House) -> dict[str, str]:
    """All listed queries by their ids and by their hashes. Raises ConfigError."""
    folder = house.settings.config.parent if house.settings.config else Path()
    found: dict[str, str] = {}
    for said in house.settings.graphql.trusted_documents:
        place = folder / Path(said).expanduser()
        for path in sorted(place.iterdir()) if place.is_dir() else [place]:
            if path.suffix in (".graphql", ".gql", ".json") or path == place:
                for id, query in _file(path):
                    found |= {id.lower(): query, digest(query): query, digest(query.strip()): query}
    return found


def _file(path: Path) -> list[tuple[str, str]]:
    try:
        if path.stat().st_size > LISTED_BYTES:
            raise ConfigError(
                f"graphql.trusted_documents: {str(path)!r} is larger than {LISTED_BYTES:,} bytes", "part it"
            )
        text = path.read_text("utf-8")
        if path.suffix != ".json":
            return [(digest(text), text)]
        return [(each.id, each.body) for each in msgspec.json.decode(text, type=Manifest).operations]
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"graphql.trusted_documents: {str(path)!r} cannot be read: {error}", "name a file of queries"
        ) from error
