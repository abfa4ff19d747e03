"""Plugin registry over entry points: lists and loads plugins by kind and name.

A kind is an entry-point group in pyproject.toml; built-in plugins are declared there too. A plugin is imported when it
is first requested. Reading the installed entry points takes milliseconds: an application does it once with
`PluginRegistry`, a request never.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, distributions
from typing import Any, Literal

from sizewise.errors import ConfigError, did_you_mean

PluginKind = Literal[
    "policies",
    "judges",
    "wires",
    "providers",
    "guardrails",
    "kms",
    "tools",
    "vector_stores",
    "nodes",
    "graphql",
    "scorers",
]
SINGULAR: Mapping[str, str] = {
    "policies": "policy",
    "kms": "key management service",
    "vector_stores": "vector store",
    "graphql": "GraphQL extension",
}


class PluginRegistry:
    """The plugins installed at construction. Each is loaded once, because hundreds of models share a few wires."""

    def __init__(self) -> None:
        self._declared: dict[str, dict[str, EntryPoint]] = {}
        seen: set[str] = set()
        for each in distributions():
            entries = [entry for entry in each.entry_points if entry.group.startswith("sizewise.")]
            if entries and each.name not in seen:  # a package installed twice: the first wins
                seen.add(each.name)
                for entry in entries:
                    self._declared.setdefault(entry.group, {}).setdefault(entry.name, entry)
        self._loaded: dict[tuple[PluginKind, str], Any] = {}

    def names(self, kind: PluginKind) -> list[str]:
        return sorted(self._declared.get(f"sizewise.{kind}", ()))

    def __call__(self, kind: PluginKind, name: str) -> Any:
        """The object declared as `name`. Raises ConfigError with the closest known name."""
        if (kind, name) not in self._loaded:
            entry = self._declared.get(f"sizewise.{kind}", {}).get(name)
            if entry is None:
                known = self.names(kind)
                hint = did_you_mean(name, known) or f"known: {', '.join(known)}"
                raise ConfigError(f"there is no {SINGULAR.get(kind, kind[:-1])} named {name!r}", hint)
            self._loaded[kind, name] = entry.load()
        return self._loaded[kind, name]


def plugin_names(kind: PluginKind) -> list[str]:
    return PluginRegistry().names(kind)


def load_plugin(kind: PluginKind, name: str) -> Any:
    """The object declared as `name`. Raises ConfigError."""
    return PluginRegistry()(kind, name)
