"""Models that have ended at their provider: `doctor` and `route explain` name them with the day and the source."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from sizewise.catalog.retirements import retirements
from sizewise.settings.load import load_settings
from tests.cli.terminal import sizewise
from tests.running_server import ECHO, serving

OPENAI = '[providers.openai]\nendpoint = "openai"\nkey = "env:KEY"\nmodels = ["gpt-4", "gpt-4o", "gpt-6-sol"]\n'


def test_doctor_names_a_model_that_has_ended(tmp_path: Path) -> None:
    (tmp_path / "sizewise.toml").write_text(OPENAI)
    done = sizewise("doctor", "--json", home=tmp_path, KEY="none")
    wrong = [each["found"] for each in done.json["checks"] if each["check"] == "model" and not each["ok"]]
    assert done.code == 1 and len(wrong) == 1
    assert wrong[0].startswith("openai/gpt-4 ended on 2026-") and "(" in wrong[0]


def test_a_model_is_named_ninety_days_before_its_end(tmp_path: Path) -> None:
    (tmp_path / "sizewise.toml").write_text(OPENAI)
    settings = load_settings(tmp_path / "sizewise.toml", tmp_path, {})
    early, late = retirements(settings, date(2026, 9, 1)), retirements(settings, date(2026, 11, 27))
    assert [each.name for each in early] == ["openai/gpt-4"]
    assert [(each.name, each.over) for each in late] == [("openai/gpt-4", True), ("openai/gpt-4o", False)]


def test_explain_warns_of_a_candidate_that_has_ended(tmp_path: Path) -> None:
    with serving(tmp_path / "home", ECHO + OPENAI, KEY="none") as server:
        done = sizewise("route", "explain", "Hello", home=server.home)
        assert "warning: openai/gpt-4 ended on 2026-" in done.out
        assert sizewise("route", "explain", "Hello", "--json", home=server.home).json["warnings"]
