"""Every known endpoint has its source, fills a provider's table, and gets the very request that was recorded."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sizewise.catalog.read import cards
from sizewise.config import Settings, load
from sizewise.endpoints import VARIABLES, Row, rows, variables
from sizewise.errors import ConfigError
from sizewise.settings import Provider, auth, reference, url
from tests.served import Served
from tests.wires.record import FOLDER, Double, address, record, recording, speakable

ROWS = rows()


def settings(folder: Path, text: str) -> Settings:
    path = folder / "sizewise.toml"
    path.write_text(text)
    return load(path, folder / "home", {"SIZEWISE_CACHE": str(folder / "cache")})


def provider(folder: Path, text: str) -> Provider:
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
def test_a_row_says_where_it_was_read_and_when(name: str) -> None:
    row = ROWS[name]
    assert len(row.source) > 10
    assert date(2026, 1, 1) <= date.fromisoformat(row.date)


@pytest.mark.parametrize("name", ROWS)
def test_a_row_would_be_accepted_as_a_providers_table(name: str) -> None:
    row = ROWS[name]
    assert url(address(row)) == address(row)
    assert not row.auth or auth(row.auth) == row.auth
    assert not row.key or (reference(row.key) == row.key and row.key.startswith("env:"))
    assert set(variables(row.base_url)) <= set(VARIABLES)


@pytest.mark.parametrize("name", ROWS)
def test_a_cloud_is_reached_by_tls_with_a_key_and_what_you_run_yourself_on_this_machine(name: str) -> None:
    row, parts = ROWS[name], urlsplit(ROWS[name].base_url)
    if row.local:
        assert (parts.scheme, parts.hostname, row.key) == ("http", "127.0.0.1", "")
    else:
        assert parts.scheme == "https" and row.key


def test_no_two_clouds_share_an_address() -> None:
    clouds = [row.base_url for row in ROWS.values() if not row.local]
    assert len(set(clouds)) == len(clouds)


# ---- what they fill in


@pytest.mark.parametrize("name", ROWS)
def test_a_provider_needs_only_its_endpoint_and_models(name: str, tmp_path: Path) -> None:
    row = ROWS[name]
    fills = "".join(f'{each} = "abc"\n' for each in variables(row.base_url))
    mine = provider(tmp_path, f'endpoint = "{name}"\nmodels = ["m"]\n{fills}')
    assert mine.base_url == row.base_url.format_map(dict.fromkeys(VARIABLES, "abc"))
    assert (mine.wire, mine.auth, mine.key) == (row.wire, row.auth, row.key)
    assert (dict(mine.rename), mine.leave_out) == (dict(row.rename), row.leave_out)
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
    (card,) = cards(mine)
    assert card.endpoint.base_url == ROWS["cohere"].base_url
    assert (card.endpoint.auth, card.endpoint.leave_out) == ("", ("stream_options",))


def test_an_unknown_endpoint_names_the_nearest(tmp_path: Path) -> None:
    said = refused(tmp_path, 'endpoint = "grok"\nmodels = ["m"]')
    assert "providers.mine.endpoint: there is no endpoint 'grok'" in said and "'groq'" in said
    assert "a mistake in" in said, "and nothing is said of the base_url that it would have given"


def test_a_part_of_the_address_that_is_missing_is_named_with_the_address(tmp_path: Path) -> None:
    said = refused(tmp_path, 'endpoint = "dashscope"\nmodels = ["m"]')
    assert "providers.mine.account: is missing" in said and "providers.mine.region: is missing" in said
    assert "{account}.{region}" in said


def test_a_part_that_the_address_has_no_place_for_is_refused(tmp_path: Path) -> None:
    said = refused(tmp_path, 'endpoint = "groq"\nregion = "eu"\nmodels = ["m"]')
    assert "providers.mine.region: 'groq' has no place for it" in said


@pytest.mark.parametrize("part", ["evil.example/x?", "a/b", "a@b", "x#", " ", ""])
def test_a_part_cannot_lead_to_another_host(part: str, tmp_path: Path) -> None:
    assert "providers.mine.resource" in refused(tmp_path, f'endpoint = "azure"\nresource = "{part}"\nmodels = ["m"]')


@pytest.mark.parametrize("text", ["endpoint = 3", 'endpoint = "groq"\nrename = 3', 'endpoint = "groq"\nauth = "a b"'])
def test_a_table_of_a_wrong_shape_is_refused_in_words(text: str, tmp_path: Path) -> None:
    assert "providers.mine." in refused(tmp_path, f'{text}\nmodels = ["m"]')


# ---- what they get sent


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Double]]:
    with recording(tmp_path_factory.mktemp("endpoints")) as both:
        yield both


@pytest.mark.parametrize("name", speakable())
def test_an_endpoint_gets_the_request_that_was_recorded(name: str, recorder: tuple[Served, Double]) -> None:
    path = FOLDER / f"{name}.http"
    assert path.exists(), f"record it: python -m tests.wires.record {name}"
    assert record(*recorder, name) == path.read_text()


@pytest.mark.parametrize("name", speakable())
def test_a_recorded_request_goes_where_its_row_says(name: str) -> None:
    row, parts = ROWS[name], urlsplit(address(ROWS[name]))
    for request in (FOLDER / f"{name}.http").read_text().split("\n\n###\n\n"):
        head, _, body = request.partition("\n\n")
        line, *lines = head.split("\n")
        headers = {key.lower(): value for key, _, value in (each.partition(": ") for each in lines)}
        assert line.startswith(f"POST {parts.path}/") and line.endswith(" HTTP/1.1") and "?" not in line
        assert (headers["host"], headers["content-type"]) == (parts.netloc, "application/json")
        carried = {each: value for each, value in headers.items() if "THE-KEY" in value}
        assert carried == _carried(row)
        assert not any(f'"{ours}"' in body for ours in (*row.rename, *row.leave_out))


def _carried(row: Row) -> dict[str, str]:
    if not row.key:
        return {}
    return {row.auth: "THE-KEY"} if row.auth else {"authorization": "Bearer THE-KEY"}


def test_no_recording_is_left_over() -> None:
    assert {path.stem for path in FOLDER.glob("*.http")} <= set(ROWS)
