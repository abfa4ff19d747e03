"""The check of `sizewise doctor` for audio and image models without a price; asks no server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sizewise.catalog.loader import load_cards
from sizewise.cli.doctor_checks import CheckResult
from sizewise.errors import SizewiseError
from sizewise.model_card import MEDIA_TASKS, ModelCard
from sizewise.settings.load import Settings

UNITS: Mapping[str, str] = {"transcribe": "second", "speak": "character", "image": "image"}
"""What providers of each task price."""


def check_media_prices(settings: Settings) -> Iterator[CheckResult]:
    """Wrong where a budget of the settings refuses such a model; else its costs are unknown, and that is shown."""
    try:
        cards = load_cards(settings)
    except SizewiseError:
        return  # `settings` reports it
    limits = [name for name, its in settings.limits.items() if its.usd_per_day or its.usd_per_month]
    refuses = bool(limits) and settings.budgets.unpriced == "refuse"
    for card in cards:
        if card.task in MEDIA_TASKS and not _has_price(card):
            message = f"{card.name} has no price, so its costs are unknown"
            if refuses:
                message = f"{card.name} has no price, so the budget of {limits[0]} refuses it"
            step = f'[models."{card.name}"] price = {{ {UNITS[card.task]} = "DOLLARS" }} in sizewise.toml'
            yield CheckResult("price", not refuses, message, step)


def _has_price(card: ModelCard) -> bool:
    its = card.price
    return not (its.units is None and its.input is None and its.output is None)
