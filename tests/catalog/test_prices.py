"""Prices are what a dated source says, told exactly or not at all, and yield to what the user knows better."""

from __future__ import annotations

import tomllib
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from sizewise.catalog.loader import load_cards
from sizewise.catalog.prices import PRICES_FILE, prices
from sizewise.money import UNKNOWN_PRICE, Price, PriceWindow
from sizewise.settings.load import load_settings
from sizewise.settings.provider_presets import provider_presets

TABLES: dict[str, dict[str, dict[str, Any]]] = tomllib.loads(PRICES_FILE.read_text())
RATES = {"input", "output", "cached", "cache_write", "cache_write_1h", "reasoning"}
ABOUT = {"above", "when", "apart", "dated", "source", "date"}


def card_price(folder: Path, text: str) -> Price:
    path = folder / "sizewise.toml"
    path.write_text(f"[server]\nembedded = false\n{text}")
    (card,) = load_cards(load_settings(path, folder / "home", {"SIZEWISE_CACHE": str(folder / "cache")}))
    return card.price


# ---- the file


def test_it_prices_hundreds_of_models_of_endpoints_that_we_name() -> None:
    assert set(TABLES) <= set(provider_presets())
    assert sum(map(len, TABLES.values())) > 500


@pytest.mark.parametrize("endpoint", TABLES)
def test_every_price_says_which_release_of_which_source_it_is_from_and_when(endpoint: str) -> None:
    for model, row in TABLES[endpoint].items():
        source, _, release = row["source"].rpartition(" ")
        assert source == "genai-prices" and release[0].isdigit(), model
        assert date(2026, 1, 1) <= date.fromisoformat(row["date"]) <= date.today(), model


@pytest.mark.parametrize("endpoint", TABLES)
def test_a_row_has_nothing_but_rates_and_the_conditions_under_which_they_hold(endpoint: str) -> None:
    for model, row in TABLES[endpoint].items():
        assert row.keys() <= RATES | ABOUT and "input" in row, model
        for one in row.get("when", ()):
            assert one.keys() <= RATES | {"since", "hours", "above"} and ("since" in one) != ("hours" in one), model
        for tiers in (row.get("above", ()), *(one.get("above", ()) for one in row.get("when", ()))):
            assert all(tier.keys() <= RATES | {"tokens"} for tier in tiers), model
            starts = [tier["tokens"] for tier in tiers]
            assert starts == sorted(set(starts)) and all(starts), model


@pytest.mark.parametrize("endpoint", TABLES)
def test_what_is_read_line_by_line_is_what_the_whole_file_says(endpoint: str) -> None:
    found = prices(endpoint, TABLES[endpoint])
    assert found.keys() == TABLES[endpoint].keys()
    for model, row in TABLES[endpoint].items():
        got = found[model]
        rates = {name: rate for name in RATES if (rate := getattr(got, name)) is not None}
        assert {name: f"{rate / 1_000_000:.6f}" for name, rate in rates.items()} == {
            name: f"{float(row[name]):.6f}" for name in RATES & row.keys()
        }
        assert [tokens for tokens, _ in got.tiers] == [tier["tokens"] for tier in row.get("above", ())]
        assert (len(got.schedule), got.unpriced_modalities) == (
            len(row.get("when", ())),
            frozenset(row.get("apart", ())),
        )


# ---- who has one


def test_a_provider_that_names_its_endpoint_has_the_prices_of_its_models(tmp_path: Path) -> None:
    got = card_price(tmp_path, '[providers.mine]\nendpoint = "openai"\nmodels = ["gpt-4o-mini"]')
    assert (got.input, got.output, got.cached, got.source) == (150_000, 600_000, 75_000, "genai-prices 0.2.3")


@pytest.mark.parametrize(
    "table",
    [
        'endpoint = "openai"\nmodels = ["gpt-4o-minimum"]',
        'endpoint = "openai"\nmodels = ["gpt-4o-mini-search-preview"]',
        'endpoint = "groq"\nmodels = ["gpt-4o-mini"]',
        'endpoint = "azure"\nresource = "r"\nmodels = ["gpt-4o-mini"]',
        'base_url = "https://api.openai.com/v1"\nmodels = ["gpt-4o-mini"]',
    ],
)
def test_whoever_the_source_does_not_name_has_no_price(table: str, tmp_path: Path) -> None:
    assert card_price(tmp_path, f"[providers.mine]\n{table}") == UNKNOWN_PRICE


def test_what_the_user_knows_goes_before_the_list(tmp_path: Path) -> None:
    got = card_price(
        tmp_path,
        '[providers.mine]\nendpoint = "openai"\nmodels = ["gpt-4o-mini"]\n'
        '[models."mine/gpt-4o-mini"]\nprice = {input = "1", output = "2", cache_write_1h = "3"}',
    )
    assert got == Price(1_000_000, 2_000_000, cache_write_1h=3_000_000, source="sizewise.toml")


def test_an_edition_has_the_price_of_its_model_only_where_the_source_says_so() -> None:
    found = prices("anthropic", ["claude-sonnet-4-5-20250929", "claude-sonnet-4-5"])
    assert found["claude-sonnet-4-5-20250929"] == found["claude-sonnet-4-5"]
    assert prices("openai", ["gpt-4o-2024-05-13"])["gpt-4o-2024-05-13"] != prices("openai", ["gpt-4o"])["gpt-4o"]
    assert not prices("openai", ["gpt-4o-mini-2031-01-01", "gpt-4o-mini-2024-99-99"])


@pytest.mark.parametrize("model", ['gpt-4o-mini" = {', "gpt-4o\\u002dmini", "", "[", "gpt-4o-mini\n", "claude"])
def test_an_odd_name_finds_nothing(model: str) -> None:
    assert prices("openai", [model]) == {} == prices("anthropic", [model])


# ---- conditions


NIGHT = Price(1, 2)
HOURS = Price(10, 20, schedule=(PriceWindow(NIGHT, start_second=22 * 3600, end_second=4 * 3600),))


def at(text: str) -> float:
    return datetime.fromisoformat(f"{text}+00:00").timestamp()


@pytest.mark.parametrize(
    ("began", "ended", "expected"),
    [
        ("2026-11-25T21:59:59", "2026-11-25T21:59:59.9", HOURS),
        ("2026-11-25T22:00:00", "2026-11-26T03:59:59", NIGHT),
        ("2026-11-25T04:00:00", "2026-11-25T04:00:01", HOURS),
        ("2026-11-25T21:59:59", "2026-11-25T22:00:00", UNKNOWN_PRICE),
        ("2026-11-25T03:59:59", "2026-11-25T04:00:00", UNKNOWN_PRICE),
    ],
)
def test_a_price_of_the_hour_is_known_only_where_beginning_and_end_agree(
    began: str,
    ended: str,
    expected: Price,
) -> None:
    assert HOURS.at(at(began), at(ended)) is expected


def test_a_price_that_is_to_come_holds_from_its_day_on_in_utc() -> None:
    got = prices("google", ["gemini-3.8-flash"])["gemini-3.8-flash"]
    before, after = at("2026-12-31T23:59:59"), at("2027-01-01T00:00:00")
    assert (got.at(before, before).input, got.at(after, after).input) == (750_000, 1_500_000)
    assert got.at(before, after) == UNKNOWN_PRICE


def test_for_a_bound_the_dearest_time_counts() -> None:
    assert HOURS.max_cost(1, 1) == 30 and HOURS.cost(1, 1) == 30
    assert Price(1, 2, schedule=(PriceWindow(Price(10, 20)),)).max_cost(1, 1) == 30
    assert Price(1, 2, schedule=(PriceWindow(UNKNOWN_PRICE),)).max_cost(1, 1) is None


def test_what_is_kept_for_an_hour_is_unknown_where_only_the_minutes_have_a_price() -> None:
    assert Price(1, 2, cache_write=3).cost(10, 0, cache_write=4) == 6 + 12
    assert Price(1, 2, cache_write=3).cost(10, 0, cache_write=4, cache_write_1h=1) is None
    assert Price(1, 2, cache_write=3, cache_write_1h=5).cost(10, 0, cache_write=4, cache_write_1h=1) == 6 + 9 + 5


# ---- the source itself


MOMENTS = [datetime(2026, 11, 24, tzinfo=UTC) + timedelta(hours=hour, minutes=15) for hour in range(24)]
MOMENTS += [datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 2, 29, 12, tzinfo=UTC)]


@pytest.mark.parametrize("endpoint", TABLES)
def test_every_price_is_the_sources_own(endpoint: str) -> None:
    """Both work out the same usages: each class, short and long prompts, every hour of a day, and days to come."""
    pytest.importorskip("genai_prices", reason="genai-prices is in the dev group")
    from genai_prices.data import providers
    from genai_prices.types import Usage

    from docs.prices import SOURCES

    source = next(each for each in providers if each.id == SOURCES[endpoint])
    for model, ours in prices(endpoint, TABLES[endpoint]).items():
        info = source.find_model(model)
        assert info is not None, model
        starts = {0, 900, *(tokens for tokens, _ in ours.tiers)}
        moments = MOMENTS if ours.schedule else MOMENTS[:1]
        for prompt in {tokens + more for tokens in starts for more in (0, 1)}:
            cached, short, hour = prompt // 3, prompt // 7, prompt // 11 if ours.cache_write_1h is not None else 0
            output = 0 if ours.output is None else 77
            usage: dict[str, int] = {"input_tokens": prompt, "output_tokens": output, "cache_read_tokens": cached}
            usage |= {"cache_write_tokens": short + hour, "cache_write_1h_tokens": hour}
            for moment in moments:
                theirs = info.calc_price(Usage(**usage), source, genai_request_timestamp=moment).total_price
                price = ours.at(moment.timestamp(), moment.timestamp())
                pico = price.cost(prompt, output, cached, short + hour, 0, hour)
                assert pico == theirs * 10**12, (model, usage, moment)


def test_the_file_is_what_the_generator_writes_of_the_release_it_names() -> None:
    pytest.importorskip("genai_prices", reason="genai-prices is in the dev group")
    from docs.prices import written

    row = next(iter(TABLES["openai"].values()))
    if row["source"] != f"genai-prices {version('genai-prices')}":
        pytest.skip("another release is installed; run: make prices")
    assert written(row["source"], date.fromisoformat(row["date"])) == PRICES_FILE.read_text()
