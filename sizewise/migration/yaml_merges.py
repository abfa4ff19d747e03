"""Applies YAML's merge keys (`<<: *defaults`) to a parsed file, as PyYAML does for LiteLLM; a value keeps its line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sizewise.evals.imports.imported_eval import JsonValue
from sizewise.evals.imports.source_files import ParsedFile

MERGE = "<<"
KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class MergedFile:
    """`positions`: also of what was merged, under its new path."""

    data: JsonValue
    positions: Mapping[KeyPath, tuple[int, int]]


def merged(parsed: ParsedFile) -> MergedFile:
    positions = dict(parsed.positions)
    return MergedFile(_merged(parsed.data, (), (), positions), positions)


def _merged(value: JsonValue, path: KeyPath, source: KeyPath, positions: dict[KeyPath, tuple[int, int]]) -> JsonValue:
    """`source`: where the value stands in the file. What an alias means has the line of the alias."""
    if path not in positions:
        above = (source[:length] for length in range(len(source), -1, -1))
        positions[path] = next((positions[each] for each in above if each in positions), (1, 1))
    if isinstance(value, list):
        return [_merged(each, (*path, place), (*source, place), positions) for place, each in enumerate(value)]
    if isinstance(value, dict):
        return {
            key: _merged(each, (*path, key), origin, positions)
            for key, (each, origin) in _entries(value, source).items()
        }
    return value


def _entries(value: dict[str, JsonValue], source: KeyPath) -> dict[str, tuple[JsonValue, KeyPath]]:
    """Those of the mapping take precedence over merged ones, and the first of several merged mappings over the rest."""
    found = dict[str, tuple[JsonValue, KeyPath]]()
    given = value.get(MERGE)
    bases = (
        [((MERGE, place), each) for place, each in enumerate(given)] if isinstance(given, list) else [((MERGE,), given)]
    )
    mappings = [(place, base) for place, base in bases if isinstance(base, dict)]
    for place, base in reversed(mappings):
        found.update(_entries(base, (*source, *place)))
    is_merge = MERGE in value and len(mappings) == len(bases)
    found.update({key: (each, (*source, key)) for key, each in value.items() if key != MERGE or not is_merge})
    return found
