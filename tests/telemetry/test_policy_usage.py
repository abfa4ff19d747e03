"""What policies used is the same from hours that are counted as from records, and stays when records go."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
from msgspec.structs import astuple

from sizewise.settings.storage import RecordsSettings
from sizewise.storage.database import Database
from sizewise.telemetry.policy_usage import PolicyUsage, policy_usage
from sizewise.telemetry.usage_tables import PERIODS, POLICY_HOURS
from tests.telemetry.test_usage_rollup import DAY, HOUR, NOW, Clockwork, attempt, insert, opened, record

SINCE = (NOW - 30 * HOUR) * 1_000


def answered(count: int, seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Requests of three policies in the last 30 hours; a third was asked of a small model first."""
    chance, records, attempts = Random(seed), list[dict[str, Any]](), list[dict[str, Any]]()
    for number in range(count):
        cost = chance.choice([None, 0, chance.randrange(10**9)])
        made = record(
            NOW - chance.random() * 30 * HOUR,
            number,
            policy=chance.choice(["auto", "other", ""]),
            model=chance.choice(["small", "large"]),
            status=chance.choice([200, 200, 200, 500]),
            tenant=chance.choice(["t", "t", "u"]),
            input=chance.randrange(3_000),
            output=chance.randrange(900),
            cost=cost,
            energy=(own := chance.choice([None, chance.randrange(10**9)])),
        )
        if chance.random() < 0.3:
            made |= {"only_place": None, "cost": None if cost is None else cost + 7}
            made["energy"] = None if own is None else own + 5
            attempts += [
                attempt(made, 1, "small", 7) | {"energy": 5},
                attempt(made, 2, str(made["model"]), cost) | {"result": "answered", "energy": own},
            ]
        records.append(made)
    return records, attempts


def read(database: Database, since: float = SINCE) -> list[PolicyUsage]:
    return database.read_transaction(lambda c: policy_usage(c, "t", int(since), ["auto", "other"]))


def same(found: list[PolicyUsage], expected: list[PolicyUsage]) -> bool:
    """Products are floats, added in another order."""
    ours, theirs = list(map(astuple, found)), list(map(astuple, expected))
    return [each[:8] for each in ours] == [each[:8] for each in theirs] and all(
        a[8:] == pytest.approx(b[8:]) for a, b in zip(ours, theirs, strict=True)
    )


def test_counted_hours_say_what_their_records_said(tmp_path: Path) -> None:
    with opened(tmp_path) as database:
        clockwork = Clockwork(database)
        insert(database, *answered(400, 1))
        before = read(database)
        clockwork.count()
        assert clockwork.stored(POLICY_HOURS) > 100
        assert sum(each.requests for each in before) > 100 and same(read(database), before)
        assert same(read(database, SINCE + 20 * HOUR * 1_000), read_from_records(tmp_path, SINCE + 20 * HOUR * 1_000))


def read_from_records(path: Path, since: float) -> list[PolicyUsage]:
    (path / "records").mkdir()
    with opened(path / "records") as database:
        insert(database, *answered(400, 1))
        return read(database, since)


def test_a_late_record_is_added_once(tmp_path: Path) -> None:
    with opened(tmp_path) as database:
        clockwork = Clockwork(database)
        late = record(NOW - 2 * HOUR, 5, policy="auto", model="small", input=3, output=2, cost=11)
        insert(database, [late | {"id": int(str(late["id"])) + 1_024, "input": 1}])
        clockwork.count()
        insert(database, [late])
        clockwork.count()
        clockwork.count()
        (found,) = read(database)
        assert (found.requests, found.input, found.cost) == (2, 4, 22)


def test_what_was_counted_stays_when_records_are_deleted_and_ends_after_its_days(tmp_path: Path) -> None:
    with opened(tmp_path) as database:
        clockwork = Clockwork(database, RecordsSettings(daily_usage_days=30))
        insert(database, *answered(200, 2))
        clockwork.now = NOW + 2 * HOUR
        clockwork.count()
        before = read(database)
        with database.write() as connection:
            connection.exec_driver_sql("DELETE FROM records")
        clockwork.count()
        assert before and same(read(database), before)
        clockwork.now = NOW + 33 * DAY
        clockwork.count()
        assert read(database) == [] and clockwork.stored(POLICY_HOURS) == 0
        known = PERIODS.select().where(PERIODS.c.rollup == POLICY_HOURS.name)
        assert database.read_transaction(lambda c: c.execute(known).fetchall()) == []
