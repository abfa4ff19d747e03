"""The authenticated principal and the scope of its API key; plain values, no lookups."""

from __future__ import annotations

from msgspec import Struct

from sizewise.data_class import DataClass


class KeyScope(Struct, frozen=True, rename={"endpoints": "doors"}):
    """The limits of a key; an empty tuple is no limit. Models and policies are names or `<provider>/*`.

    It is stored as JSON, with `endpoints` as `doors`.
    """

    endpoints: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    flows: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()  # CIDR ranges of client addresses
    anonymous: bool = False  # held for people without an account: it starts no flow whose nodes act on something


def name_matches(pattern: str, name: str) -> bool:
    """Whether `pattern`, a name or `<provider>/*`, matches `name`."""
    return pattern == name or (pattern.endswith("/*") and name.startswith(pattern[:-1]))


def matches_any(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether one of `patterns` matches `name`, or there are none."""
    return not patterns or any(name_matches(each, name) for each in patterns)


APPROVER_PATTERN = r"^(user|role|key):\S{1,200}$"
"""Who can decide a waiting step: `user:` with e-mail or id, `role:` with a name, `key:` with the id of a key."""


class Principal(Struct, frozen=True):
    """The authenticated caller. `key_id` is the key's id, never the key; `permissions` are actions of
    auth/permissions.py.
    """

    tenant: str = "local"
    project: str = "default"
    key_id: str = ""
    name: str = ""
    permissions: frozenset[str] = frozenset({"ask"})
    data_class: DataClass | None = None
    user_id: str = ""  # owner of the key or session; empty: a service key
    all_projects: bool = False  # sees every project of the organization
    scope: KeyScope | None = None
    environment: str = ""  # empty: the default one
    outlives_session: bool = False  # of stored work that a session started: its user counts, not the session
