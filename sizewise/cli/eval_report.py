"""Eval runs and comparisons as text, Markdown, JSON and JUnit XML: renders what it is given, decides nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from xml.sax.saxutils import escape, quoteattr

import click

from sizewise.cli.output import dim, format_count, write_table
from sizewise.cli.printable import printable
from sizewise.evals.runs.comparison import (
    ItemScores,
    RunComparison,
    ScoreChange,
    ScoreSummary,
    judge_change,
    summarize,
)
from sizewise.evals.runs.eval_spec import MEASURES
from sizewise.evals.runs.gate import GateResult
from sizewise.evals.runs.paired_statistics import ConfidenceInterval
from sizewise.evals.runs.run_file import EvalRun

MARKER = "<!-- sizewise:evals -->"
"""By which a pull-request comment is found and updated."""
MARKS: Mapping[str, str] = {"pass": "✅", "fail": "❌", "unclear": "❔"}
SHOWN_ITEMS = 10
REFERENCES: Mapping[int, str] = {ord(each): f"&#{ord(each)};" for each in "\\|["}
_LINK = re.compile(r"@|#|:(?=//)|\bwww(?=\.)|\bGH(?=-\d)", re.IGNORECASE)
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def measured(run: EvalRun) -> dict[str, object]:
    """A run as JSON."""
    scores = ItemScores(run)
    rows = {name: _summary_json(summarize(scores, name, kind)) for name, kind in run.head.scorers.items()}
    return {
        "run": run.name,
        "target": run.head.target,
        "started": run.head.started,
        "answers": len(run.answered),
        "planned": run.head.planned,
        "scores": rows,
    }


def show_run(run: EvalRun) -> None:
    scores = ItemScores(run)
    click.echo(f"{run.head.target}: run {run.name}, {format_count(len(run.answered))} of {run.head.planned} answers")
    rows = []
    for name, kind in run.head.scorers.items():
        its = summarize(scores, name, kind)
        if its.interval is None:
            rows.append((name, "-", "", "", format_count(its.missing)))
            continue
        method = "" if kind in MEASURES else its.interval.method
        rows.append((name, _value(kind, its.interval.estimate), _span(kind, its.interval), method, str(its.missing)))
    write_table(("SCORE", "MEAN", "95 %", "METHOD", "MISSING"), rows, right="MEAN MISSING")
    for name in run.head.scorers:
        if why := scores.why_missing(name):
            click.echo(dim(f"{name} is missing: {printable(why)[:200]}"))


def comparison_json(found: RunComparison, margin: float) -> dict[str, object]:
    changes = {
        name: {
            "base": _summary_json(its.base),
            "head": _summary_json(its.head),
            "difference": _interval_json(its.difference),
            **_verdict_json(its, margin),
            "p_holm": round(its.p, 6),
            "newly_wrong": list(its.newly_wrong),
            "newly_right": list(its.newly_right),
        }
        for name, its in found.changes.items()
    }
    return {
        "base": {"run": found.base.name, "target": found.base.head.target},
        "head": {"run": found.head.name, "target": found.head.head.target},
        "items": found.items,
        "left_out": found.left_out,
        "margin": margin,
        "scores": changes,
    }


def _verdict_json(its: ScoreChange, margin: float) -> dict[str, object]:
    """Nothing of an amount."""
    if its.kind in MEASURES:
        return {}
    verdict, needed = judge_change(its, margin)
    return {"verdict": verdict, "items_needed": needed}


def _verdict(its: ScoreChange, margin: float) -> str:
    verdict, needed = judge_change(its, margin)
    points = f"{100 * margin:g} points"
    if verdict == "equal":
        return f"equal within {points}"
    if verdict == "unclear":
        return f"cannot tell within {points}" + (f": about {needed:,} items would" if needed else "")
    return verdict


def show_comparison(found: RunComparison, margin: float) -> None:
    click.echo(f"base {found.base.head.target} ({found.base.name}), head {found.head.head.target} ({found.head.name})")
    heads = ("SCORE", "BASE", "HEAD", "DIFFERENCE", "95 %", "METHOD")
    write_table(heads, [_row(name, its) for name, its in found.changes.items()], right="BASE HEAD DIFFERENCE")
    left = f"; {format_count(found.left_out)} are in one run alone" if found.left_out else ""
    click.echo(f"{format_count(found.items)} items in both{left}")
    for name, its in found.changes.items():
        if its.kind not in MEASURES:
            click.echo(f"{name}: {_verdict(its, margin)}")
        for words, items in (("newly wrong", its.newly_wrong), ("newly right", its.newly_right)):
            if items:
                click.echo(f"{name}, {words} ({len(items)}): {_listed(items)}")


def gate_json(result: GateResult) -> dict[str, object]:
    return {
        "verdict": result.verdict,
        "sentence": result.sentence,
        "problems": list(result.problems),
        "rules": [
            {
                "score": each.score,
                "rule": each.rule,
                "verdict": each.verdict,
                "why": each.why,
                "items_needed": each.needed,
            }
            for each in result.rules
        ],
    }


def show_gate(result: GateResult) -> None:
    click.echo(result.sentence)
    for each in result.rules:
        needed = f" (about {each.needed:,} items would decide)" if each.verdict == "unclear" and each.needed else ""
        click.echo(f"  {each.verdict:7}  {f'{each.score}: ' if each.score else ''}{each.rule}: {each.why}{needed}")
    for problem in result.problems:
        click.echo(f"  {problem}", err=True)


def gate_markdown(title: str, result: GateResult, found: RunComparison | None) -> str:
    """One comment of a pull request. No word of an input or an answer is in it."""
    lines = [
        MARKER,
        f"### Sizewise: {table_cell(title)}: {table_cell(result.sentence)}",
        "",
        *gate_section(result, found),
    ]
    return "\n".join(lines).rstrip() + "\n"


def gate_section(result: GateResult, found: RunComparison | None) -> list[str]:
    """Lines of Markdown: scores, rules, problems and items that crossed."""
    lines = list[str]()
    if found is not None:
        lines += ["| score | base | head | difference (95 %) |", "|---|---:|---:|---:|"]
        for name, its in found.changes.items():
            _, base, head, change, span, _ = _row(name, its)
            lines.append(f"| {table_cell(name)} | {base} | {head} | {change} ({span}) |")
        lines.append("")
    lines += ["| rule | | |", "|---|---|---|"]
    for each in result.rules:
        name = f"{each.score}: " if each.score else ""
        lines.append(
            f"| {table_cell(name + each.rule)} | {MARKS[each.verdict]} {each.verdict} | {table_cell(each.why)} |"
        )
    lines += ["", *(f"* {table_cell(problem)}" for problem in result.problems)]
    if found is not None:
        for name, its in found.changes.items():
            for words, items in (("newly wrong", its.newly_wrong), ("newly right", its.newly_right)):
                if items:
                    lines.append(f"* {table_cell(name)}, {words} ({len(items)}): {table_cell(_listed(items))}")
    return lines


def gate_junit(title: str, result: GateResult, head: EvalRun) -> str:
    """One test case a rule, and one an answer."""
    cases = [*_rule_cases(title, result), *_answer_cases(title, head)]
    failures = sum("<failure" in case for case in cases)
    errors = sum("<error" in case for case in cases)
    counts = f'tests="{len(cases)}" failures="{failures}" errors="{errors}"'
    suite = f"<testsuite name={_attribute(title)} {counts}>"
    return "\n".join(['<?xml version="1.0" encoding="utf-8"?>', suite, *cases, "</testsuite>"]) + "\n"


def _rule_cases(title: str, result: GateResult) -> Iterator[str]:
    for each in result.rules:
        name = _attribute(f"{each.score}: {each.rule}" if each.score else each.rule)
        wrong = (
            ""
            if each.verdict == "pass"
            else f"<failure message={_attribute(each.why)} type={_attribute(each.verdict)}/>"
        )
        yield f"  <testcase classname={_attribute(f'{title}.gate')} name={name}>{wrong}</testcase>"
    for problem in result.problems:
        failure = f'<failure message={_attribute(problem)} type="unclear"/>'
        yield f'  <testcase classname={_attribute(f"{title}.gate")} name="the runs may be judged">{failure}</testcase>'


def _answer_cases(title: str, head: EvalRun) -> Iterator[str]:
    given_up = {(each.digest, each.repeat): each for each in head.results if each.error}
    for each in (given_up | dict(head.answered)).values():
        name = _attribute(f"{each.item} #{each.repeat + 1}" if head.head.repeat > 1 else each.item)
        values = "".join(
            f"<property name={_attribute(score)} value={_attribute('' if its.value is None else f'{its.value:g}')}/>"
            for score, its in each.scores.items()
        )
        wrong = f"<error message={_attribute(each.error)}/>" if each.error else ""
        inner = f"<properties>{values}</properties>" if values else ""
        seconds = f'time="{each.seconds:.3f}"'
        yield f"  <testcase classname={_attribute(title)} name={name} {seconds}>{inner}{wrong}</testcase>"


def _row(name: str, its: ScoreChange) -> tuple[str, ...]:
    base, head = (
        "-" if each.interval is None else _value(its.kind, each.interval.estimate) for each in (its.base, its.head)
    )
    if its.difference is None:
        return name, base, head, "-", "-", ""
    change = _value(its.kind, its.difference.estimate)
    sign = "+" if its.difference.estimate > 0 else ""
    method = "" if its.kind in MEASURES else its.difference.method
    return name, base, head, f"{sign}{change}", _span(its.kind, its.difference), method


def _value(kind: str, value: float) -> str:
    if kind == "cost":
        return f"{'-' if value < 0 else ''}${abs(value):.6f}" if value else "$0"
    if kind == "latency":
        return f"{value:.2f} s"
    return f"{value:.0f}" if kind == "tokens" else f"{100 * value:.1f} %"


def _span(kind: str, found: ConfidenceInterval) -> str:
    if abs(found.low) == float("inf"):
        return "one cluster alone"
    return f"{_value(kind, found.low)} to {_value(kind, found.high)}"


def _summary_json(its: ScoreSummary) -> dict[str, object]:
    return {**_interval_json(its.interval), "missing": its.missing}


def _interval_json(found: ConfidenceInterval | None) -> dict[str, object]:
    if found is None:
        return {"estimate": None, "low": None, "high": None}
    ends = [None if abs(each) == float("inf") else round(each, 9) for each in (found.low, found.high)]
    return {
        "estimate": round(found.estimate, 9),
        "low": ends[0],
        "high": ends[1],
        "method": found.method,
        "items": found.items,
        "clusters": found.clusters,
    }


def _listed(items: Sequence[str]) -> str:
    more = f" and {len(items) - SHOWN_ITEMS} more" if len(items) > SHOWN_ITEMS else ""
    return ", ".join(f"#{each}" for each in items[:SHOWN_ITEMS]) + more


def table_cell(text: str) -> str:
    """Text from a data set or an error, which must not end a table or make a link (also #1 is one) or a mention."""
    plain = _LINK.sub("\\g<0>\u200b", " ".join(text.split()))
    return escape(plain).replace("`", "'").translate(REFERENCES)


def _attribute(text: str) -> str:
    """In quotes; XML 1.0 has no control characters."""
    return quoteattr(_NOT_XML.sub("\ufffd", text))
