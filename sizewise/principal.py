"""The authenticated principal and the scope of its API key; plain values, no lookups."""

from __future__ import annotations

from msgspec import Struct

from sizewise.data_class import DataClass


class KeyScope(Struct, frozen=True):
    """What a key is confined to; an empty list confines nothing. Models and policies are names or `<provider>/*`."""

    doors: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    flows: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()  # addresses it may come from, in CIDR


def name_matches(pattern: str, name: str) -> bool:
    """Whether `pattern`, a name or `<provider>/*`, means `name`."""
    return pattern == name or (pattern.endswith("/*") and name.startswith(pattern[:-1]))


def matches_any(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether one of `patterns` means `name`, or there are none."""
    return not patterns or any(name_matches(each, name) for each in patterns)


class Principal(Struct, frozen=True):
    """Who asks. `key_id` is the id of the key (never the key), `permissions` the actions of accounts/actions.py it is
    allowed."""

    tenant: str = "local"
    project: str = "default"
    key_id: str = ""
    name: str = ""
    permissions: frozenset[str] = frozenset({"ask"})
    data_class: DataClass | None = None
    user_id: str = ""  # whose key or session it is; empty: a service's
    all_projects: bool = False  # sees every project of its organisation
    scope: KeyScope | None = None
