"""The catalog in use: the packaged one, with the verified update of this home; of two sources the later date counts.

Recorded costs do not depend on it: each record has its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from sizewise.atomic_file import write_file_atomically
from sizewise.catalog import availability, model_files, prices
from sizewise.catalog.catalog_update import NO_UPDATE, CatalogUpdate, parse_update
from sizewise.catalog.model_info import ModelInfo
from sizewise.catalog.offer_status import OfferStatus
from sizewise.catalog.plain_names import models_named
from sizewise.catalog.update_signature import verify_signature
from sizewise.errors import BadRequest
from sizewise.money import Price
from sizewise.settings.load import Settings

UPDATE_FILE = "catalog-update.json"
"""In the home folder: `list`, the text of the list, and `signature`, both as they were received."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """`problem`: why the update of this home is not used; empty if it is, or if there is none."""

    update: CatalogUpdate = NO_UPDATE
    problem: str = ""

    def find_models(self, names: Iterable[str]) -> Mapping[str, ModelInfo]:
        """As model_files.find_models; a packaged model's names take precedence over those of the update."""
        given = tuple(names)
        if not self.update.models:
            return model_files.find_models(given)
        named = {alias: each.name for each in self.update.models.values() for alias in (*each.aliases, each.name)}
        ours = {name: named.get(name.lower()) or named.get(name.lower().rpartition("/")[2]) for name in given}
        packaged = model_files.find_models({*given, *filter(None, ours.values())})
        found = {}
        for name in given:
            model = packaged.get(name) or packaged.get(ours[name] or "")
            if model is not None:
                found[name] = self._updated(model)
            elif (own := ours[name]) is not None:
                found[name] = self.update.models[own]
        return found

    def models_named(self, name: str) -> tuple[ModelInfo, ...]:
        """The one with exactly this name, else those that the plain name means."""
        exact = self.find_models([name])
        return (exact[name],) if exact else models_named(name, self.load_models().values())

    def load_models(self) -> Mapping[str, ModelInfo]:
        """As model_files.load_models, and then the models that only the update has."""
        packaged = {name: self._updated(model) for name, model in model_files.load_models().items()}
        new = {name: model for name, model in self.update.models.items() if name not in packaged}
        return MappingProxyType({**packaged, **new})

    def _updated(self, model: ModelInfo) -> ModelInfo:
        new = self.update.models.get(model.name)
        if new is None:
            return model
        known = dict(model.facts())
        later = {name: fact for name, fact in new.facts() if name not in known or fact.date >= known[name].date}
        offers = {
            endpoint: tuple(dict.fromkeys((*model.offers.get(endpoint, ()), *new.offers.get(endpoint, ()))))
            for endpoint in {**model.offers, **new.offers}
        }
        aliases = model.aliases | (new.aliases - {model.name})
        return replace(model, aliases=aliases, offers=MappingProxyType(offers), **later)  # type: ignore[arg-type]  # facts by their own names

    def prices(self, endpoint: str, models: Iterable[str]) -> Mapping[str, Price]:
        """As prices.prices."""
        return prices.prices(endpoint, models, self.update.prices.get(endpoint, {}))

    def prices_by_offer(self, models: Iterable[ModelInfo]) -> Mapping[str, Price]:
        """Prices by `<endpoint>/<name>`."""
        names = dict[str, list[str]]()
        for model in models:
            for endpoint, each in model.offers.items():
                names.setdefault(endpoint, []).extend(each)
        return {
            f"{seller}/{name}": price
            for seller, all_ in names.items()
            for name, price in self.prices(seller, all_).items()
        }

    def offer_statuses(self, offers: Iterable[str]) -> Mapping[str, OfferStatus]:
        """As availability.offer_statuses."""
        found = dict(availability.offer_statuses(offers))
        for offer, packaged in found.items():
            endpoint, _, name = offer.partition("/")
            new = self.update.availability.get(endpoint, {}).get(name)
            if new is not None and new.date >= packaged.date:
                found[offer] = new
        return MappingProxyType(found)


PACKAGED = Catalog()


def current_catalog(settings: Settings, parse: Callable[[bytes], CatalogUpdate] = parse_update) -> Catalog:
    """The packaged catalog alone, with the problem, if the update cannot be verified or read."""
    path = settings.home / UPDATE_FILE
    try:
        held = json.loads(path.read_bytes())
        text = held["list"].encode()
        verify_signature(text, held["signature"].encode(), settings.catalog.update_key)
        return Catalog(parse(text))
    except FileNotFoundError:
        return PACKAGED
    except BadRequest as error:
        return Catalog(problem=error.message.partition("\n")[0])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Catalog(problem="the file cannot be read")


def install_update(home: Path, text: bytes, signature: str) -> None:
    """`signature` in Base64. The caller has verified and parsed both. Raises OSError."""
    home.mkdir(parents=True, exist_ok=True)
    held = {"list": text.decode(), "signature": signature}
    write_file_atomically(home / UPDATE_FILE, json.dumps(held).encode(), 0o600)


def remove_update(home: Path) -> bool:
    """Whether there was one. Raises OSError."""
    path = home / UPDATE_FILE
    there = path.is_file()
    path.unlink(missing_ok=True)
    return there
