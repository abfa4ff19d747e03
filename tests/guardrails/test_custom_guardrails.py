"""Custom guardrails: the one of the guide, installed as a package of its own, on a real server."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.forked import command
from tests.running_server import Served, environment, serving

GUIDE = Path(__file__).parents[2] / "docs" / "explanation" / "guardrails.md"
BADGE = "Let BADGE-7731 in, please."
CONFIG = """
[server]
embedded = false
discover = false
[guardrails.custom]
badges = "flag"
[guardrails.detected_data_class]
"custom.badges" = "confidential"
[providers.here]
wire = "echo"
place = "process"
models = ["small"]
[providers.far]
wire = "echo"
place = "anyone"
models = ["large"]
[policies.calm]
kind = "fixed"
models = ["far/large", "here/small"]
[policies.strict]
kind = "fixed"
models = ["here/small"]
guardrails = {"custom.badges" = "block"}
[policies.off]
kind = "fixed"
models = ["far/large"]
guardrails = {"custom.badges" = "off"}
[router]
policy = "calm"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    package = tmp_path_factory.mktemp("package")
    code = next(
        block for block in re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL) if "badges" in block
    )
    (package / "guard_of_badges.py").write_text(code)
    info = package / "guard_of_badges-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: guard-of-badges\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[sizewise.guardrails]\nbadges = guard_of_badges:badges\n")
    program = package / "up.py"  # Python finds what lies beside a program
    program.write_text("from sizewise.cli.main import main\n\nmain()\n")
    with serving(tmp_path_factory.mktemp("custom"), CONFIG, program=str(program)) as served:
        yield served


@pytest.mark.long
def test_a_custom_guardrail_is_flagged(server: Served) -> None:
    answer = server.chat("auto", BADGE)
    assert answer.status == 200, answer.body
    assert answer.headers["x-sizewise-guards"] == "badges:BADGE=1 flagged"
    assert "x-sizewise-guards" not in server.chat("auto", "Let me in, please.").headers


def test_a_policy_blocks_by_a_custom_guardrail(server: Served) -> None:
    answer = server.chat("auto:strict", BADGE)
    assert (answer.status, answer.error["code"]) == (400, "guard_blocked")
    assert server.chat("auto:strict", "Let me in, please.").status == 200


def test_a_policy_turns_a_custom_guardrail_off(server: Served) -> None:
    answer = server.chat("auto:off", BADGE)
    assert answer.status == 200
    assert "x-sizewise-guards" not in answer.headers


def test_a_finding_of_a_custom_guardrail_gives_the_request_its_data_class(server: Served) -> None:
    assert server.chat("auto", "Let me in, please.").headers["x-sizewise-model"] == "far/large"
    assert server.chat("auto", BADGE).headers["x-sizewise-model"] == "here/small"


@pytest.mark.long
@pytest.mark.parametrize(
    "lines",
    [
        '[guardrails.custom]\nbadgez = "block"',
        '[policies.default]\nguardrails = {"custom.badgez" = "block"}',
        '[guardrails.detected_data_class]\n"custom.badgez" = "confidential"',
    ],
)
def test_a_custom_guardrail_that_is_not_installed_is_refused_at_start(tmp_path: Path, lines: str) -> None:
    (tmp_path / "sizewise.toml").write_text("[server]\nembedded = false\ndiscover = false\n" + lines)
    words = command("up", "--json", "--port", "0", "--home", str(tmp_path), "--config", str(tmp_path / "sizewise.toml"))
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and "no guardrail named 'badgez'" in done.stdout + done.stderr
