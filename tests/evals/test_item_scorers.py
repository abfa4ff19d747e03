"""Scorers of eval files on single answers: each option, what is skipped, and what is missing instead of wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sizewise.data_class import DataClass
from sizewise.errors import BadRequest, ConfigError, SizewiseError
from sizewise.evals.linear_regex import compile_linear
from sizewise.evals.runs.eval_items import EvalItem, read_items
from sizewise.evals.runs.eval_spec import EvalSpecError, ScorerSpec, build_spec
from sizewise.evals.runs.item_scorers import Score, TargetAnswer, score_by_rule
from sizewise.evals.runs.model_scorers import EmbeddedTexts, ModelScoring
from sizewise.evals.runs.plugin_scorers import PluginScorers

CALL = ("weather", '{"city": "Rome"}')
OTHER = ("book", '{"seat": 3}')
WANTED = [{"name": "weather", "arguments": {"city": "Oslo"}}, {"name": "book", "arguments": {"seat": 3}}]
SOURCES = ("The limit without approval is $500.", "Maternity leave is 4 months for every employee.")


def spec(kind: str, **fields: Any) -> ScorerSpec:
    return build_spec({"target": "a/b", "data": "x", "scorers": {"it": {"kind": kind, **fields}}}).scorers["it"]


def score(kind: str, text: str, *, item: EvalItem | None = None, calls: Any = (), **fields: Any) -> Score:
    return score_by_rule(spec(kind, **fields), item or EvalItem(id="i", input="?"), TargetAnswer(text, calls))


@pytest.mark.parametrize(
    ("kind", "text", "fields", "value"),
    [
        ("contains", "stone", {"expected": "ton", "whole_words": False}, 1.0),
        ("contains", "Stone", {"expected": "stone", "case_sensitive": True}, 0.0),
        ("contains", "a and b", {"expected": ["a", "c"], "all_of": True}, 0.0),
        ("contains", "a and b", {"expected": ["a", "c"]}, 1.0),
        ("contains", "sorry", {"expected": "sorry", "negate": True}, 0.0),
        ("exact", "Yes.", {"expected": "yes", "case_sensitive": True}, 0.0),
        ("number", "about 9.8", {"expected": 10, "absolute_tolerance": 0.5}, 1.0),
        ("number", "about 9.8", {"expected": 10, "relative_tolerance": 0.01}, 0.0),
        ("regex", "Order K-254\n", {"expected": r"k-\d+$"}, 1.0),
        ("regex", "Order K-254", {"expected": r"k-\d+", "case_sensitive": True}, 0.0),
    ],
)
def test_options_of_rules(kind: str, text: str, fields: dict[str, Any], value: float) -> None:
    assert score(kind, text, **fields).value == value


@pytest.mark.parametrize(
    ("order", "arguments", "value"),
    [("in_order", "ignore", 1.0), ("in_order", "exact", 0.0), ("exact", "ignore", 0.0), ("subset", "ignore", 1.0)],
)
def test_a_trajectory_is_compared_by_names_and_order(order: str, arguments: str, value: float) -> None:
    calls = (CALL, ("log", "{}"), OTHER)
    found = score("tool_calls", "", calls=calls, order=order, arguments=arguments, expected=WANTED)
    assert found.value == value
    backwards = score("tool_calls", "", calls=calls[::-1], order="in_order", arguments="ignore", expected=WANTED)
    assert backwards.value == 0.0


@pytest.mark.parametrize(
    ("text", "cites", "grounded"),
    [
        ("The limit is $500 without approval [1].", 1.0, 1.0),
        ("The limit is $900 without approval [1].", 1.0, 0.0),
        ("Maternity leave is 4 months for employees [2]. Pigeons sing in distant blue harbors.", 1.0, 0.5),
        ("The limit is $500 without approval [3].", 0.0, 1.0),
        ("The limit is $500 without approval.", 0.0, 1.0),
    ],
)
def test_an_answer_cites_and_is_grounded_in_its_sources(text: str, cites: float, grounded: float) -> None:
    item = EvalItem(id="i", input="?", context=SOURCES)
    assert score("cites", text, item=item).value == cites
    assert score("grounded", text, item=item).value == grounded
    assert score("grounded", text, item=item, threshold=0.5).value == float(grounded >= 0.5)
    assert score("grounded", text).skipped, "without sources it is neither right nor wrong"


def test_no_pattern_takes_longer_than_its_text(tmp_path: Path) -> None:
    assert not compile_linear(r"(a+)+b")("a" * 200_000)
    for pattern in (r"(?=a)b", r"(a)\1", "(", "a{1,99999}{1,99999}"):
        with pytest.raises(BadRequest):
            compile_linear(pattern)
    with pytest.raises(EvalSpecError, match="no regular expression"):
        spec("regex", expected=r"(?<=x)y")


def test_checks_of_an_item_hold_together_and_name_the_one_that_does_not(tmp_path: Path) -> None:
    rows = [
        {"input": "?", "checks": [{"kind": "contains", "expected": "Paris"}, {"kind": "latency", "at_most": 2}]},
        {"input": "!", "expected": "no checks"},
    ]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    one, other = read_items(tmp_path / "x.jsonl").items
    rule = spec("checks")
    assert score_by_rule(rule, one, TargetAnswer("Paris", seconds=1.0)).value == 1.0
    slow = score_by_rule(rule, one, TargetAnswer("Paris", seconds=3.0))
    assert (slow.value, slow.why) == (0.0, "check 2 (latency) does not hold")
    assert score_by_rule(rule, other, TargetAnswer("x")).skipped
    for bad in ({"kind": "judge", "model": "a/b"}, {"kind": "cost"}, {"kind": "regex", "expected": "("}):
        (tmp_path / "y.jsonl").write_text(json.dumps({"input": "?", "checks": [bad]}) + "\n")
        with pytest.raises(BadRequest, match="line 1"):
            read_items(tmp_path / "y.jsonl")


def ask_models(kind: str, text: str, verdicts: Sequence[str], item: EvalItem, **fields: Any) -> tuple[Score, list[str]]:
    """With a judge that says `verdicts` in turn, and an embedding of the number of a's and b's."""
    said, asked = iter(verdicts), list[str]()

    async def judge(model: str, prompt: str, most: int | None, data_class: DataClass | None) -> TargetAnswer:
        asked.append(f"{data_class}")
        return TargetAnswer(next(said), cost=1)

    async def embed(model: str, texts: Sequence[str], most: int | None, data_class: DataClass | None) -> EmbeddedTexts:
        return EmbeddedTexts(tuple((float(each.count("a")), float(each.count("b"))) for each in texts), 1)

    scoring = ModelScoring(judge, embed, 10)
    found = asyncio.run(scoring(spec(kind, **fields), item, TargetAnswer(text)))
    assert scoring.left == 10 - len(scoring.costs)
    return found, asked


def test_a_preference_is_taken_in_both_orders_within_the_class_of_the_item() -> None:
    item = EvalItem(id="i", input="?", expected="A long reference", data_class="confidential")
    for verdicts, value in ((["A", "B"], 1.0), (["B", "A"], 0.0), (["A", "A"], 0.5), (["tie", "tie"], 1.0)):
        found, asked = ask_models("pairwise", "Some other answer", verdicts, item, model="a/judge")
        assert (found.value, asked) == (value, ["confidential"] * 2)
    assert ask_models("pairwise", "x", ["A", "hm"], item, model="a/judge")[0].is_missing
    with pytest.raises(EvalSpecError, match="cannot gate"):
        scorers = {"it": {"kind": "pairwise", "model": "a/b"}}
        build_spec({"target": "a/b", "data": "x", "scorers": scorers, "gate": [{"score": "it", "at_least": 0.5}]})


def test_similarity_is_the_cosine_to_the_nearest_expected_text() -> None:
    item = EvalItem(id="i", input="?", expected=["bbb", "ab"])
    assert ask_models("similarity", "aabb", [], item)[0].value == pytest.approx(1.0)
    assert ask_models("similarity", "aa", [], item, threshold=0.9)[0].value == 0.0
    assert ask_models("similarity", "aa", [], EvalItem(id="i", input="?"))[0].skipped
    lone = ModelScoring(lambda *given: pytest.fail("asked"), None, None)
    with pytest.raises(SizewiseError, match="no embedding model"):
        asyncio.run(lone(spec("similarity"), item, TargetAnswer("a")))


def test_criteria_of_the_item_stand_in_the_rubric_and_an_item_without_them_is_skipped() -> None:
    rubric = "Does it meet this? {criteria}"
    with_them = EvalItem(id="i", input="?", criteria="It is short.")
    assert ask_models("judge", "x", ["yes"], with_them, model="a/b", rubric=rubric)[0].value == 1.0
    found, asked = ask_models("judge", "x", [], EvalItem(id="i", input="?"), model="a/b", rubric=rubric)
    assert found.skipped and not asked


PLUGIN = """
def polite(given):
    if "crash" in given.answer:
        raise RuntimeError(given.answer)
    return {"nan": float("nan"), "two": 2.0, "none": None}.get(given.answer, "please" in given.answer)
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package of the user's own."""
    (tmp_path / "polite_scorer.py").write_text(PLUGIN)
    info = tmp_path / "polite_scorer-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: polite-scorer\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[sizewise.scorers]\npolite = polite_scorer:polite\n")
    monkeypatch.syspath_prepend(str(tmp_path))


def test_a_score_that_is_no_number_of_0_to_1_is_missing_and_not_zero(plugin: None) -> None:
    scorer, rule, item = PluginScorers(["polite"]), spec("plugin", name="polite"), EvalItem(id="i", input="?")
    assert scorer(rule, item, TargetAnswer("yes please")).value == 1.0
    assert scorer(rule, item, TargetAnswer("no")).value == 0.0
    for text in ("crash of secret words", "nan", "two", "none"):
        found = scorer(rule, item, TargetAnswer(text))
        assert found.is_missing and found.why and "secret" not in found.why
    with pytest.raises(ConfigError, match="scorer named 'polit'"):
        PluginScorers(["polit"])
