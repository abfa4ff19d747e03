"""A model's card as others are told of it, the same with and without a running server; chooses no model."""

from __future__ import annotations

from collections.abc import Mapping

from sizewise.cards import Card
from sizewise.graphql.context import Context
from sizewise.money import PICO, Price, dollars

READY = "ready"
Told = Mapping[str, object]
"""Plain JSON values under the names of schema.graphql."""


async def models(context: Context) -> list[Told]:
    context.may("ask", "read")
    return [model(card, context.house.connections.health(card)) for card in context.house.cards]


async def one(context: Context, name: str) -> Told:
    """Raises UnknownModel, with the nearest name."""
    context.may("ask", "read")
    card = context.house.card(name)
    return model(card, context.house.connections.health(card))


async def roles(context: Context) -> list[str]:
    context.may("ask", "read")
    models = {card.name for card in context.house.cards}
    return [name for name in context.house.names.listed if name not in models]


def model(card: Card, objection: str = "") -> Told:
    """A card as schema.graphql's Model. `objection`: why it should not be asked now, empty when it is well."""
    told: dict[str, object] = {
        "name": card.name,
        "provider": card.endpoint.provider,
        "task": card.task,
        "size": card.size,
        "place": card.place,
        "state": objection or READY,
        "parameters": card.parameters,
        "context": card.context,
        "maxOutput": card.max_output,
        "sees": sorted(card.sees),
        "tools": card.tools,
        "logprobs": card.logprobs,
        "resumes": card.resumes,
        "quality": card.quality,
        "price": _price(card.price),
        "licence": card.licence,
        "slots": card.slots,
        "weights": _weights(card),
    }
    return told | {"facts": _facts(card, told)}


def _price(price: Price) -> Told:
    return {
        "input": _rate(price.input),
        "output": _rate(price.output),
        "cached": _rate(price.cached),
        "cacheWrite": _rate(price.cache_write),
        "reasoning": _rate(price.reasoning),
        "source": price.source,
        "date": price.date,
    }


def _rate(micro: int | None) -> str | None:
    """Micro-dollars per million tokens as dollars per million tokens."""
    return None if micro is None else dollars(micro * (PICO // 1_000_000))


def _weights(card: Card) -> Told | None:
    held = card.weights
    if held is None:
        return None
    return {"file": held.file, "bytes": held.bytes, "sha256": held.sha256, "path": held.path}


def _facts(card: Card, told: Told) -> list[Told]:
    """Every fact that has a source, and the price, whose source travels with it."""
    facts: list[Told] = []
    for name, source in card.facts.items():
        if name != "price":
            facts.append({"name": name, "value": _text(told.get(_camel(name))), "source": source})
    for name in ("input", "output", "cached", "cache_write", "reasoning"):
        rate = getattr(card.price, name)
        if rate is not None:
            said = " ".join(filter(None, (card.price.source, card.price.date)))
            value = f"{_rate(rate)} dollars per million tokens"
            facts.append({"name": f"price.{name}", "value": value, "source": said})
    return facts


def _text(value: object) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
