"""Maps names of flows and their values to valid GraphQL names; pure and deterministic.

GraphQL knows letters, digits and _ alone. What else stands in a name becomes _, and of two that are then alike the
later one has a number behind it. A flow called like a field of ours has `flow_` in front.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

INVALID_CHARACTERS = re.compile(r"[^0-9A-Za-z_]")


def to_graphql_name(name: str) -> str:
    plain = INVALID_CHARACTERS.sub("_", name)
    if plain.startswith("__"):
        plain = "_" + plain.lstrip("_")  # two of them in front are GraphQL's own
    return plain if plain and not plain[0].isdigit() else f"_{plain}"


def flow_field_name(flow: str, taken: Iterable[str]) -> str:
    """The field of a flow beside those of ours (`taken`)."""
    plain = to_graphql_name(flow)
    return f"flow_{plain}" if plain in taken else plain


def graphql_names(names: Iterable[str]) -> Mapping[str, str]:
    """The name in GraphQL of each of these, which stand beside one another."""
    found: dict[str, str] = {}
    used: set[str] = set()
    for name in names:
        plain, number = to_graphql_name(name), 1
        while (said := plain if number == 1 else f"{plain}_{number}") in used:
            number += 1
        used.add(said)
        found[name] = said
    return found
