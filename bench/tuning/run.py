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
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from bench.tuning import banking
from bench.tuning.task import INSTRUCTIONS, messages
from sizewise.catalog.loader import local_card, weights_path
from sizewise.cli.local_vectors import local_embedding_model, local_vectors
from sizewise.settings.load import Settings, load_settings
from sizewise.tuning.examples import Example, PromptMessage
from sizewise.tuning.model_answers import GreedyAnswer, ask_all, is_right, running_model, with_options

SMALL, LARGE = "local/smollm2-135m", "local/qwen2.5-coder-1.5b"
SHOWN = 8
"""Nearest examples in a prompt of the 1.5B: what its user would do before a tuning."""
KEPT = 0.8
KILLED_AT = 0.6
ASKED, ASKED_AGAIN = 120, 480
"""So many messages are put to both. More of the same templates vary less: the tuned model is asked those, too."""
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
        train, test = (messages(count, 1, test=held) for count, held in ((given.examples, False), (ASKED_AGAIN, True)))
        return Task(INSTRUCTIONS, train, test)
    train, test = (banking.rows(given.banking, 1, test=held) for held in (False, True))
    return Task(banking.INSTRUCTIONS, train[: given.examples], test[:ASKED_AGAIN])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, default=Path("tuning-bench"))
    parser.add_argument("--examples", type=int, default=2_520)
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--banking", type=Path, metavar="FOLDER", help="of BANKING77's train.csv and test.csv")
    parser.add_argument("--adapter", type=Path, help="ask this one, and train none")
    given = parser.parse_args()
    given.home.mkdir(parents=True, exist_ok=True)
    task, settings = task_of(given), load_settings(None, given.home.absolute(), environ=dict(os.environ))
    larges = asyncio.run(ask_large(settings, given.home / "large.json", task))
    if given.adapter is None:
        tune(given.home, task, given.preset)
    adapter = given.adapter or given.home / "tuning" / "intents" / "adapter.gguf"
    asyncio.run(compare(settings, adapter, task, larges))


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


async def ask_large(settings: Settings, file: Path, task: Task) -> Mapping[str, list[GreedyAnswer]]:
    """What the 1.5B answers, by what it is told; kept in `file`, since it takes half of the time."""
    told, kept = examples_told(task, await nearest(settings, task)), dict[str, list[GreedyAnswer]]()
    if file.exists():
        kept = msgspec.json.decode(file.read_bytes(), type=dict[str, list[GreedyAnswer]])
    for name, asked in (("answers listed", examples_of(task)[:ASKED]), (f"{SHOWN} examples", told)):
        if name not in kept:
            kept[name] = await answers(settings, LARGE, asked, None, task.intents)
            file.write_bytes(msgspec.json.encode(kept))
    return kept


async def compare(settings: Settings, adapter: Path, task: Task, larges: Mapping[str, Sequence[GreedyAnswer]]) -> None:
    every = examples_of(task)
    asked = every[:ASKED]
    small = await answers(settings, SMALL, every, adapter)
    bound = await answers(settings, SMALL, every, adapter, task.intents)
    for name, said in (("tuned 135M", small), ("as a rung of decisions", bound)):
        more = share(said, every)
        print(f"{name:>38} {share(said[:ASKED], asked):.3f}, of {len(every)} messages {more:.3f}")
    for name, of in larges.items():
        print(f"{f'1.5B, {name}':>38} {share(of, asked):.3f}")
        both = cascade(bound[:ASKED], of)
        print(f"{f'tuned, 1.5B ({name}) for {1 - KEPT:.0%}':>38} {share(both, asked):.3f}")


def examples_of(task: Task) -> list[Example]:
    return [Example(_prompt(task, text), intent) for text, intent in task.test]


def examples_told(task: Task, shown: Sequence[Rows]) -> list[Example]:
    """With the `shown` messages and their intents before each."""
    asked = examples_of(task)[: len(shown)]
    return [
        Example((each.prompt[0], *(turn for row in rows for turn in _turns(*row)), each.prompt[-1]), each.answer)
        for each, rows in zip(asked, shown, strict=True)
    ]


def cascade(small: Sequence[GreedyAnswer], large: Sequence[GreedyAnswer]) -> list[GreedyAnswer]:
    """The least certain fifth of the small one's answers is the large one's."""
    scores = [sum(each.logprobs) for each in small]
    kept = set(sorted(range(len(small)), key=lambda at: -scores[at])[: int(KEPT * len(small))])
    return [small[at] if at in kept else large[at] for at in range(len(small))]


async def nearest(settings: Settings, task: Task) -> list[list[tuple[str, str]]]:
    """The examples most like each message that is asked, the most like last."""
    texts = [text for text, _ in task.test[:ASKED]]
    model = local_embedding_model(settings)
    assert model is not None, "run: sizewise models pull minilm-l6-v2"
    try:
        found = await local_vectors(model, [*(text for text, _ in task.train), *texts])
    finally:
        await model.stop(0)
    vectors = np.array(found, np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    likeness = vectors[len(task.train) :] @ vectors[: len(task.train)].T
    return [[task.train[at] for at in np.argsort(row)[-SHOWN:]] for row in likeness]


def _prompt(task: Task, text: str) -> tuple[PromptMessage, ...]:
    return PromptMessage("system", task.instructions), PromptMessage("user", text)


def _turns(text: str, intent: str) -> tuple[PromptMessage, PromptMessage]:
    return PromptMessage("user", text), PromptMessage("assistant", intent)


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
