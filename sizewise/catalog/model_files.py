"""Loads the model catalog from models/*.toml; rejects facts without source and date.

A file has one table per model and, in `said`, what each source states about it; sources shared by several tables are in
[sources]. `load_models` reads and validates everything; `find_models` reads only the requested tables, so that startup
time does not depend on the size of the catalog.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sizewise.catalog.model_info import Architecture, Fact, ModelInfo
from sizewise.catalog.prices import PRICES_FILE as PRICES
from sizewise.errors import did_you_mean
from sizewise.model_card import ModelTask
from sizewise.settings.models import PriceSettings
from sizewise.settings.toml_reader import TypeHintCache, parse_toml, raise_if_invalid, read_table, setting
from sizewise.settings.validators import Modality, partial_date

MODELS_DIR = Path(__file__).with_name("models")
SHARED_SOURCES = "sources.toml"
LOWERCASE_NAME = re.compile(r"[a-z0-9@][a-z0-9._:/+@-]*\Z")
TABLE_START = '\n["'  # start of a model's table
MAX_TOKENS = 100_000_000  # plausibility limit
MAX_PARAMETERS = 2**44  # plausibility limit
UPPER_BOUNDS: Mapping[str, str] = {
    "active": "parameters",
    "experts_used": "experts",
    "kv_heads": "heads",
    "max_output": "context",
    "attention_layers": "layers",
    "sliding_layers": "layers",
}
"""Fact -> the fact that it cannot exceed."""


def lowercase_name(text: str) -> str:
    if not LOWERCASE_NAME.match(text):
        raise ValueError(f"{text!r} is not a lower-case name")
    return text


def iso_date(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError(f"{text!r} is not a date such as 2026-01-31") from None


def nonempty_text(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty")
    return text


@dataclass(frozen=True, slots=True)
class FactSource:
    """Source of a fact, and the source's own date or else the date of reading."""

    source: str = setting("", "", validator=nonempty_text)
    date: str = setting("", "", validator=iso_date)


@dataclass(frozen=True, slots=True)
class SourceStatement(FactSource):
    """What one source states about a model: facts of model_info.py, each with plausibility bounds."""

    ref: str = setting("", "")  # a name under [sources], instead of `source` and `date`
    claimed: bool = setting(False, "")

    parameters: int | None = setting(None, "", minimum=1_000_000, maximum=MAX_PARAMETERS)
    active: int | None = setting(None, "", minimum=1_000_000, maximum=MAX_PARAMETERS)
    architecture: Architecture | None = setting(None, "")
    layers: int | None = setting(None, "", minimum=1, maximum=1_000)
    hidden: int | None = setting(None, "", minimum=16, maximum=1_000_000)
    heads: int | None = setting(None, "", minimum=1, maximum=10_000)
    kv_heads: int | None = setting(None, "", minimum=1, maximum=10_000)
    head_dim: int | None = setting(None, "", minimum=8, maximum=10_000)
    latent: int | None = setting(None, "", minimum=8, maximum=100_000)
    attention_layers: int | None = setting(None, "", minimum=1, maximum=1_000)
    sliding: int | None = setting(None, "", minimum=16, maximum=MAX_TOKENS)
    sliding_layers: int | None = setting(None, "", minimum=1, maximum=1_000)
    vocabulary: int | None = setting(None, "", minimum=256, maximum=10_000_000)
    experts: int | None = setting(None, "", minimum=2, maximum=100_000)
    experts_used: int | None = setting(None, "", minimum=1, maximum=100_000)
    dimensions: int | None = setting(None, "", minimum=8, maximum=1_000_000)
    context: int | None = setting(None, "", minimum=64, maximum=MAX_TOKENS)
    max_output: int | None = setting(None, "", minimum=64, maximum=MAX_TOKENS)
    input_modalities: frozenset[Modality] | None = setting(None, "")
    tools: bool | None = setting(None, "")
    reasoning: bool | None = setting(None, "")
    structured_outputs: bool | None = setting(None, "")
    languages: frozenset[str] | None = setting(None, "")
    measured: Mapping[str, float] = setting(MappingProxyType({}), "", minimum=0, maximum=1)
    scores: Mapping[str, float] = setting(MappingProxyType({}), "", minimum=0, maximum=1)
    license: str | None = setting(None, "", validator=nonempty_text)
    training_data: str | None = setting(None, "", validator=nonempty_text)
    calls_home: bool | None = setting(None, "")
    note: str | None = setting(None, "", validator=nonempty_text)
    knowledge_cutoff: str | None = setting(None, "", validator=partial_date)
    release_date: str | None = setting(None, "", validator=partial_date)
    retirement_date: str | None = setting(None, "", validator=partial_date)
    price: PriceSettings | None = setting(None, "")
    seller: str | None = setting(None, "", validator=nonempty_text)


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model's table. `offers`: per endpoint, its names with a line in prices.toml."""

    title: str
    vendor: str
    facts: tuple[SourceStatement, ...]
    task: ModelTask = "chat"
    aliases: tuple[str, ...] = setting((), "", validator=lowercase_name)
    offers: Mapping[str, tuple[str, ...]] = setting(MappingProxyType({}), "", validator=nonempty_text)


def load_models(folder: Path = MODELS_DIR, today: date | None = None) -> Mapping[str, ModelInfo]:
    """Every model by its name. ConfigError lists every error of the first invalid file."""
    found, owners, types, priced = dict[str, ModelInfo](), dict[str, str](), TypeHintCache(), parse_toml(PRICES)
    shared = shared_sources(folder)
    for path in _files(folder):
        wrong: list[str] = []
        for model in parse_models(parse_toml(path), shared, wrong, types):
            for name in sorted({model.name, *model.aliases}):
                if name in owners:
                    wrong.append(f"{model.name}: {name!r} is also a name of {owners[name]!r}")
                owners[name] = model.name
            wrong.extend(inconsistencies(model, today or date.today(), priced))
            found[model.name] = model
        raise_if_invalid(wrong, path)
    return MappingProxyType(found)


def find_models(names: Iterable[str], folder: Path = MODELS_DIR) -> Mapping[str, ModelInfo]:
    """The models that `names` refer to, by those names: a name matches one of the model's names exactly, ignoring case,
    with or without an organization prefix. Unknown names are left out.

    Reads only their tables. Raises ConfigError for an invalid one. Checks against the current date are left to
    `load_models`: a clock that is behind must not prevent a server from starting.
    """
    wanted = {
        name: [each for each in (name.lower(), name.lower().rpartition("/")[2]) if LOWERCASE_NAME.match(each)]
        for name in names
    }
    if not any(wanted.values()):
        return {}
    files, shared, types = [_CatalogFile.of(path) for path in _files(folder)], shared_sources(folder), TypeHintCache()
    found = {name: _find_model(spelt, files, shared, types) for name, spelt in wanted.items()}
    return {name: model for name, model in found.items() if model is not None}


@dataclass(frozen=True, slots=True)
class _CatalogFile:
    """An unparsed file. `small`: its text in lower case, for searching."""

    path: Path
    text: str
    small: str

    @classmethod
    def of(cls, path: Path) -> _CatalogFile:
        text = path.read_text("utf-8")
        return cls(path, text, text.lower())

    def tables(self, name: str) -> Iterator[Mapping[str, object]]:
        """Every table that contains `name` in quotes, wherever, together with the head of the file."""
        head, end = self.text.partition(TABLE_START)[0], 0
        while (at := self.small.find(f'"{name}"', end)) >= 0:
            begin, end = self.text.rfind(TABLE_START, 0, at + 1), self.text.find(TABLE_START, at)
            end = end if end >= 0 else len(self.text)
            if begin >= 0:
                yield tomllib.loads(head + self.text[begin:end])


def _find_model(
    spelt: Sequence[str],
    files: Sequence[_CatalogFile],
    shared: Mapping[str, object],
    types: TypeHintCache,
) -> ModelInfo | None:
    for name in spelt:
        for file in files:
            wrong: list[str] = []
            for tables in file.tables(name):
                for model in parse_models(tables, shared, wrong, types):
                    raise_if_invalid(wrong, file.path)
                    if name in (model.name, *model.aliases):
                        return model
    return None


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.toml") if path.name != SHARED_SOURCES)


def shared_sources(folder: Path = MODELS_DIR) -> Mapping[str, object]:
    """The sources that all files of the folder may refer to."""
    path = folder / SHARED_SOURCES
    return parse_toml(path) if path.is_file() else {}


def parse_models(
    tables: Mapping[str, object],
    shared: Mapping[str, object],
    errors: list[str],
    types: TypeHintCache | None = None,
) -> Iterator[ModelInfo]:
    """The models in the tables of one file; adds each error to `errors`."""
    types = {} if types is None else types
    if not tables.keys() - {"sources"}:
        return
    sources = _sources(shared, tables.get("sources", {}), errors, types)
    for name, table in tables.items():
        if name != "sources" and (row := read_table(ModelEntry, table, name, errors, types)) is not None:
            if not LOWERCASE_NAME.match(name):
                errors.append(f"{name}: is not a lower-case name")
            yield _model(name, row, sources, errors)


def _sources(
    shared: Mapping[str, object],
    own: object,
    errors: list[str],
    types: TypeHintCache,
) -> Mapping[str, FactSource]:
    """The sources of a file, and the shared ones."""
    quoted = {**shared, **(own if isinstance(own, dict) else {})}
    read_ = {name: read_table(FactSource, each, f"sources.{name}", errors, types) for name, each in quoted.items()}
    return {name: source for name, source in read_.items() if source is not None}


def _model(name: str, row: ModelEntry, sources: Mapping[str, FactSource], errors: list[str]) -> ModelInfo:
    values = dict[str, Any]()  # by the fields of ModelInfo
    for number, each in enumerate(row.facts):
        here = f"{name}.facts[{number}]"
        source = _source_of(each, sources, here, errors)
        for fact, value in _stated_facts(each):
            if fact in values:
                errors.append(f"{here}.{fact}: is already set by another source")
            if isinstance(value, PriceSettings):
                value = replace(value, source=source.source, date=source.date).price()
            values[fact] = Fact(value, source.source, source.date, each.claimed)
    aliases = {*row.aliases, *(each.lower() for names in row.offers.values() for each in names)} - {name}
    return ModelInfo(
        name=name,
        title=row.title,
        vendor=row.vendor,
        task=row.task,
        aliases=frozenset(aliases),
        offers=row.offers,
        **values,
    )


def _source_of(each: SourceStatement, sources: Mapping[str, FactSource], here: str, errors: list[str]) -> FactSource:
    """The source and date of a statement; a missing one is an error."""
    if each.ref and each.ref not in sources:
        near = did_you_mean(each.ref, list(sources)) or f"Known here: {', '.join(sources)}."
        errors.append(f"{here}.ref: there is no source {each.ref!r}. {near}")
        return each
    source = sources[each.ref] if each.ref else each
    if each.ref and (each.source or each.date):
        errors.append(f"{here}: has two sources, {each.ref!r} and its own")
    errors.extend(f"{here}: has no {part}" for part in ("source", "date") if not getattr(source, part))
    return source


def _stated_facts(each: SourceStatement) -> Iterator[tuple[str, object]]:
    for field in fields(ModelInfo):
        value = getattr(each, field.name, None)
        if value is not None and value != {}:
            yield field.name, value


def inconsistencies(model: ModelInfo, today: date, priced: Mapping[str, object]) -> Iterator[str]:
    """Errors that no single value shows."""
    for name, fact in model.facts():
        if fact.date > today.isoformat():
            yield f"{model.name}.{name}: its source has a date in the future, {fact.date}"
        if name in ("release_date", "knowledge_cutoff") and str(fact.value) > today.isoformat():
            yield f"{model.name}.{name}: {fact.value} is in the future"
    for part, whole in UPPER_BOUNDS.items():
        less, more = getattr(model, part), getattr(model, whole)
        if less is not None and more is not None and less.value > more.value:
            yield f"{model.name}.{part}: {less.value:,} is more than the {whole}, {more.value:,}"
    for endpoint, names in model.offers.items():
        lines = priced.get(endpoint)
        if not isinstance(lines, dict):
            yield f"{model.name}.offers: {endpoint!r} has no prices. {did_you_mean(endpoint, list(priced))}".rstrip()
        else:
            yield from (f"{model.name}.offers.{endpoint}: {each!r} has no price" for each in names if each not in lines)
