"""Four connections write the same row of a shared Postgres at the same moment, fifty times: one wins, none fails."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection, func, select, text

from sizewise.app.services import COMPONENTS
from sizewise.audit_log.hash_chain import AuditEvent
from sizewise.auth import tables as auth
from sizewise.decisions import tables as decisions
from sizewise.evals.annotation import tables as annotation
from sizewise.evals.scores import tables as scores
from sizewise.flows.versions import tables as flow_versions
from sizewise.knowledge import tables as knowledge
from sizewise.limits import tables as limits
from sizewise.limits.rules import Limit, ScopedLimit
from sizewise.principal import Principal
from sizewise.releases import tables as releases
from sizewise.releases.edges import tables as edge_releases
from sizewise.releases.environments import tables as environments
from sizewise.storage.database import Database, open_database
from sizewise.storage.erasure import Caller
from sizewise.storage.keys.tables import USES_PER_BLOCK, DataKey, DataKeyStore
from sizewise.storage.leader_lease import count_process
from sizewise.telemetry import end_user_tables, pace_tables
from sizewise.telemetry.edges import tables as edges
from sizewise.telemetry.edges.report import EdgeRecord, EdgeReport
from sizewise.telemetry.record_ids import shared_process
from sizewise.tools import tables as tools

pytestmark = pytest.mark.long
CONNECTIONS, ROUNDS = 4, 50
TOLD = AuditEvent("local", "anna", "some.thing", "thing:1")
IDS = itertools.count(1)
Write = Callable[[Connection, str, int], object]
"""With the name of the round and the number of the connection."""


@pytest.fixture(scope="module")
def database(module_postgres_url: str) -> Iterator[Database]:
    found = open_database(module_postgres_url, [each.SCHEMA for each in COMPONENTS])
    yield found
    found.close()


def at_once(database: Database, write: Write) -> list[list[object]]:
    """What the connections got in each round. All of them have begun before the first writes."""
    together = threading.Barrier(CONNECTIONS)

    def one(number: int) -> list[object]:
        got = []
        for turn in range(ROUNDS):
            together.wait(60)
            with database.write() as connection:
                connection.execute(text("SELECT 1"))
                got.append(write(connection, f"r{turn}", number))
        return got

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return [list(each) for each in zip(*pool.map(one, range(CONNECTIONS)), strict=True)]


def test_each_process_that_begins_has_a_number_of_its_own(database: Database) -> None:
    """It makes ids of records unique: two servers answer in one microsecond more often than one thinks."""
    counted = [count for turn in at_once(database, lambda c, _, __: count_process(c)) for count in turn]
    assert sorted(cast("list[int]", counted)) == list(range(1, CONNECTIONS * ROUNDS + 1))
    numbers = {shared_process(count) for count in range(960)}
    assert len(numbers) == 960 and min(numbers) == 64 and max(numbers) == 1023


def sealing(number: int) -> bytes:
    return f"sealed by {number}".encode()


def question(turn: str, number: int) -> decisions.QuestionRow:
    words = ("local", "default", turn, turn, "auto", "v", 2, "learning", "", 0, 0, 0, "", 0, "", 1, 1, sealing(number))
    return decisions.QuestionRow(*words)


def answer(turn: str, number: int) -> decisions.AnswerRow:
    return decisions.AnswerRow("local", "default", turn, f"{turn}-{number}", 0, 1, None, None, sealing(number))


def document(turn: str, number: int) -> tuple[knowledge.DocumentRow, list[knowledge.PassageRow]]:
    place = ("local", "default", "handbook")
    row = knowledge.DocumentRow(
        *place, turn, "waiting", "", "text", "internal", "", 1, created=number, changed=number, sealed=sealing(number)
    )
    return row, [knowledge.PassageRow(*place, turn, f"{turn}-{at}", at, "waiting", sealing(number)) for at in range(2)]


def record(turn: str) -> EdgeRecord:
    named = f"{turn:0>32}".replace("r", "a")
    return EdgeRecord(named, "k", named, 1, "chat", "m", "fixed", 200, 1.0)


FIRST_WINS: dict[str, Write] = {
    "a release": lambda c, turn, n: releases.insert_release(
        c,
        "local",
        "default",
        releases.ReleaseRow(turn, 1, "anna", "{}"),
        [releases.PartRow("flow", "refund", turn, sealing(n)), releases.PartRow("flow", "same", "v", sealing(n))],
        TOLD,
    ),
    "a version of a flow": lambda c, turn, n: flow_versions.insert_version(
        c, "local", "default", flow_versions.FlowVersion("refund", turn, 1, "anna"), sealing(n), TOLD
    ),
    "the first release of an environment": lambda c, turn, n: environments.insert_first(
        c, environments.LiveRelease("local", "default", turn, f"by {n}"), "apply", "", TOLD
    ),
    "an approval": lambda c, turn, n: environments.insert_approval(
        c, environments.PlanRow(turn, "local", "default", "live", "", "", "", 1, "anna"), "berta", 1, TOLD
    ),
    "records of an edge": lambda c, turn, n: bool(
        edges.store_report(
            c, Principal("local", "default", "k"), EdgeReport("desk", "machine", records=[record(turn)]), IDS, 1
        )
    ),
}
SAME_FOR_ALL: dict[str, Write] = {
    "the key that signs for edges": lambda c, turn, n: edge_releases.insert_key(c, "local", turn, sealing(n), 1),
    "the key of end users": lambda c, turn, n: end_user_tables.add_hash_key(c, turn, sealing(n)),
    "a knowledge base": lambda c, turn, n: knowledge.add_base(
        c, knowledge.BaseRow("local", "default", turn, 1, "m", 0, sealing(n)), TOLD
    ),
    "a decision's question": lambda c, turn, n: (
        decisions.add_answer(c, answer(turn, n), Caller("k", ""), question(turn, n), "new options")[1].sealed
    ),
}
NONE_FAILS: dict[str, Write] = {
    "a score": lambda c, turn, n: scores.put_score(
        c,
        scores.ScoreRow(
            tenant="local",
            project="default",
            kind="trace",
            target=turn,
            name="good",
            source="user",
            author="anna",
            value=n / 4,
        ),
        sealing(n),
    ),
    "a verdict of a gate": lambda c, turn, n: environments.save_gate(
        c, environments.GateRow("local", "default", turn, "", "e", "pass", f"by {n}", "[]", 1, "anna"), TOLD
    ),
    "a view": lambda c, turn, n: annotation.add_view(c, "local", "anna", turn),
    "the position of a queue": lambda c, turn, n: annotation.set_position(c, "local", turn, n, n),
    "a document": lambda c, turn, n: knowledge.save_document(c, *document(turn, n), reembed=False, audit_event=TOLD),
    "a pace": lambda c, turn, n: pace_tables.store_paces(c, "machine", {turn: f"by {n}"}, 1, 0),
    "tools of a server": lambda c, turn, n: tools.add(c, "local", turn, {"read": f"by {n}", "write": f"by {n}"}, 1),
    "an offer to an edge": lambda c, turn, n: edge_releases.store_handled(
        c, ("local", "default", turn), edge_releases.HandledOffer(f"by {n}", 1)
    ),
}


@pytest.mark.parametrize("name", FIRST_WINS)
def test_one_of_them_was_the_first(database: Database, name: str) -> None:
    for got in at_once(database, FIRST_WINS[name]):
        assert Counter(got) == {True: 1, False: CONNECTIONS - 1}


@pytest.mark.parametrize("name", SAME_FOR_ALL)
def test_all_of_them_get_what_the_first_wrote(database: Database, name: str) -> None:
    for got in at_once(database, SAME_FOR_ALL[name]):
        assert len({str(each) for each in got}) == 1


@pytest.mark.parametrize("name", NONE_FAILS)
def test_the_last_of_them_stays(database: Database, name: str) -> None:
    assert len(at_once(database, NONE_FAILS[name])) == ROUNDS


@pytest.mark.parametrize(("table", "bump"), [(auth.VERSIONS, auth.bump_version), (limits.VERSIONS, None)])
def test_each_change_of_a_version_counts(database: Database, table: Any, bump: Any) -> None:
    def change(connection: Connection, turn: str, number: int) -> object:
        if bump is not None:
            return bump(connection)
        return limits.set_limit(connection, ScopedLimit("local", f"user:{number}", Limit()), TOLD)

    with database.read() as connection:
        before = connection.scalar(select(func.coalesce(func.max(table.c.version), 0))) or 0
    at_once(database, change)
    with database.read() as connection:
        assert connection.scalar(select(table.c.version)) == before + CONNECTIONS * ROUNDS


def test_each_sample_of_a_decision_counts(database: Database) -> None:
    with database.write() as connection:
        row = decisions.add_answer(connection, answer("sampled", 0), Caller("k"), question("sampled", 0), "")[1]

    def sample(connection: Connection, turn: str, number: int) -> object:
        return decisions.change_question(connection, row, lambda now, last: replace(now, samples=now.samples + 1))

    assert all(None not in got for got in at_once(database, sample))
    with database.read() as connection:
        found = decisions.find_question(connection, row.tenant, row.project, row.question)
    assert found is not None and found.samples == CONNECTIONS * ROUNDS


def test_each_block_of_uses_of_a_data_key_is_counted(database: Database) -> None:
    store = DataKeyStore(database.read_transaction, lambda work: _write(database, work))
    store.add(DataKey("counted", "id", 1, "by", b"wrapped"))
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        assert all(pool.map(lambda _: store.active_key("counted"), range(CONNECTIONS * ROUNDS)))
    with database.read() as connection:
        counted = connection.scalar(text("SELECT seals FROM data_keys WHERE tenant = 'counted'"))
    assert counted == USES_PER_BLOCK * (CONNECTIONS * ROUNDS + 1)


def _write(database: Database, work: Any) -> Any:
    with database.write() as connection:
        return work(connection)
