"""What the asker says is parsed once; what cannot be meant is refused with the nearest word and the next step."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest

from sizewise.advisor.assumptions import TASKS, parse_assumptions, parse_decimal
from sizewise.advisor.criteria import parse_weights
from sizewise.advisor.workload import parse_workload
from sizewise.errors import BadRequest
from tests.advisor.conftest import TODAY


def refused(request: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(BadRequest) as caught:
        request()
    return caught.value.message, caught.value.hint


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("task", "clasify", "'classify'"),
        ("task", "bake", "Known: classify, extract"),
        ("privacy", "secret", "Known: public, internal, confidential"),
        ("team", "som", "'some'"),
        ("languages", "german", "'de'"),
        ("languages", "en,Germn", "'de'"),
        ("languages", "", "ISO 639"),
        ("requests-per-month", "many", "3M"),
        ("requests-per-month", "-1", "at least 0"),
        ("requests-per-month", "0.5", "fraction"),
        ("requests-per-month", "1" * 30, "3M"),
        ("tokens-in", "0", "from 1"),
        ("months", "0", "from 1 to 1,200"),
        ("memory-gb", "1e9", "16"),
        ("memory-gb", "9999999", "1,000,000"),
        ("context", "100", "700 or more"),
        ("contxt", "100", "'context'"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_next_step(name: str, text: str, hint: str) -> None:
    message, said = refused(lambda: parse_workload({name: text}, today=TODAY, free_memory=1))
    assert hint in said or (name == "memory-gb" and "not a valid number" in message)


def test_a_machine_that_does_not_tell_its_memory_asks_for_it() -> None:
    assert "--memory-gb" in refused(lambda: parse_workload({}, today=TODAY, free_memory=None))[1]


@pytest.mark.parametrize(
    ("text", "value"),
    [("20k", 20_000), ("3M", 3_000_000), ("1,000", 1000), ("0.5", Fraction(1, 2))],
)
def test_numbers_are_read_as_people_write_them(text: str, value: Fraction) -> None:
    assert parse_decimal(text, "x") == value


@pytest.mark.parametrize("text", ["", ".", "5.", "1e3", "nan", "٣", "k", "-2", "1.2.3"])
def test_what_is_no_number_is_refused(text: str) -> None:
    assert "not a valid number" in refused(lambda: parse_decimal(text, "x"))[0]


def test_what_was_left_out_is_told_apart_from_what_was_said() -> None:
    work = parse_workload({"months": "12", "task": "reason"}, today=TODAY, free_memory=5_000_000_000)
    told = {each.name: each for each in work.all_numbers()}
    assert told["months"].kind == "input" and told["team"].kind == "default"
    assert told["memory-gb"].source == "free memory of this machine"
    assert told["latency-ms"].value == "120,000"
    assert parse_workload({}, today=TODAY, free_memory=1).latency_s == 30


@pytest.mark.parametrize("task", list(TASKS))
def test_the_length_of_a_response_follows_from_the_task_and_says_why(task: str) -> None:
    work = parse_workload({"task": task, "tokens-in": "300"}, today=TODAY, free_memory=1)
    expected = {"classify": 10, "extract": 100, "summarize": 125, "translate": 300, "code": 400}
    assert work.tokens_out == expected.get(task, 200)
    number = work.number("tokens-out")
    assert number.kind == "default" and number.source.startswith(f"for {task}: ") and len(number.source) > 20
    said = parse_workload({"task": task, "tokens-out": "7"}, today=TODAY, free_memory=1)
    assert (said.tokens_out, said.number("tokens-out").kind) == (7, "input")
    assert said.tokens_in == (250 if task == "classify" else 500) and "words" in said.number("tokens-in").source


def test_the_horizon_ends_after_so_many_months() -> None:
    assert parse_workload({"months": "2"}, today="2026-11-26", free_memory=1).horizon_end == "2027-01-26"
    assert parse_workload({"months": "1"}, today="2026-11-26", free_memory=1).horizon_end == "2026-12-26"
    assert parse_workload({"months": "25"}, today="2026-12-01", free_memory=1).horizon_end == "2029-01-01"


@pytest.mark.parametrize(
    ("said", "hint"),
    [("wagee=5", "'wage'"), ("wage", "--assume wage=1"), ("busy=2", "from 0.001 to 1"), ("busy=0", "from 0.001 to 1")],
)
def test_a_wrong_assumption_is_refused(said: str, hint: str) -> None:
    assert hint in refused(lambda: parse_assumptions((said,)))[1]


def test_a_wrong_weight_is_refused() -> None:
    assert "'quality'" in refused(lambda: parse_weights(("qualty=2",)))[1]
    assert "from 0 to 1000" in refused(lambda: parse_weights(("quality=1001",)))[1]
    every = tuple(f"{name}=0" for name in parse_weights())
    assert "above 0" in refused(lambda: parse_weights(every))[1]
