"""How well a model does a task, as far as its facts tell: measured, or no worse than a measured one, or assumed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType

from sizewise.advisor.assumptions import TASKS, Assumed, Task
from sizewise.advisor.sourced_number import Kind, Number, plain
from sizewise.catalog.model_info import Known
from sizewise.model_card import SIZES, Sizes
from sizewise.money import Price

Offers = Mapping[str, Price]
"""What a model costs where, by `<endpoint>/<its name there>`."""


@dataclass(frozen=True, slots=True)
class Ability:
    """`share` right in the task's benchmark, 0..1, and why it is believed."""

    share: Fraction
    kind: Kind
    source: str
    unknown: bool = False  # nothing tells, so chance is all that is believed

    @property
    def measured(self) -> bool:
        return self.kind == "fact"


@dataclass(frozen=True, slots=True)
class Market:
    """The models that can be had: what is known of each, and what it costs where. `measured` is made by `market`."""

    models: tuple[Known, ...]
    offers: Mapping[str, Offers]
    measured: Mapping[str, tuple[tuple[Known, Fraction], ...]]
    sizes: Sizes = SIZES

    def large(self, model: Known) -> bool:
        """Those whose size is their vendor's secret, too."""
        return model.size(self.sizes) not in ("tiny", "slm")

    def cheapest(self, model: Known) -> int:
        """Micro-dollars for a million tokens in and a million out, where it costs least; 0 where nobody sells it."""
        sums = [
            price.input + price.output for price in self.offers[model.name].values() if price.input and price.output
        ]
        return min(sums, default=0)


def market(models: Iterable[Known], sold: Offers, sizes: Sizes = SIZES) -> Market:
    """Of chat models only: an embedding model answers nothing. `sold` as the catalogue's `sold` tells of all."""
    chat = tuple(sorted((each for each in models if each.task == "chat"), key=lambda each: each.name))
    measured = {
        name: tuple(
            (each, _exact(each.scores.value[name])) for each in chat if each.scores and name in each.scores.value
        )
        for name in {task.benchmark for task in TASKS.values()}
    }
    offers = {each.name: MappingProxyType(dict(_offers(each, sold))) for each in chat}
    return Market(chat, MappingProxyType(offers), MappingProxyType(measured), sizes)


def _offers(model: Known, sold: Offers) -> Iterator[tuple[str, Price]]:
    for endpoint, names in model.sold.items():
        yield from (
            (f"{endpoint}/{name}", sold[f"{endpoint}/{name}"]) for name in names if f"{endpoint}/{name}" in sold
        )


def ability(model: Known, task: Task, market: Market, assumed: Assumed) -> Ability:
    """Of the model as its vendor made it."""
    name = task.benchmark
    if model.scores and name in model.scores.value:
        share = _exact(model.scores.value[name])
        return Ability(share, "fact", f"{name} {plain(share, 3)}: {model.scores}")
    peers = [each for each in market.measured[name] if _no_better(each[0], model, market)]
    if peers:
        peer, share = max(peers, key=lambda each: (each[1], each[0].name))
        why = "neither larger nor newer" if model.parameters else "of the same vendor, no dearer"
        return Ability(share, "estimate", f"no worse than {peer.name}, {why}: {name} {plain(share, 3)}, {peer.scores}")
    if model.parameters:
        why = f"{name} is not known, nor that of any model neither larger nor newer: counted as chance"
        return Ability(task.chance, "estimate", why, unknown=True)
    share = task.chance + assumed["unmeasured"] * (task.need - task.chance)
    return Ability(share, "assumed", f"{name} is not known: the assumption unmeasured")


def _no_better(peer: Known, model: Known, market: Market) -> bool:
    """Whether a measured model is one that `model` should not be worse than."""
    if peer.thinks is not None and peer.thinks.value and not (model.thinks is not None and model.thinks.value):
        return False  # what thinking gains, the other does not have
    if model.parameters is not None:
        if peer.parameters is None or peer.released is None or model.released is None:
            return False
        return peer.parameters.value <= model.parameters.value and peer.released.value <= model.released.value
    if peer.vendor != model.vendor or peer.parameters is not None:
        return False
    if peer.released and model.released and peer.released.value > model.released.value:
        return False
    return 0 < market.cheapest(peer) <= market.cheapest(model)


def quality(share: Fraction, task: Task) -> Fraction:
    """0 at chance, 1 from what the task asks."""
    return min(Fraction(1), max(Fraction(0), (share - task.chance) / (task.need - task.chance)))


def tuned(share: Fraction, task: Task, labels: int, assumed: Assumed) -> Fraction:
    """The share right after tuning on so many examples; a model far below what the task asks takes more of them."""
    half = assumed["half-labels"] * max(Fraction(1), task.need / max(share, Fraction(1, 10)))
    return share + (1 - share) * task.closes * labels / (labels + half)


def number(model: Known, found: Ability) -> Number:
    return Number(f"ability of {model.name}", plain(found.share, 3), found.kind, found.source)


def _exact(share: float) -> Fraction:
    return Fraction(repr(share))
