"""Gates of environments through the front door: a release without an eval's verdict is refused, and how it gets one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.terminal import sizewise
from tests.releases.test_environments import PROMPT, live, project, run
from tests.running_server import ECHO, serving, until

SETTINGS = f"""{ECHO}
[policies.default]
threshold = 0.5
[environments.prod]
from = "any"
gate = ["city"]
"""
EVAL = """target: {model: echo/small, prompt: greet}
data: city.jsonl
scorers:
  right: {kind: contains}
gate:
  - {score: right, not_worse_by: 0.2}
"""
ITEMS = 40


@pytest.mark.long
def test_a_release_is_refused_until_the_evals_of_its_environment_pass(tmp_path: Path) -> None:
    home = project(tmp_path, SETTINGS)
    prompt = home / "prompts" / "greet.md"
    prompt.write_text(PROMPT.replace("PROMPT one", "[[say Paris]]"))
    evals = home / "evals"
    evals.mkdir()
    (evals / "city.yaml").write_text(EVAL)
    items = [{"id": f"i{number}", "input": f"question {number}", "expected": "Paris"} for number in range(ITEMS)]
    (evals / "city.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in items))

    def runs() -> int:
        return len(list((evals / ".runs" / "city").glob("*.jsonl")))

    with serving(home, SETTINGS):
        until(lambda: live(home)["prod"])
        first = live(home)["prod"]
        prompt.write_text(PROMPT.replace("PROMPT one", "[[say Rome]]"))
        planned = sizewise("release", "plan", ".", "prod", home=home)
        assert "0 of 1 evals passed" in planned.out and "eval: city: it was not run" in planned.out
        plan = run(home, "release", "plan", ".", "prod")
        for words in (("apply", plan["id"]), ("apply", plan["release"], "--to", "prod")):
            refused = sizewise("release", *words, home=home)
            assert refused.code == 2 and "requires evals that have not passed: city: it was not run" in refused.err
        assert f"sizewise release plan {plan['release'][:12]} prod" in refused.hint

        worse = sizewise("release", "gate", plan["id"], home=home)
        assert worse.code == 1 and "eval: city: FAIL: right fell by 100.0 points" in worse.out, worse.out + worse.err
        again = sizewise("release", "apply", plan["id"], home=home)
        assert again.code == 2 and "FAIL" in again.err and f"sizewise release gate {plan['id']}" in again.hint
        assert runs() == 2 and live(home)["prod"] == first

        prompt.write_text(PROMPT.replace("PROMPT one", "[[say Paris]] please"))
        plan = run(home, "release", "plan", ".", "prod")
        better = sizewise("release", "gate", plan["id"], home=home)
        assert better.code == 0 and f"Apply it: sizewise release apply {plan['id']}" in better.out, better.err
        assert runs() == 3  # what was live is not asked again
        (evals / "city.yaml").write_text(EVAL.replace("0.2", "0.19"))
        stale = sizewise("release", "apply", plan["id"], home=home)
        assert stale.code == 2 and "the eval has changed since it was run" in stale.err
        assert sizewise("release", "gate", plan["id"], home=home).code == 0 and runs() == 3
        assert run(home, "release", "apply", plan["id"])["live"]["release"] == plan["release"]
        # Going back needs no eval.
        assert run(home, "release", "rollback", "prod")["live"]["release"] == first
