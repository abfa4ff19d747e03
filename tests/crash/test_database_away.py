"""A database that takes no rows for a while: clients are answered, keys are refused before a call, nothing is lost."""

from __future__ import annotations

import contextlib
import resource
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.server_harness import CHAT, rows
from tests.running_server import ECHO, Answer, Served, serving, until
from tests.small_disk import missing, serving_on_a_small_disk

LACKING = missing()
BODY = {"model": "echo/small", "messages": [{"role": "user", "content": "Hello"}]}
RECORDS = "SELECT trace FROM records WHERE status = 200"


def traces(home: Path) -> set[str]:
    return {row["trace"] for row in rows(home, RECORDS)}


def copied(home: Path, to: Path) -> Path:
    """The database of a mount namespace, where SQLite finds it."""
    to.mkdir()
    for name in ("sizewise.db", "sizewise.db-wal"):
        shutil.copyfile(home / name, to / name)
    return to


def impaired(served: Served) -> list[str]:
    found: list[str] = served.ask("/readyz", key=None).json["impaired"]  # type: ignore[index]  # an object
    return found


def answered_until_impaired(served: Served) -> set[str]:
    """Asks until the server says that it cannot write records, which may not be what fails first; the traces of all
    answers, each with status 200.
    """
    found: set[str] = set()

    def asked() -> bool:
        answer = served.ask(CHAT, BODY)
        assert answer.status == 200
        found.add(answer.headers["x-sizewise-trace"])
        return any("cannot write records: " in each for each in impaired(served))

    until(asked)
    return found


def check_while_away(served: Served) -> set[str]:
    """What clients see; returns the traces of those that were answered."""
    found = answered_until_impaired(served)
    refused = served.ask(CHAT, BODY, idempotency_key="new")
    assert (refused.status, refused.error["code"]) == (503, "store_failed"), refused.body
    assert "sizewise.db" in refused.error["message"] and refused.error["hint"]
    return found


@pytest.mark.long
@pytest.mark.skipif(bool(LACKING), reason=LACKING)
def test_a_disk_that_is_full_in_mid_run_loses_nothing(tmp_path: Path) -> None:
    with serving_on_a_small_disk(tmp_path) as disk:
        served = disk.served
        assert served.ask(CHAT, BODY, idempotency_key="old").status == 200
        disk.fill()
        found = check_while_away(served)
        disk.free()
        until(lambda: not impaired(served))
        assert found <= traces(copied(disk.home, tmp_path / "copy"))
        assert served.ask(CHAT, BODY, idempotency_key="new").status == 200, "its key was not taken"
        again = served.ask(CHAT, BODY, idempotency_key="old")
        assert again.headers["x-sizewise-why"].startswith("replayed for the same idempotency key")


def test_a_file_that_may_not_grow_in_mid_run_loses_nothing(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        assert served.ask(CHAT, BODY, idempotency_key="old").status == 200
        pid, free = served.process.pid, resource.RLIM_INFINITY
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, free))
        found = check_while_away(served)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (free, free))
        until(lambda: not impaired(served))
        assert found <= traces(tmp_path)
        assert served.ask(CHAT, BODY, idempotency_key="new").status == 200


@contextlib.contextmanager
def locked(home: Path) -> Iterator[None]:
    """Another program writes to the database and does not end."""
    connection = sqlite3.connect(home / "sizewise.db", isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")
    finally:
        connection.close()


def test_a_lock_of_another_program_delays_records_and_keys_and_no_other_request(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        assert served.ask(CHAT, BODY, idempotency_key="old").status == 200
        until(lambda: len(traces(tmp_path)) == 1)
        keyed: list[Answer] = []
        asking = threading.Thread(target=lambda: keyed.append(served.ask(CHAT, BODY, idempotency_key="new")))
        with locked(tmp_path):
            asking.start()
            answers = [served.ask(CHAT, BODY) for _ in range(20)]
            assert {answer.status for answer in answers} == {200}
            assert len(traces(tmp_path)) == 1 and not keyed
        asking.join(30)
        assert keyed[0].status == 200
        found = {answer.headers["x-sizewise-trace"] for answer in (*answers, *keyed)}
        until(lambda: found <= traces(tmp_path))


@pytest.mark.long
def test_killed_while_the_database_is_away_the_records_from_before_are_there(tmp_path: Path) -> None:
    with serving(tmp_path, ECHO) as served:
        before = {served.ask(CHAT, BODY).headers["x-sizewise-trace"] for _ in range(5)}
        until(lambda: before <= traces(tmp_path))
        resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        answered_until_impaired(served)
        served.process.kill()
        served.process.wait(60)
    assert before <= traces(tmp_path)
    with serving(tmp_path, ECHO) as served:
        assert served.ask(CHAT, BODY).status == 200 and impaired(served) == []
