"""The MCP servers that docs/how-to/mcp.md shows run as they are printed, with the current SDKs, and answer an agent."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.cli.terminal import sizewise
from tests.running_server import ECHO, serving
from tests.sdks.test_node import HERE, node
from tests.walls.source import ROOT

PAGE = (ROOT / "docs" / "how-to" / "mcp.md").read_text().partition("## A server of your own")[2]
BLOCKS: Mapping[str, str] = dict(re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE))
COMMAND = re.compile(r"^command = .*$", re.MULTILINE)
CAN_CALL = '[models."echo/small"]\ntools = true\n'
QUESTION = '[[tool shop__stock {"item": "lamp"}]] Is the lamp in stock?'


def answered(home: Path, *command: str) -> None:
    """Of the page only the program's path is another, and the question tells the echo what to call."""
    (home / "flows").mkdir()
    (home / "flows" / "clerk.yaml").write_text(BLOCKS["yaml"])
    settings = COMMAND.sub(lambda _: f"command = {json.dumps(command)}", BLOCKS["toml"])
    command_line = [f"question={QUESTION}" if "=" in word else word for word in shlex.split(BLOCKS["bash"])[1:]]
    with serving(home, ECHO + CAN_CALL + settings) as served:
        done = sizewise(*command_line, home=home, SIZEWISE_URL=served.url)
    assert done.code == 0, done.err
    assert done.out == "12 of lamp\n"
    assert 'answer.0.0  shop__stock {"item": "lamp"}\n            -> 12 of lamp' in done.err


def test_the_server_in_python_answers_an_agent(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(BLOCKS["python"])
    answered(tmp_path, sys.executable, str(tmp_path / "shop.py"))


@pytest.mark.node
def test_the_server_in_typescript_answers_an_agent(tmp_path: Path) -> None:
    program = node()
    (tmp_path / "node_modules").symlink_to(HERE / "node_modules")
    (tmp_path / "shop.mts").write_text(BLOCKS["typescript"])
    answered(tmp_path, program, str(tmp_path / "shop.mts"))
