"""The list of ASVS 5.0 is whole: each requirement of levels 1 and 2 once, each with a verdict, each file there."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "security" / "asvs.md"
VERDICTS = {"met", "partial", "not yet", "not applicable"}
WANTED = """
    1.1:2 1.2:9 1.3:11 1.4:3 1.5:2 2.1:3 2.2:3 2.3:4 2.4:1 3.2:2 3.3:4 3.4:6 3.5:5 3.7:2 4.1:3 4.2:1 4.3:2 4.4:4
    5.1:1 5.2:3 5.3:2 5.4:3 6.1:3 6.2:12 6.3:4 6.4:4 6.5:5 6.6:3 6.8:4 7.1:3 7.2:4 7.3:2 7.4:5 7.5:2 7.6:2
    8.1:2 8.2:3 8.3:1 8.4:1 9.1:3 9.2:4 10.1:2 10.2:2 10.3:4 10.4:11 10.5:5 10.6:2 10.7:3
    11.1:2 11.2:3 11.3:3 11.4:4 11.5:1 11.6:1 12.1:3 12.2:2 12.3:4 13.1:1 13.2:5 13.3:2 13.4:5
    14.1:2 14.2:4 14.3:3 15.1:3 15.2:3 15.3:7 16.1:1 16.2:5 16.3:4 16.4:3 16.5:3 17.1:1 17.2:4 17.3:2
"""
"""Section -> how many of its requirements are of level 1 or 2: they are its first ones. In the edition 5.0.0."""


def rows() -> list[tuple[str, str, str]]:
    return re.findall(r"^\| (\d[\d., ]*) \| ([a-z ]+) \| ?(.*) \|$", PAGE.read_text(), re.MULTILINE)


def test_every_requirement_is_in_the_list_once_with_a_verdict() -> None:
    sections = (each.split(":") for each in WANTED.split())
    wanted = {f"{section}.{number}" for section, count in sections for number in range(1, int(count) + 1)}
    listed = Counter(id for ids, _, _ in rows() for id in ids.split(", "))
    assert sorted(wanted - set(listed)) == [] and sorted(set(listed) - wanted) == []
    assert [id for id, count in listed.items() if count > 1] == [] and len(wanted) == 253
    assert {verdict for _, verdict, _ in rows()} <= VERDICTS


def test_what_is_met_says_where() -> None:
    assert [ids for ids, verdict, where in rows() if verdict in ("met", "partial") and len(where) < 8] == []
