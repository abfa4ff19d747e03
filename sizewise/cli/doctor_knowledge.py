"""The check of `sizewise doctor` for vector stores that lack passages of the database; changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from msgspec.structs import replace

from sizewise.cli import operations
from sizewise.cli.api_client import ApiClient, running_server
from sizewise.cli.doctor_checks import CheckResult
from sizewise.errors import SizewiseError
from sizewise.knowledge import generation_tables, tables
from sizewise.knowledge.open_stores import DEFAULT_SETTINGS, EMBEDDED_STORE
from sizewise.knowledge.vector_store import KnowledgeBaseId
from sizewise.settings.load import Settings
from sizewise.storage.database import open_database, sqlite_url

TIMEOUT_S = 60.0
FIRST_WITH_GENERATIONS = 3
"""Version of the tables of knowledge bases."""


async def check_knowledge(settings: Settings) -> list[CheckResult]:
    """None if there is no knowledge base. A running server counts; without one, only lost files are found."""
    server = running_server(settings)
    try:
        if server is not None:
            return await asyncio.wait_for(_counted(server), TIMEOUT_S)
        return list(_lost_files(settings))
    except TimeoutError:
        message = f"the vector stores could not be counted within {TIMEOUT_S:g} s"
        return [CheckResult("knowledge", False, message, "sizewise knowledge list shows which does not respond")]
    except SizewiseError:  # the checks of the server and the database report it
        return []


async def _counted(server: ApiClient) -> list[CheckResult]:
    bases = await operations.list_knowledge_bases(server)
    wrong = [_lacks(its.name, its.missing, its.documents) for its in bases if its.missing]
    for its in bases:
        if its.missing is None:
            message = f"the vector store of {its.name!r} cannot be counted"
            hint = f"check that it is running: sizewise knowledge search {its.name} anything shows its error"
            wrong.append(CheckResult("knowledge", False, message, hint))
    if wrong or not bases:
        return wrong
    many = f"{len(bases):,} knowledge base{'' if len(bases) == 1 else 's'}"
    return [CheckResult("knowledge", True, f"{many}, no passage is missing")]


def _lacks(name: str, missing: int, documents: int) -> CheckResult:
    message = f"the vector store of {name!r} lacks {missing:,} passages of its {documents:,} documents"
    return CheckResult("knowledge", False, message, f"sizewise knowledge rebuild {name}")


def _lost_files(settings: Settings) -> Iterator[CheckResult]:
    """Bases of the embedded store whose files are gone. Counting the others needs a server."""
    path = settings.home / "sizewise.db"
    if settings.database.url or not path.exists():
        return
    with open_database(sqlite_url(str(path)), ()).read() as connection:  # without schemas, so it is not migrated
        rooms: dict[str, int] = dict(
            connection.exec_driver_sql("SELECT room, version FROM schema_version").tuples().all()
        )
        version = rooms.get(tables.SCHEMA.component, 0)
        bases = tables.base_ids(connection) if version else []
        embedded = {KnowledgeBaseId(*each): tables.embedded_passage_count(connection, *each) for each in bases}
        collections = {base: [base] for base in embedded}
        for base, its in collections.items():
            if version >= FIRST_WITH_GENERATIONS:
                found = generation_tables.generations(connection, base.tenant, base.project, base.name)
                its += [replace(base, generation=each.label) for each in found]
    for base, many in embedded.items():
        store = settings.knowledge.get(base.name, DEFAULT_SETTINGS).vector_store or EMBEDDED_STORE
        there = any((settings.home / "passages" / each.hashed / "shelf.json").is_file() for each in collections[base])
        if many and store == EMBEDDED_STORE and not there:
            message = f"the vector store lacks all {many:,} passages of {base.name!r}"
            yield CheckResult("knowledge", False, message, f"sizewise up, then sizewise knowledge rebuild {base.name}")
