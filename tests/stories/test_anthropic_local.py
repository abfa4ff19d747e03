"""The official `anthropic` SDK in front of a real embedded model: it answers, streams, and counts tokens exactly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from anthropic import Anthropic

from tests.running_server import serving

LOCAL = """
[server]
discover = false
[local]
slots = 1
"""
ASKED: Any = {
    "model": "local/smollm2-135m",
    "system": [{"type": "text", "text": "Be brief."}],
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, smollm_gguf: Path) -> Iterator[Anthropic]:
    home = tmp_path_factory.mktemp("small")
    models = home / "cache" / "models"
    models.mkdir(parents=True)
    (models / smollm_gguf.name).symlink_to(smollm_gguf)
    with serving(home, LOCAL, SIZEWISE_CACHE=str(home / "cache")) as served:
        with Anthropic(base_url=served.url, api_key=served.key, max_retries=0) as made:
            yield made


@pytest.mark.long
def test_a_small_model_on_this_machine_answers_an_anthropic_client(client: Anthropic) -> None:
    whole = client.messages.create(**ASKED, max_tokens=20)
    with client.messages.stream(**ASKED, max_tokens=20) as stream:
        flowing = stream.get_final_message()
    for message in (whole, flowing):
        block: Any = message.content[0]
        assert len(message.content) == 1 and block.type == "text" and block.text.strip()
        assert message.model == "local/smollm2-135m" and 0 < message.usage.output_tokens <= 20


@pytest.mark.long
def test_tokens_are_counted_as_the_model_then_reads_them(client: Anthropic) -> None:
    counted = client.messages.count_tokens(**ASKED)
    usage = client.messages.create(**ASKED, max_tokens=1).usage
    assert counted.input_tokens == usage.input_tokens + (usage.cache_read_input_tokens or 0) > 10


@pytest.mark.long
def test_claude_codes_own_fields_are_no_hindrance_to_a_small_model(client: Anthropic) -> None:
    fields: Any = {
        "thinking": {"type": "adaptive", "display": "omitted"},
        "extra_body": {
            "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
            "output_config": {"effort": "max"},
            "service_tier": "auto",
            "speed": "standard",
            "mcp_servers": [],
        },
    }
    counted = client.messages.count_tokens(**ASKED, **fields)
    message = client.messages.create(**ASKED, **fields, max_tokens=5)
    assert message.stop_reason in ("end_turn", "max_tokens")
    assert counted.input_tokens == message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0)
