"""Each block of every tutorial and how-to runs as its page says, in order, in one folder, from an empty home."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.capture.network_capture import missing
from tests.first_hour.blocks import Block, blocks_of, pages
from tests.first_hour.page_run import Outcome, report
from tests.first_hour.settings_file import take_over
from tests.first_hour.shown_output import KnownIds, missing_line
from tests.walls.source import ROOT

MOST_MARKED = 14
MAPPED = () if os.geteuid() == 0 else ("--map-root-user",)
APART = ("unshare", *MAPPED, "--net", "--pid", "--fork", "--kill-child=KILL", "--mount-proc")
"""What a page starts ends with it."""


def cases() -> Iterator[object]:
    for page in pages():
        blocks = list(blocks_of(page))
        pulls_large = any("pull qwen" in block.text and "needs" not in block.marks for block in blocks)
        mark = pytest.mark.large if pulls_large else pytest.mark.long
        if blocks:
            yield pytest.param(page, id=page.relative_to(ROOT).as_posix(), marks=mark)


@pytest.mark.parametrize("page", list(cases()))
def test_every_block_of_a_page_runs(page: Path, tmp_path: Path) -> None:
    if lacks := missing():
        pytest.skip(lacks)
    name, written = page.relative_to(ROOT).as_posix(), tmp_path / "outcomes.json"
    words = [*APART, sys.executable, "-m", "tests.first_hour.page_run", name, str(written)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr
    outcomes = [Outcome(**each) for each in json.loads(written.read_text())]
    sys.stdout.write(f"{report(name, outcomes)}\n")
    assert [each for each in outcomes if each.state == "failed"] == [], report(name, outcomes)
    assert len(outcomes) >= len(list(blocks_of(page)))


def test_few_blocks_are_marked_as_needing_what_a_test_has_not() -> None:
    marked = [
        f"{block.place}: {block.marks['needs']}"
        for page in pages()
        for block in blocks_of(page)
        if "needs" in block.marks
    ]
    assert len(marked) <= MOST_MARKED, "\n".join(marked)


def test_a_mark_that_is_none_is_refused(tmp_path: Path) -> None:
    page = ROOT / "docs" / "how-to" / "files.md"
    for mark, said in (("neds: node", "no such mark"), ("needs: luck", "is none of")):
        wrong = tmp_path / page.name
        wrong.write_text(f"<!-- {mark} -->\n```bash\ntrue\n```\n")
        with pytest.raises(ValueError, match=said):
            list(blocks_of(wrong))


def test_blocks_have_their_lines_and_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A\n\n<!-- exit: 1 -->\n<!-- server: stopped -->\n```bash\nfalse\n```\n\n* b\n\n  ```text\n  c\n  ```\n"
    )
    assert list(blocks_of(page)) == [
        Block("page.md", 5, "bash", "false\n", {"exit": "1", "server": "stopped"}),
        Block("page.md", 11, "text", "c\n", {}),
    ]


# ---- what is shown, and what comes


@pytest.mark.parametrize(
    ("shown", "printed", "missed"),
    [
        ("ready: 4 of 4", "starting\nready: 3 of 4\n", ""),
        ("ID  COST\nkey  $0.10", "ID   COST\nother  $1\nkey        $12.5\n", ""),
        ("one …", "one more thing\n", ""),
        ("PASS: every rule holds", "UNCLEAR: too few\n", "PASS: every rule holds"),
        ("second\nfirst", "first\nsecond\n", "first"),
        ("made 3f2a9c01d4 at 12:30:08", "made 91be07d2a4c1 at 1:02:03\n", ""),
        ("made 3f2a9c01d4", "made nothing\n", "made 3f2a9c01d4"),
        ("made 3f2a9c01d4", "made\n", "made 3f2a9c01d4"),
    ],
)
def test_a_shown_line_must_come_but_for_ids_and_numbers(shown: str, printed: str, missed: str) -> None:
    assert missing_line(shown, printed, KnownIds({})) == missed


def test_an_id_of_a_page_stands_for_the_one_that_came() -> None:
    ids = KnownIds({})
    assert missing_line("…batch_3f2a9c01…: done", "the batch_91be07d2 (new): done", ids) == ""
    assert ids.put_into("show batch_3f2a9c01 batch_3f2a batch_9999") == "show batch_91be07d2 batch_91be07d2 batch_9999"


def test_settings_of_blocks_are_taken_over_table_by_table(tmp_path: Path) -> None:
    file = tmp_path / "sizewise.toml"
    take_over(file, "[a.b]  # why\nx = 1\n")
    take_over(file, "[c]\ny = [1, 'two']\n")
    assert "# why" in file.read_text()
    take_over(file, '[a.b]\nx = 2\n[a."d/e"]\nz = {f = true}\n')
    assert file.read_text() == '\n[a]\n\n[a.b]\nx = 2\n\n[a."d/e"]\n\n[a."d/e".z]\nf = true\n\n[c]\ny = [1, "two"]\n'
