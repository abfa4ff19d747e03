"""`sizewise bias mitigate` and `augment`: a planted bias becomes smaller, measured on texts that were not fitted on."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from sizewise.evals.bias.counterfactuals import reweigh, suite_lexicon, versions
from tests.cli.terminal import sizewise
from tests.conftest import weights


def planted(folder: Path) -> str:
    """A small model that is right less often on scots, and as sure of itself as on standard."""
    chance = random.Random(1)
    prompts, outcomes = [], list[dict[str, object]]()
    for text in range(400):
        trust = chance.random()
        for group, worse in (("standard", 0.0), ("scots", 0.3)):
            id = f"{text} {group}"
            prompts.append({"prompt_id": id, "prompt": id, "template": text, "groups": {"dialect": group}})
            right = float(chance.random() < 0.35 + 0.65 * trust - worse)
            outcomes.append({"prompt_id": id, "model": "s", "score": right, "confidence": -2.0 * (1.0 - trust)})
            outcomes.append({"prompt_id": id, "model": "l", "score": 1.0, "confidence": -0.1})
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in prompts))
    (folder / "outcomes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in outcomes))
    return str(folder)


@pytest.mark.parametrize("way", [("--by", "every-group"), ("--by", "by-group", "--dimension", "dialect")])
def test_a_router_that_trusts_too_much_on_one_dialect_is_mended_without_losing_quality(
    tmp_path: Path, way: tuple[str, ...]
) -> None:
    words = ("bias", "mitigate", planted(tmp_path), "--small", "s", "--large", "l", "--promise", "0.9", *way)
    done = sizewise(*words, "--json", home=tmp_path)
    assert done.code == 0, done.err
    before, after = done.json["before"], done.json["after"]
    assert after["worst_gap"] < 0.75 * before["worst_gap"]
    assert after["quality"] >= 0.9 * after["large_quality"] and after["small_share"] > 0
    shown = sizewise(*words, home=tmp_path)
    assert "widest gap" in shown.out and 'kind = "cascade"' in shown.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--small", "s", "--large", "x"), "there are no answers of 'x'"),
        (("--small", "s", "--large", "s"), "both 's'"),
        (("--small", "s", "--large", "l", "--by", "by-group"), "needs one dimension"),
        (("--small", "s", "--large", "l", "--dimension", "age"), "there is no dimension 'age'"),
        (("--small", "s", "--large", "l", "--promise", "95"), "--promise is 95"),
    ],
)
def test_wrong_input_of_mitigate(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    done = sizewise("bias", "mitigate", planted(tmp_path), *words, home=tmp_path)
    assert done.code == 2 and said in done.err and "hint: " in done.err


def test_a_text_is_repeated_with_every_other_group_and_its_case_is_kept() -> None:
    lexicon = suite_lexicon()
    found = {(each.dimension, each.group): text for each, text in versions("The MUSLIM guest lost his key.", lexicon)}
    assert found["religion", "jewish"] == "The JEWISH guest lost his key."
    assert found["pronoun", "she"] == "The MUSLIM guest lost her key."
    named = {each.group: text for each, text in versions("Lakisha asked twice.", lexicon)}
    assert named["american-white"] == "Emily asked twice." and "american-black" not in named
    assert versions("The guest lost a key.", lexicon) == []


def test_weights_make_group_and_answer_independent() -> None:
    groups = ["a"] * 80 + ["b"] * 20
    answers = ["yes"] * 60 + ["no"] * 20 + ["yes"] * 4 + ["no"] * 16
    times = reweigh(groups, answers)
    share = {
        group: sum(n for n, g, y in zip(times, groups, answers, strict=True) if (g, y) == (group, "yes"))
        / sum(n for n, g in zip(times, groups, strict=True) if g == group)
        for group in ("a", "b")
    }
    assert share["a"] == pytest.approx(0.64, abs=0.03) and share["b"] == pytest.approx(0.64, abs=0.06)
    assert abs(sum(times) - 100) <= 3


def test_training_data_is_written_with_a_held_out_file_and_no_group_in_it_is_an_error(tmp_path: Path) -> None:
    rows = [{"input": f"A Hindu guest asks for room {n}.", "output": "yes" if n % 2 else "no"} for n in range(60)]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = sizewise(
        "bias",
        "augment",
        "data.jsonl",
        "-o",
        "fair.jsonl",
        "--json",
        home=tmp_path,
        SIZEWISE_CACHE=str(tmp_path / "none"),
    )
    assert done.code in (0, 1), done.err
    assert done.json["written"] == 6 * done.json["rows"] == 6 * done.json["mention"]
    written = (tmp_path / "fair.jsonl").read_text().splitlines()
    held = (tmp_path / "fair.test.jsonl").read_text().splitlines()
    assert len(written) == done.json["written"] and len(held) == 60 - done.json["rows"]
    plain = [{"input": f"room {n}", "output": row["output"]} for n, row in enumerate(rows)]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in plain))
    none = sizewise("bias", "augment", "data.jsonl", "-o", "fair.jsonl", home=tmp_path)
    assert none.code == 2 and "mentions a group" in none.err and "--words FILE" in none.err
    for over in ("data.jsonl", "./data.jsonl"):
        refused = sizewise("bias", "augment", "data.jsonl", "-o", over, home=tmp_path)
        assert refused.code == 2 and "would be written over" in refused.err
    assert len((tmp_path / "data.jsonl").read_text().splitlines()) == 60


@pytest.mark.long
def test_pronouns_are_compared_on_the_same_texts(tmp_path: Path) -> None:
    """Of rows that say "he" alone, each is asked as it is, too."""
    weights("minilm-l6-v2")
    wishes = [("lost his key", "key"), ("wants his invoice", "invoice")]
    rows = [{"input": f"He {wishes[n % 2][0]}, in room {n}.", "output": wishes[n % 2][1]} for n in range(60)]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = sizewise("bias", "augment", "data.jsonl", "-o", "fair.jsonl", "--json", home=tmp_path)
    assert done.code in (0, 1), done.err
    held = 60 - done.json["rows"]
    for measured in (done.json["before"], done.json["after"]):
        groups = {each["group"]: each for each in measured["groups"] if each["dimension"] == "pronoun"}
        assert {name: each["texts"] for name, each in groups.items()} == {"he": held, "she": held}
        assert all(each["is_paired"] for each in groups.values())
