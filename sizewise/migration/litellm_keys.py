"""What takes the place of keys of LiteLLM that need no setting here, as litellm_keys.toml says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sizewise.migration.migration_report import Rules
from sizewise.settings.toml_reader import parse_toml, raise_if_invalid, read_table

FILE = Path(__file__).with_suffix(".toml")


@dataclass(frozen=True, slots=True)
class _Group:
    rules: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def read_rules() -> Rules:
    """ConfigError lists every error in the file."""
    wrong: list[str] = []
    groups = {name: read_table(_Group, {"rules": table}, name, wrong) for name, table in parse_toml(FILE).items()}
    raise_if_invalid(wrong, FILE)
    return {name: group.rules for name, group in groups.items() if group is not None}
