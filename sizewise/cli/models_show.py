"""`sizewise models show`: every known fact about one model, with source and date, or `unknown`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import click
import msgspec

from sizewise.catalog.current_catalog import PACKAGED, current_catalog
from sizewise.catalog.loader import load_cards
from sizewise.catalog.loader import local_cards as local
from sizewise.catalog.memory_estimate import format_bytes
from sizewise.catalog.model_info import ModelInfo
from sizewise.catalog.self_tests import read_self_tests
from sizewise.cli import operations
from sizewise.cli.api_client import ApiClient
from sizewise.cli.language_report import question_score, write_languages
from sizewise.cli.models_family import write_family
from sizewise.cli.options import api_client_or_none, command_settings, server_options, wants_json
from sizewise.cli.output import format_count, format_seconds, write_json, write_pairs, write_table
from sizewise.cli.value_completion import complete_model_name
from sizewise.errors import ModelNotFound, did_you_mean
from sizewise.graphql.catalog import catalog_model_names, find_catalog_model, unconfigured_model
from sizewise.graphql.model_type import FieldValues, model_values
from sizewise.settings.load import Settings

RATES = MappingProxyType(
    {
        "input": "IN",
        "output": "OUT",
        "cached": "CACHED",
        "cache_write": "WRITTEN",
        "cache_write1h": "FOR 1H",
        "reasoning": "REASONING",
    },
)
"""Kinds of tokens, and the headings of their columns."""

TOKENS_PER_PAGE = 667
PAGE_RULE = "500 English words each at 4 tokens for 3 words; other languages take more tokens"

Fact = operations.Fact | operations.CatalogFact


class KnownModel(NamedTuple):
    """A model as it is configured, and as the catalog has it; or the `family` of a plain name."""

    model: operations.ModelDetails | None
    catalog: operations.CatalogModel | None
    family: Sequence[ModelInfo] = ()


@click.command()
@click.argument("name", shell_complete=complete_model_name)
@server_options
def show(name: str) -> None:
    """Show every fact about a model, with source and date.

    Works for any model in the catalog, configured or not: includes the memory it needs and its prices by provider. A
    plain name of several, as claude-3, lists them.

    \b
    Example: sizewise models show llama-3-8b
    """
    settings, server = command_settings(), api_client_or_none()
    shown = asyncio.run(_found(name, settings, server))
    tests = {} if server is not None and server.remote else read_self_tests(settings.home)
    test = tests.get(shown.model.name) if shown.model is not None else None
    if shown.family:
        write_family(name, shown.family)
        return
    if wants_json():
        model = {} if shown.model is None else msgspec.to_builtins(shown.model)
        measured = {} if test is None else {"selfTest": msgspec.to_builtins(test)}
        write_json({**model, "catalogModel": msgspec.to_builtins(shown.catalog), **measured})
        return
    _write(shown)
    if test is not None:
        click.echo()
        if score := question_score(test):
            click.echo(f"{score}, self-test on this machine, {test.date}\n")
        write_languages(test)


async def _found(name: str, settings: Settings, server: ApiClient | None) -> KnownModel:
    """The server's data first; this machine also knows models that are not downloaded. Raises ModelNotFound with the
    closest name.
    """
    if server is not None:
        try:
            told = await operations.get_model(server, name=name)
            return _both(told.model, told.catalog_model)
        except ModelNotFound:
            if server.remote:
                known = await operations.get_catalog_model(server, name=name)
                if known is None:
                    raise
                return _both(_model(unconfigured_model(PACKAGED, known.name)), known)
    return _here(name, settings)


def _here(name: str, settings: Settings) -> KnownModel:
    sizes, catalog = settings.sizes.thresholds, current_catalog(settings)
    here = {card.name: (card, "fetched" if card.weights else "configured") for card in load_cards(settings)}
    there = {card.name: (card, f"not downloaded; run: sizewise models pull {card.model}") for card in local(settings)}
    ours = {**there, **here}
    for card, state in ours.values():
        if name in (card.name, card.model):
            weights = card.weights.bytes if card.weights else 0
            known = _catalog_model(find_catalog_model(catalog, [name, card.model], sizes, weights))
            return _both(_model(model_values(card, state)), known)
    if len(family := catalog.models_named(name)) > 1:
        return KnownModel(None, None, family)
    known = _catalog_model(find_catalog_model(catalog, [name], sizes))
    if known is not None:
        return _both(_model(unconfigured_model(catalog, known.name, sizes)), known)
    near = did_you_mean(name, [*ours, *(card.model for card, _ in ours.values()), *catalog_model_names(catalog)])
    raise ModelNotFound(f"there is no model {name!r}", near or "run: sizewise models list --all", param="model")


def _model(values: FieldValues | None) -> operations.ModelDetails | None:
    return None if values is None else msgspec.convert(values, operations.ModelDetails)


def _catalog_model(values: FieldValues | None) -> operations.CatalogModel | None:
    return None if values is None else msgspec.convert(values, operations.CatalogModel)


def _both(model: operations.ModelDetails | None, known: operations.CatalogModel | None) -> KnownModel:
    """The name of a user's own file says nothing about its content."""
    weights = model.weights if model is not None else None
    own = weights is not None and weights.path and not weights.sha256
    return KnownModel(model, None if own else known)


def _write(shown: KnownModel) -> None:
    model, known = shown.model, shown.catalog
    named = model or known
    heads = [] if named is None else [("name", named.name), ("task", named.task), ("size", named.size)]
    if known is not None:
        heads[1:1] = [("title", known.title), ("vendor", known.vendor)]
    if model is not None:
        heads += [("place", model.place), ("state", model.state)]
    write_pairs([(name, said) for name, said in heads if said])
    if model is not None and (held := model.weights) is not None:
        write_pairs(
            [("file", held.path or held.file), ("bytes", format_count(held.bytes)), ("sha256", held.sha256 or "-")],
        )
    click.echo()
    write_table(("FACT", "VALUE", "SOURCE"), [(each.name, each.value, _whence(each)) for each in _facts(shown)])
    context = (model.context if model is not None else None) or (known.context if known is not None else None)
    if context is not None:
        click.echo(f"its window holds about {context // TOKENS_PER_PAGE:,} pages, of {PAGE_RULE}")
    if model is not None and model.provider:
        _write_pace(model.pace)
    if known is not None:
        _write_memory(known.memory)
        _write_offers(known.offers)


def _whence(fact: Fact) -> str:
    if isinstance(fact, operations.Fact):
        return fact.source or "-"
    told = ", ".join(filter(None, (fact.source, fact.date)))
    return f"unverified: {told}" if fact.unverified else told or "-"


def _facts(shown: KnownModel) -> list[Fact]:
    """Configured values take precedence over the catalog's."""
    model, catalog = shown.model, shown.catalog
    general = catalog.facts if catalog is not None else []
    here = model.facts if model is not None and model.provider else []
    known = {each.name: each for each in general}
    said: list[Fact] = [known.get(each.name, each) if each.value == "unknown" else each for each in here]
    return [*said, *(each for each in general if each.name not in {fact.name for fact in here})]


def _write_pace(pace: Sequence[operations.ModelPace]) -> None:
    """Rates at each number of requests that the model worked on at once."""
    click.echo()
    if not pace:
        click.echo("pace: unknown; a running server measures it from its first request on")
        return
    rows = [
        (
            format_count(each.load),
            format_count(each.requests),
            format_seconds(None if each.first_token_s is None else each.first_token_s * 1_000),
            _rate(each.prompt_tokens_per_s),
            _rate(each.output_tokens_per_s),
        )
        for each in pace
    ]
    heads = ("AT ONCE", "REQUESTS", "FIRST TOKEN", "PROMPT TOKENS/S", "OUTPUT TOKENS/S")
    write_table(heads, rows, right="ONCE REQUESTS TOKEN TOKENS/S")


def _rate(per_second: float | None) -> str:
    return "-" if per_second is None else f"{per_second:,.1f}" if per_second < 100 else f"{per_second:,.0f}"


def _write_memory(memory: Sequence[operations.MemoryEstimate]) -> None:
    click.echo()
    if not memory:
        click.echo("memory to run it: unknown")
        return
    tokens = sorted({each.tokens for each in memory})
    needs = {(each.quantization, each.tokens): format_bytes(each.bytes) for each in memory}
    rows = [(name, *(needs[name, each] for each in tokens)) for name in dict.fromkeys(name for name, _ in needs)]
    heads = [f"{each:,} TOKENS" for each in tokens]
    write_table(("MEMORY, COMPUTED", *heads), rows, right="TOKENS")


def _write_offers(offers: Sequence[operations.Offer]) -> None:
    click.echo()
    if not offers:
        click.echo("sold by: unknown")
        return
    rates = [_rates(each.price) for each in offers]
    kinds = [kind for kind in RATES if any(each[kind] for each in rates)] or ["input", "output"]
    rows = [
        (
            each.name,
            *(rate[kind] or ("unknown" if kind in ("input", "output") else "-") for kind in kinds),
            ", ".join(filter(None, (each.price.source, each.price.date, *each.conditions))),
        )
        for each, rate in zip(offers, rates, strict=True)
    ]
    heads = [f"$/M {RATES[kind]}" for kind in kinds]
    write_table(("SOLD AS", *heads, "SOURCE"), rows, right="$/M")


def _rates(price: operations.Price) -> Mapping[str, str | None]:
    return {kind: getattr(price, kind) for kind in RATES}
