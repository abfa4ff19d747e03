"""Reports of the gate for a pull request: no id or error breaks the XML, makes a link or calls a person."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from msgspec.structs import replace

from sizewise.cli.eval_report import gate_junit, gate_markdown, show_run
from sizewise.evals.runs.gate import GateResult, RuleResult
from sizewise.evals.runs.item_scorers import Score
from sizewise.evals.runs.run_file import EvalRun, ItemResult, RunHead

HEAD = RunHead(eval="x", target="a/b", started="", data="", scoring="", scorers={}, repeat=1, planned=2)


def result(item: str, error: str = "") -> ItemResult:
    return ItemResult(item=item, digest=item, repeat=0, cluster=item, error=error)


def junit(*results: ItemResult) -> ElementTree.Element:
    return ElementTree.fromstring(gate_junit("x", GateResult("pass", (), ()), EvalRun(HEAD, results)))


def test_missing_scores_say_why_and_no_amount_is_negative(capsys: pytest.CaptureFixture[str]) -> None:
    scorers = {"right": "number", "latency": "latency"}
    results = tuple(
        ItemResult(
            item=name,
            digest=name,
            repeat=0,
            cluster=name,
            scores={"right": Score(None, "the item expects no number"), "latency": Score(seconds)},
        )
        for name, seconds in (("a", 0.1), ("b", 9.0))
    )
    show_run(EvalRun(replace(HEAD, scorers=scorers), results, "run"))
    said = capsys.readouterr().out
    assert "right is missing: the item expects no number" in said
    assert "0.00 s to" in said, "no answer takes less than no time"


def test_an_answer_that_was_asked_again_is_one_case() -> None:
    again = junit(result("a", "the server was busy"), result("a"), result("b", "busy"), result("b", "still busy"))
    assert [again.attrib[each] for each in ("tests", "errors")] == ["2", "1"]
    assert [each.attrib["message"] for each in again.iter("error")] == ["still busy"]


def test_control_characters_do_not_break_the_xml() -> None:
    (error,) = junit(result("a", "\x1b[31mno\x00 \uffff")).iter("error")
    assert error.attrib["message"] == "\ufffd[31mno\ufffd \ufffd"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("#12", "#\u200b12"),
        ("GH-12", "GH\u200b-12"),
        ("@all", "@\u200ball"),
        ("https://a.b", "https:\u200b//a.b"),
        ("www.a.b", "www\u200b.a.b"),
        (r"\[a](b) \| c", "&#92;&#91;a](b) &#92;&#124; c"),
        ("<b>\n| &amp; `x`", "&lt;b&gt; &#124; &amp;amp; 'x'"),
    ],
)
def test_an_id_makes_no_link_and_ends_no_cell(said: str, shown: str) -> None:
    found = gate_markdown("x", GateResult("fail", (RuleResult("every", "", "fail", said),), ()), None)
    assert found.splitlines()[-1] == f"| every | ❌ fail | {shown} |"
