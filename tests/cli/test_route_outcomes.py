"""`sizewise route outcomes` on echo models: answered, scored, kept, continued after kill -9, within a budget."""

from __future__ import annotations

import json
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sizewise.evals.dataset_files import read_dataset
from tests.cli.terminal import Done, sizewise
from tests.forked import command
from tests.running_server import Served, environment, serving, until

CONFIG = """
[server]
embedded = false
discover = false
[providers.echo]
wire = "echo"
place = "process"
models = ["small", "large", "judge"]
[providers.other]
wire = "echo"
place = "process"
models = ["silent"]
[models."echo/small"]
price = {input = "1000", output = "2000"}
[models."echo/large"]
price = {input = "1000", output = "2000"}
[models."other/silent"]
logprobs = false
"""
MODELS = ("--models", "echo/small,echo/large")
PROMPTS: list[dict[str, Any]] = [
    {"prompt_id": "1", "prompt": "[[echo/small: say Lyon]] [[echo/large: say Paris]] Capital?", "reference": "Paris"},
    {"prompt_id": "2", "prompt": "[[echo/small: say 7]] [[echo/large: say it is 7]] 3+4?", "reference": 7},
    {"prompt_id": "3", "prompt": "[[say B) two]] Which?", "reference": "B", "scorer": "choice", "category": "letters"},
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("outcomes"), CONFIG) as served:
        yield served


def written(folder: Path, rows: list[dict[str, Any]]) -> str:
    file = folder / "mine.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def run(server: Served, *words: str) -> Done:
    return sizewise("route", "outcomes", *words, home=server.home)


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "outcomes.jsonl").read_text().splitlines()]


def test_each_model_answers_each_prompt_and_the_folder_is_what_calibrate_reads(server: Served, tmp_path: Path) -> None:
    done = run(server, written(tmp_path, PROMPTS), *MODELS, "--scorer", "contains", "--json")
    assert (done.code, done.err) == (0, "")
    told = done.json
    assert (told["added"], told["missing"]) == (6, {"echo/small": 0, "echo/large": 0})
    assert told["models"]["echo/small"]["score"] == pytest.approx(2 / 3)
    assert told["models"]["echo/large"] | {"seconds": 0} == {
        "answers": 3, "score": 1.0, "tokens_out": 2.0, "tokens_thinking": 0.0, "seconds": 0, "with_logprobs": 3,
    }  # fmt: skip
    folder = tmp_path / "mine.outcomes"
    assert told["folder"] == str(folder)
    dataset = read_dataset(folder)
    assert dataset.categories == ("", "", "letters")
    small = dataset.column("echo/small")
    assert small.score == [0.0, 1.0, 1.0] and small.answer == ["Lyon", "7", "B) two"]
    assert small.confidence == small.least == small.first == [-0.1, -0.1, -0.1] and small.tokens_out == [1, 1, 2]
    assert all(seconds >= 0 for seconds in small.seconds) and small.finish == ["stop"] * 3
    assert {file.stat().st_mode & 0o077 for file in folder.iterdir() if file.suffix} == {0}


def test_people_get_a_table_and_the_next_command(server: Served, tmp_path: Path) -> None:
    done = run(server, written(tmp_path, PROMPTS[2:]), "--models", "small,large", "-o", str(tmp_path / "kept"))
    assert done.code == 0, done.err
    assert "MEAN SCORE" in done.out and "2 new answers for $0.0" in done.out
    assert f"Next: sizewise route calibrate {tmp_path / 'kept'} --small echo/small --large echo/large" in done.out


def test_a_second_run_asks_nothing_again_and_another_model_may_join(server: Served, tmp_path: Path) -> None:
    file = written(tmp_path, PROMPTS)
    assert run(server, file, *MODELS, "--json").json["added"] == 6
    assert run(server, file, *MODELS, "--json").json["added"] == 0
    more = run(server, file, "--models", "echo/small,echo/judge", "--json").json
    assert (more["added"], more["missing"]) == (3, {"echo/small": 0, "echo/judge": 0})


@pytest.mark.long
def test_a_run_that_is_killed_in_mid_answer_continues_without_a_loss(server: Served, tmp_path: Path) -> None:
    prompts = [{"prompt": f"[[say {n}]] [[slow 0.05]] {n}", "prompt_id": n, "reference": n} for n in range(6)]
    file, folder = written(tmp_path, prompts), tmp_path / "mine.outcomes"
    words = command("route", "outcomes", file, *MODELS)
    env = environment(SIZEWISE_HOME=str(server.home)) | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(words, env=env, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as killed:
        until(lambda: (folder / "outcomes.jsonl").is_file() and len(rows_so_far(folder)) >= 3)
        killed.send_signal(signal.SIGKILL)
    before = rows_so_far(folder)
    with (folder / "outcomes.jsonl").open("ab") as torn:
        torn.write(b'{"prompt_id":"5","model":"echo/la')
    again = run(server, file, *MODELS, "--json")
    assert (again.code, again.json["added"]) == (0, 12 - len(before))
    kept = rows(folder)
    assert kept[: len(before)] == before
    assert set(Counter((row["model"], row["prompt_id"]) for row in kept).values()) == {1} and len(kept) == 12


def rows_so_far(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "outcomes.jsonl").read_bytes().split(b"\n")[:-1]]


def test_a_budget_in_dollars_ends_the_run_before_it_is_exceeded(server: Served, tmp_path: Path) -> None:
    file = written(tmp_path, PROMPTS)
    budget = ("--max-tokens", "9", "--budget-usd", "0.06")  # a request could cost about 0.04
    done = run(server, file, *MODELS, *budget, "--json")
    assert done.code == 1
    assert done.json["stopped"] == "budget" and 0 < done.json["added"] < 6
    assert 0 < float(done.json["cost_usd"]) <= 0.06
    again = run(server, file, *MODELS, *budget)
    assert again.code == 1 and "the budget is used up" in again.err
    rest = run(server, file, *MODELS, "--max-tokens", "9", "--budget-usd", "1", "--json")
    assert rest.code == 0 and rest.json["missing"] == {"echo/small": 0, "echo/large": 0}


def test_a_limit_ends_the_run_with_whole_pairs_first(server: Served, tmp_path: Path) -> None:
    done = run(server, written(tmp_path, PROMPTS), *MODELS, "--limit", "2")
    assert done.code == 1
    assert "2 of echo/small, 2 of echo/large: the limit of this run is reached" in done.err
    assert "run the same command again to continue" in done.hint
    assert [(row["prompt_id"], row["model"]) for row in rows(tmp_path / "mine.outcomes")] == [
        ("1", "echo/small"),
        ("1", "echo/large"),
    ]


def test_a_dry_run_shows_what_would_be_asked_and_writes_nothing(server: Served, tmp_path: Path) -> None:
    file = written(tmp_path, PROMPTS)
    done = run(server, file, *MODELS, "--dry-run", "--json")
    assert done.json == {
        "folder": str(tmp_path / "mine.outcomes"),
        "prompts": 3,
        "scorers": {"exact": 2, "choice": 1},
        "missing": {"echo/small": 3, "echo/large": 3},
        "limit": None,
        "concurrency": 1,
    }
    assert "Nothing was asked" in run(server, file, *MODELS, "--dry-run").out
    assert not (tmp_path / "mine.outcomes").exists()


def test_a_judge_scores_in_both_orders_and_one_that_contradicts_itself_gives_a_half(
    server: Served, tmp_path: Path
) -> None:
    # The echo judge is shown the answer, and repeats the cue in it: A in both orders is a contradiction.
    prompts = [{"prompt": "[[echo/small: say yes]] [[echo/judge: say A]] Is it?"}]
    done = run(server, written(tmp_path, prompts), "--models", "small", "-s", "judge", "--judge", "judge", "--json")
    assert done.code == 0, done.err
    assert done.json["models"]["echo/small"]["score"] == 0.5
    assert rows(tmp_path / "mine.outcomes")[0]["answer"] == "yes Is it?".replace(" Is it?", "")


def test_a_model_without_log_probabilities_is_asked_without_them(server: Served, tmp_path: Path) -> None:
    done = run(server, written(tmp_path, PROMPTS[2:]), "--models", "other/silent,small", "--json")
    assert done.code == 0, done.err
    assert [its["with_logprobs"] for its in done.json["models"].values()] == [0, 1]


def test_an_answer_that_fails_is_reported_missing_and_asked_again(server: Served, tmp_path: Path) -> None:
    prompts = [PROMPTS[0], {"prompt_id": "bad", "prompt": "[[echo/large: fail upstream]] x", "reference": "x"}]
    done = run(server, written(tmp_path, prompts), *MODELS)
    assert done.code == 1
    assert "echo/large on bad: " in done.err and "1 of echo/large: 1 requests failed" in done.err
    assert len(rows(tmp_path / "mine.outcomes")) == 3


def test_a_run_stops_when_everything_fails(server: Served, tmp_path: Path) -> None:
    prompts = [{"prompt": f"[[fail upstream]] {number}", "reference": "x"} for number in range(20)]
    done = run(server, written(tmp_path, prompts), *MODELS, "--json")
    assert done.code == 1
    assert done.json["stopped"] == "failures" and len(done.json["failed"]) == 5


MISTAKES = {
    "an unknown model": (PROMPTS, ("--models", "echo/smal"), "echo/small"),
    "a role for a model": (PROMPTS, ("--models", "auto"), "no single configured chat model is named 'auto'"),
    "a model twice": (PROMPTS, ("--models", "small,echo/small"), "names a model twice"),
    "no model": (PROMPTS, ("--models", ","), "names no model"),
    "a judge without a name": (PROMPTS[:1], (*MODELS, "-s", "judge"), "--judge MODEL"),
    "a judge that nothing uses": (PROMPTS, (*MODELS, "--judge", "judge"), "used by the scorer 'judge' alone"),
    "no reference": ([{"prompt": "Hi"}], MODELS, "line 1: the scorer 'exact' needs a `reference`"),
    "an empty prompt": ([*PROMPTS, {"prompt": " "}], MODELS, "line 4: the prompt is empty"),
    "an id twice": ([PROMPTS[0], PROMPTS[0]], MODELS, "line 2: the prompt_id '1' is repeated"),
    "an unknown scorer": ([{"prompt": "Hi", "scorer": "vibes"}], MODELS, "line 1: Invalid enum value 'vibes'"),
    "an invalid schema": ([{"prompt": "Hi", "schema": {"type": "x"}}], MODELS, "line 1:"),
    "no prompts": ([], MODELS, "has no prompts"),
    "a budget for a model of unknown price": (
        PROMPTS,
        ("--models", "small,other/silent", "--budget-usd", "1"),
        "--budget-usd cannot be kept: other/silent has no known price",
    ),
    "a negative budget": (PROMPTS, (*MODELS, "--budget-usd=-1"), "use dollars, such as 2.50"),
}


@pytest.mark.long
@pytest.mark.parametrize(("prompts", "words", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named_before_anything_is_asked(
    server: Served, tmp_path: Path, prompts: list[dict[str, Any]], words: tuple[str, ...], said: str
) -> None:
    done = run(server, written(tmp_path, prompts), *words)
    assert done.code == 2
    assert said in done.err
    assert not (tmp_path / "mine.outcomes").exists()


def test_a_folder_that_was_made_otherwise_is_not_mixed_up(server: Served, tmp_path: Path) -> None:
    file = written(tmp_path, PROMPTS)
    assert run(server, file, *MODELS).code == 0
    other = run(server, file, *MODELS, "--max-tokens", "7", "--dry-run")
    assert (other.code, "max_tokens 256, not 7" in other.err, other.hint) == (
        2, True, "hint: use another folder: -o FOLDER",
    )  # fmt: skip
    changed = run(server, written(tmp_path, PROMPTS[:2]), *MODELS)
    assert changed.code == 2 and "holds other prompts" in changed.err
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "prompts.jsonl").write_text("{}\n")
    foreign = run(server, file, *MODELS, "-o", str(tmp_path / "theirs"))
    assert foreign.code == 2 and (tmp_path / "theirs" / "prompts.jsonl").read_text() == "{}\n"


def test_a_file_that_is_missing_and_a_folder_that_cannot_be_written_are_named(server: Served, tmp_path: Path) -> None:
    gone = run(server, str(tmp_path / "none.jsonl"), *MODELS)
    assert gone.code == 2 and "there is no file" in gone.err
    (tmp_path / "blocked").write_text("a file")
    blocked = run(server, written(tmp_path, PROMPTS), *MODELS, "-o", str(tmp_path / "blocked"))
    assert blocked.code == 3 and "cannot be written" in blocked.err


def test_without_a_server_the_next_step_is_named(tmp_path: Path) -> None:
    done = sizewise("route", "outcomes", written(tmp_path, PROMPTS), *MODELS, home=tmp_path)
    assert done.code == 3 and "start it: sizewise up" in done.hint
