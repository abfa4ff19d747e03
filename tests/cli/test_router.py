"""`sizewise route train`: what was learnt, what it is worth, and an honest 1 where it is worth nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sizewise.routing.quality.predictor import decode_predictor
from tests.cli.terminal import sizewise
from tests.routing.test_trainer import labelled
from tests.running_server import serving


def written(folder: Path, count: int, told: float) -> str:
    prompts, scores = labelled(count, told)
    names = ["".join(chr(ord("a") + int(digit)) * 2 for digit in str(n)) for n in range(count)]  # no near copies
    told_apart = [f"{prompt} {name}" for prompt, name in zip(prompts, names, strict=True)]
    lines = [json.dumps({"prompt_id": n, "prompt": prompt}) for n, prompt in enumerate(told_apart)]
    (folder / "prompts.jsonl").write_text("\n".join(lines))
    rows = [{"prompt_id": n, "model": m, "score": score} for m in scores for n, score in enumerate(scores[m])]
    (folder / "outcomes.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return str(folder)


def test_a_router_is_written_and_its_worth_told(tmp_path: Path) -> None:
    out = tmp_path / "router.json"
    said = sizewise("route", "train", written(tmp_path, 200, 1.0), "--small", "s", "--large", "l", "-o", str(out))
    assert said.code == 0, said.err
    assert "Better than chance" in said.out and "length alone" in said.out and str(out) in said.out
    assert decode_predictor(out.read_bytes()).provenance.label_count == 200


CONFIG = """
[server]
embedded = false
discover = false
[router]
predictor = "router.json"
policy = "mine"
[policies.mine]
kind = "learned"
[providers.echo]
wire = "echo"
place = "process"
models = ["s", "l"]
[models."echo/s"]
parameters = 1_000_000
[models."echo/l"]
parameters = 70_000_000_000
"""


@pytest.mark.long
def test_a_server_routes_by_what_was_learnt(tmp_path: Path) -> None:
    made = str(tmp_path / "router.json")
    assert sizewise("route", "train", written(tmp_path, 200, 1.0), "--small", "s", "--large", "l", "-o", made).code == 0
    with serving(tmp_path, CONFIG) as served:
        for words, model in (
            ("what is the capital of the country?", "echo/s"),
            ("prove that the operator converges", "echo/l"),
        ):
            answer = served.chat("auto", words)
            assert answer.headers["x-sizewise-model"] == model
            assert "predicted quality" in answer.headers["x-sizewise-why"]
        assert "no prediction" in served.chat("auto", "Warum ist der Himmel nicht blau?").headers["x-sizewise-why"]


def test_a_server_refuses_what_is_no_router(tmp_path: Path) -> None:
    (tmp_path / "sizewise.toml").write_text(CONFIG)
    up = ("up", "--port", "0", "--home", str(tmp_path), "--config", str(tmp_path / "sizewise.toml"))
    (tmp_path / "router.json").write_text("{}")
    wrong = sizewise(*up)
    assert wrong.code == 2 and "not a valid predictor" in wrong.err and "route train" in wrong.hint
    (tmp_path / "router.json").unlink()
    gone = sizewise(*up)
    assert gone.code == 2 and "router.predictor: cannot read" in gone.err


def test_one_that_is_worth_nothing_ends_with_1(tmp_path: Path) -> None:
    said = sizewise("route", "train", written(tmp_path, 200, 0.0), "--small", "s", "--large", "l", "--json")
    assert said.code == 1, said.err
    assert "not surely better than chance" in said.json["abstains"] and said.json["file"] is None


def test_what_cannot_be_learnt_from_or_written_is_said(tmp_path: Path) -> None:
    folder = written(tmp_path, 60, 1.0)
    few = sizewise("route", "train", written(tmp_path, 20, 1.0), "--small", "s", "--large", "l")
    assert few.code == 2 and "20 labels are too few" in few.err
    folder = written(tmp_path, 60, 1.0)
    nowhere = sizewise("route", "train", folder, "--small", "s", "--large", "l", "-o", str(tmp_path / "no" / "r.json"))
    assert nowhere.code == 3 and "cannot write" in nowhere.err


@pytest.mark.long
def test_a_new_model_enters_without_the_rest_being_learnt_anew(tmp_path: Path) -> None:
    folder, made, more = written(tmp_path, 200, 1.0), str(tmp_path / "router.json"), tmp_path / "more.json"
    assert sizewise("route", "train", folder, "--small", "s", "--large", "l", "-o", made).code == 0
    rows = [{"prompt_id": n, "model": "new", "score": score} for n, score in enumerate(labelled(200, 1.0)[1]["s"][:30])]
    (tmp_path / "outcomes.jsonl").write_text("\n".join(map(json.dumps, rows)))
    said = sizewise("route", "add-model", made, folder, "--model", "new", "-o", str(more))
    assert said.code == 0 and "new is like s" in said.out and "30 scores" in said.out, said.err
    before, after = decode_predictor(Path(made).read_bytes()), decode_predictor(more.read_bytes())
    assert set(after.heads) == {"s", "l", "new"} and after.heads["l"] == before.heads["l"]
    told = sizewise("route", "add-model", made, "--model", "twin", "--like", "l", "--json").json
    assert told == {"model": "twin", "like": "l", "shift": 0.0, "samples": 0, "file": None}
    for wrong in ((made, "--model", "twin"), (made, "--model", "s"), ("none", "--model", "x")):
        assert sizewise("route", "add-model", *wrong).code == 2
