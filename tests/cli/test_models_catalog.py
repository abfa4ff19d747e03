"""`sizewise models show` and `list --all` over the whole catalogue: models that nobody has configured here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.terminal import sizewise
from tests.running_server import Served, serving

CLOUD = """
[server]
embedded = false
discover = false
[sizes]
slm = 1_000_000_000
llm = 8_000_000_000
[providers.cloud]
base_url = "https://cloud.invalid/v1"
models = ["meta-llama/Llama-3-8B", "our-own"]
[models."cloud/meta-llama/Llama-3-8B"]
context = 4_096
"""


def test_a_model_of_the_catalogue_is_shown_with_each_source_and_day(echo: Served, tmp_path: Path) -> None:
    for home in (echo.home, tmp_path):
        done = sizewise("models", "show", "gpt-4", home=home)
        lines = {line.split()[0]: line for line in done.out.splitlines() if line}
        assert done.code == 0
        assert "not configured here" in lines["state"]
        assert "unverified: the-decoder.com" in lines["parameters"] and "2023-07-11" in lines["parameters"]
        assert "8,192" in lines["context"] and "litellm" in lines["context"]
        assert "weights not published" in lines["license"] and "models.dev" in lines["license"]
        assert "unknown" in lines["calls_home"]
        assert "memory to run it: unknown" in done.out
        assert lines["openai/gpt-4"].split()[1:3] == ["30", "60"] and "genai-prices" in lines["openai/gpt-4"]


@pytest.mark.parametrize(
    ("name", "known"),
    [
        (
            "llama-2-7b",
            {"architecture": "dense decoder", "languages": "en", "training_data": "2 trillion", "note": "English"},
        ),
        ("qwen2.5-coder-1.5b", {"calls_home": "no", "license": "Apache-2.0", "training_data": "source code"}),
        ("mixtral-8x7b", {"architecture": "moe decoder", "training_data": "unknown", "calls_home": "unknown"}),
        ("gpt-4o", {"architecture": "unknown", "training_data": "web crawls", "license": "weights not published"}),
        ("kimi-k2", {"training_data": "where they are from is not stated", "license": "Modified MIT"}),
        ("nova-pro", {"training_data": "unknown", "languages": "unknown"}),
    ],
)
@pytest.mark.long
def test_where_its_training_data_came_from_is_said_or_unknown(name: str, known: dict[str, str], tmp_path: Path) -> None:
    shown = sizewise("models", "show", name, "--json", home=tmp_path).json["catalogModel"]["facts"]
    facts = {each["name"]: each for each in shown}
    for fact, value in known.items():
        assert value in facts[fact]["value"], fact
        assert bool(facts[fact]["source"] and facts[fact]["date"]) == (value != "unknown"), fact
    assert ("note" in facts) == ("note" in known)


def test_what_it_takes_to_run_it_is_computed_by_quantisation_and_context(tmp_path: Path) -> None:
    known = sizewise("models", "show", "qwen2.5-7b", "--json", home=tmp_path).json["catalogModel"]
    needs = {(each["quantization"], each["tokens"]): each["bytes"] for each in known["memory"]}
    assert {tokens for _, tokens in needs} == {4_096, 32_768}
    assert needs["Q4_K_M", 4_096] < needs["Q4_K_M", 32_768] < needs["BF16", 4_096]
    embedded = sizewise("models", "show", "smollm2-135m", "--json", home=tmp_path).json["catalogModel"]["memory"]
    assert embedded[0]["quantization"] == "this file"
    assert "MEMORY, COMPUTED" in sizewise("models", "show", "qwen2.5-7b", home=tmp_path).out


@pytest.mark.long
def test_the_shape_is_the_same_configured_or_not_and_with_or_without_a_server(echo: Served, tmp_path: Path) -> None:
    running = sizewise("models", "show", "gpt-4", "--json", home=echo.home).json
    offline = sizewise("models", "show", "gpt-4", "--json", home=tmp_path).json
    configured = sizewise("models", "show", "echo/small", "--json", home=echo.home).json
    embedded = sizewise("models", "show", "smollm2-135m", "--json", home=tmp_path).json
    elsewhere = sizewise("models", "show", "gpt-4", "--json", "--url", echo.url, SIZEWISE_KEY=echo.key).json
    assert running == offline == elsewhere
    assert running.keys() == configured.keys() == embedded.keys()
    assert configured["catalogModel"] is None and embedded["catalogModel"]["vendor"] == "Hugging Face"
    assert (running["place"], running["price"]["input"]) == ("", None)


@pytest.mark.long
def test_an_unknown_model_is_told_with_the_nearest_of_the_catalogue(echo: Served, tmp_path: Path) -> None:
    for home in (echo.home, tmp_path):
        done = sizewise("models", "show", "falcon-7", home=home)
        assert (done.code, done.hint) == (2, "hint: Did you mean 'falcon-7b'?")
    assert sizewise("models", "show", "falcon-7", "--url", echo.url, SIZEWISE_KEY=echo.key).code == 2


@pytest.mark.long
def test_a_configured_model_is_shown_with_both_what_is_set_and_what_is_known(tmp_path: Path) -> None:
    with serving(tmp_path, CLOUD) as served:
        shown = sizewise("models", "show", "cloud/meta-llama/Llama-3-8B", home=served.home).out
        lines = {line.split()[0]: line for line in shown.splitlines() if line}
        assert "sizewise.toml" in lines["context"] and "4,096" in lines["context"]
        assert "8,030,261,248" in lines["parameters"] and "litgpt" in lines["parameters"]
        assert "128,256" in lines["vocabulary"] and "groq/llama3-8b-8192" in lines
        told = sizewise("models", "show", "cloud/meta-llama/Llama-3-8B", "--json", home=served.home).json
        assert (told["size"], told["catalogModel"]["size"]) == ("llm", "llm"), "as [sizes] has it"
        listed = sizewise("models", "--json", home=served.home).json["models"]
        assert {each["name"]: each["size"] for each in listed if each["place"] == "anyone"} == {
            "cloud/meta-llama/Llama-3-8B": "llm",
            "cloud/our-own": "unknown",
        }


@pytest.mark.long
def test_the_whole_catalogue_is_listed_when_asked_for(echo: Served, tmp_path: Path) -> None:
    short = sizewise("models", home=echo.home)
    assert short.out == sizewise("models", "list", home=echo.home).out and "gpt-4-32k" not in short.out
    running = sizewise("models", "list", "--all", "--json", home=echo.home).json
    offline = sizewise("models", "--all", "--json", home=tmp_path).json
    assert running["catalog"] == offline["catalog"] and len(running["catalog"]) >= 60
    assert "catalogue" not in sizewise("models", "--json", home=tmp_path).json
    (line,) = [
        each for each in sizewise("models", "list", "--all", home=tmp_path).out.splitlines() if "gpt-4-32k " in each
    ]
    assert line.split()[1:] == ["OpenAI", "llm", "unverified", "1,760,000,000,000", "32,768", "60", "120", "?"]


def test_the_help_stays_on_one_screen(tmp_path: Path) -> None:
    for words in (("models",), ("models", "list"), ("models", "show")):
        assert len(sizewise(*words, "--help", home=tmp_path).out.splitlines()) <= 30
