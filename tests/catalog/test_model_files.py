"""The catalogue of models: what stands in it is sourced and dated, and what is not is refused with words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest

from sizewise.catalog.current_catalog import PACKAGED
from sizewise.catalog.model_files import MODELS_DIR, find_models, load_models
from sizewise.catalog.model_info import QUANTIZATION_BITS, ModelInfo
from sizewise.errors import ConfigError
from sizewise.model_card import SizeThresholds

TODAY = date(2026, 11, 25)
HEAD = '[sources.card]\nsource = "its card"\ndate = "2026-01-31"\n\n'
GOOD = (
    '["tiny-1b"]\ntitle = "Tiny 1B"\nvendor = "Tiny"\nfacts = [\n  { ref = "card", parameters = 1_000_000_000 },\n]\n'
)
CLASSICS = (
    "gpt-4",
    "gpt-4-turbo",
    "gpt-4-32k",
    "gpt-3.5-turbo",
    "chatgpt",
    "claude-3-opus",
    "claude-3-sonnet",
    "claude-3-haiku",
    "granite-13b-chat-v2",
    "granite-3.0-8b",
    "granite-3.3-8b",
    "llama-2-7b",
    "llama-2-13b",
    "llama-2-70b",
    "llama-3-8b",
    "llama-3-70b",
    "falcon-7b",
    "mistral-7b-v0.1",
)


@pytest.fixture(scope="module")
def every() -> Mapping[str, ModelInfo]:
    return load_models()


def written(folder: Path, text: str, head: str = HEAD) -> Mapping[str, ModelInfo]:
    (folder / "tiny.toml").write_text(head + text)
    return load_models(folder, TODAY)


def saying(facts: str) -> str:
    """A model with only these facts."""
    return f'["tiny-1b"]\ntitle = "Tiny 1B"\nvendor = "Tiny"\nfacts = [{{ {facts} }}]\n'


# ---- the lint of what we ship


def test_every_fact_of_every_model_has_a_source_and_a_day(every: Mapping[str, ModelInfo]) -> None:
    assert len(every) >= 60
    for model in every.values():
        facts = list(model.facts())
        assert facts, f"{model.name}: no facts"
        for name, fact in facts:
            assert fact.source.strip() and date.fromisoformat(fact.date) <= date.today(), f"{model.name}.{name}"


def test_license_and_training_data_of_the_models_asked_for_most_are_known(every: Mapping[str, ModelInfo]) -> None:
    """Of 181 chat models on 28 November 2026; each fact has its source, see above."""
    chat = [model for model in every.values() if model.task == "chat"]
    assert sum(model.license is not None for model in chat) >= 145
    assert sum(model.training_data is not None for model in chat) >= 84
    closed = every["gpt-4o"].license
    assert closed is not None and closed.value == "proprietary, weights not published"
    assert every["gpt-4o"].calls_home is None, "no runtime of ours runs it"


def test_the_models_that_everyone_asks_for_first_are_there(every: Mapping[str, ModelInfo]) -> None:
    assert [name for name in CLASSICS if name not in every and name not in find_models([name])] == []
    assert len([name for name in every if name.startswith("granite")]) >= 5


def test_no_two_files_tell_of_one_model_and_every_table_is_read(every: Mapping[str, ModelInfo]) -> None:
    tables = sum(path.read_text().count('\n["') for path in MODELS_DIR.glob("*.toml"))
    assert len(every) == tables


def test_a_size_that_its_vendor_keeps_secret_is_only_claimed(every: Mapping[str, ModelInfo]) -> None:
    told = every["gpt-4"].parameters
    assert told is not None and told.claimed and str(told).startswith("claimed: ")
    assert every["gpt-4o"].parameters is None


def test_a_name_means_the_same_model_however_it_is_found(every: Mapping[str, ModelInfo]) -> None:
    """`find_models` cuts tables out of text and `load_models` reads whole files: they must agree on every name there
    is."""
    whose = {name: model for model in every.values() for name in {model.name, *model.aliases}}
    assert find_models(whose) == whose


def test_a_name_is_found_in_capitals_and_behind_an_organization() -> None:
    found = find_models(["GPT-4O", "someone/llama-3-8b", "nobody/nothing", "", 'a"b'])
    assert {name: model.name for name, model in found.items()} == {
        "GPT-4O": "gpt-4o",
        "someone/llama-3-8b": "llama-3-8b",
    }


def test_every_offer_has_a_price(every: Mapping[str, ModelInfo]) -> None:
    listed = {
        f"{seller}/{name}" for model in every.values() for seller, names in model.offers.items() for name in names
    }
    assert set(PACKAGED.prices_by_offer(every.values())) == listed
    assert PACKAGED.prices_by_offer([every["gpt-4o"]])["openai/gpt-4o"].source


def test_memory_grows_with_bits_and_context(every: Mapping[str, ModelInfo]) -> None:
    model = every["llama-3-8b"]
    few, many, long = (
        model.estimate_memory(bits, context) for bits, context in (("Q4_K_M", 4096), ("BF16", 4096), ("Q4_K_M", 8192))
    )
    assert few is not None and many is not None and long is not None
    assert few.weights < many.weights and few.kv_cache == many.kv_cache < long.kv_cache
    assert every["gpt-4o"].estimate_memory("Q4_K_M", 4096) is None, "what is unknown is not guessed"
    assert all(model.weights_bytes(name) for name in QUANTIZATION_BITS)


def test_the_bounds_of_a_class_are_given(every: Mapping[str, ModelInfo]) -> None:
    model = every["llama-3-8b"]
    assert (
        model.size_class(),
        model.size_class(SizeThresholds(slm=10**9, llm=2 * 10**9)),
        every["gpt-4o"].size_class(),
    ) == (
        "slm",
        "llm",
        "unknown",
    )


# ---- what is refused


def test_a_model_that_a_source_tells_of_is_read(tmp_path: Path) -> None:
    (model,) = written(tmp_path, GOOD).values()
    assert model.parameters is not None
    assert (model.parameters.value, str(model.parameters)) == (1_000_000_000, "its card, 2026-01-31")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (saying('source = "its card", parameters = 1_000_000_000'), "has no date"),
        (saying('date = "2026-01-31", parameters = 1_000_000_000'), "has no source"),
        (saying("parameters = 1_000_000_000"), "has no source"),
        (saying('source = " ", date = "2026-01-31", tools = true'), "is empty"),
        (saying('source = "its card", date = "2026-11-26", tools = true'), "in the future"),
        (saying('source = "its card", date = "last week", tools = true'), "not a date such as"),
        (saying('ref = "card", release_date = "2027"'), "in the future"),
        (saying('ref = "crad", tools = true'), "there is no source 'crad'.*'card'"),
        (saying('ref = "card", source = "another", tools = true'), "has two sources"),
        (saying('ref = "card", tools = true }, { ref = "card", tools = false'), "is already set"),
        (saying('ref = "card", parameters = 7'), "is not from 1e"),
        (saying('ref = "card", parameters = 1_000_000_000, active = 2_000_000_000'), "is more than the parameters"),
        (saying('ref = "card", context = 100, max_output = 200'), "is more than the context"),
        (saying('ref = "card", contxt = 100'), "there is no such setting.*context"),
        (saying('ref = "card", architecture = "sparse"'), "architecture"),
        (saying('ref = "card", scores = { mmlu = 70 }'), "is not from 0 to 1"),
        (GOOD.replace("facts", "fact"), "there is no such setting.*facts"),
        (GOOD.replace("tiny-1b", "Tiny 1B"), "is not a lower-case name"),
        (GOOD + GOOD.replace('"tiny-1b"', '"tiny-2b"', 1) + 'aliases = ["tiny-1b"]\n', "is also a name of 'tiny-1b'"),
        (GOOD + GOOD, "is not TOML"),
        (GOOD + 'offers = { nobody = ["tiny"] }\n', "has no prices"),
        (GOOD + 'offers = { openai = ["tiny-1b"] }\n', "'tiny-1b' has no price"),
    ],
)
def test_a_mistake_is_refused_with_words(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s){why}") as refused:
        written(tmp_path, text)
    assert "tiny.toml" in refused.value.message


def test_all_mistakes_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        written(tmp_path, saying("tools = true") + saying('ref = "card", contxt = 1').replace("1b", "2b"))
    assert "3 errors" in refused.value.message


def test_a_start_refuses_the_table_it_reads_and_minds_no_other(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(HEAD + GOOD + saying("tools = true").replace("1b", "2b"))
    assert set(find_models(["tiny-1b"], tmp_path)) == {"tiny-1b"}
    with pytest.raises(ConfigError, match="has no source"):
        find_models(["tiny-2b"], tmp_path)
