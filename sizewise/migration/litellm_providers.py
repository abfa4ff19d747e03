"""Which preset a model name of LiteLLM means, by the rows of litellm_providers.toml; contacts none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sizewise.settings.toml_reader import parse_toml, raise_if_invalid, read_table

FILE = Path(__file__).with_suffix(".toml")
GUESSED = "LiteLLM guesses the provider of this name: write it as PROVIDER/MODEL, and import again"


@dataclass(frozen=True, slots=True)
class HostRule:
    """A host that fits `pattern` says by its first group what the key of the provider is."""

    pattern: str
    # `is` in the file
    is_: Literal["resource", "region"] = "resource"


@dataclass(frozen=True, slots=True)
class RegionRule:
    param: str
    variables: tuple[str, ...]
    default: str


@dataclass(frozen=True, slots=True)
class ProviderRow:
    """A row, as the head of the file explains it."""

    preset: str = ""
    base_url: str = ""
    key: str = ""
    prices: str = ""
    address: str = ""
    account: str = ""
    own_url: str = ""
    only_host: str = ""
    organization: str = ""
    ends: str = ""
    host: HostRule | None = None
    other_hosts: str = ""
    path: str = ""
    elsewhere: str = ""
    region: RegionRule | None = None
    drop: tuple[str, ...] = ()
    completions: bool = False
    local: bool = False
    changed: str = ""
    instead: Mapping[str, str] = field(default_factory=dict)
    refused: str = ""


@dataclass(frozen=True, slots=True)
class NameRule:
    begins: str
    is_: str


@dataclass(frozen=True, slots=True)
class TaskRule:
    contains: str
    is_: str


@dataclass(frozen=True, slots=True)
class ProviderTable:
    providers: Mapping[str, ProviderRow]
    names: tuple[NameRule, ...]
    tasks: tuple[TaskRule, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """A model of a provider; `reason`: why it is not reached. `task`: by its name; empty: it answers chats."""

    prefix: str
    model: str = ""
    row: ProviderRow = ProviderRow()
    reason: str = ""
    task: str = ""


def read_provider_table() -> ProviderTable:
    """ConfigError lists every error in the file."""
    wrong: list[str] = []
    found = read_table(ProviderTable, parse_toml(FILE), "", wrong)
    raise_if_invalid(wrong, FILE)
    assert found is not None
    return found


def find_target(table: ProviderTable, name: str, provider: str = "") -> Target:
    """`name`: as LiteLLM's `model`. `provider`: its `custom_llm_provider`, if set."""
    prefix, slash, model = name.partition("/")
    if provider:
        prefix, model = provider, model if prefix == provider else name
    elif not slash or not re.fullmatch(r"[a-z0-9_-]+", prefix):
        prefix = next((rule.is_ for rule in table.names if re.match(rule.begins, name)), "")
        model = name
    if not prefix:
        return Target("", reason=GUESSED)
    row = table.providers.get(prefix)
    if row is None:
        hint = f"there is no preset for {prefix[:60]!r}: add [providers.NAME] with its base_url"
        return Target(prefix, model, reason=hint)
    for route in row.drop:
        model = model.removeprefix(route)
    task = next((rule.is_ for rule in table.tasks if re.search(rule.contains, model)), "")
    return Target(prefix, model, row, reason=row.refused, task=task)
