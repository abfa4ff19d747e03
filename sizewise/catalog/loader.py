"""TOML rows and settings into Cards, every mistake named at once; asks nobody, fetches nothing, invents nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType

from sizewise.catalog.enrichment import filled
from sizewise.catalog.prices import prices
from sizewise.errors import UnknownModel, nearest
from sizewise.model_card import Card, Endpoint, Weights
from sizewise.money import FREE, UNKNOWN
from sizewise.settings.load import Settings
from sizewise.settings.models import Facts, Provider
from sizewise.settings.toml_reader import parse, read, refuse

LOCAL = "local"
"""The provider of every model that runs in a worker process of ours."""

PORTS = (("ollama", 11434), ("llamacpp", 8080), ("llamacpp-8081", 8081), ("lmstudio", 1234), ("vllm", 8000))
"""Providers that probe.py may find by itself, and the ports of this machine where they usually listen."""


@dataclass(frozen=True, slots=True)
class Row:
    """A local model as a file tells of it. `sources` say of each fact where and when it was read."""

    weights: Weights
    facts: Facts = field(default_factory=Facts)
    sources: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


ON_CARD: Mapping[str, str] = {
    "input_modalities": "sees",
    "license": "licence",
    "prefill": "resumes",
    "queue_timeout_s": "wait_s",
}
"""What a card calls a fact, where it is another word; files of older versions say it that way too."""


def rows(path: Path) -> Mapping[str, Row]:
    """The local models that `path` tells of, by name; ConfigError lists every mistake in it."""
    wrong: list[str] = []
    found = {name: read(Row, _current(table), name, wrong) for name, table in parse(path).items()}
    refuse(wrong, path)
    return {name: row for name, row in found.items() if row is not None}


def _current(table: object) -> object:
    """A row of `models.toml` that an older version wrote, in today's words."""
    if not isinstance(table, dict):
        return table
    today = {old: new for new, old in ON_CARD.items()}
    return {
        part: {today.get(fact, fact): value for fact, value in said.items()}
        if part in ("facts", "sources") and isinstance(said, dict)
        else said
        for part, said in table.items()
    }


def embedded() -> Mapping[str, Row]:
    """The local models that we know where to fetch."""
    return rows(Path(__file__).with_name("local.toml"))


def own(home: Path) -> Mapping[str, Row]:
    """The user's own files, as own.py wrote them down."""
    path = home / "models.toml"
    return rows(path) if path.is_file() else {}


def lies(weights: Weights, cache: Path) -> Path:
    """Where the file is, or will be once it is fetched."""
    return Path(weights.path) if weights.path else cache / "models" / f"{weights.sha256[:12]}-{weights.file}"


def fetched(weights: Weights, cache: Path) -> bool:
    path = lies(weights, cache)
    return path.is_file() and path.stat().st_size == weights.bytes


def known(settings: Settings) -> tuple[Card, ...]:
    """Every local model there could be, fetched or not, with all it is known to be able to."""
    both = {**embedded(), **own(settings.home)}
    bounds = settings.sizes.bounds
    return tuple(replace(_informed(_local(name, row, settings), settings), sizes=bounds) for name, row in both.items())


def ready(settings: Settings) -> Iterator[Card]:
    """The local models that can start now."""
    for card in known(settings):
        assert card.weights is not None
        if card.weights.path or fetched(card.weights, settings.cache):
            yield card


def first(settings: Settings) -> Card:
    """The model for a machine that has none: the smallest of those that answer and that we know where to fetch."""
    ours = embedded()
    answering = (card for card in known(settings) if card.model in ours and card.task == "chat")
    return min(answering, key=lambda card: card.parameters or 0)


def named(name: str, settings: Settings) -> Card:
    """The local model called `name`, with or without its provider; UnknownModel names the nearest."""
    wanted = name.removeprefix(f"{LOCAL}/")
    cards = {card.model: card for card in known(settings)}
    if wanted not in cards:
        near = nearest(wanted, list(cards)) or f"Known: {', '.join(cards)}."
        raise UnknownModel(f"there is no local model {name!r}", near, param="model")
    return cards[wanted]


def cards(settings: Settings, found: Iterable[Card] = ()) -> tuple[Card, ...]:
    """Every model that can be asked: local ones whose weights are here, configured ones, and those `found` by probe.py.

    A configured provider goes before one that was found at the same address; when it lists no models it has all that
    were found there. What neither the settings nor the server say of a model, the catalogue tells. ConfigError lists
    what the settings say of models and providers that do not exist.
    """
    local = list(_here(settings)) if settings.server.embedded else []
    remote = [card for name, provider in settings.providers.items() for card in _remote(name, provider, settings)]
    others = [_informed(card, settings) for each in found if (card := _declared(each, settings, remote))]
    _nobody(settings)
    unsized = {card.name: card for card in filled((*others, *local, *remote))}
    return tuple(replace(card, sizes=settings.sizes.bounds) for card in unsized.values())


def _here(settings: Settings) -> Iterator[Card]:
    """Local models ready to start. A window is what local.context gives, unless the model's own row says more."""
    for card in ready(settings):
        assert card.weights is not None
        path = str(lies(card.weights, settings.cache))
        given = settings.models.get(card.name, Facts()).context
        context = given or min(card.context or settings.local.context, settings.local.context)
        yield replace(card, weights=replace(card.weights, path=path), context=context)


def _local(name: str, row: Row, settings: Settings) -> Card:
    endpoint = Endpoint(provider=LOCAL, place="process")
    card = Card(
        name=f"{LOCAL}/{name}",
        endpoint=endpoint,
        model=name,
        weights=row.weights,
        price=FREE,
        slots=settings.local.slots,
    )
    return _with(card, row.facts, row.sources)


def _remote(name: str, provider: Provider, settings: Settings) -> Iterator[Card]:
    """The provider's models: those it lists, and those that only their facts are written of."""
    endpoint = _endpoint(name, provider)
    written = (each.partition("/")[2] for each in settings.models if each.partition("/")[0] == name)
    models = tuple(dict.fromkeys((*provider.models, *written)))
    listed = prices(provider.endpoint, models)
    for model in models:
        price = listed.get(model, UNKNOWN)
        yield _informed(Card(name=f"{name}/{model}", endpoint=endpoint, model=model, price=price), settings)


def _endpoint(name: str, provider: Provider) -> Endpoint:
    return Endpoint(
        provider=name,
        wire=provider.wire,
        base_url=provider.base_url,
        key=provider.key,
        place=provider.place,
        headers=tuple(provider.headers.items()),
        auth=provider.auth,
        rename=tuple(provider.rename_params.items()),
        leave_out=provider.drop_params,
        replicas=max(1, len(provider.replicas)),
        bills=provider.reports_cost,
    )


def _declared(card: Card, settings: Settings, remote: list[Card]) -> Card | None:
    """The found card, as a model of the provider that the user has declared at its address, if any."""
    for name, provider in settings.providers.items():
        if provider.base_url == card.endpoint.base_url:
            if any(each.endpoint.provider == name for each in remote):
                return None
            facts = {fact: source for fact, source in card.facts.items() if fact != "place"}
            endpoint = _endpoint(name, provider)
            return replace(card, name=f"{name}/{card.model}", endpoint=endpoint, facts=MappingProxyType(facts))
    return card


def _informed(card: Card, settings: Settings) -> Card:
    """The card, with what the user knows better."""
    facts = settings.models.get(card.name)
    return _with(card, facts, {}) if facts else card


def _with(card: Card, facts: Facts, sources: Mapping[str, str]) -> Card:
    said = {each.name: value for each in fields(facts) if (value := getattr(facts, each.name)) is not None}
    told = {ON_CARD.get(fact, fact): value for fact, value in said.items()}
    where = {ON_CARD.get(fact, fact): sources.get(fact, "sizewise.toml") for fact in said}
    if facts.price is not None:
        told["price"] = facts.price.price()
    return replace(card, **told, facts=MappingProxyType({**card.facts, **where}))


def _nobody(settings: Settings) -> None:
    """ConfigError for facts about nobody, and for a provider that would hide our own."""
    wrong = []
    if LOCAL in settings.providers:
        wrong.append(f"providers.{LOCAL}: the name {LOCAL!r} is taken by the models that run on this machine")
    providers = [LOCAL, *(name for name, _ in PORTS), *settings.providers]
    local = [card.name for card in known(settings)]
    for name in settings.models:
        provider = name.partition("/")[0]
        if provider not in providers:
            wrong.append(f"models.{name!r}: there is no provider {provider!r}. {nearest(provider, providers)}".rstrip())
        elif provider == LOCAL and name not in local:
            wrong.append(f"models.{name!r}: there is no such local model. {nearest(name, local)}".rstrip())
    refuse(wrong, settings.config or Path("sizewise.toml"))
