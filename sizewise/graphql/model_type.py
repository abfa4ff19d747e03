"""Converts a model card to the GraphQL `Model` type, with or without a server; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sizewise.model_card import ModelCard
from sizewise.money import PICO_PER_DOLLAR, Price, UnitRates, format_dollars

READY = "ready"
FieldValues = Mapping[str, object]
"""JSON values by the field names of schema.graphql."""

FACTS = (
    "parameters",
    "context",
    "max_output",
    "input_modalities",
    "tools",
    "logprobs",
    "prefill",
    "quality",
    "languages",
    "knowledge_cutoff",
    "temperature",
    "top_p",
    "license",
)
RATES = ("input", "output", "cached", "cache_write", "cache_write_1h", "reasoning")


def model_values(
    card: ModelCard,
    unavailable_reason: str = "",
    queue: FieldValues | None = None,
    pace: Sequence[FieldValues] = (),
) -> FieldValues:
    """A card as schema.graphql's Model. `unavailable_reason`: empty if it is available. `queue`: a ModelQueue. `pace`:
    one ModelPace for each load.
    """
    return {
        "name": card.name,
        "provider": card.endpoint.provider,
        "task": card.task,
        "size": card.size,
        "place": card.place,
        "state": unavailable_reason or READY,
        "parameters": card.parameters,
        "context": card.context,
        "maxOutput": card.max_output,
        "inputModalities": sorted(card.input_modalities),
        "tools": card.tools,
        "logprobs": card.logprobs,
        "prefill": card.prefill,
        "quality": card.quality,
        "price": {**price_values(card.price), "source": card.price.source, "date": card.price.date},
        "license": card.license,
        "slots": card.slots,
        "queue": queue,
        "pace": list(pace),
        "weights": _weights(card),
        "facts": [*_facts(card), *_rates(card.price)],
    }


def price_values(price: Price) -> Mapping[str, str | None]:
    """By the names of schema.graphql's Price, in dollars per million tokens, or per unit."""
    units = price.units or UnitRates()
    return {
        "input": _rate(price.input),
        "output": _rate(price.output),
        "cached": _rate(price.cached),
        "cacheWrite": _rate(price.cache_write),
        "cacheWrite1h": _rate(price.cache_write_1h),
        "reasoning": _rate(price.reasoning),
        "perSecond": _unit_rate(units.second),
        "perCharacter": _unit_rate(units.character),
        "perImage": _unit_rate(units.image),
        "perRequest": _unit_rate(units.request),
    }


def _rate(micro: int | None) -> str | None:
    """Micro-dollars per million tokens as dollars per million tokens."""
    return None if micro is None else format_dollars(micro * (PICO_PER_DOLLAR // 1_000_000))


def _unit_rate(pico: int | None) -> str | None:
    return None if pico is None else format_dollars(pico)


def _weights(card: ModelCard) -> FieldValues | None:
    held = card.weights
    if held is None:
        return None
    return {"file": held.file, "bytes": held.bytes, "sha256": held.sha256, "path": held.path}


def _facts(card: ModelCard) -> list[FieldValues]:
    """Known and unknown facts, by their names in sizewise.toml."""
    tuned = card.weights.tuned if card.weights is not None else ""
    learned: list[FieldValues] = [{"name": "tuning", "value": tuned, "source": "sizewise tune"}] if tuned else []
    return [
        *learned,
        *(
            {"name": name, "value": _text(name, getattr(card, name)), "source": card.facts.get(name, "")}
            for name in FACTS
        ),
    ]


def _rates(price: Price) -> list[FieldValues]:
    """Input and output, unless other units have a price; other rates only if set, since an unset one is billed as
    another.
    """
    source = ", ".join(filter(None, (price.source, price.date)))
    told = [(name, getattr(price, name)) for name in RATES]
    rates: list[FieldValues] = [
        {"name": f"price.{name}", "value": _per_million(rate), "source": source if rate is not None else ""}
        for name, rate in told
        if rate is not None or (price.units is None and name in ("input", "output"))
    ]
    units = price.units or UnitRates()
    per_unit = [(name, name, getattr(units, name)) for name in ("second", "character", "image", "request")]
    per_unit += [(f"images.{kind}", "image", rate) for kind, rate in units.image_kinds]
    rates += [
        {"name": f"price.{name}", "value": f"{format_dollars(rate)} dollars per {unit}", "source": source}
        for name, unit, rate in per_unit
        if rate is not None
    ]
    return [*rates, *({"name": "price", "value": but, "source": source} for but in price_conditions(price))]


def price_conditions(price: Price) -> Iterator[str]:
    """Conditions under which other rates apply."""
    if price.tiers:
        yield "other rates above " + ", ".join(f"{tokens:,}" for tokens, _ in price.tiers) + " prompt tokens"
    if price.schedule:
        yield "other rates at other times"
    if price.unpriced_modalities:
        yield f"unknown for {', '.join(sorted(price.unpriced_modalities))}"


def _per_million(rate: int | None) -> str:
    return "unknown" if rate is None else f"{_rate(rate)} dollars per million tokens"


def _text(name: str, value: object) -> str:
    if value is None:
        return "unknown"
    if name == "languages" and isinstance(value, frozenset):
        return ", ".join(sorted(value)) or "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, frozenset):
        return ", ".join(["text", *sorted(value)])
    return str(value)
