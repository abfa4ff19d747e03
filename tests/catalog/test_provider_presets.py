"""Every known endpoint passes the kit of rows and fills a provider's table; what they get sent: test_rows.py."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sizewise.catalog.loader import load_cards
from sizewise.errors import ConfigError
from sizewise.plugins import plugin_names
from sizewise.settings.load import Settings, load_settings
from sizewise.settings.models import ProviderSettings
from sizewise.settings.provider_presets import URL_VARIABLES, provider_presets, url_variables
from sizewise.testing.preset_conformance import preset_errors

ROWS = provider_presets()


def settings(folder: Path, text: str) -> Settings:
    path = folder / "sizewise.toml"
    path.write_text(text)
    return load_settings(path, folder / "home", {"SIZEWISE_CACHE": str(folder / "cache")})


def provider(folder: Path, text: str) -> ProviderSettings:
    return settings(folder, f"[providers.mine]\n{text}").providers["mine"]


def refused(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as error:
        provider(folder, text)
    return error.value.message


# ---- the rows themselves


def test_there_are_enough_endpoints_to_feel_at_home() -> None:
    assert len(ROWS) >= 25
    titles = [row.title for row in ROWS.values()]
    assert len(set(titles)) == len(titles) and list(ROWS) != []


@pytest.mark.parametrize("name", ROWS)
def test_a_row_has_its_source_and_would_be_accepted_as_a_providers_table(name: str) -> None:
    assert preset_errors(name, ROWS[name], plugin_names("wires")) == []


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"base_url": "ftp://example.org"}, "base_url"),
        ({"base_url": "https://{user}.example.org/v1"}, "no field fills"),
        ({"base_url": "http://example.org/v1"}, "needs TLS"),
        ({"key": ""}, "needs TLS"),
        ({"local": True}, "on this machine"),
        ({"auth": "a b"}, "auth"),
        ({"key": "sk-secret"}, "by reference"),
        ({"wire": "morse"}, "'morse'"),
        ({"date": "2025-12-31"}, "date"),
        ({"date": "soon"}, "date"),
        ({"date": "2026-02-31"}, "date"),
        ({"source": "web"}, "source"),
        ({"rename_params": {"a": "b"}, "drop_params": ("a",)}, "both renamed and removed"),
    ],
)
def test_the_kit_of_rows_sees_what_is_wrong(more: dict[str, Any], words: str) -> None:
    row = replace(ROWS["groq"], **more)
    assert (
        words in " ".join(preset_errors("mine", row, plugin_names("wires")))
        and preset_errors("groq", ROWS["groq"], ["openai"]) == []
    )


def test_no_two_clouds_share_an_address() -> None:
    clouds = [row.base_url for row in ROWS.values() if not row.local]
    assert len(set(clouds)) == len(clouds)


# ---- what they fill in


@pytest.mark.parametrize("name", ROWS)
def test_a_provider_needs_only_its_endpoint_and_models(name: str, tmp_path: Path) -> None:
    row = ROWS[name]
    fills = "".join(f'{each} = "abc"\n' for each in url_variables(row.base_url))
    mine = provider(tmp_path, f'endpoint = "{name}"\nmodels = ["m"]\n{fills}')
    assert mine.base_url == row.base_url.format_map(dict.fromkeys(URL_VARIABLES, "abc"))
    assert (mine.wire, mine.auth, mine.key) == (row.wire, row.auth, row.key)
    assert (dict(mine.rename_params), mine.drop_params) == (dict(row.rename_params), row.drop_params)
    assert mine.place == "anyone", "a place is declared, never known from an address"


def test_what_the_table_says_itself_goes_before_the_endpoint(tmp_path: Path) -> None:
    mine = provider(
        tmp_path,
        'endpoint = "anthropic"\nbase_url = "https://proxy.example/v1"\nwire = "openai"\nkey = "env:OTHER"\n'
        'auth = "bearer"\nplace = "network"\nmodels = ["m"]',
    )
    assert (mine.base_url, mine.wire, mine.key) == ("https://proxy.example/v1", "openai", "env:OTHER")
    assert (mine.auth, mine.place) == ("bearer", "network")


def test_the_cards_of_its_models_know_how_the_endpoint_is_spoken_to(tmp_path: Path) -> None:
    mine = settings(tmp_path, '[server]\nembedded = false\n[providers.a]\nendpoint = "cohere"\nmodels = ["m"]')
    (card,) = load_cards(mine)
    assert card.endpoint.base_url == ROWS["cohere"].base_url
    assert (card.endpoint.auth, card.endpoint.dropped_fields) == ("", ("stream_options",))


def test_an_unknown_endpoint_names_the_nearest(tmp_path: Path) -> None:
    said = refused(tmp_path, 'endpoint = "grok"\nmodels = ["m"]')
    assert "providers.mine.endpoint: there is no preset 'grok'" in said and "'groq'" in said
    assert "1 error in" in said, "and nothing is said of the base_url that it would have given"


def test_a_part_of_the_address_that_is_missing_is_named_with_the_address(tmp_path: Path) -> None:
    said = refused(tmp_path, 'endpoint = "dashscope"\nmodels = ["m"]')
    assert "providers.mine.account: is missing" in said and "providers.mine.region: is missing" in said
    assert "{account}.{region}" in said


def test_a_part_that_the_address_has_no_place_for_is_refused(tmp_path: Path) -> None:
    said = refused(tmp_path, 'endpoint = "groq"\nregion = "eu"\nmodels = ["m"]')
    assert "providers.mine.region: 'groq' does not use it" in said


@pytest.mark.parametrize("part", ["evil.example/x?", "a/b", "a@b", "x#", " ", ""])
def test_a_part_cannot_lead_to_another_host(part: str, tmp_path: Path) -> None:
    assert "providers.mine.resource" in refused(tmp_path, f'endpoint = "azure"\nresource = "{part}"\nmodels = ["m"]')


@pytest.mark.parametrize(
    "text",
    ["endpoint = 3", 'endpoint = "groq"\nrename_params = 3', 'endpoint = "groq"\nauth = "a b"'],
)
def test_a_table_of_a_wrong_shape_is_refused_in_words(text: str, tmp_path: Path) -> None:
    assert "providers.mine." in refused(tmp_path, f'{text}\nmodels = ["m"]')
