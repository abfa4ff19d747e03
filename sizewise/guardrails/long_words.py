"""Finds the long words of a text without inspecting the short ones."""

from __future__ import annotations

_SIGNS: bytes = bytes(32 if each < 128 and chr(each).isspace() else 119 for each in range(256))


def long_words(text: str, min_bytes: int) -> str:
    """Words of at least `min_bytes` bytes of UTF-8, joined by spaces. Only ASCII whitespace separates words."""
    said = text.encode("utf-8", "surrogatepass")
    drawn, run, found = said.translate(_SIGNS), b"w" * min_bytes, list[bytes]()
    start = drawn.find(run)
    while start >= 0:
        end = drawn.find(b" ", start)
        end = len(said) if end < 0 else end
        found.append(said[start:end])
        start = drawn.find(run, end)
    return b" ".join(found).decode("utf-8", "surrogatepass")
