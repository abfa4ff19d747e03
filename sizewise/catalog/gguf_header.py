"""GGUF header reader: model metadata without loading weights; trusts no length in the file.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sizewise.errors import ModelUnavailable

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_HEADER_BYTES = 128 * 1024 * 1024  # the largest known vocabularies take about 20 MB
MAX_PAIRS = 10_000
MAX_TENSORS = 200_000
MAX_ITEMS = 4_000_000  # of an array: four times the largest vocabulary with its merges
MAX_TEXT_BYTES = 4 * 1024 * 1024  # of a string; chat templates take about 20 kB
MAX_DEPTH = 4  # nested arrays
MAX_LANGUAGES = 1_000
LANGUAGE = re.compile(r"[a-z]{2,3}")  # an ISO 639 code

# value type -> struct code
SCALARS: Mapping[int, str] = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
TEXT, ARRAY = 8, 9

# ggml tensor type -> elements per block, bytes per block
BLOCKS: Mapping[int, tuple[int, int]] = {
    0: (1, 4),
    1: (1, 2),
    2: (32, 18),
    3: (32, 20),
    6: (32, 22),
    7: (32, 24),
    8: (32, 34),
    9: (32, 36),
    10: (256, 84),
    11: (256, 110),
    12: (256, 144),
    13: (256, 176),
    14: (256, 210),
    15: (256, 292),
    16: (256, 66),
    17: (256, 74),
    18: (256, 98),
    19: (256, 50),
    20: (32, 18),
    21: (256, 110),
    22: (256, 82),
    23: (256, 136),
    24: (1, 1),
    25: (1, 2),
    26: (1, 4),
    27: (1, 8),
    28: (1, 8),
    29: (256, 56),
    30: (1, 2),
    34: (256, 54),
    35: (256, 66),
    39: (32, 17),
}

# general.file_type -> common name
QUANTIZATIONS: Mapping[int, str] = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4",
}

END_TOKEN = "tokenizer.ggml.eos_token_id"
ADAPTER_BASE = "sizewise.base.sha256"

GgufValue = int | float | bool | str | list[int]


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """The facts of one GGUF file; 0 and "" mean unknown."""

    architecture: str
    name: str
    parameters: int  # summed over all tensors
    weights_bytes: int  # of the whole file
    context: int  # tokens that the model was trained for
    layers: int
    embedding_length: int  # width
    heads: int
    kv_heads: int  # maximum over the layers
    key_length: int  # of one head
    value_length: int
    vocabulary: int  # tokens
    quantization: str
    license: str
    languages: tuple[str, ...]  # ISO 639 codes; empty: not stated
    chat_template: bool
    end_token: int = -1  # that ends an answer; -1: not stated
    adapter_base: str = ""  # of an adapter that Sizewise trained: sha256 of the file of its base

    @property
    def kv_cache_bytes_per_token(self) -> int:
        """Bytes of KV cache per token, at 16 bits per number."""
        return 2 * self.layers * self.kv_heads * (self.key_length + self.value_length)


def read_header(path: Path) -> GgufHeader:
    """The header of the GGUF file at `path`; reads at most MAX_HEADER_BYTES.

    Raises ModelUnavailable if it cannot be read, is not GGUF, is cut short or contradicts itself.
    """
    try:
        with path.open("rb") as file:
            return _HeaderReader(file, path.name, os.fstat(file.fileno()).st_size).header()
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise ModelUnavailable(f"cannot read the model file {str(path)!r}: {why}", "Check the path.") from error


class _HeaderReader:
    """One pass over one file's header."""

    def __init__(self, file: BinaryIO, name: str, size: int) -> None:
        self._file = file
        self._name = name
        self._size = size
        self._read = 0
        self._languages: tuple[str, ...] = ()

    def header(self) -> GgufHeader:
        if self._size < 4 or self._read_bytes(4) != MAGIC:
            raise self._invalid("it does not start with 'GGUF'")
        version = self._number("I")
        if version not in VERSIONS:
            raise self._invalid(f"its format version {version} is not one of {VERSIONS}")
        tensors = self._count(MAX_TENSORS, "tensors")
        pairs = self._count(MAX_PAIRS, "metadata entries")
        said = dict(self._pair() for _ in range(pairs))
        parameters, end = self._tensors(tensors)
        alignment = _whole(said, "general.alignment") or 32
        start = -(-self._read // alignment) * alignment
        if self._size < start + end:
            raise self._invalid(f"it is truncated: {self._size:,} of at least {start + end:,} bytes")
        return self._facts(said, parameters)

    def _facts(self, metadata: dict[str, GgufValue], parameters: int) -> GgufHeader:
        architecture = _text(metadata, "general.architecture")
        if not architecture:
            raise self._invalid("it does not name its architecture")

        def of(key: str) -> int:
            return _whole(metadata, f"{architecture}.{key}")

        width, heads = of("embedding_length"), of("attention.head_count")
        head = width // heads if heads else 0
        return GgufHeader(
            architecture=architecture,
            name=_text(metadata, "general.name"),
            parameters=parameters,
            weights_bytes=self._size,
            context=of("context_length"),
            layers=of("block_count"),
            embedding_length=width,
            heads=heads,
            kv_heads=of("attention.head_count_kv") or heads,
            key_length=of("attention.key_length") or head,
            value_length=of("attention.value_length") or head,
            vocabulary=of("vocab_size") or _whole(metadata, "tokenizer.ggml.tokens"),
            quantization=QUANTIZATIONS.get(_whole(metadata, "general.file_type"), "")
            if "general.file_type" in metadata
            else "",
            license=_text(metadata, "general.license"),
            languages=self._languages,
            chat_template=bool(_text(metadata, "tokenizer.chat_template")),
            end_token=_whole(metadata, END_TOKEN) if END_TOKEN in metadata else -1,
            adapter_base=_text(metadata, ADAPTER_BASE),
        )

    def _pair(self) -> tuple[str, GgufValue]:
        key, kind = self._text(), self._number("I")
        if key == "general.languages" and kind == ARRAY:
            self._languages = self._language_codes()
            return key, len(self._languages)
        return key, self._value(kind, 0)

    def _language_codes(self) -> tuple[str, ...]:
        """The codes in an array of texts; anything else in it is passed over."""
        kind, length = self._number("I"), self._count(MAX_LANGUAGES, "languages")
        if kind != TEXT:
            for _ in range(length):
                self._value(kind, 1)
            return ()
        return tuple(text for text in (self._text() for _ in range(length)) if LANGUAGE.fullmatch(text))

    def _value(self, kind: int, depth: int) -> GgufValue:
        if kind == TEXT:
            return self._text()
        if kind == ARRAY:
            return self._array(depth + 1)
        if kind not in SCALARS:
            raise self._invalid(f"a value has the unknown type {kind}")
        code = SCALARS[kind]
        number: int | float | bool = struct.unpack("<" + code, self._read_bytes(struct.calcsize(code)))[0]
        return number

    def _array(self, depth: int) -> GgufValue:
        """Short integer arrays (one value per layer) as lists; of every other array only its length."""
        kind, length = self._number("I"), self._count(MAX_ITEMS, "items of an array")
        if depth > MAX_DEPTH:
            raise self._invalid("arrays are nested too deep")
        if kind in SCALARS:
            code = SCALARS[kind]
            raw = self._read_bytes(struct.calcsize(code) * length)
            if length <= 1024 and code not in "fd?":
                return list(struct.unpack(f"<{length}{code}", raw))
            return length
        for _ in range(length):
            if kind == TEXT:
                self._read_bytes(self._count(MAX_TEXT_BYTES, "bytes of a text"))
            else:
                self._value(kind, depth)
        return length

    def _tensors(self, count: int) -> tuple[int, int]:
        """Total parameters, and the end of the last tensor in bytes from the start of the data."""
        parameters = end = 0
        for _ in range(count):
            self._read_bytes(self._count(MAX_TEXT_BYTES, "bytes of a name"))
            dimensions = self._number("I")
            if dimensions > 4:
                raise self._invalid(f"a tensor has {dimensions} dimensions")
            elements = 1
            for _ in range(dimensions):
                elements *= self._number("Q")
            kind, offset = self._number("I"), self._number("Q")
            block, size = BLOCKS.get(kind, (1, 0))
            parameters += elements
            end = max(end, offset + elements // block * size)
        return parameters, end

    def _text(self) -> str:
        return self._read_bytes(self._count(MAX_TEXT_BYTES, "bytes of a text")).decode("utf-8", "replace")

    def _count(self, maximum: int, what: str) -> int:
        count = self._number("Q")
        if count > maximum:
            raise self._invalid(f"it claims {count:,} {what}, more than {maximum:,}")
        return count

    def _number(self, code: str) -> int:
        number: int = struct.unpack("<" + code, self._read_bytes(struct.calcsize(code)))[0]
        return number

    def _read_bytes(self, length: int) -> bytes:
        self._read += length
        if self._read > MAX_HEADER_BYTES:
            raise self._invalid(f"its header is longer than {MAX_HEADER_BYTES:,} bytes")
        if self._read > self._size:
            raise self._invalid(f"it is truncated: it ends in its header, after {self._size:,} bytes")
        return self._file.read(length)

    def _invalid(self, reason: str) -> ModelUnavailable:
        return ModelUnavailable(
            f"{self._name!r} is not a usable GGUF file: {reason}",
            "Download it again, or convert the model to GGUF.",
        )


def _whole(metadata: dict[str, GgufValue], key: str) -> int:
    """An integer, 0 if missing; the largest if there is one per layer."""
    value = metadata.get(key, 0)
    if isinstance(value, list):
        return max(value, default=0)
    return value if isinstance(value, int) and value >= 0 else 0


def _text(metadata: dict[str, GgufValue], key: str) -> str:
    value = metadata.get(key, "")
    return value if isinstance(value, str) else ""
