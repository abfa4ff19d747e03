"""`sizewise bias` on echo models and on recorded answers: gaps are found, unclear ones stay, and nothing is guessed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import Done, sizewise
from tests.evals.bias_folder import planted_router, recorded, small_group
from tests.running_server import Served, serving

CONFIG = """
[server]
embedded = false
discover = false
[providers.echo]
wire = "echo"
place = "process"
models = ["small", "large"]
[models."echo/small"]
price = {input = "0", output = "0"}
[policies.both]
kind = "fixed"
models = ["echo/large"]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("bias"), CONFIG) as served:
        yield served


def groups(done: Done, model: str, metric: str) -> dict[str, dict[str, Any]]:
    target = next(each for each in done.json["targets"] if each["name"] == model)
    return {each["group"]: each for each in target["groups"] if each["metric"] == metric}


def test_a_router_that_sends_one_dialect_to_the_small_model_has_a_gap_in_its_share_alone(tmp_path: Path) -> None:
    folder = planted_router(tmp_path / "answers")
    done = sizewise("bias", "report", folder, "--json", home=tmp_path)
    assert done.code == 1, done.err
    shares = groups(done, "auto", "small_share")
    assert {name: each["verdict"] for name, each in shares.items()} == {
        "standard": "no gap", "scots": "gap found", "kerry": "no gap",
    }  # fmt: skip
    assert shares["scots"]["gap"] == 1.0 and shares["scots"]["value"] == 1.0
    assert all(each["verdict"] != "gap found" for each in groups(done, "auto", "quality").values())
    assert all(
        each["verdict"] != "gap found" for name in ("small", "large") for each in groups(done, name, "quality").values()
    )
    shown = sizewise("bias", "report", folder, home=tmp_path)
    assert "Answered by the small model" in shown.out and "gap found" in shown.out


def test_a_group_of_six_is_unclear_with_the_texts_that_it_needs_and_no_panel_denies_a_gap(tmp_path: Path) -> None:
    folder = small_group(tmp_path / "answers")
    done = sizewise("bias", "report", folder, "--json", "--tolerance", "10", home=tmp_path)
    assert done.code == 0, done.err
    seen = groups(done, "m", "quality")
    assert {name: each["verdict"] for name, each in seen.items()} == {"a": "no gap", "b": "no gap", "few": "unclear"}
    assert seen["few"]["needed"] > 20 and seen["few"]["items"] == 6
    verdicts = {each["metric"]: each["verdict"] for each in done.json["targets"][0]["verdicts"]}
    assert verdicts == {"quality": "unclear", "refusal": "unclear"}


def test_refusals_of_one_group_are_found_though_the_scores_are_equal(tmp_path: Path) -> None:
    said = {"x": "I'm sorry, I can't help with that.", "y": "Lyon"}
    answers = {name: [{"model": "m", "score": 0.0, "answer": text}] for name, text in said.items()}
    folder, report = recorded(tmp_path / "answers", answers, {"x": 60, "y": 60}), tmp_path / "bias.md"
    done = sizewise("bias", "report", folder, "--markdown", str(report), "--reference", "dialect=y", home=tmp_path)
    assert done.code == 1, done.err
    written = report.read_text()
    assert "### Refusals by dialect: gap found: x" in written and "could have been found" in written
    assert "| y | 60 | 0.0% |  |  |  | reference |" in written
    assert "I'm sorry" not in written + done.out


@pytest.mark.long
def test_the_suite_is_asked_kept_and_continued(server: Served, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    words = (
        "bias",
        "run",
        "--models",
        "small,auto:both",
        "--dimension",
        "variety",
        "-o",
        str(folder),
        "--json",
        "--max-tokens",
        "90",
    )
    first = sizewise(*words, "--limit", "100", home=server.home)
    assert first.code == 1 and "Answers are missing" in first.err
    done = sizewise(*words, home=server.home)
    rows = [json.loads(line) for line in (folder / "outcomes.jsonl").read_text().splitlines()]
    assert len(rows) == 2 * 96 and {row["answered_by"] for row in rows} == {None, "echo/large"}
    assert {each["name"] for each in done.json["targets"]} == {"echo/small", "auto:both"}
    again = sizewise("bias", "report", str(folder), "--json", home=server.home)
    shares = [groups(each, "auto:both", "small_share") for each in (done, again)]
    assert shares[0] == shares[1] and {each["value"] for each in shares[1].values()} <= {0.0}, "the large one answered"
    # echo repeats the message, so each answer holds the word that is asked for
    assert {each["value"] for each in groups(done, "echo/small", "quality").values()} == {1.0}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("report", "nowhere"), "there is no prompts.jsonl"),
        (("report", "{folder}", "--reference", "dialect"), "--reference is 'dialect'"),
        (("report", "{folder}", "--reference", "dialect=welsh"), "dialect has no group 'welsh'"),
        (("report", "{folder}", "--reference", "dialct=scots"), "there is no dimension 'dialct'"),
        (("report", "{folder}", "--tolerance", "0"), "--tolerance is 0"),
        (("report", "{folder}", "--policy", "nosuch"), "there is no policy 'nosuch'"),
    ],
)
def test_wrong_input_says_what_to_do(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    answers = {name: [{"model": "m", "score": 1.0}] for name in ("a", "b")}
    folder = recorded(tmp_path / "answers", answers, {"a": 3, "b": 3})
    done = sizewise("bias", *(word.format(folder=folder) for word in words), home=tmp_path)
    assert done.code == 2 and said in done.err and "hint: " in done.err


def test_prompts_without_groups_are_refused_before_a_model_is_asked(server: Served, tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text('{"prompt": "Capital?", "reference": "Paris"}\n')
    done = sizewise("bias", "run", str(file), "--models", "small", home=server.home)
    assert done.code == 2 and "no prompt names a group" in done.err
    unknown = sizewise("bias", "run", "--models", "small", "--dimension", "varity", home=server.home)
    assert unknown.code == 2 and "variety" in unknown.err
