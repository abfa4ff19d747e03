"""LoRA adapters of embedded models: which share a base, and whether each belongs to it. Loads none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from sizewise.catalog.gguf_header import read_header
from sizewise.catalog.loader import weights_path
from sizewise.errors import ModelUnavailable
from sizewise.model_card import ModelCard, ModelWeights


def adapters_by_base(cards: Iterable[ModelCard], cache: Path) -> Mapping[Path, tuple[str, ...]]:
    """Paths of the usable adapters on each model file, in an order that is always the same."""
    found: dict[Path, set[str]] = {}
    for card in cards:
        weights = card.weights
        if weights is not None and weights.adapter and not adapter_problem(card.name, weights):
            found.setdefault(weights_path(weights, cache), set()).add(weights.adapter)
    return {file: tuple(sorted(paths)) for file, paths in found.items()}


def adapter_problem(name: str, weights: ModelWeights) -> ModelUnavailable | None:
    """Why the adapter of `weights` cannot be used on the model of `weights`; None if it can."""
    try:
        base = read_header(Path(weights.adapter)).adapter_base
    except ModelUnavailable as why:
        return ModelUnavailable(f"the adapter of {name!r} cannot be used: {why.message}", "Tune it again.")
    if base == weights.sha256:
        return None
    trained = f"the file with sha256 {base[:12]}…" if base else "a file that it does not name"
    return ModelUnavailable(
        f"the adapter of {name!r} was trained on {trained}, and its base is {weights.sha256[:12]}…",
        "Tune it again on this base: sizewise tune run",
    )
