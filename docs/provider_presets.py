"""Writes reference/endpoints.md from sizewise/settings/provider_presets.toml."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from sizewise.settings.provider_presets import ProviderPreset, provider_presets

PAGE = Path(__file__).parent / "reference" / "endpoints.md"
INTRODUCTION = """\
# Known endpoints

*Made from `sizewise/settings/provider_presets.toml` by `python -m docs.build`; change it there.*

`endpoint = "NAME"` in a `[providers.NAME]` table fills in what the row says; what the table says itself goes before it.
`{account}`, `{region}` and `{resource}` are settings of that table. No endpoint has a place: it counts as `anyone`
until [you declare it](../explanation/places-and-data-classes.md). The request that each one gets is recorded under
`tests/wires/endpoints`. Any other endpoint is a provider by its [own settings](settings.md).
"""


def pages() -> dict[Path, str]:
    """The file made here and what belongs into it."""
    return {PAGE: "\n".join(_page(provider_presets()))}


def _page(known: Mapping[str, ProviderPreset]) -> Iterator[str]:
    yield INTRODUCTION
    yield from _section("Clouds", {name: row for name, row in known.items() if not row.local})
    yield from _section("Servers that you run", {name: row for name, row in known.items() if row.local})
    yield "## Sources\n\n| endpoint | where it was read | when |\n|---|---|---|"
    yield from (f"| `{name}` | {_source(row)} | {row.date} |" for name, row in known.items())
    yield ""


def _section(title: str, known: Mapping[str, ProviderPreset]) -> Iterator[str]:
    yield f"## {title}\n\n| endpoint | | base URL | wire | key | to know |\n|---|---|---|---|---|---|"
    for name, row in known.items():
        key = f"`{row.key}`" if row.key else "none"
        sent = f"{key} as `{row.auth}`" if row.auth else key
        yield f"| `{name}` | {row.title} | `{row.base_url}` | {row.wire} | {sent} | {' '.join(_notes(row))} |"
    yield ""


def _notes(row: ProviderPreset) -> Iterator[str]:
    yield from (f"`{ours}` is sent as `{theirs}`." for ours, theirs in row.rename_params.items())
    yield from (f"`{field}` is not sent." for field in row.drop_params)
    if row.note:
        yield row.note


def _source(row: ProviderPreset) -> str:
    return f"{row.source}. *Not said there:* {row.unverified}" if row.unverified else row.source
