"""For each input a committed pair of workloads that differ only in it, and whose first recommendation differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

import pytest

from sizewise.advisor.recommendation import Recommendation
from sizewise.advisor.workload import DEFAULTS, MAXIMUM, MINIMUM, Workload
from tests.advisor.conftest import Advised

Said = Mapping[str, str]

BANK: Said = {
    "task": "extract", "languages": "en,de", "requests_per_month": "300k", "privacy": "confidential",
    "memory_gb": "16", "gpu_gb": "24", "team": "ml", "labels": "2000",
}  # fmt: skip
LAWYERS: Said = {
    "task": "summarize", "languages": "de", "requests_per_month": "500", "tokens_in": "3000", "tokens_out": "300",
    "latency_ms": "900000", "privacy": "confidential", "memory_gb": "16", "team": "none",
}  # fmt: skip
EDITORS: Said = {
    "task": "summarize", "requests_per_month": "1M", "tokens_in": "1000", "memory_gb": "64", "gpu_gb": "24",
}  # fmt: skip
SHOP: Said = {
    "task": "classify", "requests_per_month": "30M", "tokens_in": "1000", "tokens_out": "1000", "memory_gb": "16",
    "latency_ms": "120000",
}  # fmt: skip
CLINIC: Said = {
    "task": "chat", "languages": "de", "requests_per_month": "1M", "tokens_in": "1000", "latency_ms": "120000",
    "memory_gb": "16", "gpu_gb": "24",
}  # fmt: skip
DESK: Said = {**BANK, "requests_per_month": "30M"}
SHOP_WITH_GPU: Said = {**SHOP, "gpu_gb": "24"}
AGENT: Said = {
    "task": "reason", "languages": "de", "requests_per_month": "1000", "tokens_in": "4000", "tokens_out": "1000",
    "memory_gb": "128", "gpu_gb": "24",
}  # fmt: skip

PAIRS: tuple[tuple[str, Said, str, str, str, str], ...] = (
    ("task", SHOP, "classify", "cascade-hosted", "reason", "api"),
    ("languages", EDITORS, "en", "local", "sv", "api"),
    ("requests_per_month", BANK, "10k", "local", "100M", "local-tuned"),
    ("tokens_in", BANK, "1000", "local", "20k", "local-tuned"),
    ("tokens_out", BANK, "5", "local", "3000", "local-tuned"),
    ("latency_ms", BANK, "30000", "local", "500", "local-tuned"),
    ("context", CLINIC, "4k", "local", "120k", "api"),
    ("privacy", SHOP_WITH_GPU, "internal", "cascade-hosted", "confidential", "local"),
    ("memory_gb", LAWYERS, "4", "none", "16", "local"),
    ("gpu_gb", BANK, "24", "local", "0", "local-tuned"),
    ("team", DESK, "none", "local", "ml", "local-tuned"),
    ("months", {**BANK, "requests_per_month": "3M"}, "1", "local", "36", "local-tuned"),
    ("labels", DESK, "0", "local", "2000", "local-tuned"),
    ("images", EDITORS, "0", "local", "1", "api"),
    ("weeks", {**DESK, "team": "some"}, "0", "local-tuned", "1", "local"),
)
"""An input, the rest, and twice a value with the kind that comes first; none: nothing meets the need."""


def first(advice: Recommendation) -> tuple[str, tuple[str, ...]]:
    if not advice.ranked:
        return "none", ()
    option = advice.ranked[0].candidate
    return option.kind, tuple(part.model.name for part in option.placements)


@pytest.mark.long
@pytest.mark.parametrize(("name", "rest", "one", "kind", "other", "then"), PAIRS, ids=[pair[0] for pair in PAIRS])
def test_an_input_alone_changes_the_advice(
    name: str,
    rest: Said,
    one: str,
    kind: str,
    other: str,
    then: str,
    advised: Advised,
) -> None:
    before, after = first(advised(**{**rest, name: one})), first(advised(**{**rest, name: other}))
    assert (before[0], after[0]) == (kind, then)
    assert before != after


def test_every_input_has_its_pair() -> None:
    options = {*DEFAULTS, *MAXIMUM, *MINIMUM}
    assert {pair[0].replace("_", "-") for pair in PAIRS} == options
    assert len(fields(Workload)) - len({"today", "free", "said"}) == len(options)


def test_a_weight_changes_the_advice(advised: Advised) -> None:
    assert first(advised(memory_gb="8"))[0] == "api"
    assert first(advised(memory_gb="8", weight=("security=1000",)))[0] == "cascade-local"


@pytest.mark.long
def test_an_assumption_changes_the_advice(advised: Advised) -> None:
    assert first(advised(**DESK)) != first(advised(**DESK, assume=("half-labels=100000",)))


def test_a_cascade_comes_first_where_the_small_model_is_trusted(advised: Advised) -> None:
    said = {**AGENT, "languages": "en", "requests_per_month": "100k", "tokens_in": "100", "tokens_out": "200"}
    said = {**said, "gpu_gb": "24", "team": "ml", "months": "36"}
    assert first(advised(**said))[0] == "cascade-local"
    assert first(advised(**said, assume=("trusted=0.01",)))[0] == "api"
