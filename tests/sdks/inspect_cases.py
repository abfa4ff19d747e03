"""Inspect AI's own providers, tools and graders over three of our APIs, in an environment apart; prints scores."""

from __future__ import annotations

import json
import os
import sys
from contextlib import redirect_stdout
from typing import Any

from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalLog
from inspect_ai.scorer import includes, model_graded_qa
from inspect_ai.solver import generate, system_message, use_tools
from inspect_ai.tool import Tool, tool

CAPITALS = [Sample(input="Paris", target="Paris"), Sample(input="Rome", target="Berlin")]
PROVIDERS = ("openai", "openai-api/sizewise", "anthropic/sizewise")
"""The two with a service take its name off the model's."""


@tool  # type: ignore[untyped-decorator]  # it is not installed beside the checker
def weather() -> Tool:
    async def execute(city: str) -> str:
        """The weather in a city.

        Args:
            city: Its name.
        """
        return f"rain over {city}"

    return execute


def ask(task: Task, *models: str) -> dict[str, EvalLog]:
    logs = eval(task, model=list(models), log_dir=os.environ["LOGS"], display="none")
    return {log.eval.model: log for log in logs}


def score(log: EvalLog) -> Any:
    assert log.status == "success" and log.results is not None, log.error and log.error.message[:1500]
    return {name: metric.value for name, metric in log.results.scores[0].metrics.items()}["accuracy"]


def main() -> dict[str, object]:
    echo = [f"{each}/echo/small" for each in PROVIDERS]
    asked = ask(Task(dataset=CAPITALS, solver=generate(), scorer=includes()), *echo)
    cued = Task(
        dataset=[Sample(input="What is the weather in 'Bonn'? [[call]]", target="rain over Bonn")],
        solver=[use_tools(weather()), generate()],
        scorer=includes(),
    )
    grader = system_message("You compare.")
    graded = Task(dataset=CAPITALS[:1], solver=[grader, generate()], scorer=model_graded_qa(model=echo[0]))
    small = Task(dataset=[Sample(input="What is the capital of France?", target="Paris")], scorer=includes())
    local = ask(small, "openai-api/sizewise/local/smollm2-135m")
    return {
        "capitals": {name: score(log) for name, log in asked.items()},
        "tokens": [each.total_tokens for log in asked.values() for each in log.stats.model_usage.values()],
        "tools": {name: score(log) for name, log in ask(cued, *echo).items()},
        "graded": [log.status for log in ask(graded, echo[0]).values()],
        "local": [score(log) for log in local.values()],
        "local tokens": [each.output_tokens for log in local.values() for each in log.stats.model_usage.values()],
    }


if __name__ == "__main__":
    with redirect_stdout(sys.stderr):
        shown = main()
    sys.stdout.write(json.dumps(shown))
