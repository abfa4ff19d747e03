"""The agents of docs/how-to/agents.md on the 1.5B: each uses a tool or another agent, and stops for a stated reason."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from sizewise.agents.result import StopReason
from tests.running_server import Served, serving
from tests.stories.test_first_light import only
from tests.walls.source import ROOT

pytestmark = pytest.mark.large

TICKETS = str(ROOT / "tests" / "mcp" / "ticket_server.py")
AGENTS = re.findall(r"```toml\n(\[agents\.planner\].*?)```", (ROOT / "docs/how-to/agents.md").read_text(), re.DOTALL)
SETTINGS = f"""
[server]
discover = false
[router]
timeout_s = 900
[local]
slots = 1
context = 4096
[mcp.tickets]
command = [{json.dumps(sys.executable)}, {json.dumps(TICKETS)}]
place = "machine"
require_approval = []
"""
FLOW = """
name: {agent}
inputs:
  question: text
nodes:
  solve:
    kind: agent
    agent: {agent}
    task: "{{{{ inputs.question }}}}"
outputs:
  answer: "{{{{ solve.stop_reason }}}} / {{{{ solve.steps }}}} / {{{{ solve.calls }}}} / {{{{ solve.text }}}}"
"""
QUESTION = "Which open ticket mentions brakes? Search for the word brakes."
TIMEOUT_S = 1_800


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, qwen_gguf: Path) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("agents")
    (home / "flows").mkdir()
    for agent in ("reader", "planner", "front"):
        (home / "flows" / f"{agent}.yaml").write_text(FLOW.format(agent=agent))
    (agents,) = AGENTS
    settings = SETTINGS + agents.replace("timeout_s = 300.0", f"timeout_s = {TIMEOUT_S}")
    with serving(home, settings, SIZEWISE_CACHE=str(only(qwen_gguf, home / "cache"))) as started:
        yield started


def run(served: Served, agent: str) -> tuple[str, int, str]:
    """Why it stopped, its steps, and its calls with its text."""
    body = {"model": f"flow:{agent}", "messages": [{"role": "user", "content": QUESTION}]}
    answer = served.ask("/v1/chat/completions", body, timeout=TIMEOUT_S)
    assert answer.status == 200, answer.body
    shown: Any = answer.json
    ended, steps, said = shown["choices"][0]["message"]["content"].split(" / ", 2)
    return ended, int(steps), said


def test_an_agent_searches_with_a_tool_of_an_mcp_server(served: Served) -> None:
    """What it makes of the result is the model's: on 28 November 2026 it searched until it repeated its calls."""
    ended, steps, said = run(served, "reader")
    first, _ = json.JSONDecoder().raw_decode(said)
    assert (first[0]["tool"], first[0]["failed"]) == ("tickets__search_open", False), said
    assert ended in get_args(StopReason) and steps >= 2


@pytest.mark.parametrize("agent", ["planner", "front"])
def test_an_agent_with_other_agents_stops_within_its_limits(served: Served, agent: str) -> None:
    ended, steps, _ = run(served, agent)
    assert ended in get_args(StopReason) and 1 <= steps <= 12
