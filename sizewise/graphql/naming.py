"""Maps names of flows and their values to valid GraphQL names; pure and deterministic.

GraphQL names consist of letters, digits and _. Other characters become _; if two names become equal, the later one gets
a numeric suffix. A flow named like a built-in field gets the prefix `flow_`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

INVALID_CHARACTERS = re.compile(r"[^0-9A-Za-z_]")


def to_graphql_name(name: str) -> str:
    plain = INVALID_CHARACTERS.sub("_", name)
    if plain.startswith("__"):
        plain = "_" + plain.lstrip("_")  # GraphQL reserves names that start with __
    return plain if plain and not plain[0].isdigit() else f"_{plain}"


def flow_field_name(flow: str, taken: Iterable[str]) -> str:
    """The field name of a flow. `taken`: built-in fields."""
    plain = to_graphql_name(flow)
    return f"flow_{plain}" if plain in taken else plain


def graphql_names(names: Iterable[str]) -> Mapping[str, str]:
    """A distinct GraphQL name for each of `names`."""
    found: dict[str, str] = {}
    used: set[str] = set()
    for name in names:
        plain, number = to_graphql_name(name), 1
        while (said := plain if number == 1 else f"{plain}_{number}") in used:
            number += 1
        used.add(said)
        found[name] = said
    return found
