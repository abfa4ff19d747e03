"""Who may answer, and for each who may not the reason in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from sizewise.errors import (
    BadRequest,
    BudgetExceeded,
    ContextLengthExceeded,
    Forbidden,
    ModelUnavailable,
    NoModelFits,
    SizewiseError,
)
from sizewise.handler import RequestOptions
from sizewise.messages import ChatRequest, EmbeddingRequest
from sizewise.model_card import ModelCard
from sizewise.money import UNKNOWN_PRICE, Price
from sizewise.principal import Principal
from sizewise.providers.echo import echo_card
from sizewise.routing.admission import no_model_error
from sizewise.routing.constraints import eligible_models
from sizewise.routing.data_policy import DataPolicy
from sizewise.routing.model_aliases import ModelAliases, RoutePlan
from sizewise.routing.policies.cascade import CascadePolicy
from sizewise.routing.requirements import TOKENS_PER_MEDIA, requirements_of
from sizewise.routing.router import always_healthy
from tests.routing.router_harness import LARGE, asking, chat, embed

NOTHING = RequestOptions()
NOBODY = Principal()


def reason(
    card: ModelCard,
    what: ChatRequest | EmbeddingRequest,
    options: RequestOptions = NOTHING,
    principal: Principal = NOBODY,
    health: Callable[[ModelCard], str] = always_healthy,
) -> str:
    """Why a router choosing among several does not take `card`."""
    plan = RoutePlan("auto", CascadePolicy(), "default", (card, LARGE))
    _, against = eligible_models(plan, requirements_of(asking(what, options, principal), DataPolicy()), health)
    return next((each.why for each in against if each.card is card), "")


def named(
    card: ModelCard,
    what: ChatRequest | EmbeddingRequest,
    options: RequestOptions = NOTHING,
    health: Callable[[ModelCard], str] = always_healthy,
) -> SizewiseError | None:
    """The error when exactly this model was asked for."""
    plan = RoutePlan(card.name, CascadePolicy(), "fixed", (card,), is_exact=True)
    fits, against = eligible_models(plan, requirements_of(asking(what, options), DataPolicy()), health)
    return None if fits else no_model_error(plan, against)


IMAGE: dict[str, Any] = {
    "messages": [{"role": "user", "content": [{"type": "text", "text": "what is it"}, {"type": "image_url"}]}],
}
TOOLS: dict[str, Any] = {"tools": [{"type": "function", "function": {"name": "look"}}]}


def test_a_model_without_a_reason_against_it_may_answer() -> None:
    assert reason(echo_card(), chat("hello", max_tokens=10)) == ""


def test_the_window_must_hold_the_prompt_and_the_answer() -> None:
    card = echo_card(context=1_000)
    assert reason(card, chat("word " * 550)) == ""
    assert "has a context window of 1000 tokens" in reason(card, chat("word " * 1_200))
    assert "this request needs about" in reason(card, chat("hello", max_tokens=1_000))


def test_an_estimate_near_the_window_has_a_margin_as_long_as_another_model_is_left() -> None:
    near, narrow = chat("word " * 700), echo_card(context=1_000)
    assert reason(narrow, near).endswith("this request needs about 886, perhaps 1196")
    alone = RoutePlan("auto", CascadePolicy(), "default", (narrow,))
    fits, against = eligible_models(alone, requirements_of(asking(near), DataPolicy()), always_healthy)
    assert [each.card for each in fits] == [narrow] and not against


@pytest.mark.parametrize(("counted", "fits"), [(900, True), (901, False)])
def test_a_count_by_the_tokenizer_overrules_every_estimate(counted: int, fits: bool) -> None:
    card = echo_card(context=1_000)
    plan = RoutePlan("auto", CascadePolicy(), "default", (card, LARGE))
    needed = requirements_of(asking(chat("7 " * 1_500, max_tokens=100)), DataPolicy())
    may, against = eligible_models(plan, msgspec.structs.replace(needed, counts={card.name: counted}), always_healthy)
    assert (card in [each.card for each in may]) is fits
    assert [each.why for each in against if each.card is card] == (
        [] if fits else ["has a context window of 1000 tokens, and this request needs 1001"]
    )


def test_a_window_can_be_required_however_short_the_prompt_is() -> None:
    wide, small = RequestOptions(min_context_tokens=32_768), echo_card(context=8_192)
    assert reason(echo_card(context=32_768), chat(), wide) == ""
    assert reason(small, chat(), wide) == "has a context window of 8192 tokens, and the request requires 32768"
    assert "has an unknown context window, and the request requires 32768" in reason(
        echo_card(context=None), chat(), wide
    )
    assert named(echo_card(context=None), chat(), wide) is None
    error = named(small, chat(), wide)
    assert isinstance(error, NoModelFits) and "in [local]" in error.hint and error.param == "min_window"


def test_a_named_model_is_refused_only_when_the_prompt_cannot_fit_at_all() -> None:
    card = echo_card(context=1_000)
    assert named(card, chat("word " * 1_200, max_tokens=5_000)) is None
    error = named(card, chat("word " * 20_000))
    assert isinstance(error, ContextLengthExceeded) and error.status == 400
    assert "accepts at most 1000 prompt tokens, and this prompt has about 25" in error.message


def test_a_picture_is_not_counted_as_words() -> None:
    url = "data:image/png;base64," + "A" * 500_000
    content = [{"type": "text", "text": "what is it"}, {"type": "image_url", "image_url": {"url": url}}]
    card = replace(echo_card(), input_modalities=frozenset({"image"}))
    assert reason(card, chat(messages=[{"role": "user", "content": content}])) == ""


@pytest.mark.parametrize("word", ["word", "für ", "資料在這"])
def test_a_text_has_as_many_tokens_beside_a_picture_as_alone(word: str) -> None:
    text = word * 500
    content = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    alone, beside = (
        requirements_of(asking(chat(messages=[{"role": "user", "content": each}])), DataPolicy())
        for each in (text, content)
    )
    tokens = beside.features.prompt_tokens - TOKENS_PER_MEDIA
    assert alone.features.prompt_tokens - 20 < tokens <= alone.features.prompt_tokens


def test_texts_to_embed_are_counted_in_bytes() -> None:
    card = replace(echo_card(context=1_000), task="embed")
    assert reason(card, embed("data" * 350)) == ""
    assert "has a context window of 1000 tokens" in reason(card, embed("資料在這" * 350))


def test_what_a_model_cannot_take_counts_against_it() -> None:
    assert reason(echo_card(), chat(**IMAGE)) == "does not accept image"
    assert reason(replace(echo_card(), input_modalities=frozenset({"image"})), chat(**IMAGE)) == ""


def test_tools_need_a_model_that_is_known_to_call_them() -> None:
    assert reason(echo_card(tools=False), chat(**TOOLS)) == "does not support tool calls"
    assert reason(echo_card(tools=None), chat(**TOOLS)) == "is not known to support tool calls"
    assert named(echo_card(tools=None), chat(**TOOLS)) is None
    assert isinstance(named(echo_card(tools=False), chat(**TOOLS)), BadRequest)


def test_log_probabilities_need_a_model_that_is_known_to_give_them() -> None:
    assert reason(echo_card(logprobs=None), chat(logprobs=True)) == "is not known to support log-probabilities"
    assert named(echo_card(logprobs=None), chat(logprobs=True)) is None
    assert "does not support log-probabilities" in str(named(echo_card(logprobs=False), chat(logprobs=True)))


def test_a_model_that_makes_one_choice_per_call_is_called_sixteen_times_at_most() -> None:
    card = replace(echo_card(), single_choice=True)
    assert reason(card, chat(n=16)) == ""
    assert reason(card, chat(n=17)) == "makes one choice per call, in at most 16 calls, and `n` is 17"
    assert reason(echo_card(), chat(n=17)) == ""


def test_unknown_abilities_are_left_to_a_named_model_and_known_ones_are_not() -> None:
    assert named(echo_card(), chat(**IMAGE)) is None
    assert isinstance(
        named(replace(echo_card(), facts={"input_modalities": "its maker, 2026"}), chat(**IMAGE)), BadRequest
    )


def test_an_answer_longer_than_a_model_writes_is_for_another() -> None:
    assert "can output at most 10 tokens, and the request asks for 20" in reason(
        replace(echo_card(), max_output=10), chat(max_tokens=20)
    )


def test_data_goes_no_further_than_its_class_may_by_any_name() -> None:
    cloud = echo_card("cloud/m", place="anyone")
    secret = RequestOptions(data_class="confidential")
    assert reason(cloud, chat()) == ""
    assert reason(cloud, chat(), secret) == (
        "is at place 'anyone', and confidential data (set by the request) may go no further than 'machine'"
    )
    assert reason(cloud, chat(), principal=Principal(data_class="confidential")) != ""
    found = RequestOptions(data_class="confidential", constraint_source="the guard pii")
    assert "confidential data (set by the guard pii)" in reason(cloud, chat(), found)
    error = named(cloud, chat(), secret)
    assert isinstance(error, Forbidden) and error.status == 403


def test_a_request_can_only_tighten_its_data_class() -> None:
    loose = requirements_of(
        asking(chat(), RequestOptions(data_class="public"), Principal(data_class="confidential")),
        DataPolicy(),
    )
    assert loose.data_class == "confidential"
    assert requirements_of(asking(chat(), RequestOptions(data_class="public")), DataPolicy()).data_class == "internal"


def test_a_class_that_was_left_out_goes_nowhere() -> None:
    plan = RoutePlan("echo/small", CascadePolicy(), "fixed", (echo_card(),), is_exact=True)
    fits, against = eligible_models(
        plan,
        requirements_of(asking(chat()), DataPolicy({"public": "anyone"})),
        always_healthy,
    )
    assert not fits and "internal data may go nowhere" in against[0].why


def test_a_request_can_deny_going_online() -> None:
    offline = RequestOptions(online="deny")
    assert "denies online models" in reason(echo_card(place="network"), chat(), offline)
    assert reason(echo_card(place="machine"), chat(), offline) == ""


def test_what_a_model_is_for_counts() -> None:
    assert reason(replace(echo_card(), task="embed"), chat()) == "is an embedding model"
    assert isinstance(named(echo_card(), embed("x")), BadRequest)


def test_a_maximum_cost_is_kept_by_the_longest_answer() -> None:
    card = echo_card(price=Price(input=0, output=1_000_000))
    assert reason(card, chat(max_tokens=100), RequestOptions(max_cost=100_000_000)) == ""
    assert "could cost 0.0001" in reason(card, chat(max_tokens=101), RequestOptions(max_cost=100_000_000))
    assert "no known price" in reason(echo_card(price=UNKNOWN_PRICE), chat(), RequestOptions(max_cost=1))
    assert isinstance(named(card, chat(), RequestOptions(max_cost=1)), BudgetExceeded)


def test_a_model_that_is_not_well_says_why() -> None:
    assert reason(echo_card(), chat(), health=lambda card: "is still starting") == "is still starting"
    error = named(echo_card(), chat(), health=lambda card: "is still starting")
    assert isinstance(error, ModelUnavailable) and error.message == "echo/small is still starting"


def test_when_nobody_is_left_every_reason_is_given() -> None:
    cards = (echo_card("a/one", tools=False), echo_card("a/two", context=10))
    plan = RoutePlan("auto", CascadePolicy(), "default", cards)
    _, against = eligible_models(
        plan,
        requirements_of(asking(chat("word " * 100, **TOOLS)), DataPolicy()),
        always_healthy,
    )
    error = no_model_error(plan, against)
    assert isinstance(error, NoModelFits) and error.status == 422
    assert "a/one does not support tool calls" in error.message and "a/two has a context window of 10" in error.message


def test_a_prompt_too_long_for_everybody_is_too_long() -> None:
    cards = (echo_card("a/one", context=10), echo_card("a/two", context=20))
    plan = ModelAliases(cards, {"default": CascadePolicy()})(chat())
    _, against = eligible_models(plan, requirements_of(asking(chat("word " * 100)), DataPolicy()), always_healthy)
    error = no_model_error(plan, against)
    assert isinstance(error, ContextLengthExceeded) and "window of 20 tokens" in error.message


def test_candidates_come_cheapest_first_and_among_equals_the_smaller() -> None:
    free = Price(input=0, output=0)
    cards = (
        echo_card("a/unknown", price=UNKNOWN_PRICE),
        echo_card("a/dear", price=Price(input=9, output=9)),
        echo_card("a/big", price=free, parameters=10**10),
        echo_card("a/small", price=free, parameters=10**8),
    )
    plan = RoutePlan("auto", CascadePolicy(), "default", cards)
    fits, _ = eligible_models(plan, requirements_of(asking(chat()), DataPolicy()), always_healthy)
    assert [candidate.card.name for candidate in fits] == ["a/small", "a/big", "a/dear", "a/unknown"]


@pytest.mark.parametrize("words", ["geheim", "x" * 5_000])
def test_no_refusal_repeats_the_prompt(words: str) -> None:
    error = named(echo_card(tools=False, context=100), chat(words, **TOOLS))
    assert error is not None and words not in error.message + error.hint
