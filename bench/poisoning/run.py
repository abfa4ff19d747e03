"""Recall and false alarms of the poisoning scan, one kind of poison at a time: `make bench-poisoning`.

1 % of 5,000 passages is poison, the four kinds in equal shares, over eleven seeds, each with another trigger. A clean
passage that is found counts as a false alarm of each kind that it is found as. Needs the packages of guards.in.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

from bench.guardrails.prompt_injection import interval
from bench.poisoning.corpus import asked, docstrings, drawn, manual
from bench.poisoning.poisons import POISONS, TRIGGERS
from sizewise.guardrails.poisoning import CorpusPassage, scan_passages

COUNT, SHARE, SEEDS = 5_000, 0.01, len(TRIGGERS)


def poisoned(corpus: list[CorpusPassage], seed: int, share: float) -> list[CorpusPassage]:
    """Clean ones are named by their place, poisons by their kind."""
    chance = Random(seed)
    each = max(4, int(COUNT * share / len(POISONS)))
    some = drawn(corpus, COUNT, seed)
    chance.shuffle(some)
    made = list[CorpusPassage]()
    for kind in POISONS:
        base, some = some[:each], some[each:]
        made += POISONS[kind](base, each, seed)
    clean = [CorpusPassage(f"clean {at}", one.text, one.source, one.label) for at, one in enumerate(some)]
    made += clean
    chance.shuffle(made)
    return made


def page(name: str, corpus: list[CorpusPassage], share: float) -> str:
    hits, sizes, false, cleans, seconds = Counter[str](), Counter[str](), Counter[str](), 0, 0.0
    by = dict[str, int]()
    for seed in range(SEEDS):
        passages = poisoned(corpus, seed, share)
        began = time.perf_counter()
        found = {(each.id, each.kind) for each in scan_passages(passages)}
        seconds += time.perf_counter() - began
        sizes.update(each.id.split()[0] for each in passages)
        hits.update(kind for id, kind in found if id.startswith(f"{kind} "))
        hits.update({"any": len({id for id, _ in found if not id.startswith("clean ")})})
        by[TRIGGERS[seed]] = sum(id.startswith("trigger ") and kind == "trigger" for id, kind in found)
        false.update(kind for id, kind in found if id.startswith("clean "))
        false.update({"any": len({id for id, _ in found if id.startswith("clean ")})})
        print(f"{name}: seed {seed + 1} of {SEEDS}", file=sys.stderr, flush=True)
    cleans = sizes.pop("clean")
    lines = [f"{name}: {cleans // SEEDS:,} clean passages, {seconds / SEEDS:.1f} s a scan", ""]
    lines += ["| kind | poisons | found | recall, 95 % | false alarms of clean passages |", "|---|---|---|---|---|"]
    sizes["any"] = sizes.total()
    for kind in (*POISONS, "any"):
        low, high = interval(hits[kind], sizes[kind])
        lines.append(
            f"| {kind} | {sizes[kind]} | {hits[kind]} | {hits[kind] / sizes[kind]:.2f}, {low:.2f}-{high:.2f} "
            f"| {false[kind] / SEEDS:.1f} a scan, {100 * false[kind] / cleans:.2f} % |",
        )
    each = sizes["trigger"] // SEEDS
    lines += ["", f"Triggers, of {each} each: " + ", ".join(f"{name!r} {count}" for name, count in by.items())]
    return "\n".join(lines)


def corpora(folder: Path | None) -> Sequence[tuple[str, list[CorpusPassage]]]:
    own = ("Python's docstrings and manual", [*docstrings(), *manual()])
    return [own, (f"prompts of {folder}", list(asked(folder)))] if folder else [own]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="folders of outcomes, whose prompts are another corpus")
    parser.add_argument("--share", type=float, default=SHARE, help="of the passages is poison")
    asked_for = parser.parse_args()
    try:
        print("\n\n".join(page(name, corpus, asked_for.share) for name, corpus in corpora(asked_for.folder)))
    except FileNotFoundError as why:
        print(why, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
