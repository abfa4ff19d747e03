"""What the guard of personal data finds, by the character, on sets that it was not written from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from bench.guardrails.external_datasets import PRESIDIO, Labelled, ordinary, presidio
from bench.guardrails.table_row import Row
from sizewise.guardrails.pii import find_pii

STATED: Mapping[str, str] = {
    "EMAIL_ADDRESS": "EMAIL",
    "PHONE_NUMBER": "PHONE",
    "CREDIT_CARD": "CARD",
    "IBAN_CODE": "IBAN",
    "US_SSN": "NATIONAL_ID",
    "IP_ADDRESS": "IP",
    "US_DRIVER_LICENSE": "LICENSE",
}
"""Kinds of the foreign set that we claim to find; all its others are reported too."""
SOURCE = f"{PRESIDIO} (MIT), unseen"


def rows(folder: Path | None = None) -> list[Row]:
    """A row for all stated kinds together, one for each kind, and ordinary traffic."""
    labelled = list(presidio())
    asked, found, right, covered = _characters(labelled)
    stated = sum(asked[kind] for kind in STATED)
    texts = ordinary(folder)
    alarms = sum(bool(find_pii(text)) for text in texts)
    whole = Row(
        "pii",
        "sentences, all stated kinds",
        SOURCE,
        stated,
        sum(found[kind] for kind in STATED) / stated,
        right / covered,
        alarms,
        len(texts),
    )
    each = [
        Row(
            "pii",
            kind + ("" if kind in STATED else " (not stated)"),
            SOURCE,
            asked[kind],
            found[kind] / asked[kind],
            None,
        )
        for kind in sorted(asked, key=lambda kind: (kind not in STATED, kind))
    ]
    return [whole, *each]


def _characters(labelled: Iterable[Labelled]) -> tuple[Counter[str], Counter[str], int, int]:
    """By kind how many characters were labelled and found; how many that were found are of a stated kind, and all."""
    asked, found = Counter[str](), Counter[str]()
    right = covered = 0
    for each in labelled:
        seen = {place for one in find_pii(each.text) for place in range(one.start, one.end)}
        stated: set[int] = set()
        for span in each.spans:
            places = set(range(span.start, span.end))
            asked[span.kind] += len(places)
            found[span.kind] += len(places & seen)
            stated |= places if span.kind in STATED else set()
        right += len(seen & stated)
        covered += len(seen)
    return asked, found, right, covered
