"""Text that a terminal only shows: without the characters that it obeys; imports nothing."""

from __future__ import annotations


def printable(text: str, lines: bool = False) -> str:
    """Without characters that a terminal obeys: texts of documents, of servers, and names that a client made up.
    `lines`: line breaks stay.
    """
    kept = "\n" if lines else ""
    return "".join(char if char.isprintable() or char in kept else "\N{REPLACEMENT CHARACTER}" for char in text)
