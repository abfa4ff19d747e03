"""Prices of an imported configuration: those of the file, else those of the catalog."""

from __future__ import annotations

from pathlib import Path

from tests.migration.test_litellm import imported, tables, word

BASES = """
model_list:
  - model_name: deployed
    litellm_params: {model: azure/mini, api_base: https://east.openai.azure.com}
    model_info: {base_model: gpt-4o-mini-2024-07-18, max_input_tokens: 64000}
  - model_name: european
    litellm_params: {model: azure/eu-4o, api_base: https://east.openai.azure.com, base_model: azure/eu/gpt-4o}
  - {model_name: itself, litellm_params: {model: openai/gpt-4o}, model_info: {base_model: gpt-4o}}
  - model_name: vectors
    litellm_params: {model: azure/search, api_base: https://east.openai.azure.com}
    model_info: {base_model: text-embedding-ada-002}
  - model_name: nothing
    litellm_params: {model: azure/x, api_base: https://east.openai.azure.com}
    model_info: {base_model: unheard-of}
  - model_name: tiered
    litellm_params: {model: azure/y, api_base: https://east.openai.azure.com}
    model_info: {base_model: azure/gpt-5.4}
"""
PARTIAL = """
model_list:
  - {model_name: mini, litellm_params: {model: openai/gpt-4o-mini, input_cost_per_token: 0.000005}}
  - {model_name: own, litellm_params: {model: openai/ours, api_base: "http://inside:8000/v1", input_cost_per_token: 0}}
  - model_name: deployed
    litellm_params: {model: azure/mini, api_base: https://east.openai.azure.com}
    model_info: {base_model: azure/gpt-4o, output_cost_per_token: 0.00002}
"""


def test_a_base_model_gives_a_deployment_its_price_and_its_facts(tmp_path: Path) -> None:
    found = imported(BASES, tmp_path)
    models = tables(found)["models"]
    mini = models["azure/mini"]
    assert (mini["price"]["input"], mini["price"]["output"], mini["context"]) == ("0.15", "0.6", 64_000)
    assert mini["tools"] is True and mini["input_modalities"] == ["file", "image"]
    assert models["azure/eu-4o"]["price"]["output"] == "10" and models["azure/search"]["task"] == "embed"
    assert "openai/gpt-4o" not in models and "azure/x" not in models
    assert models["azure/y"]["price"]["input"] == "2.5"
    for key, outcome, why in (
        ("model_list[0].model_info.base_model", "carried", "facts of 'gpt-4o-mini-2024-07-18' in the catalog, and the"),
        ("model_list[1].litellm_params.base_model", "carried", "and the price at 'openai'"),
        ("model_list[2].model_info.base_model", "carried", "in the catalog"),
        ("model_list[4].model_info.base_model", "refused", "no such model"),
        ("model_list[5].model_info.base_model", "changed", "without the higher one of long prompts"),
    ):
        line = word(found, key)
        assert line.outcome == outcome and why in line.message, line


def test_what_a_file_does_not_say_of_a_price_stays_the_catalogs(tmp_path: Path) -> None:
    found = imported(PARTIAL, tmp_path)
    prices = {name: table["price"] for name, table in tables(found)["models"].items()}
    assert (prices["openai/gpt-4o-mini"]["input"], prices["openai/gpt-4o-mini"]["output"]) == ("5", "0.6")
    assert (prices["azure/mini"]["input"], prices["azure/mini"]["output"]) == ("2.5", "20")
    assert "output" not in prices["inside/ours"]
    kept, lost = (word(found, f"model_list[{number}].litellm_params.input_cost_per_token") for number in (0, 1))
    assert kept.outcome == "carried" and "the catalog's of output" in kept.message
    assert lost.outcome == "changed" and "that of output is unknown: add it" in lost.message
