"""Similarity by the embedding model of this machine: what means the same is near, even beyond its window."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sizewise.evals.runs.model_scorers import MAX_PIECES, PIECE_BYTES, split_text
from tests.cli.terminal import sizewise
from tests.conftest import weights
from tests.running_server import serving

CONFIG = """
[server]
discover = false
[providers.echo]
wire = "echo"
place = "process"
models = ["small"]
"""
CAPITAL = "Paris is the capital of France."


@pytest.mark.parametrize("text", ["a " * 2_000, "x" * 2_000, "\u4f60\u597d" * 500, "\u00e9" * 999, "one"])
def test_pieces_of_a_text_fit_the_model_and_lose_nothing_before_the_limit(text: str) -> None:
    pieces = split_text(text)
    assert 0 < len(pieces) <= MAX_PIECES and all(0 < len(each.encode()) <= PIECE_BYTES for each in pieces)
    if len(pieces) < MAX_PIECES:
        assert "".join("".join(pieces).split()) == "".join(text.split())


@pytest.mark.long
def test_answers_that_mean_the_same_are_similar(tmp_path: Path) -> None:
    file, cache = weights("minilm-l6-v2"), tmp_path / "cache" / "models"
    cache.mkdir(parents=True)
    (cache / file.name).symlink_to(file)
    home = tmp_path / "home"
    (home / "evals").mkdir(parents=True)
    said = {
        "same": "The capital city of France is Paris.",
        "other": "Bread is baked in an oven at home.",
        "long": "The capital city of France is Paris. " * 60,
    }
    items = [{"id": key, "input": f"[[say {text} ]]", "expected": CAPITAL} for key, text in said.items()]
    (home / "evals" / "x.jsonl").write_text("".join(json.dumps(each) + "\n" for each in items))
    (home / "evals" / "x.yaml").write_text("target: echo/small\ndata: x.jsonl\nscorers: {near: similarity}\n")
    with serving(home, CONFIG, SIZEWISE_CACHE=str(cache.parent)) as served:
        done = sizewise("eval", "run", "x", home=served.home)
    assert done.code == 0, done.err
    (run,) = (home / "evals" / ".runs" / "x").glob("*.jsonl")
    found = {each["item"]: each["scores"]["near"] for each in map(json.loads, run.read_text().splitlines()[1:])}
    assert found["same"]["value"] > 0.9 > 0.3 > found["other"]["value"], found
    assert found["long"]["value"] > 0.7, found
