"""The prompt of a command: its words, joined with piped input; sends nothing."""

from __future__ import annotations

import sys

STDIN = "-"


def join_prompt(words: tuple[str, ...]) -> str:
    """The words joined, with the piped text as a paragraph of its own in place of the -."""
    if STDIN not in words:
        return " ".join(words)
    before, after = words[: words.index(STDIN)], words[words.index(STDIN) + 1 :]
    piped = sys.stdin.buffer.read().decode("utf-8", "replace").strip()
    return "\n\n".join(filter(None, [" ".join(before), piped, " ".join(after)]))
