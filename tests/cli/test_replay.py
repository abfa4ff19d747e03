"""`sizewise route replay`: a policy beside each model alone, as a table and as JSON; what is asked wrong is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sizewise.routing.quality.prompt_sketch import SKETCH_SIZE, known_share, sketch_prompts
from tests.cli import test_router
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


def learned(folder: Path) -> tuple[str, ...]:
    """The command that replays a predictor which the folder has taught."""
    made = str(folder / "router.json")
    taught = test_router.written(folder, 120, 1.0)
    assert sizewise("route", "train", taught, "--small", "s", "--large", "l", "-o", made, home=folder).code == 0
    return ("route", "replay", "learned", str(folder), "--predictor", made)


@pytest.mark.long
def test_a_router_replayed_on_what_taught_it_is_in_sample(tmp_path: Path) -> None:
    ask = learned(tmp_path)
    said = sizewise(*ask, home=tmp_path)
    assert "In-sample: learned was learned from about 100% of these prompts" in said.out, said.err
    file = tmp_path / "prompts.jsonl"
    rows = [json.loads(row) for row in file.read_text().splitlines()]
    for number, row in enumerate(rows):  # other bytes, and every other prompt is new
        row["prompt"] = f"  {row['prompt'].upper()}" if number % 2 else f"{row['prompt']} or what else {number}"
    file.write_text("\n".join(map(json.dumps, rows)))
    assert sizewise(*ask, "--json", home=tmp_path).json["in_sample"] == 0.5
    file.write_text("\n".join(json.dumps({**row, "prompt": f"{row['prompt']} anew"}) for row in rows))
    assert "In-sample" not in sizewise(*ask, home=tmp_path).out


@pytest.mark.parametrize("count", [100, 20_000])
def test_a_sketch_estimates_the_share_of_known_prompts(count: int) -> None:
    sketch = sketch_prompts(f"prompt {number}" for number in range(count))
    assert len(sketch) <= SKETCH_SIZE
    for shift, share in ((0, 1.0), (count // 2, 0.5), (count, 0.0)):
        found = known_share(sketch, [f"Prompt {number}" for number in range(shift, shift + count)])
        assert found == pytest.approx(share, abs=0.05 if count > SKETCH_SIZE else 0.0)
    assert known_share((), ["a"]) == known_share(sketch, []) == 0.0


def test_few_prompts_have_wide_margins_and_words(tmp_path: Path) -> None:
    said = sizewise("route", "replay", "fixed", written(tmp_path), "--models", "large", home=tmp_path)
    assert "8 prompts are too few" in said.out and "100.0% +- 16.2%" in said.out, said.err


def test_missing_answers_and_scores_that_are_all_zero_are_named(tmp_path: Path) -> None:
    folder = written(tmp_path)
    file = tmp_path / "outcomes.jsonl"
    rows = [{**json.loads(row), "score": 0} for row in file.read_text().splitlines()]
    file.write_text("\n".join(map(json.dumps, rows[1:])))
    said = sizewise("route", "replay", "cheapest", folder, home=tmp_path)
    assert "1 of 8 prompts lack an answer (of small: 1): left out" in said.out, said.err
    assert "No answer to any of these prompts is right" in said.out


def test_a_model_that_is_never_right_and_a_router_without_a_predictor_are_named(tmp_path: Path) -> None:
    folder = written(tmp_path)
    file = tmp_path / "outcomes.jsonl"
    rows = [json.loads(row) for row in file.read_text().splitlines()]
    file.write_text("\n".join(json.dumps({**row, "score": float(row["model"] != "large")}) for row in rows))
    said = sizewise("route", "replay", "learned", folder, "--models", "small,large", home=tmp_path)
    assert "large is never right on these prompts: check the scores" in said.out, said.err
    assert "learned has no predictor, so it asks the best model each time" in said.out
