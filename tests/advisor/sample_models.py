"""A few made-up models for tests that must not hang on what the catalogue knows today."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from sizewise.advisor.quality_estimates import ModelOffers, build_model_offers
from sizewise.catalog.model_info import Fact, ModelInfo
from sizewise.money import Price

T = TypeVar("T")


def fact(value: T) -> Fact[T]:
    return Fact(value, "a toy", "2026-01-01")


def open_model(name: str, billions: float, mmlu: float | None, **more: Any) -> ModelInfo:
    """Weights that may be had, with a shape that is a little like that of others of its size."""
    scores = fact(MappingProxyType({"mmlu": mmlu})) if mmlu is not None else None
    known: Mapping[str, Any] = {
        "parameters": fact(int(billions * 10**9)), "layers": fact(32), "hidden": fact(2048), "heads": fact(16),
        "kv_heads": fact(4), "head_dim": fact(128), "vocabulary": fact(32_000), "context": fact(32_768),
        "scores": scores, "release_date": fact("2025-01-01"),
    }  # fmt: skip
    return ModelInfo(name, name, "Toys", **{**known, **more})


def sold_model(name: str, mmlu: float | None, **more: Any) -> ModelInfo:
    scores = fact(MappingProxyType({"mmlu": mmlu})) if mmlu is not None else None
    known: Mapping[str, Any] = {"context": fact(128_000), "scores": scores, "release_date": fact("2025-01-01")}
    return ModelInfo(name, name, "Toys", offers=MappingProxyType({"shop": (name,)}), **{**known, **more})


def priced(input: int, output: int) -> Price:
    """Micro-dollars for a million tokens."""
    return Price(input=input, output=output, source="a toy", date="2026-01-01")


def toys(*more: ModelInfo, **prices: Price) -> ModelOffers:
    models = (open_model("tiny", 0.3, None), open_model("small", 3, 0.62), open_model("middle", 8, 0.7))
    large = (sold_model("large", 0.88), sold_model("cheap", 0.7))
    offers = {"shop/large": priced(2_000_000, 10_000_000), "shop/cheap": priced(100_000, 400_000)}
    return build_model_offers(
        (*models, *large, *more),
        {**offers, **{f"shop/{name}": price for name, price in prices.items()}},
    )
