"""Table of what a self-test measured of a model by language; measures nothing."""

from __future__ import annotations

import click

from sizewise.catalog.self_tests import SelfTest
from sizewise.cli.output import dim, write_table


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
