"""Sentences of five languages that we labelled by hand; the guards were not made from them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bench.guardrails.attacks import own_patterns
from bench.guardrails.external_datasets import Labelled, Span

MARKED = re.compile(r"\[([A-Z]+):([^\]]+)\]")


def sentences() -> Iterator[tuple[str, list[Labelled]]]:
    """(source, sentences) of each language."""
    language, found = "", list[Labelled]()
    for line in [*own_patterns("labelled_sentences"), "== end"]:
        if line.startswith("== "):
            if found:
                yield f"ours, by hand: {language}", found
            language, found = line[3:], []
        else:
            found.append(_labelled(line.replace("¶", "\n")))


def _labelled(line: str) -> Labelled:
    text, spans, at = "", list[Span](), 0
    for match in MARKED.finditer(line):
        text += line[at : match.start()]
        spans.append(Span(match.group(1), len(text), len(text) + len(match.group(2))))
        text += match.group(2)
        at = match.end()
    return Labelled(text + line[at:], tuple(spans))
