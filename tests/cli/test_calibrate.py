"""`sizewise route calibrate`: a promise or an honest no, as a table, as JSON and as an exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.terminal import sizewise
from tests.evals.test_calibrate import recorded

MODELS = """
[providers.echo]
wire = "echo"
models = ["small", "other", "large"]
"""


def written(folder: Path, count: int) -> Path:
    """A folder of outcomes that is also a home with their models."""
    (folder / "sizewise.toml").write_text(MODELS)
    outcomes = recorded(count)
    with (folder / "prompts.jsonl").open("w") as prompts, (folder / "outcomes.jsonl").open("w") as rows:
        for number, (id, prompt) in enumerate(zip(outcomes.ids, outcomes.prompts, strict=True)):
            prompts.write(json.dumps({"prompt_id": id, "prompt": prompt}) + "\n")
            for model, column in outcomes.columns.items():
                row = {"prompt_id": id, "model": model, "score": column.score[number], "answer": column.answer[number]}
                rows.write(json.dumps(row) + "\n")
    return folder


ASK = ("--small", "small", "--large", "large", "--second", "other", "--price-ratio", "0.02")


@pytest.mark.long
def test_a_promise_that_can_be_made_ends_with_0_and_shows_what_it_would_change(tmp_path: Path) -> None:
    picture = tmp_path / "plane.svg"
    said = sizewise("route", "calibrate", str(written(tmp_path, 1_000)), *ASK, "--svg", str(picture), home=tmp_path)
    assert said.code == 0, said.err
    words = " ".join(said.out.split())
    assert "the policy 'cascade' keeps at least 0.95 of the quality of large" in words
    assert '+target = {quality = 0.95, reference = "large", confidence = 0.95}' in said.out
    assert "cascade, certified" in picture.read_text()
    assert "Nothing is written yet" in said.out and (tmp_path / "sizewise.toml").read_text() == MODELS


def test_near_copies_count_once_and_the_output_says_so(tmp_path: Path) -> None:
    written(tmp_path, 200)
    rows = (tmp_path / "prompts.jsonl").read_text().splitlines()
    few = [json.dumps({**json.loads(row), "group": number // 2}) for number, row in enumerate(rows)]
    (tmp_path / "prompts.jsonl").write_text("\n".join(few))
    said = sizewise("route", "calibrate", str(tmp_path), *ASK, home=tmp_path)
    assert "200 rows are 100 independent prompts" in said.out, said.err


def test_no_seed_can_be_chosen_until_it_suits(tmp_path: Path) -> None:
    said = sizewise("route", "calibrate", str(tmp_path), *ASK, "--seed", "7", home=tmp_path)
    assert said.code == 2 and "--seed" in said.err


WRITE = ("--policy", "mine", "--write")


@pytest.mark.long
def test_what_is_written_is_a_policy_that_replays(tmp_path: Path) -> None:
    folder = written(tmp_path, 1_000)
    settings, proof = tmp_path / "sizewise.toml", tmp_path / "mine.certificate.json"
    before, after = "# ours\n[policies.mine]\n", f"\n# the other\n[policies.quick]\nkind = 'cheapest'\n{MODELS}"
    settings.write_text(f"{before}kind = 'cheapest'\n{after}")
    more = (*WRITE, "--checker", "exact match", "--checker-error", "0.02")
    said = sizewise("route", "calibrate", str(folder), *ASK, *more, home=tmp_path)
    assert said.code == 0, said.err
    assert "as exact match measures it (wrong in 2.0% of its scores)" in " ".join(said.out.split())
    assert "a small answer costs 0.02 of a large one" in said.out
    text = settings.read_text()
    assert text.startswith(f'{before}kind = "certified"\n') and text.endswith(after)
    assert 'models = ["echo/small", "echo/other", "echo/large"]' in text
    assert proof.stat().st_size > 1_000 and proof.stat().st_mode & 0o777 == 0o600
    again = sizewise("route", "calibrate", str(folder), *ASK, *more, home=tmp_path)
    assert "The settings are already up to date." in again.out and settings.read_text() == text
    played = sizewise("route", "replay", "mine", str(folder), "--json", home=tmp_path)
    assert played.code == 0, played.err
    rows = played.json["rows"]
    alone = rows["echo/large alone"]
    assert rows["mine"]["quality"] > 0.95 * alone["quality"] and rows["mine"]["answer_shares"]["echo/large"] < 0.6
    other = sizewise("route", "replay", "mine", str(folder), "--predictor", "x", home=tmp_path)
    assert other.code == 2 and "--predictor cannot be used with mine" in other.err


@pytest.mark.long
def test_options_that_a_policy_had_stay_and_so_do_the_ends_of_lines(tmp_path: Path) -> None:
    folder = str(written(tmp_path, 1_000))
    settings = tmp_path / "sizewise.toml"
    settings.write_bytes(MODELS.replace("\n", "\r\n").encode())
    assert sizewise("route", "calibrate", folder, *ASK, *WRITE, home=tmp_path).code == 0
    settings.write_bytes(settings.read_bytes().replace(b"[policies.mine]\r\n", b"[policies.mine]\r\nhold_s = 7.5\r\n"))
    assert sizewise("route", "calibrate", folder, *ASK, *WRITE, "--quality", "0.9", home=tmp_path).code == 0
    text = settings.read_bytes()
    assert b"hold_s = 7.5\r\n" in text and b"quality = 0.9," in text and text.count(b"\n") == text.count(b"\r\n")


@pytest.mark.long
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (MODELS + '[policies."mine"]\nkind = "cheapest"\n', "longer be valid TOML"),
        (
            MODELS + '[policies.mine]\nkind = "certified"\n[policies.mine.target]\nquality = 0.9\n',
            "longer be valid TOML",
        ),
        ("[policies]\nmine = {kind = 'cheapest'}\n" + MODELS, "longer be valid TOML"),
        ("", "no single configured model is named 'small', 'other', 'large'"),
    ],
)
def test_what_would_not_be_read_is_not_written(tmp_path: Path, settings: str, words: str) -> None:
    folder, file = str(written(tmp_path, 600)), tmp_path / "sizewise.toml"
    file.write_text(settings)
    said = sizewise("route", "calibrate", folder, *ASK, *WRITE, "--quality", "0.9", home=tmp_path)
    assert said.code == 2 and words in said.err, said.err
    assert file.read_text() == settings and not list(tmp_path.glob("*.certificate.json*"))


def test_prices_count_where_tokens_were_recorded(tmp_path: Path) -> None:
    folder = str(written(tmp_path, 200))
    prices = [f"--price={name}=1,1" for name in ("small", "other", "large")]
    said = sizewise("route", "calibrate", folder, *ASK, *prices, home=tmp_path)
    assert said.code == 2 and "no tokens were recorded" in said.err
    said = sizewise("route", "calibrate", folder, *ASK, prices[2], home=tmp_path)
    assert said.code == 2 and "the price of 'small' is missing" in said.err


def test_models_that_are_not_configured_are_named_before_anything_is_learned(tmp_path: Path) -> None:
    folder = str(written(tmp_path, 100))
    (tmp_path / "sizewise.toml").write_text(MODELS.replace('"other", ', ""))
    said = sizewise("route", "calibrate", folder, *ASK, home=tmp_path)
    assert (said.code, said.out) == (2, "")
    assert "no single configured model is named 'other'" in said.err and "<provider>/<model>" in said.hint


def test_one_that_cannot_ends_with_1_and_json_says_all(tmp_path: Path) -> None:
    said = sizewise(
        "route", "calibrate", str(written(tmp_path, 100)), *ASK, "--quality", "0.98", "--json", home=tmp_path
    )
    assert said.code == 1, said.err
    told = said.json
    assert told["best"] is None and [each["policy"] for each in told["policies"]] == ["prompt", "cascade"]


@pytest.mark.long
def test_what_is_asked_wrong_ends_with_2(tmp_path: Path) -> None:
    folder = str(written(tmp_path, 100))
    for wrong in (
        (folder, "--small", "smal", "--large", "large"),
        (folder, *ASK, "--quality", "95"),
        (folder, *ASK, "--policy", "a b"),
        (folder, *ASK, "--checker-error", "2"),
        (folder, *ASK, "--price-ratio", "-3"),
        (folder, *ASK, "--price-ratio", "nan"),
        ("--large", "gpt", "--svg", "x.svg"),
        ("nowhere", *ASK),
    ):
        said = sizewise("route", "calibrate", *wrong, home=tmp_path)
        assert said.code == 2 and "hint" in said.err, said.err
