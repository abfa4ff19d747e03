"""`sizewise eval ci` on repositories made by git: what blocks a change, what cannot be lowered, and what forks get."""

from __future__ import annotations

import json
import os
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from sizewise.cli.eval_ci import ci
from sizewise.cli.eval_comment import comment
from tests.fakes.fake_github_comments import github_double
from tests.forked import command
from tests.running_server import environment

SETTINGS = """
[server]
embedded = false
discover = false
[providers.echo]
wire = "echo"
place = "process"
models = ["small"]
[providers.far]
base_url = "https://far.example/v1"
key = "env:FAR_KEY"
place = "anyone"
models = ["large"]
"""
FLOW = """
name: answer
inputs:
  question: text
nodes:
  say:
    kind: ask
    model: echo/small
    prompt: "PROMPT"
outputs:
  answer: "{{ say.text }}"
"""
GOOD, WORSE = "[[say {{ inputs.question }}]]", "[[say I do not know]]"
EVAL = """
target: {flow: answer}
data: capitals.jsonl
scorers:
  right: {kind: contains}
gate:
  - {score: right, not_worse_by: 0.1}
  - {every: {tags: [must]}, score: right}
budget: {concurrency: 8}
"""
ITEMS = [
    {"id": f"t-{n}", "input": f"city{n}", "expected": f"city{n}", "tags": ["must"] if n < 2 else []} for n in range(40)
]
SECRET = "canary-far-key-4711"


@dataclass
class Repository:
    """`head` is a branch that began at `main`."""

    folder: Path

    def git(self, *words: str) -> str:
        env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
        named = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main")
        done = subprocess.run(("git", *named, *words), cwd=self.folder, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(self, **files: str | None) -> None:
        """A name with __ for /, and its text; None deletes it."""
        for name, text in files.items():
            path = self.folder / name.replace("__", "/").replace("_DOT_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink() if text is None else path.write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "change")

    def check(self, *words: str, **environ: str) -> tuple[int, dict[str, Any], str]:
        """Exit code, report and comment."""
        out = self.folder.parent / "out"
        out.mkdir(exist_ok=True)
        files = ("--markdown", f"{out}/comment.md", "--junit", f"{out}/junit.xml", "--sarif", f"{out}/x.sarif")
        marks = ("--annotations", f"{out}/annotations.txt")
        line = command("eval", "ci", "--base", "main", "--head", "head", *files, *marks, "--json", *words)
        env = environment(**{"FAR_KEY": SECRET, "SIZEWISE_HOME": str(self.folder.parent / "home"), **environ})
        done = subprocess.run(line, cwd=self.folder, env=env, capture_output=True, text=True, timeout=300)
        assert done.stdout, done.stderr
        assert "verdict" in done.stdout, done.stdout + done.stderr
        shown: dict[str, Any] = json.loads(done.stdout)
        comment = (out / "comment.md").read_text() if (out / "comment.md").exists() else ""
        everything = done.stdout + done.stderr + "".join(each.read_text() for each in out.iterdir())
        assert SECRET not in everything and "city1" not in comment
        return done.returncode, shown, comment


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "repo")
    made.folder.mkdir()
    made.git("init", "-q")
    made.commit(
        sizewise_DOT_toml=SETTINGS,
        flows__answer_DOT_yaml=FLOW.replace("PROMPT", GOOD),
        evals__capitals_DOT_yaml=EVAL,
        evals__capitals_DOT_jsonl="\n".join(map(json.dumps, ITEMS)),
    )
    made.git("checkout", "-q", "-b", "head")
    return made


def state(shown: dict[str, Any], name: str = "capitals") -> str:
    return str(next(each["state"] for each in shown["evals"] if each["name"] == name))


@pytest.mark.long
def test_story_14_a_worse_prompt_is_blocked_and_its_fix_turns_the_same_comment_green(repository: Repository) -> None:
    with github_double() as github:
        github.add("<!-- sizewise:evals --> copied by a person")

        def post(pull: int = 7) -> None:
            file = repository.folder.parent / "out" / "comment.md"
            words = ("--repo", "acme/support", "--pull", str(pull), "--api", github.url)
            line = command("eval", "comment", str(file), *words)
            env = environment(GITHUB_TOKEN="t-1", SIZEWISE_HOME=str(repository.folder.parent / "home"))
            done = subprocess.run(line, cwd=repository.folder, env=env, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stderr

        repository.commit(flows__answer_DOT_yaml=FLOW.replace("PROMPT", WORSE))
        code, shown, comment = repository.check()
        assert (code, shown["verdict"], state(shown)) == (1, "fail", "fail")
        assert "right fell by 100.0 points" in comment and "t-1" in comment and "newly wrong (40)" in comment
        assert set(shown["evals"][0]["newly_wrong"]["right"]) == {each["id"] for each in ITEMS}
        suites = ET.fromstring((repository.folder.parent / "out" / "junit.xml").read_text())
        assert suites.tag == "testsuites" and suites[0].get("failures") != "0"
        post()
        repository.commit(flows__answer_DOT_yaml=FLOW.replace("PROMPT", GOOD + " "))
        code, shown, comment = repository.check()
        assert (code, shown["verdict"]) == (0, "pass"), comment
        post()
        post()
        assert len(github.comments) == 2 and "PASS" in github.comments[1]["body"]
        assert github.comments[0]["body"].endswith("by a person")
        github.may_write = False
        post()
        assert {each[1] for each in github.requests} == {"Bearer t-1"}


@pytest.mark.long
def test_story_15_a_change_that_lowers_the_gate_is_judged_by_the_old_one(repository: Repository) -> None:
    repository.commit(
        flows__answer_DOT_yaml=FLOW.replace("PROMPT", WORSE),
        evals__capitals_DOT_yaml=EVAL.replace("0.1}", "0.99}").replace("tags: [must]", "tags: [none]"),
        evals__capitals_DOT_jsonl=json.dumps({"input": "x", "expected": "know"}),
    )
    code, shown, comment = repository.check()
    assert (code, state(shown)) == (1, "fail")
    assert "alters its rules" in comment and "alters its data" in comment
    repository.commit(evals__capitals_DOT_yaml=None)
    code, shown, comment = repository.check()
    assert (code, state(shown)) == (1, "fail") and "removes the eval" in comment


@pytest.mark.long
def test_a_change_of_evals_shows_both_rules_and_passes_only_with_the_label(repository: Repository) -> None:
    repository.commit(evals__capitals_DOT_yaml=EVAL.replace("0.1}", "0.2}"))
    code, shown, comment = repository.check()
    assert (code, shown["verdict"], state(shown)) == (1, "fail", "unchanged") and shown["lacks_label"] == ["capitals"]
    assert "need the label `evals-change`" in comment and "0.1" in comment and "0.2" in comment, comment
    assert repository.check("--labels", "docs")[0] == 1
    code, shown, comment = repository.check("--labels", "docs,evals-change")
    assert (code, shown["verdict"]) == (0, "pass") and "alters its rules" in comment


@pytest.mark.long
def test_story_16_a_fork_runs_what_is_offline_and_gets_no_secret_and_no_settings(repository: Repository) -> None:
    evil = SETTINGS.replace('base_url = "https://far.example/v1"', 'base_url = "http://127.0.0.1:9/v1"')
    repository.git("checkout", "-q", "main")
    repository.commit(evals__far_DOT_yaml=EVAL.replace("{flow: answer}", "{model: far/large}"))
    repository.git("checkout", "-q", "head")
    repository.git("rebase", "-q", "main")
    repository.commit(flows__answer_DOT_yaml=FLOW.replace("PROMPT", GOOD + " "), sizewise_DOT_toml=evil)
    code, shown, comment = repository.check("--untrusted")
    assert (code, state(shown), state(shown, "far")) == (1, "pass", "unclear"), comment
    assert "this change comes from a fork" in comment


@pytest.mark.long
def test_what_did_not_change_costs_nothing_and_answers_are_asked_for_once(repository: Repository) -> None:
    repository.commit(README_DOT_md="words")
    code, shown, _ = repository.check()
    assert (code, state(shown)) == (0, "unchanged")
    cache = repository.folder.parent / "cache"
    repository.commit(flows__answer_DOT_yaml=FLOW.replace("PROMPT", GOOD + " "))
    for _ in range(2):
        assert repository.check("--cache", str(cache))[0] == 0
    files = list(cache.glob("capitals/*.jsonl"))
    assert len(files) == 2 and {len(each.read_text().splitlines()) for each in files} == {1 + len(ITEMS)}


@pytest.mark.long
def test_a_gate_fails_closed(repository: Repository) -> None:
    repository.git("checkout", "-q", "main")
    judge = "  judged: {kind: judge, model: far/large, rubric: good?}\n"
    repository.commit(
        evals__capitals_DOT_yaml=EVAL.replace("gate:", judge + "gate:").replace("concurrency: 8", "usd: 0")
    )
    repository.git("checkout", "-q", "head")
    repository.git("rebase", "-q", "main")
    repository.commit(flows__answer_DOT_yaml=FLOW.replace("PROMPT", GOOD + " "))
    code, shown, _ = repository.check()
    assert (code, shown["verdict"]) == (1, "unclear"), "the budget is used up"
    line = command("eval", "ci", "--base", "nowhere", "--head", "head")
    done = subprocess.run(line, cwd=repository.folder, env=environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "there is no commit 'nowhere'" in done.stderr and "fetch-depth" in done.stderr


@pytest.mark.long
def test_mistakes_in_files_are_findings_with_a_line(repository: Repository) -> None:
    repository.commit(
        flows__answer_DOT_yaml=FLOW.replace("PROMPT", GOOD).replace("kind: ask", "kind: aks"),
        evals__capitals_DOT_yaml=EVAL.replace("contains", "contained"),
    )
    code, shown, _ = repository.check()
    assert (code, shown["verdict"]) == (1, "fail")
    found = json.loads((repository.folder.parent / "out" / "x.sarif").read_text())["runs"][0]["results"]
    places = {each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for each in found}
    assert places == {"flows/answer.yaml", "evals/capitals.yaml"}
    assert all(each["locations"][0]["physicalLocation"]["region"]["startLine"] > 1 for each in found)
    marks = (repository.folder.parent / "out" / "annotations.txt").read_text().splitlines()
    assert [each.partition(",")[0] for each in marks[:2]] == [
        "::error file=evals/capitals.yaml",
        "::error file=flows/answer.yaml",
    ]
    assert marks[2].startswith("::error file=evals/capitals.yaml,line=1,title=Eval capitals%3A fail::")


@pytest.mark.long
def test_a_hostile_commit_runs_no_hook_and_reads_no_file_of_the_machine(repository: Repository) -> None:
    marker = repository.folder.parent / "ran"
    hook = repository.folder / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {marker}\n")
    hook.chmod(0o755)
    (repository.folder / "flows" / "answer.yaml").unlink()
    (repository.folder / "flows" / "answer.yaml").symlink_to("/etc/passwd")
    repository.git("add", "-A")
    repository.git("commit", "-q", "-m", "link")
    marker.unlink(missing_ok=True)
    code, shown, comment = repository.check("--untrusted")
    assert code == 1 and "root:" not in comment + json.dumps(shown)
    assert not marker.exists()


def test_every_step_of_the_action_is_a_line_that_a_user_can_run() -> None:
    steps = yaml.safe_load((Path(__file__).parents[2] / "action.yml").read_text())["runs"]["steps"]
    lines = " ".join(each.get("run", "").replace("\\\n", " ") for each in steps)
    for name, verb in (("ci", ci), ("comment", comment)):
        words = lines.partition(f'sizewise" eval {name} ')[2].partition("||")[0].partition(";")[0]
        known = {option for each in verb.params for option in each.opts}
        used = {each for each in words.split() if each.startswith("--")}
        assert used and used <= known
    assert all(each.get("shell") == "bash" for each in steps if "run" in each)
    assert "${{" not in lines, "what others may write, such as a branch's name, comes by the environment"
