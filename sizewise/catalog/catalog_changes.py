"""What differs between two catalogs: prices, what is sold, models and their facts; changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

from sizewise.catalog.current_catalog import Catalog
from sizewise.catalog.fact_text import fact_text, price_text
from sizewise.catalog.model_files import inconsistencies
from sizewise.catalog.model_info import ModelInfo
from sizewise.catalog.offer_status import UNKNOWN_STATUS, OfferStatus
from sizewise.money import Price

ChangeKind = Literal["price", "availability", "model", "fact"]


@dataclass(frozen=True, slots=True)
class CatalogChange:
    """`name`: a model, or `<endpoint>/<model>`. `what`: a fact, who sells it, or another name. `before` and `after`:
    empty if there is none.
    """

    kind: ChangeKind
    name: str
    before: str
    after: str
    what: str = ""


def catalog_changes(before: Catalog, after: Catalog) -> tuple[CatalogChange, ...]:
    """Prices first, then what is sold, then models; each in the order of their lists."""
    return (*_prices(before, after), *_statuses(before, after), *_models(before, after))


def update_errors(catalog: Catalog, today: date) -> Iterator[str]:
    """Errors that no single value of its update shows: names of other models, impossible facts, dates in the future,
    offers without a price.
    """
    for part, tables in (("prices", catalog.update.prices), ("availability", catalog.update.availability)):
        yield from (
            f"{part}.{endpoint}.{name!r}: its source has a date in the future, {row.date}"
            for endpoint, rows in tables.items()
            for name, row in rows.items()
            if row.date > today.isoformat()
        )
    found = catalog.find_models(name for each in catalog.update.models.values() for name in (each.name, *each.aliases))
    for model in catalog.update.models.values():
        taken = {name: found[name].name for name in sorted({model.name, *model.aliases}) if name in found}
        yield from (
            f"{model.name}: {name!r} is also a name of {owner!r}"
            for name, owner in taken.items()
            if owner != model.name
        )
        merged = found.get(model.name, model)
        priced = {endpoint: catalog.prices(endpoint, names) for endpoint, names in merged.offers.items()}
        yield from inconsistencies(merged, today, priced)


def _prices(before: Catalog, after: Catalog) -> Iterator[CatalogChange]:
    for endpoint, name in _offers(before.update.prices, after.update.prices):
        old = before.prices(endpoint, [name]).get(name)
        new = after.prices(endpoint, [name]).get(name)
        if (old and _rates(old)) != (new and _rates(new)):
            was, now = (price_text(each) if each else "" for each in (old, new))
            yield CatalogChange("price", f"{endpoint}/{name}", was, now)


def _rates(price: Price) -> Price:
    """The price without where it comes from."""
    return replace(
        price,
        source="",
        date="",
        tiers=tuple((tokens, _rates(each)) for tokens, each in price.tiers),
        schedule=tuple(replace(window, price=_rates(window.price)) for window in price.schedule),
    )


def _statuses(before: Catalog, after: Catalog) -> Iterator[CatalogChange]:
    offers = [f"{endpoint}/{name}" for endpoint, name in _offers(before.update.availability, after.update.availability)]
    if not offers:
        return
    old, new = before.offer_statuses(offers), after.offer_statuses(offers)
    for offer in offers:
        was, now = _status(old[offer]), _status(new[offer])
        if was != now:
            yield CatalogChange("availability", offer, was, now)


def _status(status: OfferStatus) -> str:
    if status == UNKNOWN_STATUS:
        return ""
    return f"ends on {status.ends}" if status.ends else "sold" if status.listed else "not sold"


def _models(before: Catalog, after: Catalog) -> Iterator[CatalogChange]:
    names = list(dict.fromkeys((*before.update.models, *after.update.models)))
    old, new = before.find_models(names), after.find_models(names)
    for name in names:
        was, now = old.get(name), new.get(name)
        if was is None or now is None:
            title = (was or now or after.update.models[name]).title
            yield CatalogChange("model", name, title if was else "", title if now else "")
            continue
        yield from _facts(was, now)
        yield from _sellers(was, now)
        for alias in sorted(was.aliases ^ now.aliases):
            texts = (alias, "") if alias in was.aliases else ("", alias)
            yield CatalogChange("model", now.name, *texts, what="also named")


def _facts(was: ModelInfo, now: ModelInfo) -> Iterator[CatalogChange]:
    old, new = dict(was.facts()), dict(now.facts())
    for fact in dict.fromkeys((*new, *old)):
        before, after = old.get(fact), new.get(fact)
        if before is None or after is None or before.value != after.value:
            first, second = ("" if each is None else fact_text(fact, each.value) for each in (before, after))
            yield CatalogChange("fact", now.name, first, second, what=fact)


def _sellers(was: ModelInfo, now: ModelInfo) -> Iterator[CatalogChange]:
    old = {(endpoint, name) for endpoint, names in was.offers.items() for name in names}
    new = {(endpoint, name) for endpoint, names in now.offers.items() for name in names}
    for endpoint, name in sorted(old ^ new):
        texts = (name, "") if (endpoint, name) in old else ("", name)
        yield CatalogChange("model", now.name, *texts, what=f"at {endpoint}")


def _offers(*tables: Mapping[str, Mapping[str, object]]) -> list[tuple[str, str]]:
    return list(
        dict.fromkeys((endpoint, name) for table in tables for endpoint, rows in table.items() for name in rows)
    )
