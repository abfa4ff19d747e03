"""A budget of LiteLLM, imported: the report names the models that the server refuses because of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sizewise.testing.upstream import FakeOpenAI
from tests.gateway.server_harness import beside
from tests.migration.test_litellm import imported, tables, word
from tests.running_server import serving

BUDGETED = """
model_list:
  - model_name: like-4o
    litellm_params: {{model: openai/ours, api_base: "{url}", api_key: os.environ/UP_KEY}}
    model_info: {{base_model: azure/gpt-4o}}
  - {{model_name: foreign, litellm_params: {{model: openai/unheard-of, api_base: "{url}", api_key: os.environ/UP_KEY}}}}
  - model_name: capped
    litellm_params:
      model: openai/also-unheard-of
      api_base: "{url}"
      api_key: os.environ/UP_KEY
      max_budget: 5
      budget_duration: 1d
litellm_settings: {{max_budget: 10, budget_duration: 30d}}
"""
WILDCARDS = """
model_list:
  - {model_name: "openai/*", litellm_params: {model: "openai/*"}}
  - {model_name: priced, litellm_params: {model: anthropic/claude-sonnet-4-5}}
  - {model_name: vectors, litellm_params: {model: openai/text-embedding-3-small}}
litellm_settings: {max_budget: 10, budget_duration: 1d}
"""


APART = """
model_list:
  - {{model_name: few, litellm_params: {{model: openai/counted, api_base: "{url}", api_key: os.environ/KEY, rpm: 1}}}}
  - {{model_name: more, litellm_params: {{model: openai/counted, api_base: "{url}", api_key: os.environ/KEY, rpm: 3}}}}
  - {{model_name: all, litellm_params: {{model: openai/counted, api_base: "{url}", api_key: os.environ/KEY}}}}
  - {{model_name: any, litellm_params: {{model: openai/counted, api_base: "{url}", api_key: os.environ/KEY}}}}
"""
TOGETHER = """
model_list:
  - model_name: a
    litellm_params: {model: groq/x, api_key: os.environ/ONE, rpm: 2, max_budget: 5, budget_duration: 1d}
  - model_name: a
    litellm_params: {model: groq/x, api_key: os.environ/TWO, rpm: 3, max_budget: 10, budget_duration: 1d}
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeOpenAI]:
    with beside(FakeOpenAI) as found:
        yield found


@pytest.mark.long
def test_a_budget_names_the_models_that_the_server_refuses_for_want_of_a_price(
    upstream: FakeOpenAI, tmp_path: Path
) -> None:
    found = imported(BUDGETED.format(url=upstream.url), tmp_path)
    whole, own = word(found, "litellm_settings.max_budget"), word(found, "model_list[2].litellm_params.max_budget")
    assert whole.outcome == own.outcome == "changed"
    assert (
        "usd_per_month = 10; these answer 402" in whole.message and '[models."PROVIDER/MODEL".price]' in whole.message
    )
    assert "usd_per_day = 5; these answer 402" in own.message
    text = found.text.replace("embedded = false", "embedded = false\ndiscover = false")
    full = tables(found)["router"]["alias"]
    named = {
        name: model for name, model in full.items() if f"{model}," in whole.message or f"{model}." in whole.message
    }
    assert set(named) == {"foreign", "capped"} and full["capped"] in own.message and full["foreign"] not in own.message
    priced = f'\n[models."{full["foreign"]}".price]\ninput = "1"\noutput = "2"\n'
    with serving(tmp_path / "home", text, UP_KEY="sk-one") as server:
        assert {name: server.chat(name).status for name in full} == {"like-4o": 200, "foreign": 402, "capped": 402}
    with serving(tmp_path / "again", text + priced, UP_KEY="sk-one") as server:
        assert server.chat("foreign").status == 200
    with serving(tmp_path / "free", text + '\n[budgets]\nunpriced = "allow"\n', UP_KEY="sk-one") as server:
        assert server.chat("capped").status == 200


def test_models_that_a_provider_lists_are_named_by_their_pattern_and_priced_ones_not_at_all(tmp_path: Path) -> None:
    message = word(imported(WILDCARDS, tmp_path), "litellm_settings.max_budget").message
    assert "unknown: those of openai/* without a known price. Set" in message
    priced = WILDCARDS.replace('  - {model_name: "openai/*", litellm_params: {model: "openai/*"}}\n', "")
    line = word(imported(priced, tmp_path), "litellm_settings.max_budget")
    assert (line.outcome, line.message) == ("carried", "[limits] usd_per_day = 10")


def test_names_that_share_a_model_keep_a_limit_each(upstream: FakeOpenAI, tmp_path: Path) -> None:
    found = imported(APART.format(url=upstream.url), tmp_path)
    alias = tables(found)["router"]["alias"]
    assert alias["all"] == alias["any"] and len(set(alias.values())) == 3
    text = found.text.replace("embedded = false", "embedded = false\ndiscover = false")
    with serving(tmp_path / "home", text, KEY="sk-one") as server:
        answered = {name: [server.chat(name).status for _ in range(5)].count(200) for name in ("few", "more", "all")}
    assert answered == {"few": 1, "more": 3, "all": 5}


def test_limits_of_deployments_that_share_one_name_are_added_up(tmp_path: Path) -> None:
    (limits,) = tables(imported(TOGETHER, tmp_path))["limits"].values()
    assert limits == {"requests_per_minute": 5, "usd_per_day": "15"}
