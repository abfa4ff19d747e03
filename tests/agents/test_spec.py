"""Every setting of an agent reaches its spec; one that is missing is an error, never a default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from types import SimpleNamespace

import pytest

from sizewise.agents.spec import AgentSpec, spec_from_settings
from sizewise.errors import ConfigError
from sizewise.settings.agents import AgentSettings

OTHER: Mapping[str, object] = {
    "description": "Reads.",
    "system": "You read.",
    "model": "small",
    "policy": "cascade",
    "tools": ("add",),
    "subagents": ("reader",),
    "handoffs": ("expert",),
    "memory": True,
    "auto_approve": ("wipe",),
    "max_steps": 3,
    "max_cost_usd": 2.0,
    "timeout_s": 5.0,
    "max_tokens": 100,
    "approval_timeout_s": 60.0,
}
"""A value of each setting that is not its default."""

SETTINGS = [each.name for each in fields(AgentSettings)]


@pytest.mark.parametrize("name", SETTINGS)
def test_each_setting_of_an_agent_changes_its_spec(name: str) -> None:
    changed = AgentSettings(**{name: OTHER[name]})  # type: ignore[arg-type]  # one of its fields
    assert spec_from_settings(changed, "boss") != spec_from_settings(AgentSettings(), "boss")


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_that_is_missing_is_an_error_and_never_a_default(name: str) -> None:
    rest = {field: value for field, value in asdict(AgentSettings()).items() if field != name}
    with pytest.raises(AttributeError, match=name):
        spec_from_settings(SimpleNamespace(**rest), "boss")  # type: ignore[arg-type]  # as after a rename


def test_every_field_of_a_spec_comes_from_the_settings() -> None:
    spec = spec_from_settings(AgentSettings(**OTHER), "boss")  # type: ignore[arg-type]  # of its fields
    assert [each for each in AgentSpec.__struct_fields__ if getattr(spec, each) == getattr(AgentSpec(), each)] == []


def test_limits_of_a_spec_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"agents\.boss"):
        spec_from_settings(AgentSettings(system="x" * 40_000), "boss")
