"""Writes reference/provider-presets.md from sizewise/settings/provider_presets.toml."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from sizewise.settings.provider_presets import ProviderPreset, provider_presets

PAGE = Path(__file__).parent / "reference" / "provider-presets.md"
INTRODUCTION = """\
# Provider presets

*Generated from `sizewise/settings/provider_presets.toml` by `python -m docs.build`; edit it there.*

The providers that you can add by name. `endpoint = "NAME"` in a `[providers.NAME]` table fills in the preset's keys;
your own keys take precedence. `{account}`, `{region}` and `{resource}` are keys of that table. A preset has no place:
it counts as `anyone` until [you declare one](../explanation/places-and-data-classes.md). The request sent to each
provider is recorded in `tests/wires/endpoints`. For any other provider, use its [settings](settings.md).
"""


def pages() -> dict[Path, str]:
    """The generated file and its text."""
    return {PAGE: "\n".join(_page(provider_presets()))}


def _page(known: Mapping[str, ProviderPreset]) -> Iterator[str]:
    yield INTRODUCTION
    yield from _section("Clouds", {name: row for name, row in known.items() if not row.local})
    yield from _section("Self-hosted servers", {name: row for name, row in known.items() if row.local})
    yield "## Sources\n\n| preset | source | date |\n|---|---|---|"
    yield from (f"| `{name}` | {_source(row)} | {row.date} |" for name, row in known.items())
    yield ""


def _section(title: str, known: Mapping[str, ProviderPreset]) -> Iterator[str]:
    yield f"## {title}\n\n| preset | | base URL | wire | key | notes |\n|---|---|---|---|---|---|"
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
    return f"{row.source}. *Not documented there:* {row.unverified}" if row.unverified else row.source
