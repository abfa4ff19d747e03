"""The database as `sizewise doctor` reads it: this home's file, or the shared one; migrates nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sizewise.settings.load import Settings, resolve_secret
from sizewise.storage import migrations
from sizewise.storage.database import Database, open_database, sqlite_url


def has_database(settings: Settings) -> bool:
    """Whether there may be one: a shared one is there before Sizewise is."""
    return bool(settings.database.url) or (settings.home / "sizewise.db").exists()


@contextmanager
def opened_database(settings: Settings) -> Iterator[Database]:
    """Raises ConfigError and StorageError."""
    url = resolve_secret(settings.database.url) or sqlite_url(str(settings.home / "sizewise.db"))
    database = open_database(url, ())  # without schemas, so it is not migrated
    try:
        yield database
    finally:
        database.close()


def component_versions(database: Database) -> dict[str, tuple[int, int]]:
    """Component -> version of its tables, and the oldest one that can read them; empty for a database that no server
    has opened yet. Raises StorageError.
    """
    with database.read() as connection:
        return migrations.component_versions(connection)
