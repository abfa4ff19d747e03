"""Provider presets from settings/provider_presets.toml, merged into the [providers] settings.

A preset holds the same keys as a [providers.NAME] table; the user's keys take precedence. A preset never sets `place`:
the user declares it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Formatter

from sizewise.errors import did_you_mean
from sizewise.settings.toml_reader import TypeHintCache, parse_toml, raise_if_invalid, read_table

PRESETS_FILE = Path(__file__).with_suffix(".toml")
PRESET_FIELDS = ("base_url", "wire", "auth", "key", "rename_params", "drop_params", "reports_cost")
"""The keys of a preset that a provider inherits."""
URL_VARIABLES = ("account", "region", "resource")
"""The placeholders allowed in a base URL."""


@dataclass(frozen=True, slots=True)
class ProviderPreset:
    """A preset. `local`: a server run by the user. `unverified`: what the vendor's documentation does not state."""

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


def provider_presets() -> Mapping[str, ProviderPreset]:
    """Every preset by name; ConfigError lists every error in the file."""
    wrong, types = list[str](), TypeHintCache()
    tables = parse_toml(PRESETS_FILE).items()
    found = {name: read_table(ProviderPreset, table, name, wrong, types) for name, table in tables}
    raise_if_invalid(wrong, PRESETS_FILE)
    return {name: row for name, row in found.items() if row is not None}


def url_variables(base_url: str) -> list[str]:
    """The names of the placeholders in its base URL."""
    return [name for _, name, _, _ in Formatter().parse(base_url) if name]


def apply_presets(providers: object, errors: list[str]) -> object:
    """The [providers] tables with the keys of their presets filled in; each error is added to `errors`.

    Tables of a wrong shape are returned unchanged: the next reader reports them.
    """
    if not isinstance(providers, dict) or not any(
        isinstance(each, dict) and "endpoint" in each for each in providers.values()
    ):
        return providers
    known = parse_toml(PRESETS_FILE)
    return {name: _apply_preset(name, table, known, errors) for name, table in providers.items()}


def _apply_preset(name: str, table: object, known: Mapping[str, object], errors: list[str]) -> object:
    if not isinstance(table, dict) or not isinstance(endpoint := table.get("endpoint"), str):
        return table
    row = known.get(endpoint)
    if not isinstance(row, dict):
        near = did_you_mean(endpoint, list(known)) or "See docs/reference/provider-presets.md."
        errors.append(f"providers.{name}.endpoint: there is no preset {endpoint!r}. {near}")
        return table
    whole = {**{key: row[key] for key in PRESET_FIELDS if key in row}, **table}
    if "base_url" not in table:
        whole["base_url"] = _expand_base_url(name, endpoint, str(row["base_url"]), table, errors)
    return whole


def _expand_base_url(name: str, endpoint: str, base_url: str, table: Mapping[str, object], errors: list[str]) -> str:
    """The base URL with its placeholders filled from `table`."""
    wanted = url_variables(base_url)
    errors.extend(
        f"providers.{name}.{each}: is missing; the URL of {endpoint!r} is {base_url!r}"
        for each in wanted
        if each not in table
    )
    errors.extend(
        f"providers.{name}.{each}: {endpoint!r} does not use it; its URL is {base_url!r}"
        for each in URL_VARIABLES
        if each in table and each not in wanted
    )
    return base_url.format_map({each: table.get(each, "missing") for each in wanted})
