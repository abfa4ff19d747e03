"""Writes renamed settings by their new names into the text of a settings file; every other byte stays."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from copy import deepcopy

from sizewise.errors import BadRequest
from sizewise.settings.renamed import RENAMED, move

Path = tuple[str, ...]
_PART = r"(?:[A-Za-z0-9_-]+|\"(?:[^\"\\]|\\.)*\"|'[^']*')"
_PATH = rf"{_PART}(?:\s*\.\s*{_PART})*"
_HEADER = re.compile(rf"^(\s*\[\[?\s*)({_PATH})(\s*\]\]?.*)$")
_KEY = re.compile(rf"^(\s*)({_PATH})(\s*=.*)$")
_INLINE_KEY = re.compile(rf"(?<=[{{,])(\s*)({_PATH})(?=\s*=)")


def migrate(text: str) -> tuple[str, list[str]]:
    """The text by the new names, and a sentence for each change. Raises BadRequest if it is not TOML, or a name stands
    where a program cannot change it.
    """
    tables = _parsed(text)
    expected, changes = deepcopy(tables), list[str]()
    move(expected, changes)
    if not changes:
        return text, []
    lines = list(_renamed_lines(text))
    found = "".join(lines)
    if not _is(found, expected):
        count = "1 setting was" if len(changes) == 1 else f"{len(changes)} settings were"
        raise BadRequest(
            f"this file cannot be changed by a program: {count} renamed", "change it by hand: " + "; ".join(changes)
        )
    return found, changes


def _is(text: str, expected: dict[str, object]) -> bool:
    try:
        return tomllib.loads(text) == expected
    except tomllib.TOMLDecodeError:  # as where a setting has both names
        return False


def _parsed(text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadRequest(f"the settings are not TOML: {error}", "fix that first") from error


def _renamed_lines(text: str) -> Iterator[str]:
    """Follows the tables by their old names."""
    table: Path = ()
    for line in text.splitlines(keepends=True):
        body = line.rstrip("\r\n")
        end = line[len(body) :]
        if header := _HEADER.match(body):
            table = _parts(header[2])
            yield f"{header[1]}{_renamed(header[2], ())}{header[3]}{end}"
        elif key := _KEY.match(body):
            here = (*table, *_parts(key[2]))
            yield f"{key[1]}{_renamed(key[2], table)}{_renamed_value(key[3], here)}{end}"
        else:
            yield _renamed_value(body, table) + end


def _renamed_value(text: str, path: Path) -> str:
    """The names in an inline table at `path`, and the values that were renamed."""
    text = _INLINE_KEY.sub(lambda found: f"{found[1]}{_renamed(found[2], path)}", text)
    for old, new in RENAMED.items():
        place, _, value = old.partition("=")
        places = (place, place.rpartition(".")[0])  # of the value, or of an inline table that has it
        if value and any(_fits(each, one) for each in (path, _new_path(path)) for one in places):
            text = re.sub(rf"([\"']){re.escape(value)}\1", rf"\g<1>{new.partition('=')[2]}\g<1>", text)
    return text


def _renamed(dotted: str, above: Path) -> str:
    """Each part of the path `dotted` below `above`, by its new name."""
    found, path = dotted, above
    for part in _parts(dotted):
        path = (*path, part)
        if new := _new_name(path):
            found = re.sub(rf"(?<![\w-]){re.escape(part)}(?![\w-])", new, found, count=1)
    return found


def _new_name(path: Path) -> str:
    """Of the last part; empty: it has the same."""
    new = next((to for old, to in RENAMED.items() if "=" not in old and _fits(path, old)), "")
    return new.rpartition(".")[2]


def _new_path(path: Path) -> Path:
    return tuple(_new_name(path[: place + 1]) or part for place, part in enumerate(path))


def _parts(dotted: str) -> Path:
    return tuple(each.strip().strip("\"'") for each in re.findall(_PART, dotted))


def _fits(path: Path, pattern: str) -> bool:
    """Whether the path, by old or new names of what is above, is the pattern's."""
    steps = [each.removesuffix("[]") for each in pattern.split(".")]
    return len(steps) == len(path) and all(
        step in ("NAME", part) or _new_section(step) == part for step, part in zip(steps, path, strict=True)
    )


def _new_section(old: str) -> str:
    return RENAMED.get(old, old)


def describe(changes: Sequence[str]) -> list[str]:
    """A line for each change, without the words of an error."""
    return [re.sub(r": there is no such setting\. It was renamed to '([^']*)'\.", r" -> \1", each) for each in changes]
