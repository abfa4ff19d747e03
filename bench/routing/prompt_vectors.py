"""Do MiniLM vectors help a router beside words? APGR of each and of both, on prompts that it was not trained on.

    python -m bench.routing.prompt_vectors FOLDER:SMALL:LARGE ... [--labels 1500 0] [--cache FOLDER]

Words: the logistic regression that ships. Vectors: least squares on the 384 numbers of each prompt, their penalty by
generalized cross-validation. Both: the mean of the two gains, each scaled by its spread. `--labels 0`: all but a fifth.
Embedding takes some five minutes for 5,000 prompts on a core of its own; `--cache` keeps the vectors for the next run.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np

from bench.routing.data import Task, task
from bench.routing.measure import Floats, Ranking, curve
from bench.routing.validity import Places
from sizewise.providers.local.embedding_worker import VECTORS_HEADER, OnnxEmbeddingModel
from sizewise.providers.local.wordpiece_tokenizer import WordPieceTokenizer
from sizewise.routing.text.prompt_features import fold_text
from sizewise.routing.training.trainer import TfidfVectorizer, fit_log_odds, quality_gain
from tests.conftest import weights

MAX_PROMPTS = 5_000  # of a set, by lot
LONGEST_CHARS, LONGEST_TOKENS = 2_000, 254
BATCH = 16
PENALTIES = (10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0)
SPLITS, RESAMPLES = 3, 100  # bootstrap samples of each split's test prompts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="+", metavar="FOLDER:SMALL:LARGE")
    parser.add_argument("--labels", nargs="+", type=int, default=[1_500, 0])
    parser.add_argument("--cache", type=Path)
    asked = parser.parse_args()
    print("| set, small model | labels | words | vectors | both | both - words |")
    print("|---|---|---|---|---|---|")
    for spec in asked.pairs:
        folder, small, large = spec.split(":")
        mine = task(Path(folder), small, large, None, 0.1)
        rows = np.random.default_rng(7).permutation(len(mine.prompts))[:MAX_PROMPTS]
        vectors = embedded([mine.prompts[row] for row in rows], asked.cache and asked.cache / f"{mine.name}.npz")
        for labels in asked.labels:
            print(f"| {mine.name}, {small} | {compared(mine, rows, vectors, labels)} |", flush=True)


def compared(mine: Task, rows: Places, vectors: Floats, labels: int) -> str:
    texts = [fold_text(mine.prompts[row]) for row in rows]
    scores = np.stack([mine.small[rows], mine.large[rows]], axis=1)
    count, most = len(rows), int(0.8 * len(rows))
    used = min(labels or most, most)
    found, differences = list[list[float]](), list[float]()
    for split in range(SPLITS):
        order = np.random.default_rng(split + 1).permutation(count)
        train, rest = order[:used], order[used:]
        words = TfidfVectorizer([texts[row] for row in train])
        by_words = quality_gain(fit_log_odds(words, words.transform([texts[row] for row in rest]), scores[train]))
        predicted = least_squares(vectors[train], scores[train])(vectors[rest])
        by_vectors = predicted[:, 1] - predicted[:, 0]
        both = scaled(by_words) + scaled(by_vectors)
        found.append([apgr(each, scores[rest]) for each in (by_words, by_vectors, both)])
        lot = np.random.default_rng(split)
        for _ in range(RESAMPLES):
            some = lot.integers(0, len(rest), len(rest))
            differences.append(apgr(both[some], scores[rest][some]) - apgr(by_words[some], scores[rest][some]))
    words_, vectors_, both_ = np.asarray(found).mean(axis=0)
    low, high = np.quantile(differences, [0.025, 0.975])
    figures = f"{words_:.3f} | {vectors_:.3f} | {both_:.3f} | {both_ - words_:+.3f} ({low:+.3f} to {high:+.3f})"
    return f"{used:,} of {count:,} | {figures}"


def apgr(gain: Floats, scores: Floats) -> float:
    its = curve(Ranking(gain, scores[:, 0]), scores[:, 1])
    small, large = scores.mean(axis=0)
    height = (its.quality - small) / (large - small)
    return float(((height[1:] + height[:-1]) / 2 * np.diff(its.calls)).sum())


def scaled(gain: Floats) -> Floats:
    found: Floats = (gain - gain.mean()) / max(float(gain.std()), 1e-12)
    return found


def least_squares(vectors: Floats, scores: Floats) -> Callable[[Floats], Floats]:
    middle, level = vectors.mean(axis=0), scores.mean(axis=0)
    centered, wanted = vectors - middle, scores - level
    values, axes = np.linalg.eigh(centered.T @ centered)
    values, projected = np.maximum(values, 0.0), axes.T @ (centered.T @ wanted)
    best, chosen = np.inf, np.zeros((vectors.shape[1], scores.shape[1]))
    for penalty in PENALTIES:
        weights_ = axes @ (projected / (values + penalty)[:, None])
        freedom = float((values / (values + penalty)).sum())
        error = float(((wanted - centered @ weights_) ** 2).sum()) / (len(vectors) - 1 - freedom) ** 2
        if error < best:
            best, chosen = error, weights_
    return lambda others: (others - middle) @ chosen + level


def embedded(prompts: Sequence[str], cache: Path | None) -> Floats:
    """Of each prompt a vector, scaled so that its numbers have a spread of about 1."""
    keys = [blake2b(each.encode(), digest_size=8).hexdigest() for each in prompts]
    known: dict[str, Floats] = {}
    if cache is not None and cache.exists():
        kept = np.load(cache)
        known = dict(zip(kept["keys"].tolist(), kept["vectors"], strict=True))
    missing = sorted((row for row, key in enumerate(keys) if key not in known), key=lambda row: len(prompts[row]))
    model = OnnxEmbeddingModel(str(weights("minilm-l6-v2")), 1, LONGEST_TOKENS + 2)
    tokenizer = WordPieceTokenizer()
    for start in range(0, len(missing), BATCH):
        some = missing[start : start + BATCH]
        tokens = [tokenizer.encode(prompts[row][:LONGEST_CHARS])[:LONGEST_TOKENS] for row in some]
        raw = model.embed(tokens)
        count, wide, _ = VECTORS_HEADER.unpack_from(raw)
        numbers = np.frombuffer(raw, np.float32, offset=VECTORS_HEADER.size).reshape(count, wide).astype(np.float64)
        known |= {keys[row]: vector for row, vector in zip(some, numbers, strict=True)}
    if cache is not None and missing:
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.savez(cache, keys=np.asarray(list(known)), vectors=np.stack(list(known.values())))
    found: Floats = np.stack([known[key] for key in keys]).astype(np.float64)
    spread: Floats = (found - found.mean(axis=0)) * np.sqrt(found.shape[1])
    return spread


if __name__ == "__main__":
    main()
