"""`sizewise advise` at the terminal: without a server, within a hundred columns, with every number's source."""

from __future__ import annotations

from pathlib import Path

import pytest

from sizewise.advisor.criteria import CRITERIA
from tests.cli.terminal import sizewise, watched

BANK = ("--task", "extract", "--privacy", "confidential", "--memory-gb", "64", "--gpu-gb", "24", "--team", "ml")
SHOP = (
    "--task",
    "classify",
    "--requests-per-month",
    "3M",
    "--tokens-in",
    "200",
    "--tokens-out",
    "5",
    "--memory-gb",
    "16",
)


@pytest.mark.long
def test_a_page_without_a_server_says_what_to_take_and_why(tmp_path: Path) -> None:
    done = sizewise("advise", *SHOP, "--labels", "2000", home=tmp_path)
    assert done.code == 0 and done.err == ""
    for heading in ("Recommendation", "Criteria, 0 to 1", "Hardware", "Total cost", "1. compared to 2."):
        assert heading in done.out
    assert "requests-per-month 3,000,000" in done.out and "Defaults: languages en" in done.out
    assert all(title in done.out for _, title, _ in CRITERIA.values())


@pytest.mark.long
@pytest.mark.parametrize("words", [(), BANK, (*SHOP, "--labels", "500", "--gpu-gb", "24")])
def test_the_page_fits_a_hundred_columns(words: tuple[str, ...], tmp_path: Path) -> None:
    done = sizewise("advise", *words, "--memory-gb", "16", home=tmp_path)
    assert [line for line in done.out.splitlines() if len(line) > 100] == []
    assert "…" not in watched("advise", *words, "--memory-gb", "16", home=tmp_path)


def test_confidential_texts_are_classified_here(tmp_path: Path) -> None:
    """On eight cores, at half of what the assumptions say of one more."""
    words = (
        "advise",
        "--task",
        "classify",
        "--privacy",
        "confidential",
        "--memory-gb",
        "16",
        "--assume",
        "flops-cpu=0.4",
    )
    done = sizewise(*words, home=tmp_path)
    assert done.code == 0 and "No model" not in done.out and "small model here" in done.out
    text = " ".join(done.out.split())
    assert "Assumed to classify: 250 input tokens, a message of 150 words" in text
    assert "10 output tokens, one label of a few words" in text and "Change it: --tokens-out N" in text
    said = sizewise(*words, "--tokens-out", "10", "--tokens-in", "250", home=tmp_path)
    assert "Assumed to" not in said.out and said.code == 0


def test_the_json_holds_all_of_it(tmp_path: Path) -> None:
    told = sizewise("advise", *BANK, "--labels", "2000", "--json", home=tmp_path).json
    first, *_ = told["recommendations"]
    assert first["rank"] == 1 and first["kind"].startswith("local")
    assert first["criteria"].keys() == CRITERIA.keys() == told["weights"].keys()
    assert {number["kind"] for score in first["criteria"].values() for number in score["numbers"]} >= {"fact", "input"}
    assert float(first["cost"]["total_usd"]) > float(first["cost"]["one_off_usd"]) > 0
    assert len(first["risks"]) == 4 and first["next_steps"] and "billion tokens" in told["from_scratch"]
    assert {row["model"] for row in told["hardware"]} >= {first["models"][0]["model"]}
    assert [each["name"] for each in told["inputs"] if each["kind"] == "input"] == [
        "task", "privacy", "memory-gb", "gpu-gb", "team", "labels",
    ]  # fmt: skip
    assert len(told["total_cost"]) == 5 and told["break_even"] and told["assumptions"]
    assert any("confidential data must not leave" in each["why"] for each in told["excluded"])


def test_reasons_show_every_number_with_its_source(tmp_path: Path) -> None:
    out = sizewise("advise", *SHOP, "--reasons", "--assume", "wage=80", home=tmp_path).out
    assert "[fact: genai-prices" in out
    assert "[assumed: " in out
    assert "[default: the default of --languages]" in out
    assert "wage = 80 $/hour  [input: " in out


def test_the_answer_is_no_where_nothing_can(tmp_path: Path) -> None:
    done = sizewise("advise", "--privacy", "confidential", "--memory-gb", "0.1", home=tmp_path)
    assert done.code == 1
    assert "No model in the catalog can do this as it is" in done.out and "--gpu-gb 24" in done.out
    assert sizewise("advise", "--privacy", "confidential", "--memory-gb", "0.1", "--json", home=tmp_path).code == 1


@pytest.mark.long
def test_where_nothing_can_each_single_change_that_helps_is_named_and_helps(tmp_path: Path) -> None:
    words = ("--task", "classify", "--privacy", "confidential", "--memory-gb", "16")
    told = sizewise("advise", *words, "--json", home=tmp_path)
    ways = {each["option"]: each["model"] for each in told.json["ways_out"]}
    assert told.code == 1 and "--latency-ms 60000" in ways and "--privacy internal" in ways
    shown = sizewise("advise", *words, home=tmp_path).out
    assert all(option in shown and model in shown for option, model in ways.items())
    for option, model in ways.items():
        done = sizewise("advise", *words, *option.split(), "--json", home=tmp_path)
        assert done.code == 0 and done.json["ways_out"] == []
        assert done.json["recommendations"][0]["models"][0]["model"] in model


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("--task", "clasify"), "'classify'"),
        (("--languages", "german"), "'de'"),
        (("--requests-per-month", "lots"), "3M"),
        (("--assume", "wagee=5"), "'wage'"),
        (("--weight", "qualty=5"), "'quality'"),
        (("--tokens-in", "900", "--context", "100"), "--context 1100"),
    ],
)
def test_what_was_asked_wrong_is_told_with_the_next_step(words: tuple[str, ...], hint: str, tmp_path: Path) -> None:
    done = sizewise("advise", *words, "--memory-gb", "16", home=tmp_path)
    assert done.code == 2 and done.out == ""
    assert hint in done.hint


@pytest.mark.long
def test_memory_is_that_of_this_machine_where_nobody_says(tmp_path: Path) -> None:
    told = sizewise("advise", "--json", home=tmp_path).json
    (memory,) = (each for each in told["inputs"] if each["name"] == "memory-gb")
    assert memory["source"] == "free memory of this machine"
