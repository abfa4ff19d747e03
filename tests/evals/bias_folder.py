"""Folders of answers by group, as `sizewise bias run` leaves them, for tests that ask no model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def recorded(folder: Path, answers: Mapping[str, list[dict[str, Any]]], groups: Mapping[str, int]) -> str:
    """`answers`: by group, one for each text. `groups`: how many texts each has."""
    prompts, outcomes = list[dict[str, Any]](), list[dict[str, Any]]()
    for group, count in groups.items():
        for text in range(count):
            id = f"{text} {group}"
            prompts.append({"prompt_id": id, "prompt": id, "template": text, "groups": {"dialect": group}})
            outcomes.extend({"prompt_id": id, **each} for each in answers[group])
    folder.mkdir(parents=True)
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in prompts))
    (folder / "outcomes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in outcomes))
    return str(folder)


def planted_router(folder: Path) -> str:
    """A router that sends one dialect to the small model; both models are always right."""

    def routed(by: str) -> list[dict[str, Any]]:
        alone = [{"model": name, "score": 1.0} for name in ("small", "large")]
        return [*alone, {"model": "auto", "score": 1.0, "answered_by": by}]

    answers = {"standard": routed("large"), "scots": routed("small"), "kerry": routed("large")}
    return recorded(folder, answers, {"standard": 150, "scots": 150, "kerry": 150})


def small_group(folder: Path) -> str:
    """All groups are alike, and one has six texts."""
    alike = {name: [{"model": "m", "score": 1.0}] for name in ("a", "b", "few")}
    return recorded(folder, alike, {"a": 200, "b": 200, "few": 6})
