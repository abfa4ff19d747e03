"""Records and pairs become evidence, and evidence moves an environment: on real tables and a virtual clock."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from msgspec.structs import replace
from sqlalchemy import insert

from bench.releases import canary as traffic
from bench.releases.canary import BEGAN, EVENT, PLACE, STABLE, Arm, Scenario, open_bench_database
from sizewise.errors import BadRequest
from sizewise.releases.canary import tables
from sizewise.releases.canary.canary_reports import read_report
from sizewise.releases.canary.canary_store import set_paused, start_canary
from sizewise.releases.canary.decision import CanaryDecision
from sizewise.releases.canary.evaluator import evaluate
from sizewise.releases.canary.tables import Canary, CanaryPair, CanaryServer, find_canary, list_ticks, save_server
from sizewise.releases.canary.unit_queries import begun_arm, failed_units, first_id
from sizewise.releases.environments.tables import LiveRelease, find_live, insert_first, list_moves, move
from sizewise.settings.canary import OFF, CanaryMargins, CanarySettings, canary_contradictions
from sizewise.storage.database import Database, UnitOfWork
from sizewise.telemetry.tables import RECORDS

T = TypeVar("T")

CANARY = "c" * 64
NO_QUALITY = CanaryMargins(quality=OFF)
ONE_STEP = CanarySettings(steps=(0.5,), units=(30,), minutes=(0.0,), shadow_pairs=0, margins=NO_QUALITY)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_bench_database(str(tmp_path / "canary.db"))
    yield opened
    opened.close()


def write_in(database: Database, work: UnitOfWork[T]) -> T:
    with database.write() as connection:
        return work(connection)


def begin(database: Database, settings: CanarySettings) -> None:
    with database.write() as c:
        live = LiveRelease(*PLACE, STABLE)
        assert insert_first(c, live, "first", "", EVENT)
        assert start_canary(c, live, CANARY, settings, EVENT, now=BEGAN)


def live(database: Database) -> LiveRelease:
    found = database.read_transaction(lambda c: find_live(c, PLACE))
    assert found is not None
    return found


def canary(database: Database) -> Canary:
    found = database.read_transaction(lambda c: find_canary(c, PLACE))
    assert found is not None
    return found


def look(database: Database, at_s: float) -> CanaryDecision | None:
    number = canary(database).number
    return write_in(database, lambda c: evaluate(c, PLACE, number, BEGAN + round(at_s * 1_000)))


def record(session: str, arm: str, at_s: float, status: int = 200, total_ms: float = 900.0) -> dict[str, object]:
    release = CANARY if arm == "canary" else STABLE
    return traffic._record(session, arm, release, BEGAN + round(at_s * 1_000), status, total_ms, traffic.COST)


def write(database: Database, records: Sequence[dict[str, object]]) -> None:
    with database.write() as c:
        c.execute(insert(RECORDS), list(records))


def sessions(arms: Sequence[str], at_s: float, status: int = 200) -> list[dict[str, object]]:
    return [record(f"{at_s}-{n}", arm, at_s + n / 10, status if arm == "canary" else 200) for n, arm in enumerate(arms)]


HALF = ("canary", "stable") * 15


def test_a_canary_that_fails_is_rolled_back_with_its_reason_and_its_failures(database: Database) -> None:
    begin(database, ONE_STEP)
    write(database, sessions(HALF, 10, 500))
    decision = look(database, 30)
    assert decision is not None and decision.action == "roll_back" and decision.reason.startswith("errors, by first")
    assert (live(database).canary, live(database).share, live(database).release) == (None, 0.0, STABLE)
    ended = canary(database)
    assert ended.state == "rolled_back" and "100.0 % of 11 canary, 0.0 % of 10 stable" in ended.reason
    failures = database.read_transaction(lambda c: failed_units(c, ended.number, 10))
    assert len(failures) == 10 and failures[0].trace
    moves = database.read_transaction(lambda c: list_moves(c, PLACE, 10))
    assert [each.action for each in moves] == ["rollback", "canary", "first"] and moves[0].by == "sizewise"
    assert look(database, 31) is None


def test_an_equal_one_goes_through_its_steps_and_becomes_live(database: Database) -> None:
    begin(database, CanarySettings(steps=(0.25, 0.5), units=(10,), minutes=(0.5,), shadow_pairs=0, promote="timed"))
    assert live(database).share == 0.25
    write(database, sessions(HALF, 5))
    waits = look(database, 20)
    assert waits is not None and (waits.action, waits.reason) == ("wait", "this step takes 1 min more")
    step = look(database, 31)
    assert step is not None and step.action == "next_step" and live(database).share == 0.5
    write(database, sessions(HALF, 40))
    promoted = look(database, 62)
    assert promoted is not None and promoted.action == "promote"
    assert (live(database).release, live(database).previous, live(database).canary) == (CANARY, STABLE, None)
    assert canary(database).state == "promoted"


def test_a_clock_that_was_an_hour_ahead_for_a_moment_hides_no_failure(database: Database) -> None:
    begin(database, ONE_STEP)
    for at_s in (3_600, 8):
        waits = look(database, at_s)
        assert waits is not None and waits.action == "wait"
    write(database, sessions(HALF, 10, 500))
    decision = look(database, 30)
    assert decision is not None and decision.action == "roll_back"


def test_what_stable_answered_while_nothing_was_split_is_no_evidence(database: Database) -> None:
    begin(database, ONE_STEP)
    write(database, sessions(("canary", "stable") * 4, 5))
    write(database, [record(f"away{n}", "unsplit", 10 + n / 10) for n in range(200)])
    write(database, [record(f"away{n}", "stable", 40 + n / 10) for n in range(100)])
    decision = look(database, 90)
    assert decision is not None and decision.action == "wait", "its share explains the units that were split"
    progress = canary(database).progress
    assert (progress.canary_units, progress.stable_units) == (4, 4)


def test_a_conversation_keeps_its_arm_over_requests_that_were_not_split(database: Database) -> None:
    begin(database, ONE_STEP)
    for number, arms in enumerate((["unsplit"], ["canary", "unsplit"], ["stable", "unsplit", "unsplit"])):
        write(database, [record(f"s{number}", arm, 5 + place) for place, arm in enumerate(arms)])
    found = database.read_transaction(lambda c: [begun_arm(c, PLACE, CANARY, f"s{n}") for n in range(4)])
    assert found == ["stable", "canary", "stable", None]


def test_it_waits_for_certification_and_says_what_it_lacks(database: Database) -> None:
    begin(database, ONE_STEP)
    write(database, sessions(HALF * 3, 5))
    decision = look(database, 60)
    assert decision is not None and decision.action == "wait"
    assert decision.reason.startswith("it is not certified yet: evidence 1.")


def test_by_hand_it_waits_for_ever(database: Database) -> None:
    begin(database, CanarySettings(steps=(0.5,), units=(1,), minutes=(0.0,), shadow_pairs=0, promote="manual"))
    write(database, sessions(HALF, 5))
    decision = look(database, 60)
    assert decision is not None and decision.reason == "all steps are done: sizewise release promote makes it live"


def test_a_paused_one_takes_no_step_and_is_still_rolled_back(database: Database) -> None:
    begin(database, CanarySettings(steps=(0.25, 0.5), units=(1,), minutes=(0.0,), shadow_pairs=0))
    write_in(database, lambda c: set_paused(c, PLACE, True, EVENT))
    with pytest.raises(BadRequest, match="is paused already"):
        write_in(database, lambda c: set_paused(c, PLACE, True, EVENT))
    write(database, sessions(HALF, 5))
    decision = look(database, 20)
    assert decision is not None and decision.action == "wait" and live(database).share == 0.25
    write(database, sessions(HALF, 30, 500))
    decision = look(database, 50)
    assert decision is not None and decision.action == "roll_back"
    with pytest.raises(BadRequest, match="no canary runs"):
        write_in(database, lambda c: set_paused(c, PLACE, False, EVENT))


@pytest.mark.parametrize(("release", "state"), [(STABLE, "stopped"), (CANARY, "promoted")])
def test_one_that_a_person_ends_has_ended_before_the_evaluator_looks(
    database: Database, release: str, state: str
) -> None:
    begin(database, ONE_STEP)
    with database.write() as c:
        before = live(database)
        after = replace(before, release=release, canary=None, share=0.0, changed=BEGAN + 5_000)
        assert move(c, before, after, "rollback", "", EVENT)
    report = database.read_transaction(lambda c: read_report(c, PLACE, 1, BEGAN + 9_000))
    assert report is not None and report.share == 0.0
    assert (report.canary.state, report.canary.ended) == (state, BEGAN + 5_000)
    with pytest.raises(BadRequest, match="no canary runs"):
        write_in(database, lambda c: set_paused(c, PLACE, True, EVENT))
    assert look(database, 10) is None and canary(database).state == state


def test_sessions_from_before_the_canary_and_near_a_change_of_its_share_are_not_counted(database: Database) -> None:
    begin(database, ONE_STEP)
    old = [record(f"old{n}", "stable", at) for n in range(5) for at in (-60, 10)]
    write(database, [*old, record("near", "canary", 1), *sessions(("canary", "stable"), 10)])
    look(database, 30)
    assert (canary(database).progress.canary_units, canary(database).progress.stable_units) == (1, 1)


def test_a_request_that_stable_answers_again_counts_as_the_failure_of_the_canary(database: Database) -> None:
    begin(database, ONE_STEP)
    again = [record("s", "canary", 10, 500, 100), record("s", "stable", 10, 200, 900), record("t", "stable", 11)]
    write(database, again)
    look(database, 30)
    first = canary(database).progress.guards.evidence["first"]["error"]
    assert (first.canary.total, first.canary.count, first.stable.total, first.stable.count) == (1.0, 1, 0.0, 1)


def test_a_unit_waits_for_requests_that_arrived_before_it_and_no_longer_than_half_a_minute(database: Database) -> None:
    begin(database, ONE_STEP)
    write(database, sessions(("canary", "stable"), 10))

    def server(at_s: float, open_since_s: float) -> None:
        seen = CanaryServer("a", BEGAN + round(at_s * 1_000), BEGAN + round(open_since_s * 1_000), "{}")
        write_in(database, lambda c: save_server(c, seen))

    for at in (20.0, 22.0, 24.0):
        server(at, 9.0)
        look(database, at)
    assert canary(database).progress.canary_units == 0
    server(45, 9.0)
    look(database, 45)
    assert canary(database).progress.canary_units == 1


def test_the_mean_of_a_session_counts_ten_minutes_after_it_began(database: Database) -> None:
    begin(database, ONE_STEP)
    later = [record("s", "canary", 10 + 60 * n, 500 if n % 2 else 200) for n in range(5)]
    write(database, [*later, record("s", "canary", 700, 500), record("t", "stable", 10)])
    look(database, 500)
    assert canary(database).progress.guards.evidence["session"]["error"].count == 0
    look(database, 720)
    whole = canary(database).progress.guards.evidence["session"]["error"]
    assert (whole.canary.count, whole.canary.total, whole.stable.count) == (1, 0.4, 1)


def test_slow_and_dear_are_measured_by_stable_before_it(database: Database) -> None:
    begin(database, ONE_STEP)
    write(database, [record(f"b{n}", "stable", -500 + n, 200, 500.0 + n) for n in range(100)])
    look(database, 3)
    assert canary(database).progress.slow_ms == 594.0 and canary(database).progress.cost_cap == traffic.COST
    write(database, [record("s", "canary", 10, 200, 5_000), record("t", "stable", 10, 200, 500)])
    look(database, 30)
    slow = canary(database).progress.guards.evidence["first"]["slow"]
    assert (slow.canary.total, slow.stable.total) == (1.0, 0.0)


def test_a_shadow_run_ends_it_before_any_client_is_answered_by_it(database: Database) -> None:
    begin(database, CanarySettings(steps=(0.5,), shadow_pairs=50))
    assert (live(database).canary, live(database).share) == (CANARY, 0.0)
    with database.write() as c:
        for n in range(20):
            number = first_id(BEGAN + 1_000 + n)
            tables.insert_pair(c, PLACE[0], CanaryPair(number, 1, "t", 0.0, 1.0, 900.0, 5.0, 1, None, None, 7))
    decision = look(database, 10)
    assert decision is not None and decision.action == "roll_back" and "errors, by shadow pairs" in decision.reason
    assert database.read_transaction(lambda c: tables.pairs_cost(c, first_id(BEGAN))) == 140


def test_after_enough_pairs_the_first_step_begins(database: Database) -> None:
    begin(database, CanarySettings(steps=(0.25,), shadow_pairs=20))
    with database.write() as c:
        for n in range(20):
            number = first_id(BEGAN + 1_000 + n)
            tables.insert_pair(c, PLACE[0], CanaryPair(number, 1, "t", 0.0, 0.0, 900.0, 900.0, 1, 1, 0.0, 0))
    decision = look(database, 10)
    assert decision is not None and decision.action == "next_step" and live(database).share == 0.25


def test_what_was_known_before_a_crash_is_known_after_it_and_counted_once(tmp_path: Path) -> None:
    """Looks at every two seconds in one process, and in one that begins anew each time, leave the same."""
    left = []
    for restarts in (False, True):
        database = open_bench_database(str(tmp_path / f"{restarts}.db"))
        begin(database, ONE_STEP)
        lot = random.Random(7)
        for at in range(4, 40, 4):
            write(database, sessions([lot.choice(("canary", "stable")) for _ in range(6)], at, lot.choice((200, 500))))
            if restarts:  # all that a server knows is in its tables
                database.close()
                database = open_bench_database(str(tmp_path / f"{restarts}.db"))
            look(database, at + 3)
            look(database, at + 3)
        left.append(canary(database).progress.guards)
        database.close()
    assert left[0] == left[1]


def test_a_person_who_ends_it_or_makes_it_live_ends_its_evaluation(database: Database) -> None:
    begin(database, ONE_STEP)
    now = live(database)
    write_in(database, lambda c: move(c, now, LiveRelease(*PLACE, CANARY, previous=STABLE), "promote", "", EVENT))
    assert look(database, 5) is None
    assert (canary(database).state, canary(database).reason) == ("promoted", "promoted by hand")


def test_one_that_became_live_and_was_rolled_back_before_the_next_look_had_become_live(database: Database) -> None:
    begin(database, ONE_STEP)
    started = canary(database).started
    promoted = LiveRelease(*PLACE, CANARY, previous=STABLE, changed=started + 1)
    for after, action in ((promoted, "promote"), (LiveRelease(*PLACE, STABLE, changed=started + 2), "rollback")):
        write_in(database, partial(move, before=live(database), after=after, action=action, reason="", event=EVENT))
    assert look(database, 5) is None
    assert (canary(database).state, canary(database).reason) == ("promoted", "promoted by hand")


def test_another_canary_in_its_place_stops_it(database: Database) -> None:
    begin(database, ONE_STEP)
    with database.write() as c:
        found = find_live(c, PLACE)
        assert found is not None and start_canary(c, found, "d" * 64, ONE_STEP, EVENT, now=BEGAN)
        assert [each.release[0] for each in tables.open_canaries(c)] == ["d"]


def test_a_tick_a_minute_is_kept(database: Database) -> None:
    begin(database, ONE_STEP)
    for at in (1, 2, 3, 70, 130):
        look(database, at)
    ticks = database.read_transaction(lambda c: list_ticks(c, 1, 100))
    assert len(ticks) == 3 and ticks[0].share == 0.5 and '"name":"error"' in ticks[-1].metrics


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (CanarySettings(steps=(0.5, 0.25)), "use rising shares above 0 and below 1"),
        (CanarySettings(steps=(0.5, 1.0)), "use rising shares above 0 and below 1"),
        (CanarySettings(steps=(0.5,), shadow_pairs=0, judge="x/y"), "it compares answers of the shadow run"),
    ],
)
def test_settings_that_contradict_each_other_are_named(settings: CanarySettings, words: str) -> None:
    (found,) = canary_contradictions("environments.prod.canary", settings)
    assert words in found


@pytest.mark.long
def test_a_small_version_of_the_bench_rolls_back_what_is_broken_and_nothing_else(tmp_path: Path) -> None:
    broken = [
        traffic.run(Scenario("broken", Arm(error=1.0), (0.25,), 200), seed, str(tmp_path / f"broken{seed}"))
        for seed in range(5)
    ]
    assert all(each.canary_units is not None and each.canary_units <= 12 for each in broken)
    equal = [
        traffic.run(Scenario("equal", Arm(), (0.05, 0.25), 150, (5, 10**9)), seed, str(tmp_path / f"equal{seed}"))
        for seed in range(5)
    ]
    assert sum(each.canary_units is not None for each in equal) <= 1
