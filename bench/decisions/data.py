"""BANKING77 and CLINC150 as texts with intents, each text once, with MiniLM vectors that are kept in a file."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sizewise.decisions.head import Floats, Integers
from sizewise.providers.local.embedding_worker import VECTORS_HEADER, OnnxEmbeddingModel

BATCH = 64
OUT_OF_SCOPE = "oos"


@dataclass(frozen=True)
class Intents:
    """Texts, their vectors, their intents as numbers, and the intents' names."""

    texts: list[str]
    vectors: Floats
    labels: Integers
    names: list[str]

    def only(self, names: list[str]) -> Intents:
        places = np.flatnonzero(np.isin(np.array(self.names)[self.labels], names))
        kept, labels = np.unique(self.labels[places], return_inverse=True)
        return Intents([self.texts[at] for at in places], self.vectors[places], labels, [self.names[at] for at in kept])

    def others_out(self, names: list[str]) -> Intents:
        """All texts, those with other intents as out of scope: near ones, unlike those of CLINC150."""
        kept = np.array(self.names)[self.labels]
        found, labels = np.unique(np.where(np.isin(kept, names), kept, OUT_OF_SCOPE), return_inverse=True)
        return Intents(self.texts, self.vectors, labels, found.tolist())


def banking(folder: Path, cache: Path, model: Path) -> Intents:
    rows = [row for name in ("train", "test") for row in _rows(folder / f"banking77/{name}.csv")]
    return _intents([(row["text"], row["intent"]) for row in rows], cache / "banking77.npy", model)


def clinc(folder: Path, cache: Path, model: Path) -> Intents:
    rows = _rows(folder / "clinc150/data_full.csv")
    return _intents([(row["text"], row["intent"]) for row in rows], cache / "clinc150.npy", model)


def _rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def _intents(rows: list[tuple[str, str]], cache: Path, model: Path) -> Intents:
    """Each text once, without regard to case: a repeated one would be an exact match, and flatter the ladder."""
    first: dict[str, tuple[str, str]] = {}
    for text, intent in rows:
        first.setdefault(text.strip().lower(), (text.strip(), intent))
    texts = [text for text, _ in first.values()]
    names, labels = np.unique([intent for _, intent in first.values()], return_inverse=True)
    return Intents(texts, _vectors(texts, cache, model), labels, names.tolist())


def _vectors(texts: list[str], cache: Path, model: Path) -> Floats:
    if cache.exists():
        return np.asarray(np.load(cache), np.float32)
    cache.parent.mkdir(parents=True, exist_ok=True)
    embedder = OnnxEmbeddingModel(str(model), 1, 256)
    order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
    found: Floats | None = None
    for start in range(0, len(order), BATCH):
        places = order[start : start + BATCH]
        packed = embedder.embed([texts[at] for at in places])
        rows, width, _ = VECTORS_HEADER.unpack_from(packed)
        some = np.frombuffer(packed[VECTORS_HEADER.size :], "<f4").reshape(rows, width)
        found = np.zeros((len(texts), width), np.float32) if found is None else found
        found[places] = some
    assert found is not None
    np.save(cache, found.astype(np.float16))
    return found
