"""Counts that cannot be true are taken for none, or for a guess; whatever an upstream says, the books stay whole."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sizewise.messages import Usage
from sizewise.money import Price
from sizewise.providers.wires.anthropic import response as anthropic_response
from sizewise.providers.wires.openai.usage_and_errors import MAX_TOKEN_COUNT, OpenAiUsage, read_usage
from sizewise.providers.wires.responses import response as responses_response


def read(tier: str | None = None, **body: Any) -> Usage | None:
    return read_usage(msgspec.json.decode(msgspec.json.encode(body), type=OpenAiUsage), tier)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"completion_tokens": 5},
        {"prompt_tokens": -1, "completion_tokens": 5},
        {"prompt_tokens": 1, "completion_tokens": -5},
        {"prompt_tokens": MAX_TOKEN_COUNT + 1, "completion_tokens": 5},
        {"prompt_tokens": 1, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": -1}},
    ],
)
def test_what_cannot_be_a_count_counts_nothing(body: dict[str, Any]) -> None:
    assert read(**body) is None


def test_parts_larger_than_their_whole_are_a_guess() -> None:
    got = read(prompt_tokens=10, completion_tokens=5, prompt_tokens_details={"cached_tokens": 11})
    assert got == Usage(10, 5, 10, estimated=True)
    got = read(prompt_tokens=10, completion_tokens=5, completion_tokens_details={"reasoning_tokens": 6})
    assert got == Usage(10, 5, reasoning=5, estimated=True)


@pytest.mark.parametrize("cost", ["x", -1, 1e300, [1], True, None])
def test_a_charge_that_is_no_sum_of_money_is_none(cost: object) -> None:
    got = read(prompt_tokens=1, completion_tokens=1, cost=cost)
    assert got is not None and got.reported_cost is None


@pytest.mark.parametrize("tier", ["flex", "priority", "scale", "batch"])
def test_a_tier_beside_the_standard_one_has_no_price(tier: str) -> None:
    got = read(tier, prompt_tokens=1, completion_tokens=1)
    assert got is not None and tier in got.unpriced_reason


@pytest.mark.parametrize("item", ["web_search_call", "file_search_call"])
def test_a_tool_that_the_vendor_ran_has_a_fee_that_the_tokens_do_not_tell(item: str) -> None:
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi."}]}
    body = {"status": "completed", "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}}
    asked = responses_response.read_reply(msgspec.json.encode({**body, "output": [{"type": item, "id": "i"}, said]}))
    assert asked.usage.unpriced_reason == item
    assert responses_response.read_reply(msgspec.json.encode({**body, "output": [said]})).usage == Usage(1, 1)


def test_minutes_and_hours_are_written_for_a_client_as_they_were_read() -> None:
    usage = Usage(730, 40, 600, 30, cache_write_1h=10)
    written: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(anthropic_response.write_usage(usage)))
    assert written["cache_creation"] == {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 10}
    assert anthropic_response.read_usage(msgspec.convert(written, anthropic_response.AnthropicUsage)) == usage


counts = st.none() | st.integers(-5, 50) | st.integers(-(2**60), 2**60)


@given(st.lists(counts, min_size=8, max_size=8), st.none() | st.sampled_from(["default", "flex"]))
def test_whatever_is_said_the_parts_are_within_their_whole_and_the_cost_fits_the_books(
    said: list[int | None],
    tier: str | None,
) -> None:
    prompt, output, total, cached, written, reasoning, hits, audio = said
    got = read(
        tier,
        prompt_tokens=prompt,
        completion_tokens=output,
        total_tokens=total,
        prompt_tokens_details={"cached_tokens": cached, "cache_write_tokens": written, "audio_tokens": audio},
        completion_tokens_details={"reasoning_tokens": reasoning},
        prompt_cache_hit_tokens=hits,
    )
    if got is not None:
        assert (
            0 <= got.cached + got.cache_write <= got.input <= MAX_TOKEN_COUNT
            and 0 <= got.reasoning <= got.output <= MAX_TOKEN_COUNT
        )
        dearest = Price(600_000_000, 600_000_000)
        cost = dearest.cost(got.input, got.output, got.cached, got.cache_write, got.reasoning)
        assert cost is not None and 0 <= cost < 2**63
