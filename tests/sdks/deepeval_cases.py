"""DeepEval's model, its judge and a test run of its own, apart and without telemetry; prints scores."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout

from deepeval import evaluate
from deepeval.evaluate.configs import AsyncConfig, DisplayConfig
from deepeval.metrics import ExactMatchMetric, GEval
from deepeval.models import OpenAIModel
from deepeval.test_case import LLMTestCase, SingleTurnParams

PARAMS = [SingleTurnParams.ACTUAL_OUTPUT, SingleTurnParams.EXPECTED_OUTPUT]


def judged(model: str) -> list[object]:
    """The score of a judge, 0 to 1, and whether it gave a reason."""
    metric = GEval(
        name="right",
        evaluation_steps=["Score 10 if the actual output is the expected output, else 0."],
        evaluation_params=PARAMS,
        model=OpenAIModel(model=model),
    )
    case = LLMTestCase(input="Capital of France?", actual_output="Paris", expected_output="Paris")
    metric.measure(case, _show_indicator=False)
    return [metric.score, bool(metric.reason)]


def main() -> dict[str, object]:
    model = OpenAIModel(model="echo/small")
    cases = [
        LLMTestCase(input=word, actual_output=str(model.generate(word)[0]), expected_output=expected)
        for word, expected in (("Paris", "Paris"), ("Rome", "Berlin"))
    ]
    result = evaluate(
        cases,
        [ExactMatchMetric()],
        async_config=AsyncConfig(run_async=False),
        display_config=DisplayConfig(show_indicator=False, print_results=False),
    )
    return {
        "evaluated": [each.success for each in result.test_results],
        "judged": judged("echo/small"),
        "local": judged("local/smollm2-135m"),
    }


if __name__ == "__main__":
    with redirect_stdout(sys.stderr):
        shown = main()
    sys.stdout.write(json.dumps(shown))
