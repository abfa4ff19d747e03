"""Everyone's curve on one pair of models, with intervals, and whether the promise holds; prints a table, writes plots.

`make bench-routing DATA=FOLDER SMALL=NAME LARGE=NAME`, or `python -m bench.routing.run FOLDER [--small NAME]
[--large NAME]`. Deterministic: the same folder and seed give the same table. The plots need matplotlib; without it
they are left out, and it is said.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from bench.routing import plots, validity
from bench.routing.data import Task, pair, task
from bench.routing.measure import Figures, Ranking, curve, figures
from bench.routing.routers import ORDERS
from sizewise.errors import SizewiseError
from sizewise.evals.calibration import prepare_data

OWN = Path(__file__).with_name("live") / "recorded"


def ranked(asked: Task, seed: int) -> dict[str, Ranking]:
    """The worth of the large model for each prompt, by everyone who can say it."""
    found: dict[str, Ranking] = {}
    for name, order in ORDERS.items():
        if not order.agrees or asked.second_name is not None:
            print(f"{name} ...", file=sys.stderr, flush=True)
            found[name] = order.rank(asked, seed)
    return found


def priced(name: str, asked: Task) -> tuple[float, float]:
    """What a request costs always, and what it costs beside where it is kept small; the large answer costs 1.

    Who chooses by the prompt pays for one of the two; who asks the small models first pays for them always.
    """
    if ORDERS[name].asks_first:
        return asked.ratio * (2.0 if asked.second_name else 1.0), 0.0
    return 0.0, asked.ratio


def page(asked: Task, found: dict[str, Figures], promised: list[validity.Row]) -> str:
    second = f"second small model {asked.second_name}" if asked.second_name else "no second small model's answers"
    lines = [
        f"{asked.name}: {asked.small_name} ({asked.small.mean():.3f}) -> {asked.large_name} ({asked.large.mean():.3f})",
        f"{len(asked.prompts):,} prompts, price ratio {asked.ratio:g}, {second}",
        "",
        "| order | APGR | CPT 50 % | CPT 80 % | saved at 95 % quality, % |",
        "|---|---|---|---|---|",
    ]
    for name, its in found.items():
        cells = (its.apgr.text(), its.cpt50.text(1), its.cpt80.text(1), its.saved.text(1))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    if promised:
        lines += [
            "",
            f"The promise as `sizewise route calibrate` makes it, sure {validity.SURE:g}, "
            f"{promised[0].draws:,} calibrations "
            "a cell: broken in % (allowed 5; * where a binomial test at 5 % says it is more), saved in % of the cost "
            "of the large model alone",
            "",
            "| method | quality | " + " | ".join(f"{each:,} pairs" for each in validity.SAMPLES) + " | best possible |",
            "|---|---|" + "---|" * (len(validity.SAMPLES) + 1),
        ]
        for method, quality in dict.fromkeys((row.method, row.quality) for row in promised):
            mine = [row for row in promised if (row.method, row.quality) == (method, quality)]
            shown = " | ".join(f"{_broken(row)}, {100 * row.saved:.0f}" for row in mine)
            lines.append(f"| {method} | {quality:g} | {shown} | {100 * mine[0].best:.0f} |")
    return "\n".join(lines)


def _broken(row: validity.Row) -> str:
    return f"{100 * row.broken / row.draws:.1f}{'' if row.passes else '*'}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=OWN, help="default: our own recorded set")
    parser.add_argument("--small", help="default: the worst of the folder")
    parser.add_argument("--large", help="default: the best")
    parser.add_argument("--second", help="another small model; default: the best of those nearer to the small one")
    parser.add_argument("--ratio", type=float, default=0.1, help="price of a small answer, the large one's is 1")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draws", type=int, default=1_000, help="calibrations for the promise; 0: leave it out")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="write curves.svg and promise.svg there")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    try:
        small, large = (asked.small, asked.large) if asked.small and asked.large else pair(asked.folder)
        mine = task(asked.folder, asked.small or small, asked.large or large, asked.second, asked.ratio)
    except SizewiseError as why:
        print(f"{why.message}; {why.hint}", file=sys.stderr)
        return why.exit_code
    if mine.gap <= 0:
        print(f"{mine.large_name!r} is no better than {mine.small_name!r}: there is nothing to route", file=sys.stderr)
        return 2
    both, seed = (mine.small, mine.large), asked.seed
    worths = ranked(mine, seed)
    found = {name: figures(worth, *both, *priced(name, mine), seed=seed) for name, worth in worths.items()}
    ready = prepare_data(mine.evidence, mine.names, [mine.ratio] * (len(mine.names) - 1) + [1.0])
    promised = list(validity.rows(ready, seed, asked.draws)) if asked.draws else []
    if asked.plots is not None:
        curves = {name: curve(worth, mine.large, seed) for name, worth in worths.items()}
        plots.write(asked.plots, mine, curves, promised)
    if asked.json:
        told = {
            "task": {"folder": mine.name, "small": mine.small_name, "large": mine.large_name, "digest": mine.digest},
            "prompts": len(mine.prompts),
            "second": mine.second_name,
            "ratio": mine.ratio,
            "orders": {name: asdict(its) for name, its in found.items()},
            "promise": [asdict(row) | {"passes": row.passes} for row in promised],
        }
        print(json.dumps(told, indent=1))
    else:
        print(page(mine, found, promised))
    return 0


if __name__ == "__main__":
    sys.exit(main())
