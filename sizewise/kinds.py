"""Every kind that can be added from outside, on one page, and how one is loaded; knows no member by name.

A kind is an entry-point group in pyproject.toml; our own members are declared there the same way. Nothing is imported
until named. A look-up reads what is installed, which costs milliseconds: a house does it `Once`, never a request.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any, Literal

from sizewise.errors import ConfigError, nearest

Kind = Literal["policies", "judges", "wires", "providers", "guards", "wrappers", "tools", "stores", "nodes"]


def names(kind: Kind) -> list[str]:
    return sorted(entry.name for entry in entry_points(group=f"sizewise.{kind}"))


def load(kind: Kind, name: str) -> Any:
    """The object declared as `name`; ConfigError names the nearest known one."""
    for entry in entry_points(group=f"sizewise.{kind}", name=name):
        return entry.load()
    known = names(kind)
    raise ConfigError(f"there is no {kind[:-1]} named {name!r}", nearest(name, known) or f"known: {', '.join(known)}")


class Once:
    """`load`, which looks each member up once: hundreds of models share a few wires."""

    def __init__(self) -> None:
        self._found: dict[tuple[Kind, str], Any] = {}

    def __call__(self, kind: Kind, name: str) -> Any:
        if (kind, name) not in self._found:
            self._found[kind, name] = load(kind, name)
        return self._found[kind, name]
