"""What a self-test measured of a model's answers: its score, and a table by language; measures nothing."""

from __future__ import annotations

import click

from sizewise.catalog.self_tests import SelfTest
from sizewise.cli.output import dim, write_table
from sizewise.evals.llm_judge import wilson_interval


def question_score(test: SelfTest) -> str:
    """Such as `87 of 200 short questions right (44%, 95%: 37% to 50%)`; empty if none was asked."""
    if not test.questions_asked:
        return ""
    its = wilson_interval(test.questions_right, test.questions_asked)
    share = test.questions_right / test.questions_asked
    count = f"{test.questions_right} of {test.questions_asked} short questions right"
    return f"{count} ({share:.0%}, 95%: {its.low:.0%} to {its.high:.0%})"


def write_languages(test: SelfTest) -> None:
    """Best languages first: by right answers, then by the tokens that a text takes."""
    density, right = test.tokens_per_character, test.right_answers
    if not density:
        return
    english = density.get("en") or 0.0
    order = sorted(density, key=lambda language: (-right.get(language, 0.0), density[language]))
    rows = [
        (
            language,
            f"{right[language]:.0%}" if language in right else "?",
            f"{density[language]:.2f}",
            f"{density[language] / english:.1f}x" if english else "?",
        )
        for language in order
    ]
    heads = ("LANGUAGE", "RIGHT ANSWERS", "TOKENS/CHARACTER", "AGAINST EN")
    write_table(heads, rows, right="ANSWERS TOKENS/CHARACTER EN")
    click.echo(dim(f"six simple questions in each language, self-test on this machine, {test.date}"))
