"""What was saved, to the pico-dollar, with an interval that is the spread's own; and unknown where a price is."""

from __future__ import annotations

from pathlib import Path
from random import Random
from statistics import pstdev

import pytest

from sizewise.money import UNKNOWN_PRICE, Price
from sizewise.storage.database import apply_in_bulk, open_database, sqlite_url
from sizewise.telemetry.policy_usage import PolicyUsage, policy_usage
from sizewise.telemetry.record_ids import PROCESS_BITS
from sizewise.telemetry.recorder import NO_LABELS
from sizewise.telemetry.savings import Z_95, policy_savings
from sizewise.telemetry.tables import ATTEMPTS, RECORDS, SCHEMA
from sizewise.telemetry.usage_tables import SCHEMA as USAGE

LARGE = Price(input=10, output=40)
NOW = 1_800_000_000_000  # unix ms
APART = (None,) * 6
"""Of a record whose attempts lie in rows of their own."""

Answer = tuple[str, int, int, int | None, int | None]
"""Model, tokens in and out, cost of the answer and of all that was asked."""


def asked(path: Path, answers: list[Answer], policy: str = "mine", apart: bool = True) -> list[PolicyUsage]:
    """`apart`: each attempt has a row of its own, also one that is all there was."""
    database = open_database(sqlite_url(str(path / "x.db")), [SCHEMA, USAGE])
    with database.write() as connection:
        for number, (model, read, said, own, cost) in enumerate(answers):
            id = (NOW * 1000 + number) << PROCESS_BITS
            asked = (1, read, said, 0, 0, 0, False, cost, None, 1.0, False, "", None, "")
            record = (id, "t", "p", "k", "aa", NOW, "chat", "auto", policy, model, "", 200, "", *asked)
            if not apart and own == cost:
                apply_in_bulk(
                    connection,
                    database.insert_statement(RECORDS),
                    [(*record, "machine", None, 0.0, None, 1.0, None, 0, 0, 0, 0, None, *NO_LABELS, None, None, None)],
                )
                continue
            apply_in_bulk(
                connection,
                database.insert_statement(RECORDS),
                [(*record, *APART, 0, 0, 0, 0, None, *NO_LABELS, None, None, None)],
            )
            times, tokens = (0.0, None, 1.0), (read, said, 0, 0, 0, False)
            tried = (
                id,
                1,
                "t",
                "aa",
                model,
                "machine",
                "answered",
                "",
                *times,
                *tokens,
                own,
                "",
                None,
                None,
                None,
                None,
            )
            apply_in_bulk(connection, database.insert_statement(ATTEMPTS), [tried])
    with database.read() as connection:
        found = policy_usage(connection, "t", NOW - 1, ["mine"])
    database.close()
    return found


def test_small_answers_are_priced_as_the_large_one_and_large_ones_as_they_were(tmp_path: Path) -> None:
    answers: list[Answer] = [("s", 100, 10, 5, 5), ("s", 50, 20, 4, 4), ("l", 100, 50, 3_000, 3_006)]
    found = policy_savings("mine", "l", LARGE, asked(tmp_path, answers))
    alone = (1_000 + 400) + (500 + 800) + 3_000
    assert (found.requests, found.small_requests, found.cost, found.baseline_cost) == (3, 2, 5 + 4 + 3_006, alone)
    assert found.saved_cost == alone - 3_015


def test_the_interval_is_that_of_the_requests_themselves(tmp_path: Path) -> None:
    chance, answers, saved = Random(3), list[Answer](), list[int]()
    for _ in range(200):
        read, said, own = chance.randrange(10, 900), chance.randrange(1, 300), chance.randrange(50)
        if chance.random() < 0.7:
            answers.append(("s", read, said, own, own))
            saved.append(10 * read + 40 * said - own)
        else:
            answers.append(("l", read, said, 900, 900 + own))
            saved.append(-own)
    found = policy_savings("mine", "l", LARGE, asked(tmp_path, answers))
    assert found.saved_cost == sum(saved)
    assert found.margin == pytest.approx(Z_95 * pstdev(saved) * 200**0.5, rel=1e-6)


def test_without_a_price_of_the_large_one_it_is_unknown(tmp_path: Path) -> None:
    found = policy_savings("mine", "l", UNKNOWN_PRICE, asked(tmp_path, [("s", 1, 1, None, None)]))
    assert (found.saved_cost, found.baseline_cost, found.margin, found.unpriced_requests) == (None, None, None, 1)


def test_other_policies_count_for_themselves(tmp_path: Path) -> None:
    assert asked(tmp_path, [("s", 1, 1, 1, 1)], policy="other") == []


def test_it_is_all_one_where_an_only_attempt_lies(tmp_path: Path) -> None:
    chance, answers = Random(5), list[Answer]()
    for _ in range(100):
        own, beside = chance.choice([None, chance.randrange(900)]), chance.choice([0, 0, 17])
        cost = None if own is None else own + beside
        answers.append((chance.choice("sl"), chance.randrange(900), chance.randrange(300), own, cost))
    (tmp_path / "only").mkdir()
    apart, only = asked(tmp_path, answers), asked(tmp_path / "only", answers, apart=False)
    assert apart == only and sum(each.requests for each in only) == 100
