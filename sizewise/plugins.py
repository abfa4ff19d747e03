"""Every kind that can be added from outside, on one page, and how one is loaded; knows no member by name.

A kind is an entry-point group in pyproject.toml; our own members are declared there the same way. Nothing is imported
until named. A look-up reads what is installed, which costs milliseconds: a house does it `Once`, never a request.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, distributions
from typing import Any, Literal

from sizewise.errors import ConfigError, nearest

Kind = Literal["policies", "judges", "wires", "providers", "guardrails", "kms", "tools", "vector_stores", "nodes"]
SINGULAR: Mapping[str, str] = {"policies": "policy", "kms": "key management service", "vector_stores": "vector store"}


class Once:
    """What was installed when this was made; each member is loaded once, for hundreds of models share a few wires."""

    def __init__(self) -> None:
        self._declared: dict[str, dict[str, EntryPoint]] = {}
        seen: set[str] = set()
        for each in distributions():
            entries = [entry for entry in each.entry_points if entry.group.startswith("sizewise.")]
            if entries and each.name not in seen:  # of two installations of one package, the first alone
                seen.add(each.name)
                for entry in entries:
                    self._declared.setdefault(entry.group, {}).setdefault(entry.name, entry)
        self._found: dict[tuple[Kind, str], Any] = {}

    def names(self, kind: Kind) -> list[str]:
        return sorted(self._declared.get(f"sizewise.{kind}", ()))

    def __call__(self, kind: Kind, name: str) -> Any:
        """The object declared as `name`; ConfigError names the nearest known one."""
        if (kind, name) not in self._found:
            entry = self._declared.get(f"sizewise.{kind}", {}).get(name)
            if entry is None:
                known = self.names(kind)
                hint = nearest(name, known) or f"known: {', '.join(known)}"
                raise ConfigError(f"there is no {SINGULAR.get(kind, kind[:-1])} named {name!r}", hint)
            self._found[kind, name] = entry.load()
        return self._found[kind, name]


def names(kind: Kind) -> list[str]:
    return Once().names(kind)


def load(kind: Kind, name: str) -> Any:
    """The object declared as `name`. Raises ConfigError."""
    return Once()(kind, name)
