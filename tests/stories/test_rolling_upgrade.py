"""A rolling upgrade under load: servers of two versions on one database, each replaced in turn, and back again."""

from __future__ import annotations

import base64
import contextlib
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table
from sqlalchemy.schema import DDL, CreateTable, ExecutableDDLElement

from sizewise.app.services import COMPONENTS
from sizewise.storage.database import open_database
from sizewise.storage.migrations import Migrations
from tests.auth.user_client import Browser, new_user
from tests.cli.terminal import sizewise
from tests.gateway.test_batches import client_of, line, results, uploaded
from tests.graphql.graphql_client import graphql
from tests.many_clients import KINDS, Clients, asking, paid_twice, recorded
from tests.older_version import BESIDE, older
from tests.running_server import Served, serving, until
from tests.stories.test_three_servers import FLOW

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
models = ["small", "vectors"]
[models."echo/small"]
price = {input = "1", output = "5"}
[models."echo/vectors"]
task = "embed"
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


def environment(store: str) -> dict[str, str]:
    return {"SHARED_STORE": store, "SHARED_KEY": base64.b64encode(bytes(range(32))).decode()}


def test_a_server_goes_on_and_starts_again_while_the_next_version_extends_the_database(
    tmp_path: Path, postgres_url: str
) -> None:
    environ = environment(postgres_url)
    with serving(tmp_path / "one", CONFIG, **environ) as one:
        person = new_user(one, "anna@example.com", "owner")
        with asking(one) as seen:
            until(lambda: seen.asked() >= 50)
            newer = [extended(each.SCHEMA) for each in COMPONENTS]
            open_database(postgres_url, newer).close()  # what the first server of the next version does at its start
            before = seen.asked()
            until(lambda: seen.asked() >= before + 50)
            with serving(tmp_path / "two", CONFIG, **environ) as again:  # of this version, started after it
                assert again.chat("echo/small", "[[say hello]]").status == 200
                known = Browser(again, person.cookie, person.csrf)
                until(lambda: known.send("/auth/session").status == 200)
                made = graphql(again, 'mutation { createKey(name: "late") { secret } }').data["createKey"]
                until(lambda: one.ask("/v1/models", key=made["secret"]).status == 200)
                checked = sizewise("doctor", home=again.home, **environ)
                assert "newer Sizewise" not in checked.out
        nothing_is_lost(seen, postgres_url)


def test_servers_of_the_version_before_are_replaced_one_after_the_other_and_back_without_a_failed_request(
    tmp_path: Path, postgres_url: str
) -> None:
    environ = environment(postgres_url)
    before = older(BESIDE)
    with contextlib.ExitStack() as stack:

        def start(name: str, **more: str) -> tuple[Served, contextlib.ExitStack]:
            its = stack.enter_context(contextlib.ExitStack())
            return its.enter_context(serving(tmp_path / name, CONFIG, **environ, **more)), its

        (one, end_one), (two, end_two) = start("one", **before), start("two", **before)
        publish = "mutation($t: String!) { publishFlow(text: $t) { __typename } }"
        assert graphql(one, publish, t=FLOW).errors == []
        begin = 'mutation { startFlowRun(flow: "refund", inputs: { mail: "my lamp broke" }) { id } }'
        until(lambda: graphql(two, begin).errors == [])
        with client_of(one) as client:
            kept = client.responses.create(model="echo/small", input="[[say one]]", store=True).id
            lines = [line(f"q{n}", f"[[slow 0.02]] [[say answer {n}]]") for n in range(150)]
            batch = client.batches.create(
                input_file_id=uploaded(client, lines), endpoint="/v1/chat/completions", completion_window="24h"
            ).id
        with asking(one, two) as seen:

            def goes_on() -> None:
                so_far = seen.asked()
                until(lambda: seen.asked() >= so_far + 60)

            goes_on()
            for turn, stop in enumerate((end_one, end_two)):  # each by SIGTERM, then this version in its home
                seen.servers = [each for each in seen.servers if each is not (one, two)[turn]]
                stop.close()
                new, end = start(("one", "two")[turn])
                seen.servers = [*seen.servers, new]
                goes_on()
            newest, other = seen.servers[-1], seen.servers[0]
            assert newest is not other
            (run,) = graphql(other, '{ flowRuns(flow: "refund") { id state } }').data["flowRuns"][:1]
            boss = new_user(newest, "berta@example.com", "owner")
            decide = 'mutation($i: String!) { decide(id: $i, key: "check", approved: true) { id } }'
            until(lambda: boss.graphql(decide, i=run["id"]).errors == [])
            asked = "query($i: String!) { flowRun(id: $i) { state } }"
            until(lambda: graphql(other, asked, i=run["id"]).data["flowRun"]["state"] == "done")
            with client_of(newest) as client:
                again = client.responses.create(model="echo/small", input="[[say two]]", previous_response_id=kept)
                assert again.output_text == "two"
                until(lambda: client.batches.retrieve(batch).status == "completed")
                answers = results(client, client.batches.retrieve(batch).output_file_id)
                assert set(answers) == {f"q{n}" for n in range(150)}
            # The way back: the newest is replaced by the version before, on the database that was extended.
            seen.servers = [other]
            end.close()
            back, _ = start("two", **before)
            seen.servers = [other, back]
            goes_on()
            known = Browser(back, boss.cookie, boss.csrf)
            until(lambda: known.send("/auth/session").status == 200)
        nothing_is_lost(seen, postgres_url)


def nothing_is_lost(seen: Clients, store: str) -> None:
    assert not seen.refused and not seen.broken, (seen.refused, seen.broken)
    assert {each.kind for each in seen.traces.values()} == set(KINDS)
    until(lambda: set(seen.traces) <= recorded(store))
    assert paid_twice(store) == []
