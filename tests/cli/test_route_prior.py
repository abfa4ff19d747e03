"""`sizewise route prior`: own labels pull the shipped prior, and a policy follows the file that is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.terminal import sizewise
from tests.routing.test_answer_prior import drawn

MODELS = """
[providers.echo]
wire = "echo"
models = ["small", "large"]
[models."echo/small"]
parameters = 2_000_000_000
[policies.default]
prior = "mine.prior.json"
"""


def written(home: Path, count: int, *, logprobs: bool = True) -> str:
    folder = home / "mine.outcomes"
    folder.mkdir()
    (home / "sizewise.toml").write_text(MODELS)
    signals, right = drawn(count, 4)
    with (folder / "prompts.jsonl").open("w") as prompts, (folder / "outcomes.jsonl").open("w") as outcomes:
        for number, (its, score) in enumerate(zip(signals, right, strict=True)):
            row = {"prompt_id": str(number), "model": "echo/small", "score": score, "answer": "x", "tokens_out": 4}
            known = {"confidence": its.mean_logprob, "least": its.min_logprob, "first": its.first_logprob}
            prompts.write(
                json.dumps({"prompt_id": str(number), "prompt": f"Was ist das und wie heißt die {number}?"}) + "\n"
            )
            outcomes.write(json.dumps(row | (known if logprobs else {})) + "\n")
    return str(folder)


@pytest.mark.long
def test_own_labels_make_a_prior_that_a_policy_follows(tmp_path: Path) -> None:
    folder, file = written(tmp_path, 300), tmp_path / "mine.prior.json"
    broken = sizewise("route", "replay", "default", folder, home=tmp_path)
    assert broken.code == 2 and "policies.default.prior: cannot read" in broken.err
    done = sizewise("route", "prior", folder, "--model", "echo/small", "-o", str(file), "--json", home=tmp_path)
    assert done.code == 0, done.err
    assert (done.json["name"], done.json["own_labels"], done.json["languages"]) == ("echo/small", 300, ["de", "en"])
    assert done.json["threshold"] is not None and file.stat().st_mode & 0o777 == 0o600
    file.write_bytes(file.read_bytes()[:-20])
    cut = sizewise("route", "replay", "default", folder, home=tmp_path)
    assert cut.code == 2 and "not a valid prior" in cut.err


def test_people_see_what_the_labels_weigh_and_nothing_is_written(tmp_path: Path) -> None:
    done = sizewise("route", "prior", written(tmp_path, 20), "--model", "small", home=tmp_path)
    assert done.code == 2 and "there are no outcomes of the model 'small'" in done.err
    done = sizewise("route", "prior", str(tmp_path / "mine.outcomes"), "--model", "echo/small", home=tmp_path)
    assert done.code == 0 and "20 labels of echo/small; the shipped weights count as a prior" in done.out
    assert not list(tmp_path.glob("*.prior.json"))


@pytest.mark.parametrize(
    ("count", "logprobs", "size", "said"),
    [
        (5, True, "2_000_000_000", "5 labels are too few"),
        (20, False, "2_000_000_000", "20 answers have no log-probabilities"),
        (20, True, "1_000_000", "nothing was learned of models of the size"),
    ],
)
def test_what_cannot_pull_a_prior_is_named(tmp_path: Path, count: int, logprobs: bool, size: str, said: str) -> None:
    folder = written(tmp_path, count, logprobs=logprobs)
    (tmp_path / "sizewise.toml").write_text(MODELS.replace("2_000_000_000", size))
    done = sizewise("route", "prior", folder, "--model", "echo/small", home=tmp_path)
    assert done.code == 2 and said in done.err and "hint" in done.err
