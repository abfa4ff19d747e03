"""Configured models that have ended or will end soon, by provider lists and by the catalog; changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from sizewise.catalog.current_catalog import current_catalog
from sizewise.catalog.offered_models import model_names
from sizewise.settings.load import Settings

NOTICE_DAYS = 90
"""Days before its end from which a model is reported."""


@dataclass(frozen=True, slots=True)
class Retirement:
    """`name`: provider/model as in the settings. `ends`: YYYY-MM-DD or the like, past or planned."""

    name: str
    ends: str
    source: str
    over: bool

    def __str__(self) -> str:
        return f"{self.name} {'ended' if self.over else 'ends'} on {self.ends} ({self.source})"


def retirements(settings: Settings, today: date) -> tuple[Retirement, ...]:
    """Of the models that the settings name or that a provider offers, in the order of the settings."""
    return tuple(_found(settings, today))


def _found(settings: Settings, today: date) -> Iterator[Retirement]:
    now, soon = today.isoformat(), (today + timedelta(days=NOTICE_DAYS)).isoformat()
    catalog = current_catalog(settings)
    for name, provider in settings.providers.items():
        models = model_names(name, provider, settings)
        offers = [f"{provider.endpoint}/{model}" for model in models] if provider.endpoint else []
        statuses = catalog.offer_statuses(offers) if offers else {}
        known = catalog.find_models(models) if provider.endpoint else {}  # who serves weights decides how long
        for model in models:
            status = statuses.get(f"{provider.endpoint}/{model}")
            if status is not None and status.ends:
                ends, source = status.ends, status.source
            elif model in known and (fact := known[model].retirement_date) is not None:
                ends, source = fact.value, str(fact)
            else:
                continue
            if ends <= soon:
                yield Retirement(f"{name}/{model}", ends, source, ends <= now)
