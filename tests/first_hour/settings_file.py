"""A reader's sizewise.toml: takes over what a block shows, table by table; later keys replace earlier ones."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

BARE = re.compile(r"[A-Za-z0-9_-]+")


def take_over(file: Path, shown: str) -> None:
    """Raises tomllib.TOMLDecodeError. A file without one of these tables keeps its own text, comments and all."""
    there, more = (tomllib.loads(text) for text in (file.read_text() if file.exists() else "", shown))
    if there.keys() & more.keys():
        file.write_text("\n".join(_lines(_merged(there, more), ())) + "\n")
    else:
        with file.open("a") as end:
            end.write(f"{shown}\n")


def _merged(there: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        name: _merged(there[name], value) if isinstance(value, dict) and isinstance(there.get(name), dict) else value
        for name, value in more.items()
    }
    return {**there, **both}


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    if path:
        yield f"\n[{'.'.join(path)}]"
    for name, value in table.items():
        if not isinstance(value, dict):
            yield f"{_name(name)} = {_value(value)}"
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _lines(value, (*path, _name(name)))


def _name(name: str) -> str:
    return name if BARE.fullmatch(name) else json.dumps(name)


def _value(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_value(each) for each in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_name(name)} = {_value(each)}' for name, each in value.items())}}}"
    return json.dumps(value, ensure_ascii=False)
