"""Fingerprints of policies, models and settings: the same in every process that has the same of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Set
from dataclasses import fields, is_dataclass

from sizewise.routing.model_aliases import RoutePlan
from sizewise.settings.root import FileSettings

SHARED_FORMAT = 1
"""One more where servers of the version before must not give the answers that this one stored."""
SECTIONS_OF_ANSWERS = (
    *("router", "egress", "policies", "projects", "providers", "models", "sizes", "local", "catalog"),
    *("guardrails", "moderation"),
)
"""Sections of the settings that act between the response cache and the models, where a reload empties it."""


def plan_fingerprint(plan: RoutePlan) -> str:
    """Hash of the policy and its models; changes with any of them."""
    kind = type(plan.policy)
    said = (plan.policy_name, kind.__module__, kind.__qualname__, plan.policy, plan.is_exact, plan.cards)
    return hashlib.sha256(stable_repr(said).encode()).hexdigest()


def settings_fingerprint(settings: FileSettings) -> bytes:
    """Hash of what else the answer to a request depends on: servers with the same one share answers."""
    said = (SHARED_FORMAT, *(getattr(settings, name) for name in SECTIONS_OF_ANSWERS))
    return hashlib.sha256(stable_repr(said).encode()).digest()


def stable_repr(value: object) -> str:
    """`repr`, but sets are sorted: their order is another one in each process."""
    if isinstance(value, Set):
        return f"frozenset({{{', '.join(sorted(map(stable_repr, value)))}}})" if value else "frozenset()"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{stable_repr(key)}: {stable_repr(each)}' for key, each in value.items())}}}"
    if isinstance(value, (tuple, list)):
        return f"({', '.join(map(stable_repr, value))}{',' * (len(value) == 1)})"
    if is_dataclass(value):
        its = (f"{each.name}={stable_repr(getattr(value, each.name))}" for each in fields(value) if each.repr)
        return f"{type(value).__qualname__}({', '.join(its)})"
    return repr(value)
