"""`sizewise route replay`: a policy beside each model alone, as a table and as JSON; what is asked wrong is said."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.terminal import sizewise


def written(folder: Path) -> str:
    prompts = [{"prompt_id": n, "prompt": f"prompt {n}"} for n in range(8)]
    rows = [
        {"prompt_id": n, "model": model, "score": score, "answer": "x", "tokens_in": 100, "tokens_out": 10}
        for n in range(8)
        for model, score in (("small", n % 2), ("large", 1))
    ]
    (folder / "prompts.jsonl").write_text("\n".join(map(json.dumps, prompts)))
    (folder / "outcomes.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return str(folder)


PRICED = ("--price", "small=1,1", "--price", "large=10,10")


def test_a_policy_stands_beside_each_model_alone(tmp_path: Path) -> None:
    said = sizewise("route", "replay", "cheapest", written(tmp_path), *PRICED, home=tmp_path)
    assert said.code == 0, said.err
    assert "cheapest" in said.out and "large alone" in said.out and "decisions a second" in said.out
    told = sizewise("route", "replay", "cheapest", written(tmp_path), *PRICED, "--json", home=tmp_path).json
    assert told["rows"]["cheapest"]["quality"] == told["rows"]["small alone"]["quality"] == 0.5
    large = told["rows"]["large alone"]
    assert (large["quality"], large["cost"], large["calls_per_prompt"], large["answer_shares"]) == (
        1.0,
        1_100_000_000,
        1.0,
        {"large": 1.0},
    )


def test_a_policy_of_the_settings_is_played(tmp_path: Path) -> None:
    (tmp_path / "sizewise.toml").write_text('[policies.mine]\nkind = "fixed"\nmodels = ["large", "small"]\n')
    said = sizewise("route", "replay", "mine", written(tmp_path), home=tmp_path)
    assert said.code == 0, said.err
    assert "large 100%" in said.out and "unknown" in said.out


def test_what_is_asked_wrong_is_said(tmp_path: Path) -> None:
    folder = written(tmp_path)
    for wrong, words in (
        (("cascad", folder), "there is no policy"),
        (("fixed", folder, "--models", "small,lrge"), "of the model 'lrge'"),
        (("fixed", folder, "--price", "small=cheap"), "is not a price"),
        (("fixed", str(tmp_path / "no")), "no prompts.jsonl"),
    ):
        said = sizewise("route", "replay", *wrong, home=tmp_path)
        assert said.code == 2 and words in said.err, said.err
