"""Keys that an older server stored keep their permissions and restrictions."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import insert

from sizewise.app.services import open_services
from sizewise.auth import tables
from sizewise.auth.authenticator import generate_key
from sizewise.principal import KeyScope, Principal
from sizewise.storage.database import open_database, sqlite_url
from sizewise.storage.migrations import Migrations

OLD_STEPS = 4
"""Steps of the schema that the older server knew."""
OLD_SCOPE = '{"doors":["chat","mcp"],"models":["a/*"],"policies":[],"flows":["support"],"networks":["10.0.0.0/8"]}'


def stored_key(home: Path, may: str, scope: str | None = None) -> Principal:
    """Who a key is today whose row an older server wrote."""
    home.chmod(0o700)
    key, text = generate_key()
    path = home / "sizewise.db"
    old = open_database(sqlite_url(str(path)), [Migrations("accounts", tables.SCHEMA.steps[:OLD_STEPS])])
    row = {column.name: getattr(key, column.name) for column in tables.KEYS.columns if column.name != "environment"}
    with old.write() as connection:
        connection.execute(insert(tables.KEYS).values({**row, "may": may, "scope": scope, "wide": 1}))
    old.close()
    with open_services(home) as services:
        return services.api_keys.authenticator.authenticate(text)


def test_a_key_stays_confined_to_its_endpoints(tmp_path: Path) -> None:
    scope = stored_key(tmp_path, "ask", OLD_SCOPE).scope
    assert scope == KeyScope(("chat", "mcp"), ("a/*",), (), ("support",), ("10.0.0.0/8",))


def test_a_key_keeps_a_permission_that_was_renamed(tmp_path: Path) -> None:
    assert stored_key(tmp_path, "ask manage_vault").permissions == {"ask", "manage_encryption"}


@pytest.mark.parametrize("may", ["ask manage_flows", "manage_flows", "ask manage read"])
def test_a_key_that_could_publish_flows_can_still_decide_what_waits(tmp_path: Path, may: str) -> None:
    assert {"approve", "manage_flows"} <= stored_key(tmp_path, may).permissions


@pytest.mark.parametrize("may", ["ask", "ask read_contents manage_keys"])
def test_a_key_that_could_only_ask_can_no_longer_decide_what_waits(tmp_path: Path, may: str) -> None:
    assert "approve" not in stored_key(tmp_path, may).permissions
