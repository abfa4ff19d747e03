"""A configuration of LiteLLM, imported: our server gives the same names, and every line of the file has its word."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sizewise.errors import SizewiseError
from sizewise.flows.language.diagnostics import KEY
from sizewise.flows.language.yaml_source import parse_yaml
from sizewise.migration.litellm import ImportedSettings, import_litellm
from sizewise.migration.migration_report import ReportLine
from sizewise.settings.load import load_settings
from sizewise.testing.upstream import FakeOpenAI
from tests.cli.terminal import sizewise
from tests.gateway.server_harness import beside
from tests.running_server import serving

ROUTED = """
model_list:
  - {{model_name: good, litellm_params: {{model: openai/counted, api_base: "{url}", api_key: sk-secret-in-the-file}}}}
  - {{model_name: bad, litellm_params: {{model: openai/broken, api_base: "{url}", api_key: os.environ/UP_KEY}}}}
  - {{model_name: shared, litellm_params: {{model: openai/counted, api_base: "{url}", api_key: os.environ/UP_KEY}}}}
  - {{model_name: shared, litellm_params: {{model: openai/counted, api_base: "{url}", api_key: os.environ/OTHER_KEY}}}}
  - {{model_name: few, litellm_params: {{model: openai/few, api_base: "{url}", api_key: os.environ/UP_KEY, rpm: 1}}}}
litellm_settings:
  num_retries: 0
  fallbacks: [{{bad: [good]}}]
router_settings:
  model_group_alias: {{"their/other name": good}}
general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
"""
WIDE = """
include: [more.yaml]
model_list:
  - model_name: "openai/*"
    litellm_params: {model: "openai/*", api_key: os.environ/OPENAI_API_KEY}
  - model_name: frontier
    litellm_params:
      model: azure/deployed
      api_base: https://east.openai.azure.com/
      api_key: os.environ/AZURE_EAST
      api_version: "2024-02-01"
      weight: 3
    model_info: {id: one, base_model: gpt-4o, max_input_tokens: 128000, supports_vision: true}
  - model_name: frontier
    litellm_params: {model: azure/deployed, api_base: https://west.openai.azure.com/, api_key: os.environ/AZURE_WEST}
  - model_name: claude
    litellm_params:
      model: bedrock/converse/us.anthropic.claude-sonnet-4-20250514-v1:0
      aws_region_name: eu-central-1
      aws_access_key_id: AKIA-SECRET
      input_cost_per_token: 0.000003
      output_cost_per_token: "no number"
      max_budget: 50
      budget_duration: 1d
      temperature: 0.2
  - model_name: llama
    litellm_params: {model: ollama/llama3, api_base: http://localhost:11434, litellm_credential_name: mine}
  - model_name: vertex
    litellm_params: {model: vertex_ai/gemini-2.5-pro}
  - model_name: guessed
    litellm_params: {model: something-new}
  - model_name: nowhere
    litellm_params: {model: openai/x, api_base: os.environ/NOT_SET_HERE}
  - model_name: "team-*"
    litellm_params: {model: openai/one}
  - model_name: two-keys
    litellm_params: {model: mistral/mistral-small, api_key: os.environ/FIRST}
  - model_name: two-keys
    litellm_params: {model: mistral/mistral-small, api_key: os.environ/SECOND}
  - model_name: ear
    litellm_params: {model: whisper-1, input_cost_per_second: 0.0001}
  - model_name: router
    litellm_params: {model: auto_router/adaptive_router, adaptive_router_config: {available_models: [frontier, llama]}}
credential_list:
  - {credential_name: mine, credential_values: {api_key: os.environ/MINE}}
litellm_settings:
  max_budget: 100
  budget_duration: 30d
  cache: true
  cache_params: {type: redis-semantic, similarity_threshold: 0.8, ttl: 60}
  callbacks: [prometheus, my_module.handler]
  default_fallbacks: [frontier, absent]
  context_window_fallbacks: [{llama: [frontier]}]
  guardrails: [{hide: {callbacks: [hide_secrets], default_on: true}}]
router_settings: {routing_strategy: cost-based-routing, timeout: 30, redis_password: secret-redis}
guardrails:
  - guardrail_name: personal
    litellm_params: {guardrail: presidio, mode: pre_call, pii_entities_config: {EMAIL_ADDRESS: BLOCK, PERSON: MASK}}
  - guardrail_name: theirs
    litellm_params: {guardrail: bedrock, mode: pre_call}
mcp_servers:
  wiki: {transport: stdio, command: uvx, args: [mcp-server-fetch]}
  git: {url: "https://mcp.example.com/mcp", auth_type: oauth2, client_secret: secret-client}
  plain: {url: "https://mcp.example.com/two", auth_type: bearer_token, authentication_token: os.environ/MCP}
environment_variables: {SECRET: secret-variable}
something_new: {deep: [1, {deeper: x}]}
"""
MORE = "model_list:\n  - {model_name: included, litellm_params: {model: groq/llama-3.3-70b}}\n"


def imported(text: str, folder: Path, **environ: str) -> ImportedSettings:
    file = folder / "config.yaml"
    file.write_text(text)
    found = import_litellm(file, partial(parse_yaml, allow_aliases=True), environ)
    load_settings(config=folder / "sizewise.toml", content=found.text.encode(), environ={})
    return found


def tables(found: ImportedSettings) -> dict[str, Any]:
    return tomllib.loads(found.text)


def word(found: ImportedSettings, key: str) -> ReportLine:
    (line,) = [each for each in found.lines if each.key == key]
    return line


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> ImportedSettings:
    folder = tmp_path_factory.mktemp("wide")
    (folder / "more.yaml").write_text(MORE)
    return imported(WIDE, folder)


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeOpenAI]:
    with beside(FakeOpenAI) as found:
        yield found


def test_our_server_answers_to_the_names_of_theirs_with_fallbacks_replicas_and_limits(
    upstream: FakeOpenAI, tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text(ROUTED.format(url=upstream.url))
    done = sizewise("import", "litellm", "config.yaml", home=tmp_path)
    assert done.code == 0 and "Set before you start it: OPENAI_KEY_1, OTHER_KEY, UP_KEY" in done.out, done
    text = (tmp_path / "sizewise.toml").read_text()
    assert "sk-secret-in-the-file" not in text + done.out
    text = text.replace("embedded = false", "embedded = false\ndiscover = false")
    keys = {"OPENAI_KEY_1": "sk-one", "UP_KEY": "sk-two", "OTHER_KEY": "sk-three"}
    with serving(tmp_path / "home", text, **keys) as server:
        listed = {each["id"] for each in json.loads(server.ask("/v1/models").body)["data"]}
        assert {"good", "bad", "shared", "few", "their/other name"} <= listed
        for name in ("good", "bad", "their/other name"):
            before = len(upstream.received.bodies)
            assert server.chat(name).status == 200, name
            asked = [body["model"] for body in upstream.received.bodies[before:]]
            assert asked == (["broken", "counted"] if name == "bad" else ["counted"])
        assert upstream.received.headers[-1]["authorization"] == "Bearer sk-one"
        before = len(upstream.received.headers)
        assert all(server.chat("shared").status == 200 for _ in range(12))
        used = {each["authorization"] for each in upstream.received.headers[before:]}
        assert used == {"Bearer sk-two", "Bearer sk-three"}
        assert [server.chat("few").status for _ in range(2)] == [200, 429]


def test_each_kind_of_provider_becomes_its_table(wide: ImportedSettings) -> None:
    found = tables(wide)
    assert found["providers"]["openai"] == {"endpoint": "openai", "models": ["*", "whisper-1"]}
    assert found["providers"]["azure-deployed"] == {
        "endpoint": "azure",
        "base_url": "https://east.openai.azure.com/openai/v1",
        "models": ["deployed"],
        "replicas": [
            {"base_url": "https://east.openai.azure.com/openai/v1", "key": "env:AZURE_EAST", "weight": 3},
            {"base_url": "https://west.openai.azure.com/openai/v1", "key": "env:AZURE_WEST"},
        ],
    }
    claude = "us.anthropic.claude-sonnet-4-20250514-v1:0"
    assert found["providers"]["bedrock"] == {"endpoint": "bedrock", "region": "eu-central-1", "models": [claude]}
    assert found["providers"]["ollama"] == {
        "endpoint": "ollama",
        "base_url": "http://localhost:11434/v1",
        "key": "env:MINE",
        "place": "machine",
        "models": ["llama3"],
    }
    mistral = "https://api.mistral.ai/v1"
    assert found["providers"]["mistral-mistral-small"]["replicas"] == [
        {"base_url": mistral, "key": "env:FIRST"},
        {"base_url": mistral, "key": "env:SECOND"},
    ]
    facts = found["models"]
    azure = facts["azure-deployed/deployed"]
    assert (azure["context"], azure["input_modalities"], azure["price"]["output"]) == (128_000, ["image"], "10")
    assert facts[f"bedrock/{claude}"]["price"]["input"] == "3"
    assert facts["openai/whisper-1"]["task"] == "transcribe"
    assert found["limits"] == {
        f"model:bedrock/{claude}": {"usd_per_day": "50"},
        "organization": {"usd_per_month": "100"},
    }


def test_names_become_aliases_and_several_models_policies(wide: ImportedSettings) -> None:
    found = tables(wide)
    alias, policies = found["router"]["alias"], found["policies"]
    azure, ollama = "azure-deployed/deployed", "ollama/llama3"
    assert alias["frontier"] == azure
    assert policies["llama"] == {"kind": "fixed", "models": [ollama, azure]} and alias["llama"] == "auto:llama"
    assert policies["included"]["models"] == ["groq/llama-3.3-70b", azure]
    assert policies["router"] == {"kind": "cascade", "models": [azure, ollama]} and alias["router"] == "auto:router"
    assert "openai/*" not in alias and "vertex" not in alias


def test_the_rest_becomes_settings_or_has_the_reason(wide: ImportedSettings) -> None:
    found = tables(wide)
    assert found["response_cache"] == {"ttl_s": 60.0} and found["router"]["timeout_s"] == 30.0
    assert found["guardrails"] == {"pii": "block", "secrets": "mask", "custom": {"names": "mask"}}
    assert found["mcp"] == {
        "wiki": {"command": ["uvx", "mcp-server-fetch"], "place": "machine"},
        "git": {"url": "https://mcp.example.com/mcp"},
        "plain": {"url": "https://mcp.example.com/two", "key": "env:MCP"},
    }
    refused = {each.key: each.message for each in wide.lines if each.outcome == "refused"}
    for key, why in {
        "model_list[5]": "short-lived tokens",
        "model_list[6]": "write it as PROVIDER/MODEL",
        "model_list[7]": "set NOT_SET_HERE",
        "model_list[8]": "an alias for each name",
        "model_list[3].litellm_params.output_cost_per_token": "not a number",
        "model_list[3].litellm_params.temperature": "no default parameters",
        "litellm_settings.cache_params.type": "only identical ones",
        "litellm_settings.callbacks[1]": "no code of a configuration is run",
        "litellm_settings.default_fallbacks[1]": "no such model",
        "guardrails[1]": "plug-in",
        "mcp_servers.git.client_secret": "not by OAuth",
        "environment_variables": "never contain secrets",
        "something_new.deep[1].deeper": "does not know it",
    }.items():
        assert why in refused[key], key
    assert word(wide, "model_list[0].litellm_params.api_key").line == 5
    included = word(wide, "include[0]")
    assert (included.outcome, included.file) == ("carried", "config.yaml")
    assert {each.file for each in wide.lines} == {"config.yaml", "more.yaml"}


def test_no_secret_of_the_file_is_in_the_settings_or_in_the_report(wide: ImportedSettings) -> None:
    said = wide.text + "".join(each.message for each in wide.lines)
    for secret in ("AKIA-SECRET", "secret-redis", "secret-client", "secret-variable"):
        assert secret not in said


def leaves(value: object) -> int:
    if isinstance(value, dict) and value:
        return sum(leaves(each) for each in value.values())
    if isinstance(value, list) and value:
        return sum(leaves(each) for each in value)
    return 1


NAMES = st.sampled_from(["model_list", "litellm_settings", "cache", "api_key", "fallbacks", "guardrails", "rpm", "x"])
SCALARS = st.sampled_from(["a", 1, 0.5, True, None, "os.environ/A", "openai/*", ""])
TREES = st.recursive(
    SCALARS, lambda one: st.lists(one, max_size=3) | st.dictionaries(NAMES, one, max_size=3), max_leaves=8
)
ENTRY = st.fixed_dictionaries(
    {
        "model_name": TREES,
        "litellm_params": TREES
        | st.fixed_dictionaries({"model": st.just("openai/a"), "api_base": TREES, "api_key": TREES}),
    }
)


@pytest.mark.long
@given(
    st.fixed_dictionaries(
        {
            "model_list": st.lists(ENTRY | TREES, max_size=3),
            "litellm_settings": TREES,
            "router_settings": TREES,
            "mcp_servers": TREES,
        }
    )
)
def test_whatever_stands_in_a_file_has_its_word_and_the_settings_can_be_read(
    tmp_path_factory: pytest.TempPathFactory, config: dict[str, Any]
) -> None:
    found = imported(json.dumps(config), tmp_path_factory.mktemp("any"))
    source = parse_yaml(json.dumps(config))
    spoken = {each.key for each in found.lines}
    for path in source.positions:
        parts = [part for part in path if part != KEY]
        if parts and not isinstance(_value(config, parts), dict | list):
            text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)[1:]
            assert any(text == key or text.startswith((f"{key}.", f"{key}[")) for key in spoken), text


def _value(data: Any, path: list[Any]) -> Any:
    for part in path:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return {}
    return data


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[1]", "is no configuration of LiteLLM"),
        ("providers: {}", "is no configuration of LiteLLM"),
        ("model_list: [", "'config.yaml', line 2, column 1: this is not valid YAML"),
        ("include: [../other.yaml]\nmodel_list: []", "leads out of the folder"),
        ("include: [absent.yaml]\nmodel_list: []", "cannot be read"),
    ],
)
def test_another_file_is_refused_in_words(text: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(SizewiseError) as refused:
        imported(text, tmp_path)
    assert why in refused.value.message


def test_a_settings_file_that_is_there_is_kept_unless_one_says_so(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(MORE)
    (tmp_path / "sizewise.toml").write_text("# mine\n")
    done = sizewise("import", "litellm", "config.yaml", home=tmp_path)
    assert done.code == 2 and "--replace" in done.err and (tmp_path / "sizewise.toml").read_text() == "# mine\n"
    shown = sizewise("import", "litellm", "config.yaml", "--dry-run", "--json", home=tmp_path).json
    assert shown["models"] == 1 and shown["out"] is None and "[providers.groq]" in shown["settings"]
    assert sizewise("import", "litellm", "config.yaml", "--replace", home=tmp_path).code == 0
    assert tomllib.loads((tmp_path / "sizewise.toml").read_text())["router"]["alias"] == {
        "included": "groq/llama-3.3-70b"
    }
    (tmp_path / "config.yaml").write_text(MORE + "something_new: 1\n")
    assert sizewise("import", "litellm", "config.yaml", "--dry-run", "--strict", home=tmp_path).code == 1


def test_a_server_of_ones_own_gets_the_usual_key_where_the_entry_has_none(upstream: FakeOpenAI, tmp_path: Path) -> None:
    """As LiteLLM does for `openai/`, whatever the address."""
    text = 'model_list:\n  - {{model_name: one, litellm_params: {{model: openai/counted, api_base: "{url}"}}}}\n'
    found = imported(text.format(url=upstream.url), tmp_path)
    line = word(found, "model_list[0].litellm_params.api_base")
    assert line.message == "[providers] base_url; asked with OPENAI_API_KEY, as LiteLLM does"
    assert found.variables == ["OPENAI_API_KEY"]
    settings = found.text.replace("embedded = false", "embedded = false\ndiscover = false")
    with serving(tmp_path / "home", settings, OPENAI_API_KEY="sk-usual") as server:
        assert server.chat("one").status == 200
        assert upstream.received.headers[-1]["authorization"] == "Bearer sk-usual"


RETRIED = """
model_list:
  - {{model_name: alone, litellm_params: {{model: openai/broken, api_base: "{url}", api_key: os.environ/UP_KEY}}}}
router_settings: {{num_retries: {count}}}
"""
FALLEN_BACK = """
model_list:
  - {{model_name: first, litellm_params: {{model: openai/broken, api_base: "{url}", api_key: os.environ/UP_KEY}}}}
  - {{model_name: second, litellm_params: {{model: openai/counted, api_base: "{url}", api_key: os.environ/UP_KEY}}}}
router_settings: {{num_retries: {count}, fallbacks: [{{first: [second]}}]}}
"""


@pytest.mark.parametrize(
    ("text", "count", "outcome", "why", "tries"),
    [
        (RETRIED, 3, "changed", "no policy has it: a named model is tried once more", 2),
        (RETRIED, 1, "carried", "a named model is tried once more", 2),
        (FALLEN_BACK, 2, "changed", "`retries` of the policies: 2, of 0 to 5; a name of one model is tried once", 3),
    ],
)
def test_the_report_says_how_often_a_model_is_tried(
    text: str, count: int, outcome: str, why: str, tries: int, upstream: FakeOpenAI, tmp_path: Path
) -> None:
    found = imported(text.format(url=upstream.url, count=count), tmp_path)
    line = word(found, "router_settings.num_retries")
    assert line.outcome == outcome and line.message.startswith(why), line
    settings = found.text.replace("embedded = false", "embedded = false\ndiscover = false")
    with serving(tmp_path / "home", settings, UP_KEY="sk-one") as server:
        before = len(upstream.received.bodies)
        server.chat("alone" if text == RETRIED else "first")
        asked = [body["model"] for body in upstream.received.bodies[before:]]
        assert asked.count("broken") == tries


def test_what_two_places_say_is_carried_once_and_the_other_is_named(tmp_path: Path) -> None:
    text = """
router_settings: {timeout: 45}
model_list:
  - {model_name: a, litellm_params: {model: openai/gpt-4o, weight: 3}}
  - {model_name: a, litellm_params: {model: anthropic/claude-sonnet-4-5}}
litellm_settings: {request_timeout: 60, cache: true, cache_params: {type: redis, ttl: 300}}
"""
    found = imported(text, tmp_path)
    assert tables(found)["router"]["timeout_s"] == 45.0 and tables(found)["response_cache"] == {"ttl_s": 300.0}
    outcomes = {
        key: word(found, key).outcome
        for key in (
            "router_settings.timeout",
            "litellm_settings.request_timeout",
            "litellm_settings.cache_params.ttl",
            "model_list[0].litellm_params.weight",
        )
    }
    assert list(outcomes.values()) == ["carried", "changed", "carried", "changed"]


def test_models_are_asked_by_their_order_and_those_without_one_last(tmp_path: Path) -> None:
    text = """
model_list:
  - {model_name: a, litellm_params: {model: openai/gpt-4o}}
  - {model_name: a, litellm_params: {model: anthropic/claude-sonnet-4-5, order: 2}}
  - {model_name: a, litellm_params: {model: groq/llama-3.3-70b, order: 1}}
  - {model_name: b, litellm_params: {model: azure/gpt-4o, api_base: https://east.openai.azure.com, order: 1}}
  - {model_name: b, litellm_params: {model: azure/gpt-4o, api_base: https://west.openai.azure.com, order: 2}}
  - {model_name: c, litellm_params: {model: mistral/mistral-large-latest, order: first}}
"""
    found = imported(text, tmp_path)
    assert tables(found)["policies"]["a"]["models"] == [
        "groq/llama-3.3-70b",
        "anthropic/claude-sonnet-4-5",
        "openai/gpt-4o",
    ]
    assert [word(found, f"model_list[{number}].litellm_params.order").outcome for number in (1, 2, 3, 4, 5)] == [
        "carried",
        "carried",
        "changed",
        "changed",
        "refused",
    ]
    cheapest = imported("router_settings: {routing_strategy: cost-based-routing}\n" + text, tmp_path)
    assert tables(cheapest)["policies"]["a"]["kind"] == "cheapest"
    assert word(cheapest, "model_list[2].litellm_params.order").outcome == "changed"
    assert word(found, "model_list[0].model_name").message.endswith("in their order")
    assert word(cheapest, "model_list[0].model_name").message.endswith("in the order of a policy of kind 'cheapest'")


def test_an_included_file_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("include: [models.yaml]\nmodel_list: []\n")
    told = sizewise("import", "litellm", "config.yaml", home=tmp_path)
    assert told.code == 2 and "'models.yaml' cannot be read: No such file or directory" in told.err, told.err
