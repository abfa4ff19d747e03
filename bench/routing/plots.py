"""The cost-quality plane of a pair, and what the promise kept; needs matplotlib, and says so where it is missing."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from bench.routing.data import Task
from bench.routing.measure import Curve
from bench.routing.validity import Row

SHOWN = ("random", "length", "kNN on words", "ours, prompt, 4/5 of all labels", "agreement, no label",
         "ours, cascade, 4/5 of all labels", "oracle")  # fmt: skip


def write(folder: Path, task: Task, curves: dict[str, Curve], promised: Sequence[Row]) -> None:
    if find_spec("matplotlib") is None:
        print("no plots: pip install matplotlib", file=sys.stderr)
        return
    importlib.import_module("matplotlib").use("svg")
    pyplot = importlib.import_module("matplotlib.pyplot")
    folder.mkdir(parents=True, exist_ok=True)
    figure, axes = pyplot.subplots(figsize=(7, 5))
    for name in SHOWN:
        if name in curves:
            its = curves[name]
            style = {"random": ":", "oracle": "--"}.get(name, "-")
            axes.plot(100 * its.calls, 100 * its.quality, style, label=name)
    axes.axhline(95 * task.large.mean(), color="grey", linewidth=0.7)
    axes.set_xlabel("calls to the large model, %")
    axes.set_ylabel("right, %")
    axes.set_title(f"{task.name}: {task.small_name} -> {task.large_name}", fontsize=9)
    axes.legend(fontsize=8)
    figure.savefig(folder / "curves.svg", metadata={"Date": None})
    if promised:
        figure, axes = pyplot.subplots(figsize=(7, 5))
        for method in dict.fromkeys(row.method for row in promised):
            mine = [row for row in promised if row.method == method]
            axes.plot(
                [100 * row.broken / row.draws for row in mine],
                [100 * row.saved for row in mine],
                "o",
                label=method,
            )
        axes.axvline(5, color="grey", linewidth=0.7)
        axes.set_xlabel("promises broken, %")
        axes.set_ylabel("saved, %")
        axes.legend(fontsize=8)
        figure.savefig(folder / "promise.svg", metadata={"Date": None})
