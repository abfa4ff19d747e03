"""Names with `*` of a LiteLLM configuration: our server answers to each prefix, with what its upstream lists."""

from __future__ import annotations

import json
from pathlib import Path

from tests.gateway.test_offered_models import ListingUpstream
from tests.migration.test_litellm import imported, tables, word
from tests.running_server import serving

PREFIXES = """
model_list:
  - {{model_name: "*", litellm_params: {{model: "openai/*", api_base: "{url}", api_key: os.environ/UP_KEY}}}}
  - {{model_name: "east/*", litellm_params: {{model: "openai/*", api_base: "{url}", api_key: os.environ/UP_KEY}}}}
  - {{model_name: "west/*", litellm_params: {{model: "openai/*", api_base: "{url}", api_key: os.environ/UP_KEY}}}}
  - {{model_name: "both/*", litellm_params: {{model: "openai/*", api_base: "{url}", api_key: os.environ/UP_KEY}}}}
  - {{model_name: "both/*", litellm_params: {{model: "openai/*", api_base: "{url}", api_key: os.environ/OTHER_KEY}}}}
"""
TAKEN = """
model_list:
  - {model_name: "mine/*", litellm_params: {model: "openai/*"}}
  - {model_name: "mine/*", litellm_params: {model: "anthropic/*"}}
  - {model_name: "local/*", litellm_params: {model: "groq/*"}}
"""


def test_each_prefix_answers_also_where_several_ask_one_server(tmp_path: Path) -> None:
    with ListingUpstream() as up:
        found = imported(PREFIXES.format(url=up.url), tmp_path)
        text = found.text.replace("embedded = false", "embedded = false\ndiscover = false")
        with serving(tmp_path / "home", text, UP_KEY="sk-one", OTHER_KEY="sk-two") as server:
            listed = {each["id"] for each in json.loads(server.ask("/v1/models").body)["data"]}
            assert {"east/gpt-4o", "west/gpt-4o", "both/gpt-4o"} <= listed
            assert {name: server.chat(f"{name}/gpt-4o").status for name in ("east", "west")} == {
                "east": 200,
                "west": 200,
            }
            bare, line = server.chat("gpt-4o"), word(found, "model_list[0].model_name")
            assert bare.status == 404 and "ambiguous" in bare.error["message"]
            assert (line.outcome, line.message.partition(" as ")[2]) == (
                "changed",
                "one of east/NAME, west/NAME, both/NAME",
            )
            up.asked.clear()
            assert all(server.chat("both/gpt-4o").status == 200 for _ in range(12))
            assert {authorization for _, _, authorization in up.asked} == {"Bearer sk-one", "Bearer sk-two"}


def test_a_prefix_whose_name_is_taken_has_the_name_that_the_report_says(tmp_path: Path) -> None:
    found = imported(TAKEN, tmp_path)
    assert set(tables(found)["providers"]) == {"mine", "mine-2", "local-2"}
    assert word(found, "model_list[0].model_name").outcome == "carried"
    for number, name in ((1, "mine-2/*"), (2, "local-2/*")):
        line = word(found, f"model_list[{number}].model_name")
        assert (line.outcome, line.message) == ("changed", f"its name here is {name}")


def test_a_limit_of_a_pattern_is_refused_as_a_limit_is_of_one_model(tmp_path: Path) -> None:
    row = '{model_name: "mine/*", rpm: 5, litellm_params: {model: "openai/*", tpm: 100, max_budget: 3}}'
    found = imported(f"model_list:\n  - {row}\n", tmp_path)
    assert "limits" not in tables(found)
    for place in ("rpm", "litellm_params.tpm", "litellm_params.max_budget"):
        line = word(found, f"model_list[0].{place}")
        assert line.outcome == "refused" and "sizewise budgets set model:PROVIDER/NAME" in line.message
