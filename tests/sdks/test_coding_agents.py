"""Claude Code and Codex as published, in front of a scripted model behind each wire: each writes a file and says so."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.agent_upstream import FINAL, MODEL, WIRES, AgentUpstream, answering, settings
from tests.fakes.fake_search_engines import search_engines
from tests.running_server import Served, serving
from tests.sdks.conftest import QUIET

pytestmark = pytest.mark.node
PACKAGES = Path(__file__).parent / "agents" / "node_modules"
TASK = "Write the word hello into hello.txt."
CODEX_CONFIG = """
model = "{model}"
model_provider = "sizewise"
web_search = "disabled"
check_for_update_on_startup = false
[analytics]
enabled = false
[model_providers.sizewise]
name = "Sizewise"
base_url = "{url}/v1"
env_key = "SIZEWISE_KEY"
wire_api = "responses"
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[AgentUpstream]:
    with answering(AgentUpstream()) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def served(upstream: AgentUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("agents"), settings(upstream.url)) as served:
        yield served


def program(pattern: str) -> str:
    """The native program of this machine, as npm brought it."""
    found = next((path for path in sorted(PACKAGES.glob(pattern)) if os.access(path, os.X_OK)), None)
    if found is None:
        pytest.skip("the program is not here; get it with: make test-sdks")
    return str(found)


def run(words: list[str], home: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs an agent in `home`, which it also has for its own settings, without any other environment."""
    known = {"PATH": os.environ.get("PATH", ""), "HOME": str(home), "TERM": "dumb", **QUIET, **env}
    return subprocess.run(
        words, cwd=home, env=known, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL
    )


@pytest.mark.parametrize("wire", WIRES)
def test_claude_code_writes_a_file_with_a_model_behind_any_wire(
    served: Served, upstream: AgentUpstream, tmp_path: Path, wire: str
) -> None:
    file = tmp_path / "hello.txt"
    upstream.calls = [("Write", json.dumps({"file_path": str(file), "content": "hello\n"}))]
    words = [program("@anthropic-ai/claude-code-*/claude"), "-p", TASK, "--output-format", "json"]
    model = f"{wire}/{MODEL}"
    done = run(
        [*words, "--model", model, "--permission-mode", "acceptEdits"],
        tmp_path,
        ANTHROPIC_BASE_URL=served.url,
        ANTHROPIC_AUTH_TOKEN=served.key,
        ANTHROPIC_DEFAULT_HAIKU_MODEL=model,
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["result"] == FINAL
    assert file.read_text() == "hello\n"


@pytest.mark.parametrize("wire", WIRES)
def test_claude_code_searches_the_web_with_a_model_behind_any_wire(
    upstream: AgentUpstream, tmp_path: Path, wire: str
) -> None:
    upstream.calls = [
        ("ToolSearch", json.dumps({"query": "select:WebSearch", "max_results": 1})),  # it is a deferred tool
        ("WebSearch", json.dumps({"query": "physics prize 2025"})),
    ]
    words = [program("@anthropic-ai/claude-code-*/claude"), "-p", "Who won?", "--output-format", "json"]
    model = f"{wire}/{MODEL}"
    with search_engines() as engine:
        found = f'[web_search]\nurl = "{engine.url}"\n[projects.default]\nweb_search = "ask"\n'
        with serving(tmp_path / "server", settings(upstream.url) + found) as served:
            done = run(
                [*words, "--model", model, "--allowedTools", "WebSearch"],
                tmp_path,
                ANTHROPIC_BASE_URL=served.url,
                ANTHROPIC_AUTH_TOKEN=served.key,
                ANTHROPIC_DEFAULT_HAIKU_MODEL=model,
                CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
            )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["result"] == FINAL and engine.queries == ["physics prize 2025"]
    last = json.dumps(upstream.last)
    assert "https://nobel.example/2025" in last and "Nobel Prize in Physics 2025" in last


@pytest.mark.parametrize("wire", WIRES)
def test_codex_writes_a_file_with_a_model_behind_any_wire(
    served: Served, upstream: AgentUpstream, tmp_path: Path, wire: str
) -> None:
    upstream.calls = [("exec_command", json.dumps({"cmd": "echo hello > hello.txt"}))]
    (tmp_path / ".codex").mkdir()
    (tmp_path / ".codex" / "config.toml").write_text(CODEX_CONFIG.format(model=f"{wire}/{MODEL}", url=served.url))
    words = [program("@openai/codex-*/vendor/*/*/codex"), "exec", "--skip-git-repo-check"]
    done = run(
        [*words, "--dangerously-bypass-approvals-and-sandbox", TASK],
        tmp_path,
        SIZEWISE_KEY=served.key,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert FINAL in done.stdout
    assert (tmp_path / "hello.txt").read_text() == "hello\n"
