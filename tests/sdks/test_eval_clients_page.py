"""The page about evaluation programs runs as it is printed, but for the address and the model's name."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.decisions.test_decisions_served import CONFIG as DECISIONS
from tests.decisions.test_decisions_served import Decides
from tests.gateway.server_harness import beside
from tests.running_server import Served, environment, serving
from tests.sdks.apart import python
from tests.sdks.test_eval_clients import environ, promptfoo
from tests.walls.source import ROOT

PAGE = ROOT / "docs" / "how-to" / "with-eval-programs.md"
BLOCKS: Mapping[str, list[str]] = {
    title: re.findall(r"^```\w+\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    for title, text in re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.DOTALL | re.MULTILINE)
}
OFF = {"DEEPEVAL_TELEMETRY_OPT_OUT": "1", "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
TASK = {
    "task": "capitals",
    "dataset_path": "json",
    "test_split": "test",
    "output_type": "generate_until",
    "doc_to_text": "{{question}}",
    "doc_to_target": "{{answer}}",
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
}


def block(title: str, back: Served, number: int = 0) -> str:
    """`auto` might choose the echo that calls no tools, and `npx` would fetch what is here."""
    code = BLOCKS[title][number].replace("http://127.0.0.1:8080", back.url)
    return re.sub(r"\bauto\b", "able/model", code).replace("npx promptfoo", "promptfoo")


def run(back: Served, folder: Path, words: list[str], code: str) -> str:
    own = {"SIZEWISE_BASE_URL": f"{back.url}/v1", "SIZEWISE_API_KEY": back.key, "SIZEWISE_KEY": back.key}
    env = environment(**environ(back, folder), **own, **OFF)
    done = subprocess.run(words, input=code, env=env, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout.strip()


@pytest.mark.apart
@pytest.mark.parametrize(("title", "printed"), [("Inspect AI", "success"), ("DeepEval", "1")])
def test_what_the_page_shows_in_python_runs(back: Served, tmp_path: Path, title: str, printed: str) -> None:
    assert run(back, tmp_path, [python("evals"), "-"], block(title, back)).splitlines()[-1] == printed


@pytest.mark.apart
def test_what_the_page_shows_of_lm_eval_runs(back: Served, tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "items.jsonl").write_text('{"question": "Paris", "answer": "Paris"}\n')
    task = {**TASK, "dataset_kwargs": {"data_files": {"test": str(tmp_path / "items.jsonl")}}}
    (tmp_path / "tasks" / "capitals.yaml").write_text(json.dumps(task))  # JSON is YAML
    bin_folder = Path(python("evals")).parent
    shown = run(back, tmp_path, ["bash"], f'PATH="{bin_folder}:$PATH"\n' + block("lm-evaluation-harness", back))
    assert re.search(r"exact_match\|↑ *\| *1\|", shown), shown


@pytest.mark.node
def test_what_the_page_shows_of_promptfoo_runs(back: Served, tmp_path: Path) -> None:
    config = tmp_path / "promptfooconfig.yaml"
    config.write_text(block("promptfoo", back))
    assert [each["success"] for each in promptfoo(back, tmp_path, config)] == [True] * 3
    assert all(
        name in BLOCKS["promptfoo"][1] for name in environ(back, tmp_path) if name.startswith(("OPENAI", "ANTH"))
    )


@pytest.mark.node
def test_promptfoo_asks_for_decisions_as_the_page_shows(tmp_path: Path) -> None:
    """Of a double in place of the model."""
    config = tmp_path / "promptfooconfig.yaml"
    config.write_text(BLOCKS["promptfoo"][2].replace("model: auto", "model: large"))
    with (
        beside(Decides) as upstream,
        serving(tmp_path / "home", DECISIONS.format(url=upstream.url, keep="off")) as served,
    ):
        (result,) = promptfoo(served, tmp_path, config)
        assert result["success"] and result["response"]["output"] == "billing", result
        swapped = "{value: support}, {value: billing}"  # of two options the double chooses the first
        config.write_text(config.read_text().replace("{value: billing}, {value: support}", swapped))
        (result,) = promptfoo(served, tmp_path, config)
        assert (result["response"]["output"], result["success"]) == ("support", False), result


def test_every_block_of_the_page_is_run() -> None:
    counts = {title: len(found) for title, found in BLOCKS.items() if found}
    assert counts == {"promptfoo": 3, "Inspect AI": 1, "DeepEval": 1, "lm-evaluation-harness": 1}
    assert PAGE.read_text().count("```") == 2 * sum(counts.values())
