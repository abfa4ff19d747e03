"""What differs between two compiled releases, by the names of models, policies and settings; reads no file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from msgspec import Struct

NAMED: Mapping[str, str] = {
    "rows": "model",
    "plans": "name",
    "projects": "project",
    "policies": "rules of the policy",
}
"""Parts that hold one thing a name, and what each is."""
SILENT = frozenset({"hash", "build", "built", "short", "format"})
"""What changes with everything else."""
MAX_SHOWN = 80
"""Characters of a value."""


class Difference(Struct, frozen=True):
    """`before`, `after`: of a change, as text; a long one is cut."""

    what: str
    change: Literal["added", "removed", "changed"]
    before: str = ""
    after: str = ""


def compare_releases(live: Mapping[str, object], new: Mapping[str, object]) -> list[Difference]:
    found = [each for part, title in NAMED.items() for each in _named(title, _part(live, part), _part(new, part))]
    for name in sorted({*live, *new} - {*NAMED, *SILENT}):
        found += _values(name, live.get(name), new.get(name))
    return found


def _part(data: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = data.get(name)
    return found if isinstance(found, dict) else {}


def _named(title: str, live: Mapping[str, object], new: Mapping[str, object]) -> Iterator[Difference]:
    for name in sorted({*live, *new}):
        what = f"{title} {name}"
        if name not in live:
            yield Difference(what, "added")
        elif name not in new:
            yield Difference(what, "removed")
        else:
            yield from _values(what, live[name], new[name])


def _values(what: str, live: object, new: object) -> Iterator[Difference]:
    if live == new:
        return
    if isinstance(live, dict) and isinstance(new, dict):
        for name in sorted({*live, *new}):
            yield from _values(f"{what}.{name}", live.get(name), new.get(name))
        return
    yield Difference(what, "changed", _shown(live), _shown(new))


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
