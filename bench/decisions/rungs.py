"""Latency of each rung through a real server, from a client: exact, near copy, head, next token, tuned, large.

    python -m bench.decisions.rungs FOLDER --model MODEL.onnx --cache DIR --home HOME [--distilled HOME]

A server learns 250 answers to twelve intents of BANKING77 in HOME, and certifies its ladder by itself; the large model
is a double that answers at once. `tuned` needs --distilled, the home of bench/tuning/distill.py. Beside the time stands
how often each rung agreed, and the calibration error of the probabilities that it told.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.decisions.cells import cells
from bench.decisions.data import banking, clinc
from bench.tuning import depots, distill
from sizewise.decisions.certificate import LOOKS
from sizewise.decisions.certification import calibration_error
from tests.cli.terminal import sizewise
from tests.gateway.server_harness import beside
from tests.running_server import Served, serving, until

SEED = 0
INSTRUCTIONS = "Which intent has this message to a bank?"
NEXT_TOKEN = {"local/smollm2-135m": 40, "local/qwen2.5-coder-1.5b": 12}
"""Messages that each embedded model is asked."""
AGAIN, NEW = 100, 400


@dataclass(frozen=True)
class Asked:
    rung: str
    seconds: float
    confidence: float
    is_right: bool


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("folder", type=Path)
    options.add_argument("--model", type=Path, required=True)
    options.add_argument("--cache", type=Path, required=True)
    options.add_argument("--home", type=Path, default=Path("rungs-bench"))
    options.add_argument("--distilled", type=Path, help="a home of bench/tuning/distill.py, as it was left")
    chosen = options.parse_args()
    bank, scope = (read(chosen.folder, chosen.cache, chosen.model) for read in (banking, clinc))
    stream = next(iter(cells(bank, scope, LOOKS[:1]))).stream(SEED)
    intents = stream.intents
    learned, new = (
        [(intents.texts[at], intents.names[intents.labels[at]]) for at in places]
        for places in (stream.learned, stream.tested)
    )

    class Knows(distill.Knows):
        truth = dict([*learned, *new, *((altered(text), intent) for text, intent in learned)])

    print("rung                                      asked  median ms  90 % ms   right    ECE", flush=True)
    with (
        beside(lambda: Knows(distill.port_of(chosen.home))) as up,
        serving(chosen.home.absolute(), distill.CONFIG.format(url=up.url)) as server,
    ):
        question = choice(INSTRUCTIONS, intents.names)
        for pair in learned[decision(server)["answers"] :]:
            ask(server, "up/large", question, [pair])
        until(lambda: decision(server)["state"] == "certified")
        again = learned[:AGAIN]
        found = ask(server, "up/large", question, again)
        found += ask(server, "up/large", question, [(altered(text), intent) for text, intent in again])
        show(found + ask(server, "up/large", question, new[:NEW]))
        for model, count in NEXT_TOKEN.items():
            ask(server, model, question, new[-1:])  # it is loaded
            show(ask(server, model, question, new[-1 - count : -1]), f" ({model})")
    if chosen.distilled is not None:
        show_tuned(chosen.distilled)


def show_tuned(home: Path) -> None:
    """Messages with towns in pairs that its model never saw."""
    with (
        beside(lambda: distill.Knows(distill.port_of(home))) as up,
        serving(home.absolute(), distill.CONFIG.format(url=up.url)) as server,
    ):
        new = depots.rows(distill.ASKED_AFTERWARDS, distill.SEED, test=True)
        ask(server, "up/large", distill.QUESTION, new[:5])  # it is loaded
        show(ask(server, "up/large", distill.QUESTION, new[5:]), " (depots)")


def decision(server: Served) -> Any:
    """The large model's: an embedded one that is asked has one of its own."""
    found = sizewise("decisions", "--json", home=server.home).json["decisions"]
    return next((each for each in found if each["model"] == "up/large"), {"answers": 0})


def choice(instructions: str, names: Iterable[str]) -> Mapping[str, Any]:
    return {"type": "choice", "instructions": instructions, "choices": [{"value": name} for name in names]}


def altered(text: str) -> str:
    """Another text to whoever compares letters."""
    return f"{text.rstrip('?.! ')} ??"


def ask(server: Served, model: str, question: Mapping[str, Any], pairs: Sequence[tuple[str, str]]) -> list[Asked]:
    """One after the other, each on a connection of its own."""
    found = []
    for text, truth in pairs:
        body, began = {"model": model, "input": text, "questions": [question]}, time.perf_counter()
        answer: Any = server.ask("/v1/decisions", body, timeout=300)
        took = time.perf_counter() - began
        assert answer.status == 200, answer.body
        told = answer.json["answers"][0]
        found.append(Asked(answer.json["sizewise"]["rungs"][0], took, told["confidence"], told["choice"] == truth))
    return found


def show(found: Sequence[Asked], more: str = "") -> None:
    for rung in dict.fromkeys(each.rung for each in found):
        those = [each for each in found if each.rung == rung]
        took = np.array([each.seconds for each in those]) * 1e3
        right = [each.is_right for each in those]
        error = calibration_error([each.confidence for each in those], right)
        print(
            f"{rung + more:<41} {len(those):>5} {np.median(took):>10.1f} {np.quantile(took, 0.9):>8.1f}"
            f" {np.mean(right):>7.3f} {error:>6.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
