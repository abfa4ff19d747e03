"""`sizewise models show`: what the self-test of a model measured by language."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.terminal import sizewise

TEST = {
    "date": "2026-11-28",
    "prompt_tokens_per_s": 100.0,
    "output_tokens_per_s": 10.0,
    "memory_bytes": None,
    "tools": False,
    "tokens_per_character": {"en": 0.2, "de": 0.4, "th": 1.0},
}


def test_languages_are_shown_best_first_and_unknown_ones_say_so(tmp_path: Path) -> None:
    measured = {**TEST, "right_answers": {"en": 0.667, "de": 0.167}}
    (tmp_path / "self-tests.json").write_text(json.dumps({"local/smollm2-135m": measured}))
    shown = sizewise("models", "show", "smollm2-135m", home=tmp_path).out
    lines = [line.split() for line in shown[shown.index("LANGUAGE") :].splitlines()]
    assert lines[1:4] == [["en", "67%", "0.20", "1.0x"], ["de", "17%", "0.40", "2.0x"], ["th", "?", "1.00", "5.0x"]]
    told = sizewise("models", "show", "smollm2-135m", "--json", home=tmp_path).json
    assert told["selfTest"]["right_answers"] == measured["right_answers"]
    (tmp_path / "self-tests.json").write_text(json.dumps({"local/smollm2-135m": TEST}))  # of an older release
    assert "th" in sizewise("models", "show", "smollm2-135m", home=tmp_path).out
