"""Models by their plain names, as "GPT-4 Turbo" or `claude-3`: shown, listed, fitted, rated and explained."""

from __future__ import annotations

from pathlib import Path

import pytest

from sizewise.catalog.model_files import load_models
from sizewise.catalog.plain_names import models_named
from tests.cli.terminal import sizewise
from tests.running_server import ECHO, serving

CLAUDE_3 = ["claude-3-opus", "claude-3-sonnet", "claude-3-haiku"]
MINE = (
    '[providers.mine]\nwire = "echo"\nplace = "process"\nmodels = ["gpt-4-turbo", "claude-3-opus", "claude-3-haiku"]\n'
)


def test_the_classics_are_known_by_their_plain_names() -> None:
    every = load_models().values()
    named = {
        "GPT-4": ["gpt-4"],
        "GPT-4 Turbo": ["gpt-4-turbo"],
        "gpt_4 turbo": ["gpt-4-turbo"],
        "OpenAI GPT-4 32K": ["gpt-4-32k"],
        "ChatGPT": ["gpt-3.5-turbo"],
        "claude-3": CLAUDE_3,
        "Claude 3": CLAUDE_3,
        "llama-2": ["llama-2-7b", "llama-2-13b", "llama-2-70b"],
        "Llama 3": ["llama-3-8b", "llama-3-70b"],
        "Falcon 7B": ["falcon-7b"],
        "Mistral 7B": ["mistral-7b-v0.1", "mistral-7b-v0.2", "mistral-7b-v0.3"],
        "llama 70b": ["llama-2-70b", "llama-3-70b", "llama-3.1-70b", "llama-3.3-70b"],
        "nonsense": [],
        "  ": [],
        "漢字": [],
        "gpt 4 turbo" * 5_000: [],
    }
    found = {name: [each.name for each in models_named(name, every)] for name in named}
    assert {name: found[name] for name in named if name != "llama 70b"} == {
        name: names for name, names in named.items() if name != "llama 70b"
    }
    assert set(named["llama 70b"]) <= set(found["llama 70b"])
    granite = models_named("granite", every)
    assert len(granite) > 10 and {each.vendor for each in granite} == {"IBM"}
    assert granite == models_named("IBM", every)


def test_a_plain_name_of_several_models_lists_them(tmp_path: Path) -> None:
    done = sizewise("models", "show", "claude-3", home=tmp_path)
    assert done.code == 0 and [line.split()[0] for line in done.out.splitlines()[1:4]] == CLAUDE_3
    assert "sizewise models show claude-3-opus" in done.out
    told = sizewise("models", "show", "claude-3", "--json", home=tmp_path).json
    assert [each["name"] for each in told["models"]] == CLAUDE_3


@pytest.mark.long
def test_a_plain_name_of_one_model_shows_and_fits_it(tmp_path: Path) -> None:
    shown = sizewise("models", "show", "Granite 34B", home=tmp_path).out
    assert "Granite 34B Code Instruct 8K" in shown and "its window holds about 12 pages" in shown
    assert "GPT-4 Turbo" in sizewise("models", "show", "GPT-4 Turbo", home=tmp_path).out
    assert sizewise("fit", "Falcon 7B", "--on", "24GB", "--json", home=tmp_path).json["model"] == "falcon-7b"
    several = sizewise("fit", "Llama 2", "--on", "24GB", home=tmp_path)
    assert several.code == 2 and several.hint == "hint: Choose one: llama-2-7b, llama-2-13b, llama-2-70b."


@pytest.mark.long
def test_advise_rates_every_model_that_a_plain_name_means(tmp_path: Path) -> None:
    done = sizewise("advise", "--criterion", "trust=3,claude-3=0.2,GPT-4 Turbo=0.9", "--json", home=tmp_path)
    assert done.code == 0, done.err
    refused = sizewise("advise", "--criterion", "trust=3,nonsense=0.2", home=tmp_path)
    assert refused.code == 2 and "nonsense" in refused.err


@pytest.mark.long
def test_explain_takes_the_configured_model_that_a_plain_name_means(tmp_path: Path) -> None:
    with serving(tmp_path / "home", ECHO + MINE) as server:
        one = sizewise("route", "explain", "Hello", "--model", "GPT-4 Turbo", "--json", home=server.home)
        assert one.code == 0 and one.json["steps"][0]["models"] == ["mine/gpt-4-turbo"]
        several = sizewise("route", "explain", "Hello", "--model", "claude-3", home=server.home)
        assert several.code == 2 and "mine/claude-3-opus, mine/claude-3-haiku" in several.err
        none = sizewise("route", "explain", "Hello", "--model", "granite", home=server.home)
        assert none.code == 2 and "is not configured here" in none.err and "sizewise models show granite" in none.hint
        assert sizewise("route", "explain", "Hello", "--model", "small", home=server.home).code == 0
