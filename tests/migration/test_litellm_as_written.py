"""Configurations of LiteLLM as people write them: templates, anchors, placeholders, own facts, secrets, wrong types."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sizewise.errors import SizewiseError
from sizewise.flows.language.yaml_source import parse_yaml
from sizewise.migration.litellm import ImportedSettings
from sizewise.settings.load import load_settings
from tests.cli.terminal import sizewise
from tests.migration.test_litellm import WIDE, imported, tables, word

WRITTEN = """
defaults: &defaults {timeout: 90, api_key: "${TEAM_KEY}"}
model_list:
  - {model_name: one, litellm_params: {<<: *defaults, model: mistral/mistral-small}}
  - {model_name: two, litellm_params: {<<: [*defaults], model: mistral/codestral, api_key: os.environ/OTHER}}
  - model_name: ours
    litellm_params: {model: openai/llama, api_base: "http://inside:8000/v1", api_key: EMPTY, supports_vision: true}
    rpm: 20
    model_info: {max_input_tokens: 8000, team_wiki: "https://wiki/llama", description: null}
  - model_name: reasoning
    litellm_params:
      model: azure/responses/o3
      api_base: https://east.openai.azure.com
      api_key: os.environ/AZURE_EAST
      additional_drop_params: [stop, "tools[*].strict"]
      cache_control_injection_points: [{location: message, role: system}]
  - {model_name: cloud, litellm_params: {model: bedrock/amazon.nova-pro-v1:0, api_base: null, aws_region_name: "-5"}}
  - {model_name: deployed, litellm_params: {model: os.environ/THE_MODEL, api_key: os.environ/AZURE_EAST}}
  - {model_name: unknown, litellm_params: {model: os.environ/NOT_SET_HERE}}
  - {model_name: native, litellm_params: {model: gemini/gemini-3-pro, api_base: "https://aiplatform.example/v1"}}
  - model_name: painter
    litellm_params: {model: openai/gpt-image-1}
    model_info: {mode: image_generation, output_cost_per_image: 0.04, input_cost_per_character: 0.1}
  - {model_name: vectors, litellm_params: {model: voyage/voyage-3-embed}}
litellm_settings:
  callbacks: prometheus
  fallbacks: {one: [two, absent]}
  budget_duration: 7d
  max_end_user_budget: 5
router_settings:
  model_group_alias: {both: [one, two], single: one}
general_settings: {maximum_spend_logs_retention_period: 90d, num_retries: 3, database_url: null, allowed_ips: []}
guardrails:
  - {guardrail_name: own, litellm_params: {guardrail: my_module.MyGuard, mode: pre_call}}
mcp_servers:
  files:
    command: npx
    args: [-y, server-files, /data]
    env: {FILES_TOKEN: os.environ/FILES_TOKEN, PLAIN: secret-in-env}
    allowed_tools: [read_file]
  search: {url: "https://mcp.example/search", headers: {X-Team: blue, X-Api-Key: secret-in-header}}
"""
SECRETS = """
model_list:
  - model_name: a
    litellm_params:
      model: openai/a
      api_base: "http://inside:8000/v1"
      extra_headers: {X-Gateway-Token: secret-a, Cookie: secret-b, X-Team: blue, CF-Access-Client-Secret: secret-c}
  - {model_name: b, litellm_params: {model: openai/b, api_base: "https://user:secret-d@host/v1"}}
  - {model_name: c, litellm_params: {model: openai/c, api_base: "https://host/v1?key=secret-e"}}
mcp_servers:
  one: {command: npx, args: [mcp-remote, "https://mcp.example/", --header, "Authorization: Bearer secret-f"]}
  two: {command: uvx, args: [server, --api-key, secret-g]}
  three: {command: uvx, args: [server, --token=secret-h]}
  four: {command: "uvx server --password secret-i"}
  five: {command: uvx, args: [server, "postgres://me:secret-j@db/x"]}
  six: {url: "https://mcp.example/?token=secret-k"}
  seven: {url: "https://mcp.example/", static_headers: {Authorization: "Bearer secret-l"}, auth_value: secret-m}
  fine: {command: uvx, args: [server, --read-only, --keyring, --root, /data]}
general_settings: {master_key: secret-n, database_url: "postgresql://me:secret-o@db/x"}
litellm_settings: {cache: true, cache_params: {type: redis, password: secret-p}}
environment_variables: {OPENAI_API_KEY: secret-q}
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> ImportedSettings:
    return imported(WRITTEN, tmp_path_factory.mktemp("written"), THE_MODEL="azure/gpt-5", AZURE_API_BASE=AZURE)


AZURE = "https://west.openai.azure.com"


def test_templates_anchors_placeholders_and_null_mean_what_they_mean_to_litellm(written: ImportedSettings) -> None:
    found = tables(written)
    providers, alias = found["providers"], found["router"]["alias"]
    assert providers["mistral"] == {
        "endpoint": "mistral",
        "key": "env:TEAM_KEY",
        "timeouts": {"total_s": 90.0},
        "models": ["mistral-small"],
    }
    assert (providers["mistral-2"]["key"], providers["mistral-2"]["timeouts"]) == ("env:OTHER", {"total_s": 90.0})
    assert word(written, "model_list[0].litellm_params.timeout").outcome == "carried"
    assert providers["inside"] == {"base_url": "http://inside:8000/v1", "models": ["llama"]}
    assert found["limits"] == {"model:inside/llama": {"requests_per_minute": 20}}
    assert alias["reasoning"].endswith("/o3") and alias["deployed"].endswith("/gpt-5")
    assert next(each for each in providers.values() if "o3" in each["models"])["drop_params"] == ["stop"]
    assert providers["bedrock"]["region"] == "us-west-2" and "unknown" not in alias and "native" not in alias
    assert providers["voyageai"] == {
        "base_url": "https://api.voyageai.com/v1",
        "key": "env:VOYAGE_API_KEY",
        "models": ["voyage-3-embed"],
    }
    assert found["models"]["openai/gpt-image-1"]["price"]["image"] == "0.04"
    assert found["policies"]["one"]["models"] == [
        alias["ours"].replace("inside/llama", "mistral/mistral-small"),
        alias["two"],
    ]
    assert alias["single"] == alias["one"] == "auto:one" and found["records"] == {"retention_days": 90}
    assert found["mcp"] == {
        "files": {
            "command": ["npx", "-y", "server-files", "/data"],
            "place": "machine",
            "env": {"FILES_TOKEN": "env:FILES_TOKEN"},
            "allowed_tools": ["read_file"],
        },
        "search": {"url": "https://mcp.example/search", "headers": {"X-Team": "blue"}},
    }


def test_each_line_that_is_not_carried_has_its_own_reason(written: ImportedSettings) -> None:
    for key, outcome, why in (
        ("model_list[2].litellm_params.supports_vision", "refused", "in `model_info` alone"),
        ("model_list[2].model_info.team_wiki", "refused", "a fact of your own"),
        ("model_list[2].model_info.description", "carried", "nothing is set"),
        ("model_list[3].litellm_params.additional_drop_params[1]", "refused", "only whole parameters"),
        ("model_list[3].litellm_params.cache_control_injection_points", "refused", "`cache_control` in the request"),
        ("model_list[4].litellm_params.aws_region_name", "refused", "no name of a region"),
        ("model_list[6]", "refused", "set NOT_SET_HERE, and import again"),
        ("model_list[7]", "refused", "generativelanguage.googleapis.com alone"),
        ("model_list[8].model_info.input_cost_per_character", "refused", "not a price of this task"),
        ("litellm_settings.callbacks", "changed", "GET /metrics"),
        ("litellm_settings.fallbacks.one[1]", "refused", "no such model"),
        ("litellm_settings.budget_duration", "refused", "no `max_budget`"),
        ("router_settings.model_group_alias.both", "refused", "an alias means one model"),
        ("general_settings.num_retries", "refused", "in `litellm_settings` alone"),
        ("general_settings.database_url", "carried", "nothing is set"),
        ("guardrails[0]", "refused", "no code of a configuration is run"),
        ("mcp_servers.files.env.PLAIN", "refused", "by reference alone"),
    ):
        line = word(written, key)
        assert line.outcome == outcome and why in line.message, line


def test_no_secret_that_stands_in_a_header_an_argument_or_an_address_is_copied(tmp_path: Path) -> None:
    found = imported(SECRETS, tmp_path)
    assert "secret-" not in found.text + "".join(each.message for each in found.lines)
    assert tables(found)["providers"]["inside"]["headers"] == {"X-Team": "blue"}
    assert tables(found)["mcp"] == {
        "seven": {"url": "https://mcp.example/"},
        "fine": {"command": ["uvx", "server", "--read-only", "--keyring", "--root", "/data"], "place": "machine"},
    }


IN_WORDS = """
model_list:
  - {model_name: a, litellm_params: {model: openai/gpt-4o}}
  - {model_name: b, litellm_params: {model: azure/x, litellm_credential_name: unused}}
  - {model_name: c, litellm_params: {model: openai/gpt-4.1, litellm_credential_name: used}}
credential_list:
  - {credential_name: unused, credential_values: {api_key: os.environ/A}, credential_info: {description: Azure}}
  - {credential_name: used, credential_values: {api_key: os.environ/B}}
litellm_settings: {callbacks: [dynamic_rate_limiter_v3]}
general_settings: {alerting: [slack], alert_types: [outage_alerts], alerting_threshold: 10, store_model_in_db: true}
"""
RULES = """
[alerts.errors]
metric = "error_rate"
alert = 0.05
to = ["slack"]
[alerts.slow]
metric = "p95_s"
alert = 10
to = ["slack"]
[alerts.budgets]
metric = "budget_forecast"
alert = 1.0
to = ["slack"]
"""


def test_a_line_of_which_nothing_was_written_is_not_carried(tmp_path: Path) -> None:
    found = imported(IN_WORDS, tmp_path)
    for key, outcome, why in (
        ("credential_list[0]", "refused", "no model that was carried has this credential"),
        ("credential_list[1]", "carried", "keys and addresses"),
        ("litellm_settings.callbacks[0]", "refused", "no share of a limit is reserved"),
        ("general_settings.alerting[0]", "changed", "which gets nothing yet: add [alerts.NAME]"),
        ("general_settings.alert_types", "refused", "no rule is written"),
        ("general_settings.alerting_threshold", "refused", 'metric = "p95_s"'),
        ("general_settings.store_model_in_db", "refused", "kill -HUP"),
    ):
        line = word(found, key)
        assert line.outcome == outcome and why in line.message, line
    assert not any(each.key.startswith("model_list[1].") for each in found.lines)
    load_settings(config=tmp_path / "sizewise.toml", content=(found.text + RULES).encode(), environ={})


GATEWAYS = """
model_list:
  - {model_name: a, litellm_params: {model: azure/x, api_base: "https://my-company.azure-api.net/openai"}}
  - {model_name: b, litellm_params: {model: azure/x}}
  - {model_name: c, litellm_params: {model: watsonx/x, api_base: "https://gateway.example"}}
"""
BY_HAND = """
[providers.gateway]
endpoint = "azure"
base_url = "https://my-company.azure-api.net/openai/v1"
models = ["x"]
"""


def test_an_address_that_is_not_asked_is_not_said_to_be_missing(tmp_path: Path) -> None:
    found = imported(GATEWAYS, tmp_path)
    for number, why in ((0, "by deployment and `api_version`"), (1, "add `api_base`"), (2, "is none of 'watsonx'")):
        line = word(found, f"model_list[{number}]")
        assert line.outcome == "refused" and why in line.message, line
    load_settings(config=tmp_path / "sizewise.toml", content=(found.text + BY_HAND).encode(), environ={})


def test_what_is_off_in_litellm_and_here_is_no_reason_to_fail(tmp_path: Path) -> None:
    text = "model_list:\n  - {model_name: a, litellm_params: {model: openai/gpt-4o}}\n"
    (tmp_path / "config.yaml").write_text(text + "general_settings: {store_model_in_db: false}\n")
    assert sizewise("import", "litellm", "config.yaml", "--strict", home=tmp_path).code == 0


WRONG: tuple[object, ...] = (
    *(None, True, -1, 3.7, 10**40, "", "x", "os.environ/A", "http://[", "\u202e\n\x7f", [], {}, ["x"], [["x"]]),
    *({"a": 1}, [None], {"model": ["x"]}, "*", "openai/*", "1e999", "30d"),
)
SEED = 20261129


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield (*path, key)
        yield from paths(value[key], (*path, key))


def replaced(config: Any, path: tuple[Any, ...], value: object) -> Any:
    config = copy.deepcopy(config)
    part = config
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return config


def has_its_word(config: Any, folder: Path) -> None:
    """The server could start with what became of it, or the file is refused in words."""
    try:
        found = imported(json.dumps(config), folder)
    except SizewiseError as refused:
        assert "is no configuration of LiteLLM" in refused.message or "cannot be read" in refused.message
    else:
        assert found.lines


def test_a_value_of_a_wrong_type_is_a_line_of_the_report(tmp_path: Path) -> None:
    config, chosen = parse_yaml(WRITTEN, allow_aliases=True).data, random.Random(SEED)
    for path in chosen.sample(list(paths(config)), 10):
        has_its_word(replaced(config, path, chosen.choice(WRONG)), tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("text", [WRITTEN, WIDE.replace("include: [more.yaml]", ""), SECRETS])
def test_no_value_of_any_type_in_any_place_ends_without_a_word(text: str, tmp_path: Path) -> None:
    """A quarter of the values at each place; the next place meets the next quarter."""
    config = parse_yaml(text, allow_aliases=True).data
    for number, path in enumerate(paths(config)):
        for value in WRONG[number % 4 :: 4]:
            has_its_word(replaced(config, path, value), tmp_path)


def test_each_line_of_thousands_of_deployments_has_its_word(tmp_path: Path) -> None:
    """In a second: time that grew by the square of the lines took minutes."""
    one = "  - {model_name: m, litellm_params: {model: groq/llama-%d, api_key: os.environ/K}, model_info: {wiki: x}}\n"
    found = imported("model_list:\n" + "".join(one % number for number in range(2_000)), tmp_path)
    assert found.models == 2_000
    assert len(found.lines) == 8_000 and sum(each.outcome == "refused" for each in found.lines) == 2_000


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is no configuration of LiteLLM"),
        (b"model_list:\n\t- x\n", "line 2, column 1: this is not valid YAML"),
        (b"model_list: []\nmodel_list: []\n", "'model_list' is defined twice"),
        (b"model_list: [{model_name: caf\xe9}]\n", "is not UTF-8"),
        (b'model_list: !!python/object/apply:os.system ["id"]\n', "are not supported"),
        (b"model_list: " + b"[" * 2_000 + b"]" * 2_000, "maximum nesting depth"),
        (b"model_list: []\n" + b"# x\n" * 300_000, "is larger than 1,048,576 bytes"),
    ],
)
def test_a_broken_file_is_refused_with_its_name(content: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes(content)
    done = sizewise("import", "litellm", "config.yaml", home=tmp_path)
    assert done.code == 2 and why in done.err and "'config.yaml'" in done.err and "Traceback" not in done.err
    assert not (tmp_path / "sizewise.toml").exists()
