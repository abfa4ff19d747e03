"""Quality estimates of a model for a task: measured, bounded by a comparable model, or assumed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType

from sizewise.advisor.assumptions import TASKS, Assumptions, TaskProfile
from sizewise.advisor.sourced_number import NumberKind, SourcedNumber, format_number
from sizewise.catalog.model_info import ModelInfo
from sizewise.catalog.offer_status import OfferStatus
from sizewise.model_card import DEFAULT_SIZE_THRESHOLDS, SizeThresholds
from sizewise.money import Price

PricesByOffer = Mapping[str, Price]
"""`<endpoint>/<model name there>` -> price."""


@dataclass(frozen=True, slots=True)
class QualityEstimate:
    """`accuracy`: in the task's benchmark, 0..1. `source`: why."""

    accuracy: Fraction
    kind: NumberKind
    source: str
    unknown: bool = False  # no evidence, so counted as chance

    @property
    def measured(self) -> bool:
        return self.kind == "fact"


@dataclass(frozen=True, slots=True)
class ModelOffers:
    """The available chat models with their prices; made by `build_model_offers`. `measured_by_benchmark`: benchmark ->
    (model, accuracy). `statuses`: whether each offer is sold; None: all are. `tuned_prices`: of models that the vendor
    fine-tunes, by offer. `encoder`: the embedding model for a trained classifier.
    """

    models: tuple[ModelInfo, ...]
    prices_by_model: Mapping[str, PricesByOffer]
    measured_by_benchmark: Mapping[str, tuple[tuple[ModelInfo, Fraction], ...]]
    sizes: SizeThresholds = DEFAULT_SIZE_THRESHOLDS
    statuses: Mapping[str, OfferStatus] | None = None
    tuned_prices: PricesByOffer = field(default_factory=lambda: MappingProxyType({}))
    encoder: ModelInfo | None = None

    def is_large(self, model: ModelInfo) -> bool:
        """Also true for models of undisclosed size."""
        return model.size_class(self.sizes) not in ("tiny", "slm")

    def lowest_price(self, model: ModelInfo) -> int:
        """Micro-dollars for a million input and a million output tokens at the cheapest endpoint; 0 if none has a
        price.
        """
        sums = [
            price.input + price.output
            for price in self.prices_by_model[model.name].values()
            if price.input and price.output
        ]
        return min(sums, default=0)


def build_model_offers(
    models: Iterable[ModelInfo],
    prices: PricesByOffer,
    sizes: SizeThresholds = DEFAULT_SIZE_THRESHOLDS,
    *,
    statuses: Mapping[str, OfferStatus] | None = None,
    tuned_prices: PricesByOffer = MappingProxyType({}),
    encoder: ModelInfo | None = None,
) -> ModelOffers:
    """Keeps chat models only. `prices`: of all offers in the catalog. The rest: see ModelOffers."""
    chat = tuple(sorted((each for each in models if each.task == "chat"), key=lambda each: each.name))
    measured = {
        name: tuple(
            (each, _exact(each.scores.value[name])) for each in chat if each.scores and name in each.scores.value
        )
        for name in {task.benchmark for task in TASKS.values()}
    }
    offers = {each.name: MappingProxyType(dict(_prices_of(each, prices))) for each in chat}
    return ModelOffers(
        models=chat,
        prices_by_model=MappingProxyType(offers),
        measured_by_benchmark=MappingProxyType(measured),
        sizes=sizes,
        statuses=statuses,
        tuned_prices=tuned_prices,
        encoder=encoder,
    )


def _prices_of(model: ModelInfo, prices: PricesByOffer) -> Iterator[tuple[str, Price]]:
    for endpoint, names in model.offers.items():
        yield from (
            (f"{endpoint}/{name}", prices[f"{endpoint}/{name}"]) for name in names if f"{endpoint}/{name}" in prices
        )


def estimate_quality(
    model: ModelInfo,
    task: TaskProfile,
    offers: ModelOffers,
    assumptions: Assumptions,
) -> QualityEstimate:
    """Accuracy before tuning and quantization: measured, that of a comparable model, or an assumption."""
    name = task.benchmark
    if model.scores and name in model.scores.value:
        share = _exact(model.scores.value[name])
        return QualityEstimate(share, "fact", f"{name} {format_number(share, 3)}: {model.scores}")
    peers = [each for each in offers.measured_by_benchmark[name] if _is_lower_bound(each[0], model, offers)]
    if peers:
        peer, share = max(peers, key=lambda each: (each[1], each[0].name))
        why = "neither larger nor newer" if model.parameters else "of the same vendor, not more expensive"
        return QualityEstimate(
            share,
            "estimate",
            f"no worse than {peer.name}, {why}: {name} {format_number(share, 3)}, {peer.scores}",
        )
    if model.parameters:
        why = f"{name} is unknown, also for smaller and older models: counted as chance"
        return QualityEstimate(task.chance_accuracy, "estimate", why, unknown=True)
    share = task.chance_accuracy + assumptions["unmeasured"] * (task.required_accuracy - task.chance_accuracy)
    return QualityEstimate(share, "assumed", f"{name} is unknown: the assumption `unmeasured`")


def _is_lower_bound(peer: ModelInfo, model: ModelInfo, offers: ModelOffers) -> bool:
    """Whether `model` should be no worse than `peer`: `peer` is neither larger nor newer, or if neither size is known,
    of the same vendor, not newer and no more expensive.
    """
    if peer.reasons and not model.reasons:
        return False  # `peer` gains from reasoning, which `model` lacks
    if model.parameters is not None:
        if peer.parameters is None or peer.release_date is None or model.release_date is None:
            return False
        return peer.parameters.value <= model.parameters.value and peer.release_date.value <= model.release_date.value
    if peer.vendor != model.vendor or peer.parameters is not None:
        return False
    if peer.release_date and model.release_date and peer.release_date.value > model.release_date.value:
        return False
    return 0 < offers.lowest_price(peer) <= offers.lowest_price(model)


def normalized_quality(accuracy: Fraction, task: TaskProfile) -> Fraction:
    """0 at chance accuracy, 1 from the required accuracy."""
    return min(
        Fraction(1),
        max(Fraction(0), (accuracy - task.chance_accuracy) / (task.required_accuracy - task.chance_accuracy)),
    )


def accuracy_after_tuning(accuracy: Fraction, task: TaskProfile, labels: int, assumptions: Assumptions) -> Fraction:
    """Accuracy after tuning on `labels` examples. A model far below the required accuracy needs more of them."""
    half = assumptions["half-labels"] * max(Fraction(1), task.required_accuracy / max(accuracy, Fraction(1, 10)))
    return accuracy + (1 - accuracy) * task.tuning_gain * labels / (labels + half)


def quality_number(model: ModelInfo, estimate: QualityEstimate) -> SourcedNumber:
    return SourcedNumber(
        f"accuracy of {model.name}",
        format_number(estimate.accuracy, 3),
        estimate.kind,
        estimate.source,
    )


def _exact(share: float) -> Fraction:
    return Fraction(repr(share))
