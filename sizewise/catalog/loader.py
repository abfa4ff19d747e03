"""Builds model cards from settings, local model files and discovered servers; opens no connection."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType

from sizewise.catalog.current_catalog import Catalog, current_catalog
from sizewise.catalog.enrichment import enrich_cards
from sizewise.catalog.offered_models import ALL_MODELS, EMBEDDING_NAME, model_names
from sizewise.errors import ModelNotFound, did_you_mean
from sizewise.model_card import ModelCard, ModelEndpoint, ModelWeights
from sizewise.money import FREE, UNKNOWN_PRICE
from sizewise.settings.load import Settings
from sizewise.settings.models import ModelSettings, ProviderSettings
from sizewise.settings.toml_reader import parse_toml, raise_if_invalid, read_table

LOCAL_PROVIDER = "local"
"""The provider of the models that run in our worker processes."""

SINGLE_CHOICE_WIRES = frozenset({"anthropic", "responses"})
"""APIs without `n`."""

LOCAL_SERVER_PORTS = (
    ("ollama", 11434),
    ("llamacpp", 8080),
    ("llamacpp-8081", 8081),
    ("lmstudio", 1234),
    ("vllm", 8000),
)
"""Providers that discovery.py looks for, and their usual ports on this machine."""


@dataclass(frozen=True, slots=True)
class LocalModelEntry:
    """A local model as described in a file. `sources`: where and when each fact was read."""

    weights: ModelWeights
    facts: ModelSettings = field(default_factory=ModelSettings)
    sources: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


RENAMED_FACTS: Mapping[str, str] = {
    "licence": "license",
    "resumes": "prefill",
    "sees": "input_modalities",
    "wait_s": "queue_timeout_s",
}
"""Names of facts in the `models.toml` of older versions -> today's."""


def read_local_models(path: Path) -> Mapping[str, LocalModelEntry]:
    """The local models in the file `path`, by name. ConfigError lists every error in it."""
    wrong: list[str] = []
    found = {
        name: read_table(LocalModelEntry, _current(table), name, wrong) for name, table in parse_toml(path).items()
    }
    raise_if_invalid(wrong, path)
    return {name: row for name, row in found.items() if row is not None}


def _current(table: object) -> object:
    """A table of `models.toml` with the names of older versions replaced."""
    if not isinstance(table, dict):
        return table
    return {
        part: {RENAMED_FACTS.get(fact, fact): value for fact, value in said.items()}
        if part in ("facts", "sources") and isinstance(said, dict)
        else said
        for part, said in table.items()
    }


def bundled_models() -> Mapping[str, LocalModelEntry]:
    """The local models with a known download source."""
    return read_local_models(Path(__file__).with_name("local.toml"))


def user_models(home: Path) -> Mapping[str, LocalModelEntry]:
    """The user's own models, registered by user_models.py."""
    path = home / "models.toml"
    return read_local_models(path) if path.is_file() else {}


def weights_path(weights: ModelWeights, cache: Path) -> Path:
    """Where the file is, or will be after the download."""
    return Path(weights.path) if weights.path else cache / "models" / f"{weights.sha256[:12]}-{weights.file}"


def is_downloaded(weights: ModelWeights, cache: Path) -> bool:
    path = weights_path(weights, cache)
    return path.is_file() and path.stat().st_size == weights.bytes


def local_cards(settings: Settings) -> tuple[ModelCard, ...]:
    """All local models, downloaded or not, with their known facts."""
    both = {**bundled_models(), **user_models(settings.home)}
    bounds = settings.sizes.thresholds
    return tuple(
        replace(_with_model_settings(_card_of_entry(name, row, settings), settings), sizes=bounds)
        for name, row in both.items()
    )


def ready_local_cards(settings: Settings) -> Iterator[ModelCard]:
    """The local models that can start now."""
    for card in local_cards(settings):
        assert card.weights is not None
        if card.weights.path or is_downloaded(card.weights, settings.cache_dir):
            yield card


def default_local_card(settings: Settings) -> ModelCard:
    """The model for a machine without one: the smallest chat model with a known download source."""
    ours = bundled_models()
    answering = (card for card in local_cards(settings) if card.model in ours and card.task == "chat")
    return min(answering, key=lambda card: card.parameters or 0)


def local_card(name: str, settings: Settings) -> ModelCard:
    """The local model `name`, with or without its provider. ModelNotFound suggests the closest name."""
    wanted = name.removeprefix(f"{LOCAL_PROVIDER}/")
    cards = {card.model: card for card in local_cards(settings)}
    if wanted not in cards:
        near = did_you_mean(wanted, list(cards)) or f"Known: {', '.join(cards)}."
        raise ModelNotFound(f"there is no local model {name!r}", near, param="model")
    return cards[wanted]


def local_entry(name: str, settings: Settings) -> LocalModelEntry:
    """What is written of the local model `name`. Raises ModelNotFound."""
    return {**bundled_models(), **user_models(settings.home)}[local_card(name, settings).model]


def load_cards(settings: Settings, discovered: Iterable[ModelCard] = ()) -> tuple[ModelCard, ...]:
    """All usable models: local ones with their weights, configured ones, and those `discovered` by discovery.py.

    A configured provider replaces a discovered one at the same address; if it lists no models, it gets the discovered
    ones. The catalog adds what settings and server leave open. ConfigError lists settings for unknown models and
    providers.
    """
    catalog = current_catalog(settings)
    local = list(_runnable_cards(settings)) if settings.server.embedded else []
    remote = [
        card
        for name, provider in settings.providers.items()
        for card in _provider_cards(name, provider, settings, catalog)
    ]
    others = [
        _with_model_settings(card, settings)
        for each in discovered
        if (card := _under_declared_provider(each, settings, remote))
    ]
    _check_unknown_names(settings)
    unsized = {card.name: card for card in enrich_cards((*others, *local, *remote), catalog)}
    sized = [replace(card, sizes=settings.sizes.thresholds) for card in unsized.values()]
    return tuple(each for card in sized for each in card.at_efforts())


def _runnable_cards(settings: Settings) -> Iterator[ModelCard]:
    """Local models ready to start. Their window is local.context, unless the model's own settings say otherwise."""
    for card in ready_local_cards(settings):
        assert card.weights is not None
        path = str(weights_path(card.weights, settings.cache_dir))
        given = settings.models.get(card.name, ModelSettings()).context
        sized = card if given else _in_one_slot(card, settings.local.context)
        yield replace(sized, weights=replace(card.weights, path=path))


def _in_one_slot(card: ModelCard, tokens: int) -> ModelCard:
    """The card with the window of one request: `tokens`, or the model's own if shorter. Its source names both."""
    if card.context is not None and card.context <= tokens:
        return card
    own = "unknown" if card.context is None else f"{card.context:,} tokens"
    whence = "local.context, for each request; the model's own window is " + own
    if card.context is not None and (stated := card.facts.get("context")):
        whence += f": {stated}"
    return replace(card, context=tokens, facts=MappingProxyType({**card.facts, "context": whence}))


def _card_of_entry(name: str, entry: LocalModelEntry, settings: Settings) -> ModelCard:
    endpoint = ModelEndpoint(provider=LOCAL_PROVIDER, place="process")
    card = ModelCard(
        name=f"{LOCAL_PROVIDER}/{name}",
        endpoint=endpoint,
        model=name,
        weights=entry.weights,
        price=FREE,
        slots=settings.local.slots,
        single_choice=True,
    )
    return _with_facts(card, entry.facts, entry.sources)


def _provider_cards(name: str, provider: ProviderSettings, settings: Settings, catalog: Catalog) -> Iterator[ModelCard]:
    """The provider's models: those it lists or offers, and those with a table in [models]."""
    endpoint = provider_endpoint(name, provider)
    models = model_names(name, provider, settings)
    listed = catalog.prices(provider.endpoint, models)
    for model in models:
        price = listed.get(model, UNKNOWN_PRICE)
        single = provider.wire in SINGLE_CHOICE_WIRES
        card = ModelCard(name=f"{name}/{model}", endpoint=endpoint, model=model, price=price, single_choice=single)
        if ALL_MODELS in provider.models and model not in provider.models and EMBEDDING_NAME.search(model):
            card = replace(card, task="embed")
        yield _with_model_settings(card, settings)


def provider_endpoint(name: str, provider: ProviderSettings) -> ModelEndpoint:
    return ModelEndpoint(
        provider=name,
        wire=provider.wire,
        base_url=provider.base_url,
        key=provider.key,
        place=provider.place,
        headers=tuple(provider.headers.items()),
        auth=provider.auth,
        renamed_fields=tuple(provider.rename_params.items()),
        dropped_fields=provider.drop_params,
        replica_count=max(1, len(provider.replicas)),
        reports_cost=provider.reports_cost,
    )


def _under_declared_provider(card: ModelCard, settings: Settings, remote: list[ModelCard]) -> ModelCard | None:
    """The discovered card, as a model of the provider declared at its address, if any; None if that lists models."""
    for name, provider in settings.providers.items():
        if provider.base_url == card.endpoint.base_url:
            if any(each.endpoint.provider == name for each in remote):
                return None
            facts = {fact: source for fact, source in card.facts.items() if fact != "place"}
            endpoint = provider_endpoint(name, provider)
            return replace(card, name=f"{name}/{card.model}", endpoint=endpoint, facts=MappingProxyType(facts))
    return card


def _with_model_settings(card: ModelCard, settings: Settings) -> ModelCard:
    """The card with the user's settings applied."""
    facts = settings.models.get(card.name)
    return _with_facts(card, facts, {}) if facts else card


NO_FACTS = ("edge",)
"""Settings of a model that say how it is asked, not what it is."""


def _with_facts(card: ModelCard, facts: ModelSettings, sources: Mapping[str, str]) -> ModelCard:
    known = [each.name for each in fields(facts) if each.name not in NO_FACTS]
    said = {name: value for name in known if (value := getattr(facts, name)) is not None}
    where = {fact: sources.get(fact, "sizewise.toml") for fact in said}
    if facts.price is not None:
        said["price"] = facts.price.price()
    return replace(card, **said, facts=MappingProxyType({**card.facts, **where}))


def providers_without_models(settings: Settings, cards: Iterable[ModelCard]) -> list[str]:
    """A sentence and the next step for each configured provider that none of `cards` belongs to."""
    used = {card.endpoint.provider for card in cards}
    none = 'has no models: list them as `models = ["NAME"]`, or all with `models = ["*"]`'
    unlisted = "has no models yet: its list is received by `sizewise up` and by a reload"
    return [
        f"provider {name!r} {unlisted if ALL_MODELS in provider.models else none}"
        for name, provider in settings.providers.items()
        if name not in used
    ]


def _check_unknown_names(settings: Settings) -> None:
    """Raises ConfigError for settings of unknown models, and for a provider named like our own."""
    wrong = []
    if LOCAL_PROVIDER in settings.providers:
        wrong.append(
            f"providers.{LOCAL_PROVIDER}: the name {LOCAL_PROVIDER!r} is taken by the models that run on this machine",
        )
    providers = [LOCAL_PROVIDER, *(name for name, _ in LOCAL_SERVER_PORTS), *settings.providers]
    local = [card.name for card in local_cards(settings)]
    for name in settings.models:
        provider = name.partition("/")[0]
        if provider not in providers:
            wrong.append(
                f"models.{name!r}: there is no provider {provider!r}. {did_you_mean(provider, providers)}".rstrip(),
            )
        elif provider == LOCAL_PROVIDER and name not in local:
            wrong.append(f"models.{name!r}: there is no such local model. {did_you_mean(name, local)}".rstrip())
    raise_if_invalid(wrong, settings.config_file or Path("sizewise.toml"))
