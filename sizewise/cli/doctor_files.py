"""The check of `sizewise doctor` for files that vector stores could not read, and expired stores; changes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator

from sizewise.cli.doctor_checks import CheckResult
from sizewise.cli.doctor_database import component_versions, has_database, opened_database
from sizewise.errors import SizewiseError
from sizewise.file_search import attached_queries, store_queries, tables
from sizewise.settings.load import Settings

MAX_SHOWN = 3
"""Vector stores that are named."""


def check_files(settings: Settings) -> list[CheckResult]:
    """Of all projects."""
    if not has_database(settings):
        return []
    try:
        with opened_database(settings) as database:
            if tables.SCHEMA.component not in component_versions(database):
                return []
            failed = database.read_transaction(attached_queries.failed_by_store)
            now = time.time_ns() // 1_000_000
            expired = database.read_transaction(lambda connection: store_queries.expired_ids(connection, now))
    except SizewiseError:  # the check of the database reports it
        return []
    return [*_failed(failed), *_expired(expired)]


def _failed(failed: dict[str, int]) -> Iterator[CheckResult]:
    if not failed:
        return
    first = list(failed)[:MAX_SHOWN]
    shown = [f"{failed[id]:,} of {id}" for id in first]
    if len(failed) > len(first):
        shown.append(f"and of {len(failed) - len(first):,} more")
    message = f"files that vector stores could not read: {', '.join(shown)}"
    step = f"GET /v1/vector_stores/{first[0]}/files?filter=failed says why; attach them again, or delete them there"
    yield CheckResult("files", False, message, step)


def _expired(ids: list[str]) -> Iterator[CheckResult]:
    if not ids:
        return
    shown = ", ".join(ids[:MAX_SHOWN]) + (", ..." if len(ids) > MAX_SHOWN else "")
    many = "1 vector store has" if len(ids) == 1 else f"{len(ids):,} vector stores have"
    yield CheckResult("files", True, f"{many} expired and cannot be searched: {shown}")
