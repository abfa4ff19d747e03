"""What the server says at its start if decisions are to be learned and cannot be: why, and the next step."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.running_server import serving, until

EMBEDDING = """
[providers.echo]
wire = "echo"
place = "process"
models = ["vectors"]
[models."echo/vectors"]
task = "embed"
"""
CHAT = """
[providers.up]
base_url = "http://127.0.0.1:9"
place = "machine"
models = ["large"]
"""
NO_KEY = 'key = "env:NO_SUCH_KEY"\n'
ALONE = "[server]\nembedded = false\ndiscover = false\n"
ON = '[learn]\nkeep = "vectors"\n'


@pytest.mark.long
@pytest.mark.parametrize(
    ("config", "why", "next_step"),
    [
        (ON + CHAT, "no embedding model is on this machine", "sizewise models pull minilm-l6-v2"),
        (ON + EMBEDDING + CHAT + NO_KEY, "'NO_SUCH_KEY' is not set", "sizewise doctor"),
        (ON + EMBEDDING, "there is no chat model to learn from", "sizewise models"),
    ],
)
def test_the_start_says_why_nothing_is_learned(tmp_path: Path, config: str, why: str, next_step: str) -> None:
    with serving(tmp_path, ALONE + config) as server:
        until(lambda: [line for line in server.said if why in line and next_step in line])
        assert sum("is learned" in line for line in server.said) == 1


@pytest.mark.parametrize("config", [CHAT, ON + EMBEDDING + CHAT])
def test_nothing_is_said_if_learning_is_off_or_works(tmp_path: Path, config: str) -> None:
    with serving(tmp_path, ALONE + config) as server:
        until(lambda: server.ask("/readyz", method="GET").status in (200, 503))
        assert not [line for line in server.said if "learn" in line]
