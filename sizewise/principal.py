"""Who asks: a key or a session as it was let in, with what it may and what it is confined to; pure values."""

from __future__ import annotations

from msgspec import Struct

from sizewise.data_class import DataClass


class Scope(Struct, frozen=True):
    """What a key is confined to; an empty list confines nothing. Models and policies are names or `<provider>/*`."""

    doors: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    flows: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()  # addresses it may come from, in CIDR


def named(pattern: str, name: str) -> bool:
    """Whether `pattern`, a name or `<provider>/*`, means `name`."""
    return pattern == name or (pattern.endswith("/*") and name.startswith(pattern[:-1]))


def within(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether one of `patterns` means `name`, or there are none."""
    return not patterns or any(named(each, name) for each in patterns)


class Caller(Struct, frozen=True):
    """Who asks. `key` is the id of the key (never the key), `may` the actions of accounts/actions.py it is allowed."""

    tenant: str = "local"
    project: str = "default"
    key: str = ""
    name: str = ""
    may: frozenset[str] = frozenset({"ask"})
    data_class: DataClass | None = None
    user: str = ""  # whose key or session it is; empty: a service's
    wide: bool = False  # sees every project of its organisation
    scope: Scope | None = None
