"""The first hour of a team that wants a bot: types what the tutorial prints, and asks the widget in a browser.

    .venv/bin/python -m tests.first_hour.walk             # an empty clone and home; installs and downloads
    unshare --net --map-root-user .venv/bin/python -m tests.first_hour.walk --here   # with what is here

Prints the commands typed and the minutes. The goal: a right answer in the widget within 12 commands and 10 minutes.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from tests.capture.network_capture import everywhere_is_here
from tests.first_hour.blocks import Block, blocks_of
from tests.first_hour.page_run import Outcome, PageRun, run_page
from tests.first_hour.shell import Shell, reader_environment
from tests.studio.browser import driven
from tests.walls.source import ROOT

PAGE = ROOT / "docs" / "tutorial" / "a-bot-from-your-pages.md"
QUESTIONS = ("How many days do I have to send a lamp back?", "What is the capital of Peru?")
TAG = re.compile(r'src="(\S+)\.js"')


@dataclass(frozen=True)
class Walk:
    """`answers`: what the widget said to QUESTIONS, in their order, with its sources. `seconds`: from the first command
    to the last answer.
    """

    commands: Sequence[str]
    outcomes: Sequence[Outcome]
    answers: Sequence[str]
    seconds: float

    @classmethod
    def read(cls, file: Path) -> Self:
        """What `main` wrote there."""
        told = json.loads(file.read_text())
        return cls(**{**told, "outcomes": [Outcome(**each) for each in told["outcomes"]]})

    @property
    def failed(self) -> list[Outcome]:
        return [each for each in self.outcomes if each.state == "failed"]


def commands_of(blocks: Sequence[Block]) -> list[str]:
    """What is typed: each line of a bash block, and of a console block those with a prompt."""
    found = list[str]()
    for block in blocks:
        lines = block.text.replace("\\\n", " ").splitlines()
        if block.kind == "bash" and "file" not in block.marks:
            found += [line for line in lines if line.strip() and not line.startswith("#")]
        elif block.kind == "console":
            found += [line[2:] for line in lines if line.startswith("$ ")]
    return found


def ask_in_browser(shell: Shell) -> list[str]:
    """Opens the widget by itself, as its visitor does, and asks it QUESTIONS."""
    told = shell.run("sizewise widget list --json")
    [widget] = json.loads(told.text[told.text.index("{") :])["widgets"]
    with driven() as browser:
        page: Any = browser.new_page()
        page.goto(f"{shell.value('SIZEWISE_URL')}{widget['path']}")
        return [_answer(page, question) for question in QUESTIONS]


def _answer(page: Any, question: str) -> str:
    words = page.get_by_label("Your message")
    words.fill(question)
    words.press("Enter")
    page.get_by_role("button", name="Send").wait_for(timeout=240_000)
    said = page.locator("#log > *").all_inner_texts()
    return "\n".join(said[said.index(question) + 1 :])


def walk_here() -> Walk:
    """In a network of its own, with the packages and the weights of this machine."""
    began, answers = time.monotonic(), list[str]()
    with tempfile.TemporaryDirectory() as scratch:
        outcomes = run_page(PAGE, Path(scratch), lambda shell: answers.extend(ask_in_browser(shell)))
    return Walk(commands_of(list(blocks_of(PAGE))), outcomes, answers, time.monotonic() - began)


def walk_from_nothing() -> Walk:
    """With an empty clone, home and cache: `make up` installs, and models are downloaded."""
    blocks = list(blocks_of(PAGE))
    with tempfile.TemporaryDirectory() as scratch:
        clone, home, own = (Path(scratch, name) for name in ("sizewise", "home", "shell"))
        home.mkdir()
        own.mkdir()
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        began = time.monotonic()
        env = reader_environment(home, home / ".cache" / "sizewise", PATH="/usr/local/bin:/usr/bin:/bin")
        with Shell(clone, own, env) as shell:
            outcomes = list(PageRun(blocks, clone, shell).outcomes())
            answers = ask_in_browser(shell)
        return Walk(commands_of(blocks), outcomes, answers, time.monotonic() - began)


def report(walk: Walk) -> str:
    lines = [f"{number:>2}  {command}" for number, command in enumerate(walk.commands, 1)]
    lines += [f"failed: {each.place}: {each.why}" for each in walk.failed]
    lines += [f"{question}\n    {answer}" for question, answer in zip(QUESTIONS, walk.answers, strict=False)]
    return "\n".join([*lines, f"{len(walk.commands)} commands, {walk.seconds / 60:.1f} minutes"])


def main(words: Sequence[str]) -> None:
    if "--here" in words:
        everywhere_is_here()
    walk = walk_here() if "--here" in words else walk_from_nothing()
    if written := next((each for each in words if each != "--here"), ""):
        Path(written).write_text(json.dumps(asdict(walk)))
    sys.stdout.write(f"{report(walk)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
