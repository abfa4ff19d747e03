"""A bot in the widget within twelve commands and ten minutes, by what the tutorial prints and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.capture.network_capture import missing
from tests.conftest import weights
from tests.first_hour.blocks import Block
from tests.first_hour.test_pages import APART
from tests.first_hour.walk import Walk, commands_of, report
from tests.studio.browser import DRIVER, chromium
from tests.walls.source import ROOT

MOST_COMMANDS, MOST_S = 12, 600


@pytest.mark.large
def test_the_tutorial_leads_to_a_bot_that_answers_from_its_pages_or_says_no(tmp_path: Path) -> None:
    if lacks := missing():
        pytest.skip(lacks)
    if not DRIVER.is_dir():
        pytest.skip("there is no playwright here; run: make test-browser")
    chromium()
    for model in ("minilm-l6-v2", "qwen2.5-coder-1.5b"):
        weights(model)
    written = tmp_path / "walk.json"
    words = [*APART, sys.executable, "-m", "tests.first_hour.walk", "--here", str(written)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr
    sys.stdout.write(done.stdout)
    walk = Walk.read(written)
    assert not walk.failed, done.stdout
    right, no = walk.answers
    assert "45 days" in right and "[1]" in right and "returns.md" in right, "with its source"
    assert "The documents do not answer that." in no
    assert len(walk.commands) <= MOST_COMMANDS, done.stdout
    assert walk.seconds <= MOST_S, done.stdout


def test_what_a_reader_types_is_counted() -> None:
    blocks = [
        Block("a.md", 1, "bash", "# why\nmake up\n\nexport A=1 \\\n  B=2\n", {}),
        Block("a.md", 9, "bash", "echo\n", {"file": "a.sh"}),
        Block("a.md", 12, "console", "$ sizewise ask hello\nhello\n", {}),
        Block("a.md", 15, "toml", "a = 1\n", {}),
    ]
    typed = commands_of(blocks)
    assert typed == ["make up", "export A=1    B=2", "sizewise ask hello"]
    assert report(Walk(typed, [], ["Yes."], 90.0)).endswith("3 commands, 1.5 minutes")
