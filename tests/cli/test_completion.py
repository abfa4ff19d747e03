"""Bash completes values: what the script of `sizewise completion bash` offers beside a running server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.terminal import sizewise
from tests.knowledge.knowledge_server import CONFIG
from tests.running_server import serving

FLOW = """
name: support
inputs: {question: text}
nodes:
  say: {kind: ask, prompt: "{{ inputs.question }}", model: echo/small}
outputs:
  answer: "{{ say.text }}"
"""
OFFERED = {
    ("ask", "--model", "echo/"): {"echo/small"},
    ("flow", "run", "sup"): {"support"},
    ("knowledge", "search", "hand"): {"handbook"},
    ("route", "replay", "def"): {"default"},
    ("fit", "smollm2-1"): {"smollm2-1.7b", "smollm2-135m"},
}
SCRIPT = """
eval "$(sizewise completion bash)"
COMP_WORDS=(sizewise "$@")
COMP_CWORD=$#
_sizewise_completion sizewise
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.long
def test_bash_offers_models_flows_bases_policies_and_the_catalog(tmp_path: Path) -> None:
    flows = tmp_path / "flows"
    flows.mkdir()
    (flows / "support.yaml").write_text(FLOW)
    (tmp_path / "text.md").write_text("# Returns\n\nWithin 30 days.")
    with serving(tmp_path, CONFIG) as server:
        added = sizewise("knowledge", "add", "handbook", str(tmp_path / "text.md"), home=server.home)
        assert added.code == 0, added.err
        found = {
            words: subprocess.run(
                ["bash", "-c", SCRIPT, "bash", *words],
                env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
                | {"SIZEWISE_HOME": str(server.home)},
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=True,
            ).stdout.split()
            for words in OFFERED
        }
    assert {words: set(each) for words, each in found.items()} == OFFERED
