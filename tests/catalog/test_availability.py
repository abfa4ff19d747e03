"""What is sold where: provider lists and shutdown dates, each with a source, and no offer by its price alone."""

from __future__ import annotations

import re

import pytest

from sizewise.catalog.availability import offer_statuses, tuned_prices
from sizewise.catalog.offer_status import OfferStatus

TODAY, UNTIL = "2026-11-27", "2027-11-27"


@pytest.mark.parametrize(
    ("offer", "objection"),
    [
        ("groq/llama-3.1-8b-instant", "is no longer sold there"),  # shut down on 2026-08-16
        ("anthropic/claude-sonnet-4-5", "will be shut down there within the time horizon"),
        ("groq/llama-3.1-405b-reasoning", "a price alone is no proof"),
        ("openai/gpt-4.1-mini", "will be shut down there within the time horizon"),  # its last dated edition ends
        ("anthropic/claude-haiku-4-5", ""),
        ("together/Qwen/Qwen3.5-9B", ""),
    ],
)
def test_an_offer_is_sold_only_if_a_provider_list_says_so_and_no_date_ends_it(offer: str, objection: str) -> None:
    found = offer_statuses([offer])[offer].objection(TODAY, UNTIL)
    assert (objection in found) if objection else not found


def test_a_shutdown_within_the_horizon_counts_for_long_horizons_only() -> None:
    status = OfferStatus(listed=True, ends="2027-01-14", source="a list, 2026-11-12")
    assert status.objection(TODAY, "2026-12-27") == ""
    assert "within the time horizon" in status.objection(TODAY, UNTIL)
    assert "no longer" in status.objection("2027-02-01", UNTIL)


def test_every_source_is_named_with_its_date() -> None:
    statuses = offer_statuses(["openai/gpt-4.1", "groq/openai/gpt-oss-20b"])
    assert all(re.search(r"\d, .*20\d\d-\d\d-\d\d|20\d\d-\d\d-\d\d\Z", each.source) for each in statuses.values())


def test_tuned_models_of_a_vendor_cost_more_than_untuned_ones() -> None:
    prices = tuned_prices()
    assert prices["openai/gpt-4.1-mini"].input == 800_000 and "litellm" in prices["openai/gpt-4.1-mini"].source
