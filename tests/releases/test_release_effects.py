"""Effects of a plan through the front door: replayed on outcomes, priced on recorded tokens, or not measured."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import sizewise
from tests.releases.test_environments import FLOW, PROMPT, greet, live, project, run, text
from tests.running_server import ECHO, serving, until

SETTINGS = f"""{ECHO}
[models."echo/small"]
price = {{input = "1", output = "1"}}
[models."echo/large"]
price = {{input = "10", output = "10"}}
[policies.default]
kind = "cascade"
models = ["echo/small", "echo/large"]
threshold = 0.9
[policies.answer]
kind = "fixed"
models = ["echo/large"]
[environments.prod]
from = "any"
outcomes = "outcomes"
"""


def outcomes(folder: Path) -> None:
    """The small model is right on three of four prompts, and knows it; the large one is always right."""
    folder.mkdir()
    prompts, rows = [], list[dict[str, Any]]()
    for number in range(80):
        prompts.append({"prompt_id": number, "prompt": f"question {number}"})
        right = number % 4 != 0
        same = {"prompt_id": number, "tokens_in": 10, "tokens_out": 10, "answer": str(number)}
        rows.append({**same, "model": "echo/small", "score": float(right), "confidence": -0.3 if right else -2.0})
        rows.append({**same, "model": "echo/large", "score": 1.0, "confidence": -0.1})
    for name, lines in (("prompts", prompts), ("outcomes", rows)):
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in lines))


@pytest.mark.long
def test_story_18_a_plan_shows_effects_on_cost_and_quality_before_anything_happens(tmp_path: Path) -> None:
    home = project(tmp_path, SETTINGS)
    outcomes(home / "outcomes")
    with serving(home, SETTINGS) as server:
        until(lambda: live(home)["prod"])
        for _ in range(3):
            assert "PROMPT one" in text(greet(server, server.key))
        body = {"model": "auto:answer", "messages": [{"role": "user", "content": "Hi"}]}
        assert server.ask("/v1/chat/completions", body).status == 200
        until(lambda: len(run(home, "records", "--last", "9")["records"]) == 4)
        before = live(home)
        changed = SETTINGS.replace("threshold = 0.9", "threshold = 0.5").replace(
            'kind = "fixed"\nmodels = ["echo/large"]', 'kind = "fixed"\nmodels = ["echo/small"]'
        )
        (home / "sizewise.toml").write_text(
            changed.replace('price = {input = "1", output = "1"}', 'price = {input = "2", output = "2"}')
        )
        (home / "prompts" / "greet.md").write_text(PROMPT.replace("one", f"two {'words ' * 40}"))
        (home / "prompts" / "new.md").write_text(PROMPT)
        (home / "flows" / "answer.yaml").write_text(FLOW.replace("FLOW one", "FLOW two"))
        plan = run(home, "release", "plan", ".", "prod")
        effects = {f"{each['kind']}/{each['name']}": each for each in plan["effects"]}

        # 60 of 80 stay with the small model, which costs 2 now, and 20 go up; before, all 80 went up at 1 + 10.
        replayed = effects["policies/default"]
        assert (replayed["qualityBefore"], replayed["qualityAfter"], replayed["requests"]) == (1.0, 1.0, 80)
        assert float(replayed["costUsdBefore"]) == pytest.approx(80 * 20 * 11e-6)
        assert float(replayed["costUsdAfter"]) == pytest.approx((80 * 2 + 20 * 10) * 20e-6)
        assert "(-59.1 %)" in replayed["sentence"] and "echo/small answers 0 -> 75 %" in replayed["sentence"]
        # On the outcomes the large one is right where the small one is not.
        worse = effects["policies/answer"]
        assert (worse["qualityBefore"], worse["qualityAfter"]) == (1.0, 0.75)
        assert worse["qualityMargin"] == pytest.approx(0.095, abs=0.005)
        assert "+60 tokens a request" in effects["prompts/greet"]["sentence"]
        assert effects["prompts/greet"]["requests"] == 3
        assert float(effects["models/echo/small"]["costUsdAfter"]) == 2 * float(
            effects["models/echo/small"]["costUsdBefore"]
        )
        for name, why in (("prompts/new", "it is new"), ("flows/answer", "hold no text")):
            assert not effects[name]["measured"] and why in effects[name]["sentence"]
        shown = sizewise("release", "plan", ".", "prod", home=home)
        assert "effect: policies/default: cost $0.0176 -> $0.0072 (-59.1 %), quality 100.0 -> 100.0 %" in shown.out
        assert live(home) == before
        # Without outcomes, prices are applied to the tokens of the requests.
        (home / "sizewise.toml").write_text(changed.replace('outcomes = "outcomes"\n', ""))
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "by replay" not in sizewise("release", "plan", ".", "prod", home=home).out)
        priced = sizewise("release", "plan", ".", "prod", home=home).out
        assert (
            "policies/answer: cost" in priced
            and "for the tokens of 1 request of 30 days; quality not measured" in priced
        )
        assert "policies/default: not measured: name a folder of recorded outcomes" in priced
