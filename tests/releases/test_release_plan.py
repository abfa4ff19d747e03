"""Plans through the front door: what would change, what breaks callers, who agreed; and a stale one is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.terminal import sizewise
from tests.releases.test_environments import ENVIRONMENTS, FLOW, PROMPT, key_of, live, project, run
from tests.running_server import serving, until

APPROVED = ENVIRONMENTS.replace("[environments.prod]\n", "[environments.prod]\napprove = 1\n")


@pytest.mark.long
def test_story_18_a_plan_shows_what_changes_before_it_does_and_a_stale_one_is_refused(tmp_path: Path) -> None:
    home = project(tmp_path)
    with serving(home, APPROVED) as server:
        until(lambda: all(live(home)[each] for each in ("prod", "free")))
        assert sizewise("release", "plan", "staging", "prod", "--exit-code", home=home).code == 0
        (home / "prompts" / "greet.md").write_text(PROMPT.replace("one", "two"))
        (home / "flows" / "answer.yaml").write_text(FLOW.replace("question: text", "question: text, tone: text"))
        until(lambda: "tone" in sizewise("release", "plan", "staging", "free", home=home).out or published(home))
        planned = sizewise("release", "plan", "staging", "prod", "--exit-code", home=home)
        assert planned.code == 1
        for said in (
            "2 changes, 1 of them breaks callers, 0 of 1 approvals",
            "breaking: flows/answer: its input 'tone' is required now",
            "effect: flows/answer: not measured: records hold no text to answer again",
            '~ text: "PROMPT one" -> "PROMPT two"',
        ):
            assert said in planned.out, planned.out
        shown = run(home, "release", "plan", "staging", "prod")
        plan, first = shown["id"], live(home)["prod"]

        def refused(*words: str, said: str, at: Path = home, **environ: str) -> None:
            done = sizewise("release", *words, home=at, **environ)
            assert done.code == 2 and said in done.err, done.out + done.err

        refused("promote", "prod", said="needs approvals")
        refused("apply", plan, said="0 of 1 approvals")
        refused("approve", plan, said="you planned this release")
        other = {"SIZEWISE_URL": server.url, "SIZEWISE_KEY": key_of(home, "prod", "read_releases,manage_releases")}
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        approved = sizewise("release", "approve", plan, "--json", home=elsewhere, **other)
        assert approved.code == 0 and not any(each["details"] for each in approved.json["changes"]), approved.err
        refused("approve", plan, said="have approved", at=elsewhere, **other)
        refused("apply", plan, said="--breaking")
        assert live(home)["prod"] == first
        made = run(home, "release", "apply", plan, "--breaking", "--reason", "callers send a tone now")
        assert made["live"]["release"] == shown["release"] and made["moves"][0]["action"] == "promote"
        refused("apply", plan, "--breaking", said="applied already")
        refused("apply", "plan-00000000", said="no plan")
        refused("apply", shown["release"][:12], said="--to is missing")

        # Two plans of one base: what the first changes makes the second stale.
        (home / "prompts" / "greet.md").write_text(PROMPT.replace("one", "three"))
        stale = run(home, "release", "plan", ".", "free")["id"]
        run(home, "release", "apply", first, "--to", "free", "--breaking")
        (home / "prompts" / "greet.md").write_text(PROMPT.replace("one", "four"))
        run(home, "release", "apply", "--to", "free", "--breaking")
        refused("apply", stale, "--breaking", said="is stale")


def published(home: Path) -> bool:
    return "tone" in sizewise("flow", "list", "--json", home=home).out


@pytest.mark.long
def test_a_canary_that_was_approved_is_promoted_also_when_its_source_has_moved_on(tmp_path: Path) -> None:
    canary = '[environments.prod.canary]\nsteps = [0.5]\nshadow_pairs = 0\npromote = "manual"\n'
    settings = ENVIRONMENTS.replace("[environments.prod]\n", f"[environments.prod]\napprove = 1\n{canary}")
    home = project(tmp_path, settings)
    with serving(home, settings) as server:
        until(lambda: live(home)["prod"])
        (home / "prompts" / "greet.md").write_text(PROMPT.replace("one", "two"))
        plan = run(home, "release", "plan", "staging", "prod")
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        other = {"SIZEWISE_URL": server.url, "SIZEWISE_KEY": key_of(home, "prod", "read_releases,manage_releases")}
        assert sizewise("release", "approve", plan["id"], home=elsewhere, **other).code == 0
        assert run(home, "release", "apply", plan["id"])["live"]["canary"] == plan["release"]
        (home / "prompts" / "greet.md").write_text(PROMPT.replace("one", "three"))
        made = run(home, "release", "promote", "prod", "--reason", "the words alone changed")
        assert (made["live"]["release"], made["live"]["canary"]) == (plan["release"], None)
        assert made["moves"][0]["action"] == "promote"
