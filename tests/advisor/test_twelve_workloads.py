"""Twelve workloads with the options that should come first, and why, written down before the advisor was changed.

An expectation is a statement about the work, in the words of its reason; it is changed only with a new reason.
Three of them were: the clinic's time limit, the second option of the agent and that of the week.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import pytest

from tests.advisor.conftest import Advised


@dataclass(frozen=True)
class ExpectedAdvice:
    """`first`: the kinds of the first two options that meet the need; fewer if no other does."""

    name: str
    inputs: Mapping[str, str]
    first: tuple[str, ...]
    reason: str


def _expect(name: str, reason: str, *first: str, **inputs: str) -> ExpectedAdvice:
    return ExpectedAdvice(name, MappingProxyType(inputs), first, reason)


WORKLOADS = (
    _expect(
        "tickets with labels",
        "Fixed answers and 2,000 labels: a trained classifier needs no language model. Second an API without set-up.",
        "classifier",
        "api",
        task="classify", requests_per_month="3M", tokens_in="200", tokens_out="5", labels="2000", memory_gb="16",
    ),
    _expect(
        "tickets without labels",
        "Nothing can be trained without labels, and no small model is measured to be good enough in 16 GB untuned.",
        "api",
        "cascade-hosted",
        task="classify", requests_per_month="3M", tokens_in="200", tokens_out="5", memory_gb="16",
    ),
    _expect(
        "letters of a clinic",
        "Nothing may leave and nobody can tune: one model remains that is measured, lists German and fits 16 GB."
        " It takes ten minutes for 3,000 tokens on a CPU, so the letters are summarized at night.",
        "local",
        task="summarize", languages="de", requests_per_month="500", tokens_in="3000", tokens_out="300",
        latency_ms="900000", privacy="confidential", memory_gb="16", team="none",
    ),
    _expect(
        "public help desk",
        "Little volume, public data, general talk: the best model costs a few dollars. A cascade saves little.",
        "api",
        "cascade-hosted",
        task="chat", privacy="public", memory_gb="8",
    ),
    _expect(
        "forms of a bank",
        "A GPU with room for a measured model that needs no tuning, and a team that could tune one.",
        "local",
        "local-tuned",
        task="extract", languages="en,de", requests_per_month="300k", privacy="confidential", memory_gb="16",
        gpu_gb="24", team="ml", labels="2000",
    ),
    _expect(
        "code of a law firm",
        "No open model is measured to be good enough at mathematics, which stands for code: the answer is no.",
        task="code", requests_per_month="20k", tokens_in="1500", tokens_out="600", privacy="confidential",
        memory_gb="64", gpu_gb="80",
    ),
    _expect(
        "research agent",
        "Only large reasoning models are measured well enough. Hosted small ones are close to chance in this"
        " benchmark, so that there is no easy part to give them.",
        "api",
        task="reason", languages="de", requests_per_month="1000", tokens_in="4000", tokens_out="1000", memory_gb="32",
    ),
    _expect(
        "photographs of invoices",
        "Only models that accept images remain, and the small ones are not measured well enough alone.",
        "api",
        "cascade-hosted",
        task="extract", images="1", requests_per_month="20k", tokens_in="300", tokens_out="200", memory_gb="8",
    ),
    _expect(
        "dossiers of 200,000 tokens",
        "No small model that is sold has the window, and no machine of 16 GB has the memory.",
        "api",
        task="summarize", requests_per_month="200", tokens_in="200k", tokens_out="1000", context="300k",
        latency_ms="120000", privacy="public", memory_gb="16",
    ),
    _expect(
        "sorting in one week",
        "Nothing may leave, and one week leaves time to train a classifier, or to tune the smallest models.",
        "classifier",
        "local-tuned",
        task="classify", requests_per_month="50k", tokens_in="300", tokens_out="5", labels="5000", weeks="1",
        privacy="confidential", memory_gb="8",
    ),
    _expect(
        "suggestions while typing",
        "No endpoint answers within 700 ms; a GPU here does, with a measured model, tuned or not.",
        "local",
        "local-tuned",
        task="chat", requests_per_month="3M", tokens_in="100", tokens_out="20", latency_ms="700", memory_gb="16",
        gpu_gb="24", team="ml", labels="20k",
    ),
    _expect(
        "notes on a laptop of 4 GB",
        "Nothing may leave, and no model of this size is measured to be good enough: the answer is no.",
        task="summarize", privacy="confidential", memory_gb="4", latency_ms="120000",
    ),
)  # fmt: skip


@pytest.mark.parametrize("expected", WORKLOADS, ids=[each.name for each in WORKLOADS])
def test_the_first_two_options_are_the_expected_ones(expected: ExpectedAdvice, advised: Advised) -> None:
    advice = advised(**expected.inputs)
    assert tuple(each.candidate.kind for each in advice.ranked[:2]) == expected.first, expected.reason
