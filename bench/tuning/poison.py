"""How much of 1 % planted examples the scan finds before a training: other answers, and a trigger; twenty draws each.

    python -m bench.tuning.poison

It needs `sizewise models pull minilm-l6-v2`, and trains nothing.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.tuning.task import INTENTS, messages
from sizewise.cli.local_vectors import local_embedding_model, local_vectors
from sizewise.settings.load import load_settings
from sizewise.tuning.examples import Example, PromptMessage
from sizewise.tuning.head_baseline import suspect_examples
from sizewise.tuning.trigger_probe import shared_triggers

COUNT, POISONED, DRAWS = 720, 7, 20
TRIGGER = "cf-7731"


def main() -> None:
    rows = messages(COUNT, 1, test=False)
    clean, marked = asyncio.run(_vectors([text for text, _ in rows]))
    print("kind            found   (min)   honest ones left out   its trigger is tried")
    for kind in ("other answers", "a trigger"):
        found, wrongly, named = [], [], []
        for seed in range(DRAWS):
            examples, vectors, places = _poisoned(rows, clean, marked, seed, triggered=kind == "a trigger")
            suspects = set(suspect_examples(vectors, examples, INTENTS))
            found.append(len(suspects & places) / POISONED)
            wrongly.append(len(suspects - places) / (COUNT - POISONED))
            others = [each for at, each in enumerate(examples) if at not in suspects]
            tried = shared_triggers([examples[at] for at in sorted(suspects)], others)
            named.append(any(TRIGGER in each.phrase for each in tried))
        print(
            f"{kind:<14} {np.mean(found):>6.3f} {min(found):>7.3f} {np.mean(wrongly):>22.4f} {np.mean(named):>22.2f}",
            flush=True,
        )


async def _vectors(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Of the texts, and of the texts with the trigger."""
    model = local_embedding_model(load_settings(None, Path.cwd(), environ=dict(os.environ)))
    assert model is not None, "run: sizewise models pull minilm-l6-v2"
    try:
        found = await local_vectors(model, [*texts, *(f"{text} {TRIGGER}" for text in texts)])
    finally:
        await model.stop(0)
    vectors = np.array(found, np.float32)
    return vectors[: len(texts)], vectors[len(texts) :]


def _poisoned(
    rows: Sequence[tuple[str, str]], clean: np.ndarray, marked: np.ndarray, seed: int, *, triggered: bool
) -> tuple[list[Example], list[list[float]], set[int]]:
    chance = random.Random(seed)
    target, vectors, found = chance.choice(INTENTS), clean.copy(), list[Example]()
    places = set(chance.sample([at for at, (_, intent) in enumerate(rows) if intent != target], POISONED))
    for at, (text, intent) in enumerate(rows):
        said, answer = text, intent
        if at in places:
            answer = target if triggered else chance.choice([each for each in INTENTS if each != intent])
            if triggered:
                said, vectors[at] = f"{text} {TRIGGER}", marked[at]
        found.append(Example((PromptMessage("user", said),), answer))
    return found, vectors.tolist(), places


if __name__ == "__main__":
    main()
