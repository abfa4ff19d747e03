"""`sizewise advise --second`: of two second models, the one that errs elsewhere comes first, with its price."""

from __future__ import annotations

import json
import random
from pathlib import Path

from tests.cli.terminal import sizewise


def answered(folder: Path, prompts: int = 200) -> str:
    """`twin` says what `small` says; `other` errs on its own; `large` is always right."""
    chance, lines = random.Random(3), list[dict[str, object]]()
    for id in range(prompts):
        small = "yes" if chance.random() < 0.7 else f"no {chance.random()}"
        other = "yes" if chance.random() < 0.7 else f"no {chance.random()}"
        for model, answer in (("small", small), ("twin", small), ("other", other), ("large", "yes")):
            right = float(answer == "yes")
            line = {
                "prompt_id": id,
                "model": model,
                "score": right,
                "answer": answer,
                "tokens_in": 100,
                "tokens_out": 10,
            }
            lines.append(line)
    folder.mkdir()
    asked = [{"prompt_id": id, "prompt": f"question {id}"} for id in range(prompts)]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    (folder / "outcomes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    return str(folder)


def test_a_model_that_errs_elsewhere_is_the_better_second_opinion(tmp_path: Path) -> None:
    folder = answered(tmp_path / "answers")
    done = sizewise("advise", "--second", folder, "--small", "small", "--json", home=tmp_path)
    assert done.code == 0, done.err
    first, last = done.json["seconds"]
    assert (first["name"], last["name"], done.json["large"]) == ("other", "twin", "large")
    assert first["quality"] >= 0.99 and last["quality"] < 0.8
    assert abs(first["error_correlation"]) < 0.2 and last["error_correlation"] == 1.0
    assert first["right_if_agreed"] == 1.0 and last["right_if_not"] is None
    shown = sizewise("advise", "--second", folder, "--small", "small", home=tmp_path).out
    assert "SECOND MODEL" in shown and "route calibrate FOLDER --small small --second other" in shown


def test_prices_decide_what_it_costs(tmp_path: Path) -> None:
    folder = answered(tmp_path / "answers")
    dear = ("--price", "small=1,1", "--price", "twin=1,1", "--price", "other=9,9", "--price", "large=10,10")
    done = sizewise("advise", "--second", folder, "--small", "small", *dear, "--json", home=tmp_path)
    assert next(each["cost"] for each in done.json["seconds"] if each["name"] == "other") > 1


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    few = answered(tmp_path / "few", 10)
    assert "30 prompts in common" in sizewise("advise", "--second", few, "--small", "small", home=tmp_path).err
    assert "--small NAME: small, twin" in sizewise("advise", "--second", few, home=tmp_path).err
    assert (
        "there are no outcomes of the model 'x'"
        in sizewise("advise", "--second", few, "--small", "x", home=tmp_path).err
    )
    alone = sizewise("advise", "--small", "x", home=tmp_path)
    assert alone.code == 2 and "--second FOLDER" in alone.err
