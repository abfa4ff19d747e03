"""Names of flows and of their values as GraphQL can say them; pure, and the same for the same names at all times.

GraphQL knows letters, digits and _ alone. What else stands in a name becomes _, and of two that are then alike the
later one has a number behind it. A flow called like a field of ours has `flow_` in front.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

OTHER = re.compile(r"[^0-9A-Za-z_]")


def mangled(name: str) -> str:
    plain = OTHER.sub("_", name)
    if plain.startswith("__"):
        plain = "_" + plain.lstrip("_")  # two of them in front are GraphQL's own
    return plain if plain and not plain[0].isdigit() else f"_{plain}"


def field(flow: str, taken: Iterable[str]) -> str:
    """The field of a flow beside those of ours (`taken`)."""
    plain = mangled(flow)
    return f"flow_{plain}" if plain in taken else plain


def each(names: Iterable[str]) -> Mapping[str, str]:
    """The name in GraphQL of each of these, which stand beside one another."""
    found: dict[str, str] = {}
    used: set[str] = set()
    for name in names:
        plain, number = mangled(name), 1
        while (said := plain if number == 1 else f"{plain}_{number}") in used:
            number += 1
        used.add(said)
        found[name] = said
    return found
