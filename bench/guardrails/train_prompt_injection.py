"""Trains the prompt injection classifier and writes sizewise/guardrails/prompt_injection.bin; deterministic.

A logistic regression over windows of words. Of an injection only some windows are one, and which is not labelled: they
are taken to be those that the last round found likeliest (multiple instances). Of an ordinary text no window is one.
Needs numpy and the packages of requirements/guards.in in .venv/guards (`make train-injection`).
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.guardrails.attacks import FOREIGN, TRAINED, Labelled, apart, ours, read
from sizewise.guardrails import prompt_injection_features as words
from sizewise.guardrails.document_kind import document_kind
from sizewise.routing.training.trainer import minimize_lbfgs

FILE = Path(__file__).parents[2] / "sizewise" / "guardrails" / "prompt_injection.bin"
PENALTY = 0.02  # on the square of each weight
ROUNDS, STEPS = 3, 40  # of choosing windows, and of the solver in each
BEHIND = 0.5  # log-odds behind the likeliest of its text that make a window count a third

CALIBRATED = frozenset({"mail and files", "pages of evaluations", "code"})
"""Ordinary documents that are not trained on: the thresholds of prompt_injection.py were chosen by them."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Texts:
    """Texts as places of the table: by word of the vocabulary, by neighbour, and by window."""

    def __init__(self, texts: Sequence[str]) -> None:
        known: dict[str, int] = {}
        said, starts = list[int](), [0]
        for text in texts:
            said += [known.setdefault(words.fold_word(each), len(known)) for each in words.WORD.findall(text)]
            starts.append(len(said))
        self.count = len(texts)
        self.word = np.asarray(said, np.int64)
        self.hashes = np.asarray([words.word_buckets(each) for each in known], np.int64)
        parts = [words.ngram_buckets(each) for each in known]
        self.piece = np.asarray([place for each in parts for place in each], np.int64)
        self.whose = np.repeat(np.arange(len(known)), [len(each) for each in parts])
        self.share = np.repeat([words.ngram_weight(len(each)) for each in parts], [len(each) for each in parts])
        within = np.concatenate([np.arange(end - start) for start, end in pairwise(starts)])
        self.grams = list(self._grams(within))
        spans = [
            (start + first, start + last, number)
            for number, (start, end) in enumerate(pairwise(starts))
            for first, last in words.word_windows(end - start)
            if last
        ]
        self.first, self.last, self.owner = np.asarray(spans, np.int64).T
        self.length = np.asarray([words.window_norm(last - first) for first, last, _ in spans])

    def _grams(self, within: Ints) -> Sequence[tuple[Ints, Ints]]:
        """Pairs, triples and gaps: at which words they end, and their places."""
        last, before, first, skipped = (self.hashes[self.word, turn] for turn in range(4))
        second, third = np.flatnonzero(within >= 1), np.flatnonzero(within >= 2)
        return (
            (second, before[second - 1] ^ last[second]),
            (third, first[third - 2] ^ before[third - 1] ^ last[third]),
            (third, skipped[third - 2] ^ last[third]),
        )

    def odds(self, weights: Floats) -> Floats:
        """Of each window, without the bias."""
        own = np.bincount(self.whose, self.share * weights[self.piece], minlength=len(self.hashes))
        each = (own + weights[self.hashes[:, 0]])[self.word]
        for at, place in self.grams:
            each[at] += weights[place]
        total = np.concatenate([[0.0], np.cumsum(each)])
        odds: Floats = (total[self.last] - total[self.first]) / self.length
        return odds

    def against(self, residual: Floats) -> Floats:
        """The transpose, times a column of a number a window."""
        spread = residual / self.length
        steps = np.bincount(self.first, spread, minlength=len(self.word) + 1)
        steps -= np.bincount(self.last, spread, minlength=len(self.word) + 1)
        each = np.cumsum(steps)[:-1]
        word = np.bincount(self.word, each, minlength=len(self.hashes))
        slope = np.zeros(words.TABLE_SIZE)
        slope += np.bincount(self.piece, self.share * word[self.whose], minlength=words.TABLE_SIZE)
        slope += np.bincount(self.hashes[:, 0], word, minlength=words.TABLE_SIZE)
        for at, place in self.grams:
            slope += np.bincount(place, each[at], minlength=words.TABLE_SIZE)
        return slope

    def worst(self, odds: Floats) -> Floats:
        """Of each text."""
        most = np.full(self.count, -np.inf)
        np.maximum.at(most, self.owner, odds)
        return most


def learn(texts: Texts, attack: Floats, heavy: Floats) -> Floats:
    """Weights, and the bias behind them. `heavy`: what each text counts."""
    found = np.zeros(words.TABLE_SIZE + 1)
    windows = np.bincount(texts.owner, minlength=texts.count)[texts.owner]
    label = attack[texts.owner]
    for turn in range(ROUNDS):
        odds = texts.odds(found[:-1])
        near = np.exp(np.minimum(0.0, (odds - texts.worst(odds)[texts.owner]) / BEHIND))
        likely = near / np.bincount(texts.owner, near, minlength=texts.count)[texts.owner]
        plain = np.minimum(1.0, 0.5 + 1.0 / windows) * near
        counts = heavy[texts.owner] * (np.where(label > 0, likely, plain) if turn else 1.0 / windows)

        def loss(at: Floats, counts: Floats = counts) -> tuple[float, Floats]:
            odds = texts.odds(at[:-1]) + at[-1]
            value = float((counts * (np.logaddexp(0.0, odds) - label * odds)).sum())
            wrong = counts * (1.0 / (1.0 + np.exp(-odds)) - label)
            slope = np.append(texts.against(wrong) + PENALTY * at[:-1], wrong.sum())
            return value + PENALTY * float(at[:-1] @ at[:-1]) / 2, slope

        found = minimize_lbfgs(loss, found, rounds=STEPS)
        print(f"round {turn + 1} of {ROUNDS}: loss {loss(found)[0]:.1f}", file=sys.stderr, flush=True)
    return found


def heavy(labelled: Sequence[Labelled]) -> Floats:
    """A large set counts more than a small one, but far less than by its size."""
    sizes = Counter(each.set for each in labelled)
    return np.asarray([(400 + 2 * sizes[each.set] ** 0.8) / sizes[each.set] for each in labelled])


def written(found: Floats) -> bytes:
    """A byte a weight, the largest as 127: cutting off even the largest ten cost 1 % of recall."""
    step = float(np.abs(found[:-1]).max()) / 127
    table = np.rint(found[:-1] / step).astype(np.int8)
    return words.FILE_HEADER.pack(words.MAGIC, words.FORMAT, step, float(found[-1])) + table.tobytes()


def calibrate(found: Floats, plain: Sequence[Labelled]) -> None:
    """Prints, by kind of document, the log-odds that 1, 2, 3 and 5 % of ordinary documents exceed."""
    texts = Texts([each.text for each in plain])
    worst = texts.worst(texts.odds(found[:-1]) + found[-1])
    kinds = np.asarray([document_kind(each.text) for each in plain])
    for kind in sorted(set(kinds)):
        odds = worst[kinds == kind]
        shares = "".join(
            f"  {share:.0%}: {float(np.quantile(odds, 1 - share)):5.2f}" for share in (0.01, 0.02, 0.03, 0.05)
        )
        print(f"{kind:7}{len(odds):6,}{shares}", file=sys.stderr)


def main() -> None:
    trained = apart([*ours(), *read(TRAINED)], [each for each in read(FOREIGN) if each.attack])
    plain = [each for each in trained if each.set in CALIBRATED]
    trained = [each for each in trained if each.set not in CALIBRATED]
    for name, count in Counter((each.set, each.source) for each in trained).items():
        print(f"{count:6,}  {name[0]} ({name[1]})", file=sys.stderr)
    attack = np.asarray([each.attack for each in trained], float)
    found = learn(Texts([each.text for each in trained]), attack, heavy(trained))
    FILE.write_bytes(written(found))
    calibrate(found, plain)
    print(f"{FILE}: {FILE.stat().st_size:,} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
