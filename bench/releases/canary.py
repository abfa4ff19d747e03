"""How often a canary is rolled back, and when: simulated traffic through the real evaluator, tables and split.

Sessions come one every two seconds, of six requests in the mean; the requests of one session fail, are slow and cost
alike with a correlation of one half. The evaluator looks every 10 s of a virtual clock, once a minute where nothing is
to be found: it rules as after each unit. Nothing is a double: the records are rows of the table that the gateway
writes, and a session's arm is that which the gateway would choose.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from math import sqrt
from statistics import median

from msgspec import Struct
from sqlalchemy import insert

from sizewise.audit_log import tables as audit_tables
from sizewise.audit_log.hash_chain import AuditEvent
from sizewise.releases.canary import tables as canary_tables
from sizewise.releases.canary.canary_store import start_canary
from sizewise.releases.canary.evaluator import evaluate
from sizewise.releases.canary.split import RequestUnit, arm_of
from sizewise.releases.canary.tables import OPEN_STATES, Canary, CanaryPair, find_canary, insert_pair
from sizewise.releases.canary.unit_queries import first_id
from sizewise.releases.environments import tables as environment_tables
from sizewise.releases.environments.tables import LiveRelease, find_live, insert_first
from sizewise.settings.canary import OFF, CanaryMargins, CanarySettings
from sizewise.storage.database import Database, open_database, sqlite_url
from sizewise.telemetry import tables as telemetry_tables
from sizewise.telemetry.tables import RECORDS

PLACE = ("local", "default", "prod")
STABLE = "0" * 64
BEGAN = 1_800_000_000_000
SESSION_EVERY_MS, REQUEST_EVERY_MS = 2_000, 20_000
MEAN_REQUESTS, CORRELATION = 6, 0.5
BASELINE = 400
COST = 1_000_000_000
ALL_UNITS = 10**9
EVENT = AuditEvent(tenant="local", who="bench", action="release.first", thing="environment:default/prod")


class Arm(Struct, frozen=True):
    """`error`, `slow`: shares of requests; `slow` is above stable's 95th percentile. `cost`: times that of stable."""

    error: float = 0.01
    slow: float = 0.05
    cost: float = 1.0


class Scenario(Struct, frozen=True):
    """`steps`: shares; with more than one they change after `units`. `sessions`: at most so many are simulated."""

    name: str
    canary: Arm
    steps: tuple[float, ...]
    sessions: int
    units: tuple[int, ...] = (ALL_UNITS,)
    margins: CanaryMargins = CanaryMargins(quality=OFF)
    look_ms: int = 10_000


class Outcome(Struct, frozen=True):
    """`canary_units`: that entered the canary until it was rolled back; None: it was not."""

    canary_units: int | None
    sessions: int
    reason: str = ""


def open_bench_database(path: str = ":memory:") -> Database:
    schemas = [each.SCHEMA for each in (audit_tables, telemetry_tables, environment_tables, canary_tables)]
    return open_database(sqlite_url(path), schemas)


def run(scenario: Scenario, seed: int, path: str = ":memory:") -> Outcome:
    """One canary until it is rolled back or its traffic ends."""
    lot, database, release = random.Random(f"{scenario.name}{seed}"), open_bench_database(path), f"{seed:064x}"
    try:
        _begin(database, release, lot, scenario)
        now, number, entered = BEGAN, 0, 0
        while number < scenario.sessions:
            with database.write() as connection:
                live = find_live(connection, PLACE)
                assert live is not None
                rows: list[dict[str, object]] = []
                for _ in range(scenario.look_ms // SESSION_EVERY_MS):
                    number += 1
                    arm = arm_of(live, RequestUnit(session=f"s{number}"), now / 1_000)
                    entered += arm == "canary"
                    at = now + lot.randrange(scenario.look_ms)
                    rows += _session(lot, f"s{number}", arm, release, scenario.canary if arm == "canary" else Arm(), at)
                connection.execute(insert(RECORDS), rows)
            now += scenario.look_ms
            canary = _look(database, now + 2_000)
            if canary.state not in OPEN_STATES:
                return Outcome(entered, number, canary.reason)
        for later in (60_000, 300_000, 900_000):
            canary = _look(database, now + later)
            if canary.state not in OPEN_STATES:
                return Outcome(entered, number, canary.reason)
        return Outcome(None, number)
    finally:
        database.close()


def _begin(database: Database, release: str, lot: random.Random, scenario: Scenario) -> None:
    before = BEGAN - 3_600_000
    rows = [
        row
        for number in range(BASELINE // MEAN_REQUESTS)
        for row in _session(lot, f"old{number}", "stable", release, Arm(), before + number * SESSION_EVERY_MS)
    ]
    settings = CanarySettings(
        steps=scenario.steps,
        units=scenario.units,
        minutes=(0.0,),
        shadow_pairs=0,
        promote="manual",
        margins=scenario.margins,
    )
    with database.write() as connection:
        connection.execute(insert(RECORDS), rows)
        live = LiveRelease(*PLACE, STABLE, changed=before)
        assert insert_first(connection, live, "first", "", EVENT)
        assert start_canary(connection, live, release, settings, EVENT, now=BEGAN - 10_000)


def _look(database: Database, now: int) -> Canary:
    with database.write() as connection:
        canary = find_canary(connection, PLACE)
        assert canary is not None
        evaluate(connection, PLACE, canary.number, now)
        canary = find_canary(connection, PLACE)
        assert canary is not None
        return canary


_ids = iter(range(1 << 60))


def _session(
    lot: random.Random, session: str, arm: str, release: str, rates: Arm, at: int
) -> Iterator[dict[str, object]]:
    """Its records: with CORRELATION each outcome is that of the session, else its own."""
    drawn = [lot.random() for _ in range(3)]
    while True:
        failed, slow, price = (own if lot.random() < CORRELATION else lot.random() for own in drawn)
        total_ms = 8_000.0 + 1_000 * lot.random() if slow < rates.slow else 500.0 + 3_000 * lot.random()
        status = 500 if failed < rates.error else 200
        cost = round(COST * rates.cost * (0.2 + 0.8 * price))
        yield _record(session, arm, release if arm == "canary" else STABLE, at, status, total_ms, cost)
        if lot.random() < 1 / MEAN_REQUESTS:
            return
        at += lot.randrange(REQUEST_EVERY_MS)


def _record(
    session: str, arm: str, release: str, at: int, status: int, total_ms: float, cost: int
) -> dict[str, object]:
    id = first_id(at + round(total_ms)) + (next(_ids) & 0xFFFFF)
    zeros = dict.fromkeys(("attempts", "input", "output", "cached", "cache_write", "reasoning"), 0)
    texts = dict.fromkeys(("asked", "policy", "model", "why", "error", "degraded"), "")
    return {
        "id": id,
        "tenant": PLACE[0],
        "project": PLACE[1],
        "environment": PLACE[2],
        "key": "k",
        "trace": f"{id:032x}",
        "at": at,
        "door": "chat",
        "status": status,
        "estimated": False,
        "cost": cost,
        "total_ms": total_ms,
        "stream": False,
        "session": session,
        "release": release,
        "arm": arm,
        **zeros,
        **texts,
    }


def run_pairs(worse: float, better: float, pairs: int, margin: float, seed: int) -> int | None:
    """Pairs of a shadow run until its canary is rolled back; None: it is not within `pairs`."""
    lot, database, release = random.Random(f"pairs{seed}"), open_bench_database(), f"{seed:064x}"
    settings = CanarySettings(
        steps=(0.5,), shadow_pairs=ALL_UNITS, judge="judge", margins=CanaryMargins(quality=margin)
    )
    try:
        with database.write() as connection:
            live = LiveRelease(*PLACE, STABLE)
            assert insert_first(connection, live, "first", "", EVENT)
            assert start_canary(connection, live, release, settings, EVENT, now=BEGAN)
        for first in range(0, pairs, 10):
            now = BEGAN + (first + 10) * 1_000
            with database.write() as connection:
                for each in range(first, first + 10):
                    drawn = lot.random()
                    verdict = 1.0 if drawn < worse else -1.0 if drawn < worse + better else 0.0
                    number = first_id(BEGAN + each * 1_000 + 500)
                    insert_pair(
                        connection,
                        PLACE[0],
                        CanaryPair(number, 1, "t", 0.0, 0.0, 900.0, 900.0, COST, COST, verdict, 0),
                    )
            canary = _look(database, now + 1_500)
            if canary.state not in OPEN_STATES:
                return canary.progress.pairs
        return None
    finally:
        database.close()


AT_MARGIN = Arm(error=0.02, slow=0.10, cost=1.10)
STEPS = ((0.05,), (0.25,), (0.5,), (0.05, 0.25, 0.5))


def _false_scenarios(sessions: int) -> list[Scenario]:
    return [
        Scenario(name, arm, steps, sessions, (10, 50, ALL_UNITS) if len(steps) > 1 else (ALL_UNITS,), look_ms=60_000)
        for name, arm in (("equal", Arm()), ("at the margin", AT_MARGIN))
        for steps in STEPS
    ]


def _fault_scenarios() -> list[Scenario]:
    faults = (
        ("100 % errors", Arm(error=1.0), 400),
        ("30 % errors", Arm(error=0.3), 1_500),
        ("10 % errors", Arm(error=0.1), 6_000),
        ("2 x latency", Arm(slow=0.5), 2_000),
        ("+30 % cost", Arm(cost=1.3), 20_000),
    )
    return [Scenario(name, arm, (share,), count) for name, arm, count in faults for share in (0.05, 0.25, 0.5)]


def upper_limit(found: int, of: int) -> float:
    """One-sided Wilson limit at 95 %."""
    z, rate = 1.645, found / of
    centre, reach = rate + z * z / (2 * of), z * sqrt(rate * (1 - rate) / of + z * z / (4 * of * of))
    return (centre + reach) / (1 + z * z / of)


def _quantiles(found: Sequence[int | None]) -> str:
    known = [each if each is not None else 10**9 for each in found]
    middle = median(known)
    return "not found" if middle >= 10**9 else f"{middle:.0f}"


def _print_faults(pool: ProcessPoolExecutor, canaries: int, only: str = "") -> None:
    print("| fault | share | found | sessions in all | of the canary (median) |\n|---|---|---|---|---|", flush=True)
    for scenario in _fault_scenarios():
        if only not in scenario.name:
            continue
        outcomes = list(pool.map(partial(run, scenario), range(1, canaries + 1), chunksize=4))
        hits = [each.canary_units for each in outcomes]
        sessions = [each.sessions if each.canary_units is not None else None for each in outcomes]
        share = sum(each is not None for each in hits) / len(hits)
        print(
            f"| {scenario.name} | {100 * scenario.steps[0]:g} % | {share:.0%} | {_quantiles(sessions)}"
            f" | {_quantiles(hits)} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--canaries", type=int, default=1_000)
    parser.add_argument("--faults", type=int, default=40)
    parser.add_argument("--sessions", type=int, default=400)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", help="one fault alone, such as '+30 %% cost'")
    options = parser.parse_args()
    with ProcessPoolExecutor(options.processes) as pool:
        if options.only:
            _print_faults(pool, options.faults, options.only)
            return
        print("| canary | shares | canaries | false rollbacks | upper 95 % |\n|---|---|---|---|---|", flush=True)
        total = found = 0
        scenarios = _false_scenarios(options.sessions)
        each_of = options.canaries // len(scenarios)
        for scenario in scenarios:
            outcomes = list(pool.map(partial(run, scenario), range(1, each_of + 1), chunksize=4))
            wrong = sum(each.canary_units is not None for each in outcomes)
            total, found = total + each_of, found + wrong
            steps = " -> ".join(f"{100 * each:g} %" for each in scenario.steps)
            print(
                f"| {scenario.name} | {steps} | {each_of} | {wrong} | {upper_limit(wrong, each_of):.3f} |", flush=True
            )
        print(f"| all | | {total} | {found} ({found / total:.3f}) | {upper_limit(found, total):.3f} |\n")
        _print_faults(pool, options.faults)
        print("\n| quality in pairs | margin | found | pairs (median) |\n|---|---|---|---|", flush=True)
        for worse, better, margin, most in (
            (0.2, 0.0, 0.03, 1_000),
            (0.15, 0.05, 0.03, 3_000),
            (0.03, 0.0, 0.0, 1_000),
            (0.06, 0.0, 0.03, 4_000),
            (0.05, 0.05, 0.03, 2_000),
            (0.13, 0.10, 0.03, 2_000),
        ):
            work = partial(run_pairs, worse, better, most, margin)
            pairs = list(pool.map(work, range(1, options.faults + 1), chunksize=4))
            share = sum(each is not None for each in pairs) / len(pairs)
            name = f"{worse:.0%} worse, {better:.0%} better"
            print(f"| {name} | {100 * margin:g} points | {share:.0%} | {_quantiles(pairs)} |", flush=True)


if __name__ == "__main__":
    main()
