"""Real passages that are on every machine, Python's docstrings and manual, and the prompts of a folder; no poison."""

from __future__ import annotations

import ast
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics
from random import Random

from bench.guardrails.prompt_injection import prompts
from sizewise.guardrails.poisoning import CorpusPassage

LEAST, MOST = 100, 3_000  # characters


def docstrings() -> Iterator[CorpusPassage]:
    root = Path(sysconfig.get_path("stdlib"))
    for file in sorted(root.rglob("*.py")):
        place = file.relative_to(root)
        if {"site-packages", "test", "tests", "idle_test"} & set(place.parts):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(file.read_text("utf-8"))
        except (SyntaxError, UnicodeDecodeError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node) or ""
                line = getattr(node, "lineno", 1)
                if len(text) >= LEAST:
                    yield CorpusPassage(f"{place}:{line}", text[:MOST], str(place))


def manual() -> Iterator[CorpusPassage]:
    """Paragraphs of the manual that comes with Python, three at a time."""
    for name, page in sorted(topics.items()):
        paragraphs = [each for each in page.split("\n\n") if each.strip()]
        for at in range(0, len(paragraphs), 3):
            text = "\n\n".join(paragraphs[at : at + 3]).strip()
            if len(text) >= LEAST:
                yield CorpusPassage(f"{name}:{at}", text[:MOST], name)


def asked(folder: Path) -> Iterator[CorpusPassage]:
    """Prompts of every set of `folder`."""
    for file in sorted(folder.glob("*/prompts.*")):
        for number, text in enumerate(prompts(file)):
            if len(text) >= LEAST:
                yield CorpusPassage(f"{file.parent.name}:{number}", text[:MOST], file.parent.name)


def drawn(passages: list[CorpusPassage], count: int, seed: int) -> list[CorpusPassage]:
    """`count` of them by lot, each text once."""
    once = list({each.text: each for each in passages}.values())
    return Random(seed).sample(once, min(count, len(once)))
