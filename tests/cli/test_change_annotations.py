"""GitHub annotations of a change: places, levels, and no command that a file could smuggle in."""

from __future__ import annotations

from sizewise.cli.change_annotations import change_annotations
from sizewise.cli.change_report import ChangeReport, FileFinding
from sizewise.cli.eval_change import EvalOutcome


def report(*findings: FileFinding, **states: str) -> ChangeReport:
    outcomes = tuple(EvalOutcome(name=name, state=state, why="so") for name, state in states.items())  # type: ignore[arg-type]  # a Literal
    return ChangeReport(base="a", head="b", outcomes=outcomes, findings=findings)


def test_mistakes_come_first_at_their_place() -> None:
    found = change_annotations(report(FileFinding("flows/a.yaml", 3, 5, "no such node"), slow="fail"), {})
    assert found.splitlines() == [
        "::error file=flows/a.yaml,line=3,col=5,title=Mistake::no such node",
        "::error title=Eval slow%3A fail::so",
    ]


def test_what_passes_is_not_marked_and_what_is_unclear_warns_at_its_file() -> None:
    states = {"good": "pass", "same": "unchanged", "open": "unclear", "fresh": "new"}
    assert change_annotations(report(**states), {"open": "evals/open.yaml"}).splitlines() == [
        "::warning file=evals/open.yaml,line=1,title=Eval open%3A unclear::so",
        "::notice title=Eval fresh%3A new::so",
    ]


def test_a_file_gives_the_runner_no_command_of_its_own() -> None:
    hostile = FileFinding("flows/a,b:c.yaml\n::stop-commands::x", 1, 1, "100 %\r\n::add-mask::x")
    (line,) = change_annotations(report(hostile), {}).splitlines()
    assert line == (
        "::error file=flows/a%2Cb%3Ac.yaml%0A%3A%3Astop-commands%3A%3Ax,line=1,col=1,title=Mistake::"
        "100 %25%0D%0A::add-mask::x"
    )
