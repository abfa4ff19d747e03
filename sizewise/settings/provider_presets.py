"""The known endpoints as rows, and a provider's table with what its row knows; reads one file of ours, asks nobody.

The rows stand in settings/provider_presets.toml. A row says what a [providers.NAME] table would say; what the user's
table says itself goes before it. A row never has a place: that is declared by the user.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Formatter

from sizewise.errors import nearest
from sizewise.settings.toml_reader import parse, read, refuse

ROWS = Path(__file__).with_suffix(".toml")
GIVEN = ("base_url", "wire", "auth", "key", "rename_params", "drop_params", "reports_cost")
"""What a provider takes from its row."""
VARIABLES = ("account", "region", "resource")
"""What may stand in the braces of a base URL."""


@dataclass(frozen=True, slots=True)
class Row:
    """An endpoint. `local`: a server that the user runs. `unverified`: what no document of its vendor says."""

    title: str
    base_url: str
    wire: str
    source: str
    date: str
    auth: str = ""
    key: str = ""
    rename_params: Mapping[str, str] = field(default_factory=dict)
    drop_params: tuple[str, ...] = ()
    reports_cost: bool = False
    note: str = ""
    local: bool = False
    unverified: str = ""


def rows() -> Mapping[str, Row]:
    """Every known endpoint by its name; ConfigError lists every mistake in the file."""
    wrong: list[str] = []
    found = {name: read(Row, table, name, wrong) for name, table in parse(ROWS).items()}
    refuse(wrong, ROWS)
    return {name: row for name, row in found.items() if row is not None}


def variables(base_url: str) -> list[str]:
    """The names in its braces."""
    return [name for _, name, _, _ in Formatter().parse(base_url) if name]


def filled(providers: object, wrong: list[str]) -> object:
    """The [providers] tables with what their endpoints know; each mistake is added to `wrong`.

    Tables of a wrong shape come back as they are: whoever reads them next says so.
    """
    if not isinstance(providers, dict) or not any(
        isinstance(each, dict) and "endpoint" in each for each in providers.values()
    ):
        return providers
    known = parse(ROWS)
    return {name: _filled(name, table, known, wrong) for name, table in providers.items()}


def _filled(name: str, table: object, known: Mapping[str, object], wrong: list[str]) -> object:
    if not isinstance(table, dict) or not isinstance(endpoint := table.get("endpoint"), str):
        return table
    row = known.get(endpoint)
    if not isinstance(row, dict):
        near = nearest(endpoint, list(known)) or "docs/reference/endpoints.md lists all."
        wrong.append(f"providers.{name}.endpoint: there is no endpoint {endpoint!r}. {near}")
        return table
    whole = {**{key: row[key] for key in GIVEN if key in row}, **table}
    if "base_url" not in table:
        whole["base_url"] = _addressed(name, endpoint, str(row["base_url"]), table, wrong)
    return whole


def _addressed(name: str, endpoint: str, base_url: str, table: Mapping[str, object], wrong: list[str]) -> str:
    """The base URL with its braces filled from `table`."""
    wanted = variables(base_url)
    wrong.extend(
        f"providers.{name}.{each}: is missing; {endpoint!r} answers at {base_url!r}"
        for each in wanted
        if each not in table
    )
    wrong.extend(
        f"providers.{name}.{each}: {endpoint!r} has no place for it; it answers at {base_url!r}"
        for each in VARIABLES
        if each in table and each not in wanted
    )
    return base_url.format_map({each: table.get(each, "missing") for each in wanted})
