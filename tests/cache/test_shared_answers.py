"""Cached answers of servers on one Postgres: what one has answered the others know, until it expires or is erased."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from sizewise.cache import shared_answer_tables as tables
from sizewise.cache.cache_epoch import CacheEpoch
from sizewise.cache.shared_answer_tables import AnswerRetention, SharedAnswerRow
from sizewise.cache.shared_answers import MAX_ANSWER_BYTES, NewAnswer, SharedAnswers
from sizewise.storage.database import Database, open_database
from sizewise.storage.encryption import EnvelopeEncryption
from sizewise.storage.keys import tables as key_tables
from sizewise.storage.keys.tables import DataKeyStore
from sizewise.telemetry import end_user_tables
from sizewise.telemetry.end_users import EndUserHashes
from tests.cache.slow_upstream import SlowUpstream, settings
from tests.cli.terminal import sizewise
from tests.gateway.server_harness import CHAT, frames, words
from tests.graphql.graphql_client import fresh_key, graphql
from tests.postgres import PostgresServer, dedicated_postgres, libpq_uri
from tests.running_server import Answer, Served, serving, until

psycopg: Any = pytest.importorskip("psycopg", reason="needs a driver for Postgres: pip install psycopg[binary]")

pytestmark = pytest.mark.long
MORE = """
[response_cache]
ttl_s = 600
[database]
url = "env:SHARED_STORE"
[encryption]
key = "env:SHARED_KEY"
"""


@pytest.fixture(scope="module")
def store() -> Iterator[PostgresServer]:
    with dedicated_postgres() as server:
        yield server


# ---- two servers


@pytest.fixture(scope="module")
def pair(
    store: PostgresServer, upstream: SlowUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Served, Served]]:
    folder = tmp_path_factory.mktemp("pair")
    environ = {"SHARED_STORE": store.url(), "SHARED_KEY": base64.b64encode(bytes(range(32))).decode()}
    with contextlib.ExitStack() as stack:
        one, other = (
            stack.enter_context(serving(folder / name, settings(upstream.url, MORE), **environ))
            for name in ("one", "other")
        )
        yield one, other


def ask(served: Served, said: str, cache_control: str = "max-age=60", **more: object) -> Answer:
    body = {"model": "up/well", "messages": [{"role": "user", "content": said}], **more}
    return served.ask(CHAT, body, cache_control=cache_control)


def why(answer: Answer) -> str:
    return answer.headers["x-sizewise-why"]


def stored(store: PostgresServer) -> list[str]:
    with psycopg.connect(libpq_uri(store.url())) as read:
        return [row for (row,) in read.execute("SELECT t::text FROM cached_answers t")]


def ask_and_store(store: PostgresServer, served: Served, said: str) -> Answer:
    before = len(stored(store))
    answer = ask(served, said)
    until(lambda: len(stored(store)) > before)
    return answer


def shared_answer(store: PostgresServer, one: Served, other: Served, said: str) -> tuple[Answer, Answer, str]:
    """The answer of `one` to a question that begins with `said`, that of `other` by the shared cache, and the question.

    A look-up that takes a second, on a busy machine, is a miss: then it is tried with another question.
    """
    found: list[tuple[Answer, Answer, str]] = []

    def attempt() -> bool:
        question = f"{said} {time.monotonic()}"
        first, second = ask_and_store(store, one, question), ask(other, question)
        found.append((first, second, question))
        return "(shared response cache)" in why(second)

    until(attempt)
    return found[-1]


def test_a_server_gives_what_another_one_answered_and_then_remembers_it(
    pair: tuple[Served, Served], store: PostgresServer, up: SlowUpstream
) -> None:
    one, other = pair
    first, second, question = shared_answer(store, one, other, "once for both")
    assert second.body == first.body and second.headers["x-sizewise-cost-usd"] == "0"
    assert "(response cache)" in why(ask(other, question))
    assert sum(question in str(body) for body in up.received.bodies) == 1


def test_a_stream_is_given_by_another_server_too(
    pair: tuple[Served, Served], store: PostgresServer, up: SlowUpstream
) -> None:
    one, other = pair
    body = {"model": "up/well", "messages": [{"role": "user", "content": "streamed"}]}

    def attempt() -> bool:
        body["messages"] = [{"role": "user", "content": f"streamed {time.monotonic()}"}]
        before = len(stored(store))
        one.ask(CHAT, body)
        until(lambda: len(stored(store)) > before)
        up.received.bodies.clear()
        payloads = frames(other.ask(CHAT, {**body, "stream": True}).body)
        assert words(payloads) == "Hello from the upstream." and payloads[-1] == "[DONE]"
        return not up.received.bodies

    until(attempt)


def test_the_database_shows_neither_the_answer_nor_what_was_asked(
    pair: tuple[Served, Served], store: PostgresServer
) -> None:
    ask_and_store(store, pair[0], "what nobody reads")
    text = "".join(stored(store))
    for canary in (b"Hello from the upstream", b"what nobody reads"):
        assert canary.decode() not in text and canary.hex() not in text


def test_another_project_gets_no_answer_of_this_one(
    pair: tuple[Served, Served], store: PostgresServer, up: SlowUpstream
) -> None:
    one, other = pair
    ask_and_store(store, one, "of one project")
    key = graphql(other, 'mutation { createKey(name: "x", project: "elsewhere") { secret } }').data["createKey"][
        "secret"
    ]
    body = {"model": "up/well", "messages": [{"role": "user", "content": "of one project"}]}
    assert "cache" not in why(other.ask(CHAT, body, key=key)) and up.asked("well") == 2


def test_an_answer_to_confidential_data_stays_in_the_memory_of_its_server(
    pair: tuple[Served, Served], store: PostgresServer, up: SlowUpstream
) -> None:
    one, other = pair
    secret = {"data_class": "confidential"}
    ask(one, "a secret", sizewise=secret)
    assert "(response cache)" in why(ask(one, "a secret", sizewise=secret))
    ask_and_store(store, one, "no secret")  # what was answered before is stored before
    assert "cache" not in why(ask(other, "a secret", sizewise=secret)) and up.asked("well") == 3


def test_who_wants_it_new_makes_it_new_for_all(
    pair: tuple[Served, Served], store: PostgresServer, up: SlowUpstream
) -> None:
    one, other = pair
    ask_and_store(store, one, "made new")
    assert "cache" not in why(ask(other, "made new", cache_control="no-cache"))
    ask(one, "never kept", cache_control="no-store")
    ask_and_store(store, one, "kept")
    assert "cache" not in why(ask(other, "never kept")) and up.asked("well") == 5


def test_what_is_erased_at_one_is_known_to_none(
    pair: tuple[Served, Served], store: PostgresServer, up: SlowUpstream
) -> None:
    one, other = pair
    _, _, question = shared_answer(store, one, other, "to be erased")
    key = fresh_key(one, "ask")
    done = sizewise("erase", "--key", key[:11], "--yes", home=one.home)
    assert done.code == 0, done.err
    assert stored(store) == [] and "cache" not in why(ask(one, question))
    until(lambda: "(response cache)" not in why(ask(other, question)))


def test_without_the_database_models_answer_and_a_crash_of_it_empties_the_table(
    pair: tuple[Served, Served], store: PostgresServer, up: SlowUpstream
) -> None:
    one, other = pair
    ask_and_store(store, one, "before the crash")
    store.stop("immediate")
    try:
        assert "cache" not in why(ask(other, "before the crash"))
        assert "cache" in why(ask(one, "before the crash")), "its own memory still knows"
    finally:
        store.start()
    assert stored(store) == []

    def is_stored_again() -> bool:
        ask(one, f"after the crash {time.monotonic()}")
        return stored(store) != []

    until(is_stored_again)
    shared_answer(store, one, other, "after the crash")


# ---- without servers


@pytest.fixture
def database(store: PostgresServer) -> Iterator[Database]:
    opened = open_database(store.url(), [tables.SCHEMA, key_tables.SCHEMA, end_user_tables.SCHEMA])
    with opened.write() as connection:
        for name in ("cached_answers", "cache_erasures"):
            connection.exec_driver_sql(f"DELETE FROM {name}")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the key of all organizations of the tests below."""
    return tmp_path_factory.mktemp("home")


@contextlib.contextmanager
def shared(database: Database, home: Path) -> Iterator[tuple[SharedAnswers, EnvelopeEncryption, CacheEpoch]]:
    read, epoch = database.read_transaction, CacheEpoch()

    def write(work: Any) -> Any:
        with database.write() as connection:
            return work(connection)

    encryption = EnvelopeEncryption(home, DataKeyStore(read, write))
    hashes = EndUserHashes(encryption, read, write, None)  # type: ignore[arg-type]  # nothing is awaited here
    answers = SharedAnswers(encryption=encryption, database=database, hashes=hashes, epoch=epoch)
    try:
        yield answers, encryption, epoch
    finally:
        answers.close()


def new_answer(answers: SharedAnswers, tenant: str = "acme", text: bytes = b"42") -> NewAnswer:
    return NewAnswer(tenant, "default", b"the key", answers.erasures, 60, text)


def count(database: Database) -> int:
    return database.read_transaction(
        lambda c: int(c.exec_driver_sql("SELECT count(*) FROM cached_answers").scalar_one())
    )


def find(answers: SharedAnswers, tenant: str = "acme") -> bytes | None:
    found = asyncio.run(answers.find(tenant, "default", b"the key"))
    return None if found is None else found.encoded_reply


def test_an_answer_is_found_until_it_expires_and_by_its_organization_alone(database: Database, home: Path) -> None:
    with shared(database, home) as (answers, _, _):
        answers.store(new_answer(answers))
        until(lambda: find(answers) == b"42")
        assert find(answers, "globex") is None
        with database.write() as connection:
            assert not AnswerRetention(10**9)(connection)
            connection.exec_driver_sql("UPDATE cached_answers SET expires = created")
        assert find(answers) is None and count(database) == 1
        with database.write() as connection:
            assert not AnswerRetention(10**9)(connection)
        assert count(database) == 0


def test_the_table_keeps_its_bound_and_what_expires_first_goes_first(database: Database) -> None:
    def insert(connection: Connection) -> int:
        rows = [SharedAnswerRow("t", "p", f"k{n}", 0, 60_000 * (n + 1), b"x" * 800) for n in range(30)]
        return tables.store_answers(connection, rows)

    with database.write() as connection:
        assert insert(connection) == 30
    with database.write() as connection:
        assert not AnswerRetention(10_000)(connection)
        left = connection.exec_driver_sql("SELECT key FROM cached_answers ORDER BY key").scalars().all()
    assert sorted(left) == sorted(f"k{n}" for n in range(20, 30))


def test_what_was_asked_before_an_erasure_is_not_stored_after_it(database: Database, home: Path) -> None:
    with shared(database, home) as (one, _, epoch), shared(database, home) as (other, _, elsewhere):
        late, found = new_answer(one), new_answer(other)
        find(one)  # it is in use
        asyncio.run(other.erase("acme"))
        one.store(late)
        one.store(new_answer(one, "globex"))
        other.store(found)
        other.store(new_answer(other, "initech"))
        until(lambda: find(other, "initech") == b"42")
        asyncio.run(one.refresh())
        assert (epoch.number, elsewhere.number, one.erasures) == (1, 0, 1)
        one.store(new_answer(one, "umbrella"))
        until(lambda: find(one, "umbrella") == b"42")
        assert [find(one, each) for each in ("acme", "globex")] == [None, None]


def test_a_rotated_key_still_reads_it_and_a_deleted_one_makes_it_a_miss(database: Database, home: Path) -> None:
    with shared(database, home) as (answers, encryption, _):
        answers.store(new_answer(answers, "initrode"))
        until(lambda: find(answers, "initrode") == b"42")
        encryption.rotate_data_keys()
        until(lambda: find(answers, "initrode") == b"42")
        rows = database.read_transaction(lambda c: tables.SEALED.rows(c, 0, 10))
        anew = [
            (
                row,
                encryption.encrypt(
                    encryption.decrypt(row.ciphertext, "initrode", tables.NAME, row.row_id),
                    "initrode",
                    tables.NAME,
                    row.row_id,
                ),
            )
            for row in rows
        ]
        with database.write() as connection:
            tables.SEALED.replace_rows(connection, anew)
        until(lambda: find(answers, "initrode") == b"42")
        encryption.delete_keys("initrode")
        assert find(answers, "initrode") is None


def test_too_long_an_answer_stays_in_memory(database: Database, home: Path) -> None:
    with shared(database, home) as (answers, _, _):
        answers.store(new_answer(answers, text=b"x" * (MAX_ANSWER_BYTES + 1)))
        answers.store(new_answer(answers, "globex"))
        until(lambda: find(answers, "globex") == b"42")
        assert count(database) == 1


def test_the_table_is_unlogged(database: Database) -> None:
    kind = "SELECT relpersistence FROM pg_class WHERE relname = 'cached_answers'"
    assert database.read_transaction(lambda c: c.exec_driver_sql(kind).scalar_one()) in ("u", b"u")
