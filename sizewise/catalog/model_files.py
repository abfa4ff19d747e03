"""The catalogue of models in the world, out of models/*.toml: refuses what is undated or unsourced; invents nothing.

A file has one table a model and, in `said`, what each source says of it; sources that several tables quote stand under
[sources]. `known` reads all and is the lint; `meant` reads only the tables it is asked for, so a start costs the same
however long the catalogue is.
"""
# ruff: noqa: RUF009 - `setting` makes a field, it is not a default computed once by mistake

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sizewise.catalog.model_info import Architecture, Fact, Known
from sizewise.catalog.prices import PATH as PRICES
from sizewise.catalog.prices import prices
from sizewise.errors import nearest
from sizewise.model_card import Task
from sizewise.money import Price
from sizewise.settings.models import Rates
from sizewise.settings.toml_reader import Types, parse, read, refuse, setting
from sizewise.settings.validators import Modality

FOLDER = Path(__file__).with_name("models")
SHARED = "sources.toml"
PLAIN = re.compile(r"[a-z0-9@][a-z0-9._:/+@-]*\Z")
MOMENT = re.compile(r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?\Z")
TABLE = '\n["'  # where a model's table begins
TOKENS = 100_000_000  # no window is believed to be longer
PARAMETERS = 2**44  # nor any model larger
SHAPE: Mapping[str, str] = {
    "active": "parameters",
    "experts_used": "experts",
    "kv_heads": "heads",
    "max_output": "context",
    "attention_layers": "layers",
    "sliding_layers": "layers",
}
"""A fact that is no larger than another."""


def plain(text: str) -> str:
    if not PLAIN.match(text):
        raise ValueError(f"{text!r} is not a name in small letters")
    return text


def moment(text: str) -> str:
    if not MOMENT.match(text):
        raise ValueError(f"{text!r} is not of the form 2026, 2026-01 or 2026-01-31")
    return text


def day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError(f"{text!r} is not a day like 2026-01-31") from None


def words(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty")
    return text


@dataclass(frozen=True, slots=True)
class Source:
    """Where something was read, and the source's own day or else that of reading."""

    source: str = setting("", "", check=words)
    date: str = setting("", "", check=day)


@dataclass(frozen=True, slots=True)
class Said(Source):
    """What one source says of a model: facts of known.py, each with the bounds in which it is believed."""

    by: str = setting("", "")  # a name under [sources], instead of `source` and `date`
    claimed: bool = setting(False, "")

    parameters: int | None = setting(None, "", least=1_000_000, most=PARAMETERS)
    active: int | None = setting(None, "", least=1_000_000, most=PARAMETERS)
    architecture: Architecture | None = setting(None, "")
    layers: int | None = setting(None, "", least=1, most=1_000)
    hidden: int | None = setting(None, "", least=16, most=1_000_000)
    heads: int | None = setting(None, "", least=1, most=10_000)
    kv_heads: int | None = setting(None, "", least=1, most=10_000)
    head_dim: int | None = setting(None, "", least=8, most=10_000)
    latent: int | None = setting(None, "", least=8, most=100_000)
    attention_layers: int | None = setting(None, "", least=1, most=1_000)
    sliding: int | None = setting(None, "", least=16, most=TOKENS)
    sliding_layers: int | None = setting(None, "", least=1, most=1_000)
    vocabulary: int | None = setting(None, "", least=256, most=10_000_000)
    experts: int | None = setting(None, "", least=2, most=100_000)
    experts_used: int | None = setting(None, "", least=1, most=100_000)
    dimensions: int | None = setting(None, "", least=8, most=1_000_000)
    context: int | None = setting(None, "", least=64, most=TOKENS)
    max_output: int | None = setting(None, "", least=64, most=TOKENS)
    sees: frozenset[Modality] | None = setting(None, "")
    tools: bool | None = setting(None, "")
    thinks: bool | None = setting(None, "")
    structured: bool | None = setting(None, "")
    languages: frozenset[str] | None = setting(None, "")
    measured: Mapping[str, float] = setting(MappingProxyType({}), "", least=0, most=1)
    scores: Mapping[str, float] = setting(MappingProxyType({}), "", least=0, most=1)
    licence: str | None = setting(None, "", check=words)
    cutoff: str | None = setting(None, "", check=moment)
    released: str | None = setting(None, "", check=moment)
    retires: str | None = setting(None, "", check=moment)
    price: Rates | None = setting(None, "")
    seller: str | None = setting(None, "", check=words)


@dataclass(frozen=True, slots=True)
class Row:
    """A model's table. `also` are its other names, `sold` those that have a line in prices.toml."""

    title: str
    vendor: str
    said: tuple[Said, ...]
    task: Task = "chat"
    also: tuple[str, ...] = setting((), "", check=plain)
    sold: Mapping[str, tuple[str, ...]] = setting(MappingProxyType({}), "", check=words)


def known(folder: Path = FOLDER, today: date | None = None) -> Mapping[str, Known]:
    """Every model that we know of, by its name. ConfigError lists every mistake of the first file that has any."""
    found, owners, types, priced = dict[str, Known](), dict[str, str](), Types(), parse(PRICES)
    shared = _shared(folder)
    for path in _files(folder):
        wrong: list[str] = []
        for model in _models(parse(path), shared, wrong, types):
            for name in sorted({model.name, *model.also}):
                if name in owners:
                    wrong.append(f"{model.name}: {name!r} is a name of {owners[name]!r} too")
                owners[name] = model.name
            wrong.extend(_objections(model, today or date.today(), priced))
            found[model.name] = model
        refuse(wrong, path)
    return MappingProxyType(found)


def meant(names: Iterable[str], folder: Path = FOLDER) -> Mapping[str, Known]:
    """The models that `names` mean, by those names: each one of a model's names exactly, whatever the capitals, with
    or without an organisation before it. What nobody knows is left out.

    Reads only their tables. ConfigError for one that is wrong. What a clock can doubt is left to `known`: a clock that
    is behind must not keep a server from starting.
    """
    wanted = {
        name: [each for each in (name.lower(), name.lower().rpartition("/")[2]) if PLAIN.match(each)] for name in names
    }
    if not any(wanted.values()):
        return {}
    files, shared, types = [_Text.of(path) for path in _files(folder)], _shared(folder), Types()
    found = {name: _meant(spelt, files, shared, types) for name, spelt in wanted.items()}
    return {name: model for name, model in found.items() if model is not None}


@dataclass(frozen=True, slots=True)
class _Text:
    """A file before it is understood; `small`: the same in small letters, to find a name in it."""

    path: Path
    text: str
    small: str

    @classmethod
    def of(cls, path: Path) -> _Text:
        text = path.read_text("utf-8")
        return cls(path, text, text.lower())

    def tables(self, name: str) -> Iterator[Mapping[str, object]]:
        """Each table in which `name` stands in quotes, whatever it means there, with the file's head."""
        head, end = self.text.partition(TABLE)[0], 0
        while (at := self.small.find(f'"{name}"', end)) >= 0:
            begin, end = self.text.rfind(TABLE, 0, at + 1), self.text.find(TABLE, at)
            end = end if end >= 0 else len(self.text)
            if begin >= 0:
                yield tomllib.loads(head + self.text[begin:end])


def _meant(spelt: Sequence[str], files: Sequence[_Text], shared: Mapping[str, object], types: Types) -> Known | None:
    for name in spelt:
        for file in files:
            wrong: list[str] = []
            for tables in file.tables(name):
                for model in _models(tables, shared, wrong, types):
                    refuse(wrong, file.path)
                    if name in (model.name, *model.also):
                        return model
    return None


def sold(models: Iterable[Known]) -> Mapping[str, Price]:
    """What the models cost where, by `<endpoint>/<name>`, as prices.toml has it."""
    names = dict[str, list[str]]()
    for model in models:
        for endpoint, each in model.sold.items():
            names.setdefault(endpoint, []).extend(each)
    return {f"{seller}/{name}": price for seller, all_ in names.items() for name, price in prices(seller, all_).items()}


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.toml") if path.name != SHARED)


def _shared(folder: Path) -> Mapping[str, object]:
    """What the files of the folder may quote, all of them."""
    path = folder / SHARED
    return parse(path) if path.is_file() else {}


def _models(
    tables: Mapping[str, object], shared: Mapping[str, object], wrong: list[str], types: Types
) -> Iterator[Known]:
    """The models of one file's tables, each mistake added to `wrong`."""
    if not tables.keys() - {"sources"}:
        return
    sources = _sources(shared, tables.get("sources", {}), wrong, types)
    for name, table in tables.items():
        if name != "sources" and (row := read(Row, table, name, wrong, types)) is not None:
            if not PLAIN.match(name):
                wrong.append(f"{name}: is not a name in small letters")
            yield _model(name, row, sources, wrong)


def _sources(shared: Mapping[str, object], own: object, wrong: list[str], types: Types) -> Mapping[str, Source]:
    """A file's own sources, and those of all files."""
    quoted = {**shared, **(own if isinstance(own, dict) else {})}
    read_ = {name: read(Source, each, f"sources.{name}", wrong, types) for name, each in quoted.items()}
    return {name: source for name, source in read_.items() if source is not None}


def _model(name: str, row: Row, sources: Mapping[str, Source], wrong: list[str]) -> Known:
    facts = dict[str, Any]()  # by the fields of Known
    for number, each in enumerate(row.said):
        here = f"{name}.said[{number}]"
        source = _whose(each, sources, here, wrong)
        for fact, value in _told(each):
            if fact in facts:
                wrong.append(f"{here}.{fact}: is said before; one source must do")
            if isinstance(value, Rates):
                value = replace(value, source=source.source, date=source.date).price()
            facts[fact] = Fact(value, source.source, source.date, each.claimed)
    also = {*row.also, *(each.lower() for names in row.sold.values() for each in names)} - {name}
    return Known(name, row.title, row.vendor, row.task, frozenset(also), row.sold, **facts)


def _whose(each: Said, sources: Mapping[str, Source], here: str, wrong: list[str]) -> Source:
    """Who says it and when; a statement of nobody, or of no day, is a mistake."""
    if each.by and each.by not in sources:
        near = nearest(each.by, list(sources)) or f"Known here: {', '.join(sources)}."
        wrong.append(f"{here}.by: there is no source {each.by!r}. {near}")
        return each
    source = sources[each.by] if each.by else each
    if each.by and (each.source or each.date):
        wrong.append(f"{here}: has two sources, {each.by!r} and its own")
    wrong.extend(f"{here}: has no {part}" for part in ("source", "date") if not getattr(source, part))
    return source


def _told(each: Said) -> Iterator[tuple[str, object]]:
    for field in fields(Known):
        value = getattr(each, field.name, None)
        if value is not None and value != {}:
            yield field.name, value


def _objections(model: Known, today: date, priced: Mapping[str, object]) -> Iterator[str]:
    """What no single value shows."""
    for name, fact in model.facts():
        if fact.date > today.isoformat():
            yield f"{model.name}.{name}: its source is of {fact.date}, a day to come"
        if name in ("released", "cutoff") and str(fact.value) > today.isoformat():
            yield f"{model.name}.{name}: {fact.value} is a day to come"
    for part, whole in SHAPE.items():
        less, more = getattr(model, part), getattr(model, whole)
        if less is not None and more is not None and less.value > more.value:
            yield f"{model.name}.{part}: {less.value:,} is more than its {whole}, {more.value:,}"
    for endpoint, names in model.sold.items():
        lines = priced.get(endpoint)
        if not isinstance(lines, dict):
            yield f"{model.name}.sold: {endpoint!r} has no prices. {nearest(endpoint, list(priced))}".rstrip()
        else:
            yield from (f"{model.name}.sold.{endpoint}: {each!r} has no price" for each in names if each not in lines)
