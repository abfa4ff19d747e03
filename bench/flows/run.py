"""`python -m bench.flows.run`: the same graphs by Sizewise and by LangGraph, in memory and kept on SQLite, in turns.

LangGraph where bench/flows/install_peers has put it; else Sizewise alone.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import msgspec
from msgspec import Struct

from bench.flows.graphs import CHAIN, ITEMS, KINDS, NODES, WIDE
from bench.flows.sizewise_runner import Asked, Took

PEERS = Path(os.environ.get("SIZEWISE_BENCH_DIR") or Path.home() / ".cache" / "sizewise-bench") / "langgraph"
AT_ONCE = 8
CASES = [*((graph, kind) for graph in ("chain", "fan", "each") for kind in KINDS), ("none", "ask")]
SAID = {
    "chain": f"a chain of {CHAIN}",
    "fan": f"{WIDE} between two",
    "each": f"each of {ITEMS} items",
    "none": "no flow: the question alone",
}


class Contender(Struct, frozen=True):
    """`beside`: the way of ours that its ratios are to."""

    name: str
    program: str
    way: str
    beside: str


CONTENDERS = (
    Contender("Sizewise, in memory", "ours", "memory", ""),
    Contender("LangGraph, in memory", "theirs", "memory", "Sizewise, in memory"),
    Contender("Sizewise, kept", "ours", "durable", ""),
    Contender("LangGraph, kept behind (`async`)", "theirs", "async", "Sizewise, kept"),
    Contender("LangGraph, kept (`sync`)", "theirs", "sync", "Sizewise, kept"),
)

Place = tuple[str, str, str, int]
"""Graph, kind, contender, runs at once."""
Rounds = Mapping[Place, list[Took]]
Measure = Callable[[Took, int], float]
"""Of what a round took, and the nodes of a run."""


class Program:
    """A process that walks graphs; `names` are its parts with their versions."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.names = msgspec.json.decode(self._line(), type=list[str])

    def walk(self, asked: Asked) -> Took:
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(asked).decode() + "\n")
        self._process.stdin.flush()
        return msgspec.json.decode(self._line(), type=Took)

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._process.args!r} ended before its time: what it says stands above")
        return line


def main() -> None:
    said = argparse.ArgumentParser()
    said.add_argument("--rounds", type=int, default=5)
    said.add_argument("--seconds", type=float, default=0.1, help="of one contender at one graph, in one round")
    said.add_argument("--json", action="store_true")
    wanted = said.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sizewise-bench-")))
        programs = {name: stack.enter_context(started(command)) for name, command in commands(folder).items()}
        found = measured(programs, wanted.rounds, wanted.seconds)
        names = ", ".join(name for program in programs.values() for name in program.names)
    if wanted.json:
        print(msgspec.json.encode([(*place, rounds) for place, rounds in found.items()]).decode())
    else:
        print(f"{names}; {wanted.rounds} rounds\n\n{page(found)}")


def commands(folder: Path) -> dict[str, list[str]]:
    made = {"ours": [sys.executable, "-m", "bench.flows.sizewise_runner", str(folder)]}
    python = PEERS / "bin" / "python"
    if python.exists():
        made["theirs"] = [str(python), str(Path(__file__).with_name("peers") / "langgraph_runner.py"), str(folder)]
    else:
        print("LangGraph is not installed: bench/flows/install_peers", file=sys.stderr)
    return made


@contextmanager
def started(command: list[str]) -> Iterator[Program]:
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Program(process)


def measured(programs: Mapping[str, Program], rounds: int, seconds: float) -> Rounds:
    """Contenders in turns at each graph, every other round from behind; the first round is for nothing."""
    found: dict[Place, list[Took]] = {}
    contenders = [each for each in CONTENDERS if each.program in programs]
    for number in range(-1, rounds):
        for graph, kind in CASES:
            for at_once in (1, AT_ONCE):
                for each in contenders[:: 1 if number % 2 else -1]:
                    if graph == "none" and each.way != "memory":
                        continue
                    length = 0.0 if number < 0 else seconds
                    took = programs[each.program].walk(Asked(graph, kind, each.way, at_once, length))
                    if number >= 0:
                        found.setdefault((graph, kind, each.name, at_once), []).append(took)
    return found


def page(found: Rounds) -> str:
    """A table for what a node takes, one for what of it is the processor's, one for how many runs there are."""
    return "\n\n".join(
        [
            table(
                found,
                "us a node, one run after another",
                1,
                lambda took, nodes: took.wall_s / took.runs / nodes * 1e6,
            ),
            table(found, "CPU us a node, the same runs", 1, lambda took, nodes: took.cpu_s / took.runs / nodes * 1e6),
            table(found, f"runs/s, {AT_ONCE} at once", AT_ONCE, lambda took, nodes: took.runs / took.wall_s, more=True),
        ],
    )


def table(found: Rounds, heading: str, at_once: int, measure: Measure, more: bool = False) -> str:
    """Medians; in brackets the median of the rounds' ratios, above 1 where Sizewise is better. `more` is better."""
    shown = [each for each in CONTENDERS if any(place[2] == each.name for place in found)]
    lines = [f"| {heading} | " + " | ".join(each.name for each in shown) + " |", "|---" * (len(shown) + 1) + "|"]
    for graph, kind in CASES:
        cells = [_cell(found, (graph, kind, each.name, at_once), each.beside, measure, more) for each in shown]
        name = SAID[graph] if graph == "none" else f"{SAID[graph]}, {kind}"
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(found: Rounds, place: Place, beside: str, measure: Measure, more: bool) -> str:
    graph, kind, _, at_once = place
    if place not in found:
        return "-"
    its = [measure(took, NODES[graph]) for took in found[place]]
    if not beside:
        return _number(median(its))
    ours = [measure(took, NODES[graph]) for took in found[graph, kind, beside, at_once]]
    ratios = [other / one if more else one / other for one, other in zip(its, ours, strict=True)]
    return f"{_number(median(its))} ({median(ratios):.2g}x)"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


if __name__ == "__main__":
    main()
