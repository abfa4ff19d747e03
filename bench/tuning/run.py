"""Tunes the 135M model on a task of this bench from an empty home, and asks it beside the 1.5B: one command.

Tasks: the made one (task.py), and with --banking FOLDER twelve intents of BANKING77. It can be stopped: the same home
goes on. Figures stand in README.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from bench.tuning import banking
from bench.tuning.task import INSTRUCTIONS, messages
from sizewise.catalog.loader import local_card, weights_path
from sizewise.settings.load import Settings, load_settings
from sizewise.tuning.examples import Example, PromptMessage
from sizewise.tuning.model_answers import GreedyAnswer, ask_all, is_right, running_model, with_options

SMALL, LARGE = "local/smollm2-135m", "local/qwen2.5-coder-1.5b"
KEPT = 0.8
KILLED_AT = 0.6
ASKED = 120
ANSWER_TOKENS = 24


Rows = Sequence[tuple[str, str]]


class Task(Struct, frozen=True):
    """Messages with their intents: `train` to learn from, `test` to be asked."""

    instructions: str
    train: Rows
    test: Rows

    @property
    def intents(self) -> list[str]:
        return sorted({intent for _, intent in self.train})


def task_of(given: argparse.Namespace) -> Task:
    if given.banking is None:
        train, test = (messages(count, 1, test=held) for count, held in ((given.examples, False), (2 * ASKED, True)))
        return Task(INSTRUCTIONS, train, test)
    train, test = (banking.rows(given.banking, 1, test=held) for held in (False, True))
    return Task(banking.INSTRUCTIONS, train[: given.examples], test[: 2 * ASKED])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, default=Path("tuning-bench"))
    parser.add_argument("--examples", type=int, default=720)
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--banking", type=Path, metavar="FOLDER", help="of BANKING77's train.csv and test.csv")
    parser.add_argument("--adapter", type=Path, help="ask this one, and train none")
    given = parser.parse_args()
    given.home.mkdir(parents=True, exist_ok=True)
    task = task_of(given)
    if given.adapter is None:
        tune(given.home, task, given.preset)
    adapter = given.adapter or given.home / "tuning" / "intents" / "adapter.gguf"
    asyncio.run(compare(load_settings(None, given.home.absolute(), environ=dict(os.environ)), adapter, task))


def tune(home: Path, task: Task, preset: str) -> None:
    for name, rows in (("train", task.train), ("test", task.test)):
        lines = [json.dumps({"input": text, "output": intent}) for text, intent in rows]
        (home / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    sizewise = [sys.executable, "-m", "sizewise", "tune"]
    files = [str(home / "train.jsonl"), "--test", str(home / "test.jsonl"), "--instructions", task.instructions]
    files += ["--preset", preset]
    if not (home / "tuning" / "intents" / "adapter.gguf").exists():
        if not (home / "tuning" / "intents" / "checkpoint.pt").exists():
            subprocess.run([*sizewise, "plan", "intents", *files, "--home", str(home)], check=True)
            kill_once([*sizewise, "run", "intents", "--anyway", "--home", str(home)], home / "tuning" / "intents")
        subprocess.run([*sizewise, "run", "intents", "--anyway", "--home", str(home)], check=False)
    subprocess.run([*sizewise, "status", "intents", "--home", str(home)], check=True)


def kill_once(words: Sequence[str], folder: Path) -> None:
    """Kills a training where it has done three fifths of its steps, so that the next command must go on from there."""
    with subprocess.Popen(words) as training:
        while training.poll() is None:
            run = json.loads((folder / "run.json").read_text())
            if run["step"] >= KILLED_AT * run["estimate"]["steps"]:
                training.send_signal(signal.SIGKILL)
                print(f"killed after step {run['step']} of {run['estimate']['steps']}", flush=True)
                break
            time.sleep(1)


async def compare(settings: Settings, adapter: Path, task: Task) -> None:
    asked = [
        Example((PromptMessage("system", task.instructions), PromptMessage("user", text)), intent)
        for text, intent in task.test[:ASKED]
    ]
    small = await answers(settings, SMALL, asked, adapter)
    bound = await answers(settings, SMALL, asked, adapter, task.intents)
    large = await answers(settings, LARGE, asked, None, task.intents)
    scores = [sum(each.logprobs) / max(1, len(each.logprobs)) for each in small]
    bar = sorted(scores, reverse=True)[int(KEPT * len(scores)) - 1]
    both = [one if score >= bar else other for one, other, score in zip(small, large, scores, strict=True)]
    print(f"{'tuned 135M':>28} {share(small, asked):.3f}")
    print(f"{'as a rung of decisions':>28} {share(bound, asked):.3f}")
    print(f"{'1.5B, answers listed':>28} {share(large, asked):.3f}")
    print(f"{f'tuned, 1.5B for {1 - KEPT:.0%}':>28} {share(both, asked):.3f}")


async def answers(
    settings: Settings, name: str, asked: Sequence[Example], adapter: Path | None, options: Sequence[str] = ()
) -> list[GreedyAnswer]:
    """`options`: nothing else can be answered; listed for a model that has not learned them."""
    card = local_card(name, settings)
    assert card.weights is not None
    prompts = [with_options(each.prompt, options) if options and adapter is None else each.prompt for each in asked]
    file = weights_path(card.weights, settings.cache_dir)
    async with running_model(name, file, 0, adapter) as model:
        return await ask_all(
            model,
            prompts,
            ANSWER_TOKENS,
            adapted=adapter is not None,
            options=options,
            progress=lambda done, of: None,
        )


def share(said: Sequence[GreedyAnswer], asked: Sequence[Example]) -> float:
    return sum(is_right(said, asked)) / len(asked)


if __name__ == "__main__":
    main()
