"""Erasing a person where servers share a Postgres: no row of any table has them, and the other server refuses them."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.terminal import sizewise
from tests.cli.test_erase import CONFIG, FLOW, Person, erased_of_key, key_id, person, run_state
from tests.graphql.graphql_client import fresh_key, graphql
from tests.postgres import libpq_uri
from tests.running_server import Served, serving, until

psycopg: Any = pytest.importorskip("psycopg", reason="needs a driver for Postgres: pip install psycopg[binary]")


@pytest.fixture(scope="module")
def pair(module_postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Served, str]]:
    """The other one writes its records late."""
    folder = tmp_path_factory.mktemp("shared")
    settings = CONFIG + '[database]\nurl = "env:SHARED_STORE"\n'
    with contextlib.ExitStack() as stack:
        servers: list[Served] = []
        for name, flush_ms in (("one", 50), ("other", 1_000)):
            flows = folder / name / "flows"
            flows.mkdir(parents=True)
            (flows / "gate.yaml").write_text(FLOW)
            if servers:  # whoever shares a database shares its key
                shutil.copy(folder / "one" / "vault.key", folder / name)
            its = settings.replace("[records]", f"[records]\nflush_ms = {flush_ms}")
            servers.append(stack.enter_context(serving(folder / name, its, SHARED_STORE=module_postgres_url)))
        yield servers[0], servers[1], libpq_uri(module_postgres_url)


def rows_about(url: str, who: Person) -> set[str]:
    """`<canary> in <table>`, over all columns of all tables; bytes are searched as hexadecimal digits."""
    found = set()
    with psycopg.connect(url) as read:
        tables = read.execute(
            "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        for (table,) in tables:
            rows = [row for (row,) in read.execute(f"SELECT t::text FROM {table} t")]
            for what, canary in {**who.canaries, "key": who.key_id.encode()}.items():
                if any(canary.decode() in row or canary.hex() in row for row in rows):
                    found.add(f"{what} in {table}")
    return found


@pytest.mark.long
def test_a_person_is_erased_in_the_database_that_servers_share(pair: tuple[Served, Served, str]) -> None:
    one, other, url = pair
    anna, bob = person(one, "anna"), person(other, "bob")
    until(lambda: other.ask("/v1/models", key=anna.key).status == 200)
    before = rows_about(url, anna)
    assert {each.partition(" in ")[0] for each in before} == {*anna.canaries, "key"}

    done = sizewise("erase", "--user", anna.email, "--yes", "--json", home=one.home)
    assert done.code == 0, done.err
    rows = {each["kind"]: each["count"] for each in done.json["rows"]}
    assert rows["flow runs"] == rows["stored responses"] == rows["files"] == 1 and rows["records"] >= 3

    assert {each for each in rows_about(url, anna) if "audit" not in each} == set()
    until(lambda: other.ask("/v1/models", key=anna.key).status == 401)
    assert run_state(other, anna.run) == "not_found"
    assert run_state(other, bob.run) == "waiting" and other.ask(f"/v1/responses/{bob.response}", key=bob.key)
    assert {each.partition(" in ")[0] for each in rows_about(url, bob)} == {*bob.canaries, "key"}


@pytest.mark.long
def test_what_another_server_has_accepted_and_not_written_yet_is_erased_too(pair: tuple[Served, Served, str]) -> None:
    one, other, url = pair
    key = fresh_key(one, "ask")
    id = key_id(one, key)
    until(lambda: other.ask("/v1/models", key=key).status == 200)
    for number in range(4):
        asked = {"model": "echo/small", "messages": [{"role": "user", "content": f"Number {number}"}]}
        assert other.ask("/v1/chat/completions", asked, key=key).status == 200
    assert erased_of_key(one, id) == (4, 4)
    graphql(other, "{ records(last: 1) { rows { trace } } }")  # written, since they are read
    with psycopg.connect(url) as read:
        assert read.execute("SELECT count(*) FROM records WHERE key = %s", (id,)).fetchone() == (0,)
