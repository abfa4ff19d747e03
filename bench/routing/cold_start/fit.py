"""Fits the shipped prior on the recorded set of bench/routing/live, and prints it; asks no model.

    python -m bench.routing.cold_start.fit          # prints sizewise/routing/quality/shipped_prior.py
    python -m bench.routing.cold_start.fit --write  # and writes it

The cold-start questions are not among what it learns from. Deterministic, but for the last digits of other machines.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

from bench.routing.live.questions import RECORDED
from sizewise.catalog.loader import local_card
from sizewise.routing.quality.answer_prior import AnswerPrior, PriorModel
from sizewise.routing.quality.answer_signals import AnswerSignals
from sizewise.routing.text.prompt_features import fold_text, guess_language, tokenize
from sizewise.routing.training.answer_prior import train_prior_model
from sizewise.settings.load import load_settings

MODELS = ("smollm2-135m", "qwen2.5-coder-1.5b")
MAX_LOSS = 0.05
MIN_PROMPTS = 30
"""Prompts of a language below which nothing was learned of it."""
DATE = "2026-11-27"
SHIPPED = Path(__file__).parents[3] / "sizewise/routing/quality/shipped_prior.py"
HEAD = '''"""The shipped answer prior: what was learned of small models' answers before any user's labels; generated.

python -m bench.routing.cold_start.fit --write
"""

from __future__ import annotations

from sizewise.routing.quality.answer_prior import AnswerPrior, PriorModel, SignalAuroc

SHIPPED_PRIOR = '''


def fit() -> AnswerPrior:
    outcomes = _rows(RECORDED / "outcomes.jsonl")
    prompts = {row["prompt_id"]: row for row in _rows(RECORDED / "prompts.jsonl")}
    tongues = Counter(_language(row["prompt"]) for row in prompts.values())
    languages = {tongue for tongue, count in tongues.items() if count >= MIN_PROMPTS and tongue != "none"}
    models = [_model(name, [row for row in outcomes if row["model"] == name], prompts) for name in MODELS]
    digest = sha256((RECORDED / "outcomes.jsonl").read_bytes()).hexdigest()
    return AnswerPrior(tuple(models), frozenset(languages), MAX_LOSS, digest, DATE)


def _rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def _language(prompt: str) -> str:
    folded = fold_text(prompt)
    return guess_language(folded, tokenize(folded))


def _model(name: str, rows: list[dict[str, Any]], prompts: dict[str, dict[str, Any]]) -> PriorModel:
    parameters = local_card(name, load_settings()).parameters
    assert parameters is not None
    groups = [prompts[row["prompt_id"]]["category"] for row in rows]
    right = [float(row["score"]) for row in rows]
    return train_prior_model(
        f"{parameters / 1e9:.2f}B", parameters, [_signals(row) for row in rows], right, groups, MAX_LOSS
    )


def _signals(row: dict[str, Any]) -> AnswerSignals:
    return AnswerSignals(
        mean_logprob=row["confidence"],
        min_logprob=row["least"],
        first_logprob=row["logprobs"][0],
        tokens=row["tokens_out"],
        is_truncated=row.get("finish") == "length",
    )


def written(prior: AnswerPrior) -> str:
    """The file, before it is formatted."""
    models = ", ".join(
        "PriorModel("
        + ", ".join(f"{field}={getattr(its, field)!r}" for field in its.__struct_fields__ if field != "own_labels")
        + ")"
        for its in prior.models
    )
    return (
        f"{HEAD}AnswerPrior(models=({models},), languages=frozenset({sorted(prior.languages)!r}),"
        f" max_loss={prior.max_loss!r}, dataset_digest={prior.dataset_digest!r}, date={prior.date!r})\n"
    )


if __name__ == "__main__":
    found = written(fit())
    if "--write" in sys.argv:
        SHIPPED.write_text(found, encoding="utf-8")
    else:
        print(found)
