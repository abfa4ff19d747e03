"""What the named-entity guard finds, by kind and by the character, on sets that it was not trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from bench.guardrails.external_datasets import PRESIDIO, Labelled, ordinary, presidio
from bench.guardrails.own_sentences import sentences
from bench.guardrails.table_row import Row
from sizewise.guardrails.base import Finding, GuardConfig
from sizewise.guardrails.named_entities import named_entity_guard
from sizewise.guardrails.pii import find_pii

Find = Callable[[str], list[Finding]]


def rows(folder: Path | None = None) -> list[Row]:
    """Of `pii` alone and with `names`: all kinds of a set together, and each kind."""
    names = named_entity_guard(GuardConfig())

    def both(text: str) -> list[Finding]:
        return [*find_pii(text), *names(text)]

    texts = ordinary(folder)
    alarms = sum(bool(names(text)) for text in texts)
    made = list[Row]()
    for source, labelled in ((f"{PRESIDIO} (MIT), unseen", list(presidio())), *sentences()):
        for guard, find in (("pii", find_pii), ("pii and names", both)):
            every, kinds = _measured(guard, source, labelled, find)
            made += [every, *(kinds if find is both else ())]
    made.append(
        Row("names", "ordinary prompts, with people and places in them", "unseen", 0, None, None, alarms, len(texts))
    )
    return made


def _measured(guard: str, source: str, labelled: Iterable[Labelled], find: Find) -> tuple[Row, list[Row]]:
    asked, found = Counter[str](), Counter[str]()
    right = covered = 0
    for each in labelled:
        seen = {place for one in find(each.text) for place in range(one.start, one.end)}
        every = set[int]()
        for span in each.spans:
            places = set(range(span.start, span.end))
            asked[span.kind] += len(places)
            found[span.kind] += len(places & seen)
            every |= places
        right += len(seen & every)
        covered += len(seen)
    total = sum(asked.values())
    whole = Row(guard, "all labelled kinds", source, total, sum(found.values()) / total, right / max(covered, 1))
    return whole, [Row(guard, kind, source, asked[kind], found[kind] / asked[kind], None) for kind in sorted(asked)]
