"""One table of a settings file, put in or put in the place of the old one; every other line stays as it was."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import unified_diff

_HEAD = re.compile(r"\s*\[")


def with_table(text: str, head: str, lines: Sequence[str]) -> str:
    """`text` in which the table `head` (as in `[policies.mine]`) holds `lines` and nothing else."""
    old = text.splitlines()
    new = [head, *lines]
    place = next((number for number, line in enumerate(old) if line.split("#")[0].strip() == head), None)
    if place is None:
        gap = [""] if old and old[-1].strip() else []
        return "\n".join([*old, *gap, *new]) + "\n"
    end = next((number for number in range(place + 1, len(old)) if _HEAD.match(old[number])), len(old))
    while end > place + 1 and (not old[end - 1].strip() or old[end - 1].lstrip().startswith("#")):
        end -= 1  # blank lines and comments before the next table are the next table's
    return "\n".join([*old[:place], *new, *old[end:]]) + "\n"


def diff(old: str, new: str, name: str) -> list[str]:
    """As git shows it; empty where nothing changes."""
    return list(unified_diff(old.splitlines(), new.splitlines(), name, name, lineterm=""))
