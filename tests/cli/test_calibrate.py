"""`sizewise calibrate`: a promise or an honest no, as a table, as JSON and as an exit code."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.terminal import sizewise
from tests.evals.test_calibrate import recorded


def written(folder: Path, count: int) -> Path:
    outcomes = recorded(count)
    with (folder / "prompts.jsonl").open("w") as prompts, (folder / "outcomes.jsonl").open("w") as rows:
        for number, (id, prompt) in enumerate(zip(outcomes.ids, outcomes.prompts, strict=True)):
            prompts.write(json.dumps({"prompt_id": id, "prompt": prompt}) + "\n")
            for model, column in outcomes.models.items():
                row = {"prompt_id": id, "model": model, "score": column.score[number], "answer": column.answer[number]}
                rows.write(json.dumps(row) + "\n")
    return folder


ASK = ("--small", "small", "--large", "large", "--second", "other", "--ratio", "0.02")


def test_a_promise_that_can_be_made_ends_with_0(tmp_path: Path) -> None:
    said = sizewise("calibrate", str(written(tmp_path, 1_000)), *ASK)
    assert said.code == 0, said.err
    assert "the policy 'cascade' keeps at least 0.95 of the quality of large" in " ".join(said.out.split())
    assert "No router uses this yet" in said.out


def test_one_that_cannot_ends_with_1_and_json_says_all(tmp_path: Path) -> None:
    said = sizewise("calibrate", str(written(tmp_path, 100)), *ASK, "--quality", "0.98", "--json")
    assert said.code == 1, said.err
    told = said.json
    assert told["chosen"] is None and [each["policy"] for each in told["tried"]] == ["prompt", "cascade"]


def test_what_is_asked_wrong_ends_with_2(tmp_path: Path) -> None:
    folder = str(written(tmp_path, 100))
    for wrong in (
        (folder, "--small", "smal", "--large", "large"),
        (folder, *ASK, "--quality", "95"),
        ("nowhere", *ASK),
    ):
        said = sizewise("calibrate", *wrong)
        assert said.code == 2 and "hint" in said.err, said.err
