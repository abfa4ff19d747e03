"""Every lesson is a test, or says in the README for what it waits; none is said to be one that is not."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
LESSONS = 22


def test_every_lesson_is_a_test_or_waits_for_something() -> None:
    tested = {
        int(n)
        for file in HERE.glob("test_*.py")
        for n in re.findall(r"^def test_(\d\d)_", file.read_text(), re.MULTILINE)
    }
    rows = re.findall(r"^\| (\d+) \|.*\| (.*) \|$", (HERE / "README.md").read_text(), re.MULTILINE)
    waiting = {int(number) for number, where in rows if where.startswith("waits for")}
    assert [int(number) for number, _ in rows] == list(range(1, LESSONS + 1))
    assert tested.isdisjoint(waiting), "a lesson that is tested waits for nothing"
    assert tested | waiting == set(range(1, LESSONS + 1))
