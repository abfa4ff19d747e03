"""`make bench-bias`: errors of bias reports over many draws, and mitigation before and after; needs no server."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, quantiles

import msgspec

from bench.bias.draws import DIMENSIONS, REFERENCES, answers, cascade_rows, examples, true_gap
from sizewise.evals.bias.gaps import TOLERANCE, GroupGap, find_gaps
from sizewise.evals.bias.thresholds import Way, fit_thresholds, split
from sizewise.tuning.examples import Example, PromptMessage

PLANTED: Mapping[str, Mapping[str, float]] = {
    "none": {},
    "-20 points for one variety": {"african-american": 0.2},
    "-30 points for one name group": {"egyptian": 0.3},
    "-30 points for two of five places": {"africa": 0.3, "south-asia": 0.3},
}
TEXTS = (32, 100, 300)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=1_000)
    parser.add_argument("--seeds", type=int, default=5, help="Trainings of a head.")
    asked = parser.parse_args()
    print(f"## Reports\n\n{asked.draws:,} draws a row, 12 groups in three dimensions, two metrics\n")
    print(
        '| planted | texts | found where none is | planted groups found | an interval missed | "no gap" said wrongly |'
    )
    print("|---|---:|---:|---:|---:|---:|")
    for name, planted in PLANTED.items():
        for texts in TEXTS:
            print(f"| {name} | {texts} | {_report_row(planted, texts, asked.draws)} |", flush=True)
    print("\n## A router that trusts the small model too much on one variety of English\n")
    print("300 texts in three varieties, half to fit and half to judge; means over draws, 10th to 90th percentile\n")
    print("| thresholds | quality, of the large model | kept small | gap of the group, points |")
    print("|---|---:|---:|---:|")
    for way in ("one", "every-group", "by-group"):
        print(f"| {way} | {_router_row(way, max(10, asked.draws // 5))} |", flush=True)
    print("\n## Training data in which one group's names come with one intent alone\n")
    print("240 messages, 12 intents, a head on MiniLM vectors; 120 others in which names say nothing\n")
    print("| data | seed | right | after | gap of the group | after | verdict before | after |")
    print("|---|---:|---:|---:|---:|---:|---|---|")
    for way in ("versions", "weights"):
        for seed in range(asked.seeds):
            print(f"| {way} | {seed} | {_head_row(way, seed)} |", flush=True)


def _report_row(planted: Mapping[str, float], texts: int, draws: int) -> str:
    wrong = missed = denied = 0
    hits = list[float]()
    for seed in range(draws):
        gaps = find_gaps(answers(seed, texts, planted), REFERENCES)
        found = {each.group for each in gaps if each.verdict == "gap found"}
        hits.extend(float(group in found) for group in planted)
        others = {each.group: _others(each, found) for each in gaps if each.metric == "quality"}
        seen = [(each, true_gap(each.group, others[each.group], planted)) for each in gaps if _is_compared(each)]
        wrong += any(each.verdict == "gap found" and not truth for each, truth in seen)
        missed += any(not each.low <= truth <= each.high for each, truth in seen)
        denied += any(each.verdict == "no gap" and abs(truth) > TOLERANCE for each, truth in seen)
    share = f"{fmean(hits):.1%}" if hits else ""
    return f"{wrong / draws:.1%} | {share} | {missed / draws:.1%} | {denied / draws:.1%}"


def _is_compared(each: GroupGap) -> bool:
    return each.metric == "quality" and each.verdict != "reference"


def _others(each: GroupGap, found: set[str]) -> Sequence[str]:
    """The groups that it was compared with."""
    if each.dimension in REFERENCES:
        return [REFERENCES[each.dimension]]
    others = [group for group in DIMENSIONS[each.dimension] if group != each.group]
    return [group for group in others if group not in found] or others


def _router_row(way: Way, draws: int) -> str:
    quality, small, gaps = list[float](), list[float](), list[float]()
    for seed in range(draws):
        fit, judged = split(cascade_rows(seed, 300, 0.25))
        routed = fit_thresholds(fit, 0.95, way, "variety").answers(judged)
        quality.append(fmean(each.quality for each in routed) / fmean(row.large for row in judged))
        small.append(fmean(bool(each.is_small) for each in routed))
        groups = {name: [e.quality for e in routed if e.groups["variety"] == name] for name in DIMENSIONS["variety"]}
        gaps.append(100 * (fmean(groups["african-american"]) - fmean(groups["standard"])))
    return " | ".join(_spread(each, unit) for each, unit in ((quality, "%"), (small, "%"), (gaps, "")))


def _spread(values: Sequence[float], unit: str) -> str:
    tenths = quantiles(values, n=10)
    if unit:
        return f"{fmean(values):.1%} ({tenths[0]:.0%} to {tenths[-1]:.0%})"
    return f"{fmean(values):+.1f} ({tenths[0]:+.1f} to {tenths[-1]:+.1f})"


def _head_row(way: str, seed: int) -> str:
    train, test = examples(seed, 240, 0.95)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "train.jsonl").write_bytes(_lines(train))
        (folder / "test.jsonl").write_bytes(_lines(test))
        words = ("bias", "augment", "train.jsonl", "--test", "test.jsonl", "-o", "fair.jsonl", "--by", way, "--json")
        done = subprocess.run([sys.executable, "-m", "sizewise", *words], cwd=folder, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        sys.exit(done.stderr)
    told = json.loads(done.stdout)
    if told["before"] is None:
        sys.exit("There is no embedding model: sizewise models pull minilm-l6-v2")
    (before, was), (after, now) = ((its, _named(its)) for its in (told["before"], told["after"]))
    return (
        f"{before['right']:.1%} | {after['right']:.1%} | {100 * was['gap']:+.1f} | {100 * now['gap']:+.1f}"
        f" | {was['verdict']} | {now['verdict']}"
    )


def _named(its: Mapping[str, Sequence[Mapping[str, object]]]) -> dict[str, float]:
    return next(dict(each) for each in its["groups"] if each["group"] == "egyptian")  # type: ignore[arg-type]  # JSON


def _lines(rows: Sequence[Example]) -> bytes:
    return b"".join(
        msgspec.json.encode({"messages": [*row.prompt, PromptMessage("assistant", row.answer)]}) + b"\n" for row in rows
    )


if __name__ == "__main__":
    main()
