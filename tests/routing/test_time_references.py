"""Time references: precision and recall on labeled questions, and questions that are no text or much text."""

from __future__ import annotations

from pathlib import Path

import pytest

from sizewise.routing.text.time_references import NO_REFERENCE, TimeReference, time_reference

CUTOFF, TODAY = "2024-06", "2026-11-28"
FILE = Path(__file__).with_name("time_sensitive_questions.tsv")
QUESTIONS = [line.split("\t") for line in FILE.read_text("utf-8").splitlines()]
"""Part, language, whether it needs facts after CUTOFF, question. `blind`: written when the rules were final."""


@pytest.mark.parametrize(
    ("part", "precision", "recall"),
    [("tune", 1.0, 1.0), ("held", 1.0, 1.0), ("seen", 0.88, 0.68), ("blind", 0.78, 0.68)],
)
def test_rules_find_what_the_page_says(part: str, precision: float, recall: float) -> None:
    found = [
        (needs == "1", time_reference(text).is_after(CUTOFF, TODAY)) for of, _, needs, text in QUESTIONS if of == part
    ]
    right = found.count((True, True))
    assert right / sum(said for _, said in found) >= precision and right / sum(needs for needs, _ in found) >= recall


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("Who won in 2024-11?", TimeReference(date="2024-11")),
        ("Wer gewann im März 2025?", TimeReference(date="2025-03")),
        ('What does "the latest news of 2026" mean to you?', NO_REFERENCE),
        ("Summarize: in 2026 the latest news", NO_REFERENCE),
        ("", NO_REFERENCE),
        ("\x00\ud800 ²⁰²⁵", NO_REFERENCE),
        ("٢٠٢٦", NO_REFERENCE),
        ("today " * 100_000, TimeReference(present=True)),
        ('"' * 100_000, NO_REFERENCE),
        ("20" * 50_000, NO_REFERENCE),
    ],
)
def test_a_reference_is_read_from_the_users_own_words(text: str, reference: TimeReference) -> None:
    assert time_reference(text) == reference


@pytest.mark.parametrize(
    ("date", "cutoff", "after"),
    [
        ("2024", "2024-06", False),
        ("2024-06", "2024-06", False),
        ("2024-07", "2024-06-30", True),
        ("2025", "2024", True),
        ("2027", "2024", True),
        ("2028", "2024", False),
        ("2026-11", "", True),
        ("2026-10", "", False),
        ("2023", "", False),
    ],
)
def test_a_date_is_after_a_cutoff_of_any_precision(date: str, cutoff: str, after: bool) -> None:
    assert TimeReference(date=date).is_after(cutoff, TODAY) == after
