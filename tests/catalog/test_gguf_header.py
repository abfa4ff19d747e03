"""GGUF headers: the facts they hold, and every kind of junk refused with words."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from sizewise.catalog import gguf_header, memory_check
from sizewise.errors import ModelUnavailable
from tests.growth import check_linear


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def entry(key: str, value: int | str | list[int] | list[str]) -> bytes:
    if isinstance(value, int):
        return text(key) + struct.pack("<II", 4, value)
    if isinstance(value, str):
        return text(key) + struct.pack("<I", 8) + text(value)
    if value and isinstance(value[0], str):
        return text(key) + struct.pack("<IIQ", 9, 8, len(value)) + b"".join(text(str(item)) for item in value)
    return text(key) + struct.pack("<IIQ", 9, 4, len(value)) + struct.pack(f"<{len(value)}I", *value)


def tensor(name: str, dimensions: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    sizes = struct.pack(f"<{len(dimensions)}Q", *dimensions)
    return text(name) + struct.pack("<I", len(dimensions)) + sizes + struct.pack("<IQ", kind, offset)


def model(entries: list[bytes], tensors: list[bytes], data: int = 0, version: int = 3) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(entries)) + b"".join(entries) + b"".join(tensors)
    return head + bytes(-len(head) % 32) + bytes(data)


FACTS = [
    entry("general.architecture", "llama"),
    entry("general.name", "Tiny"),
    entry("general.file_type", 1),
    entry("llama.context_length", 2048),
    entry("llama.embedding_length", 64),
    entry("llama.block_count", 2),
    entry("llama.attention.head_count", 4),
    entry("llama.attention.head_count_kv", [1, 2]),
    entry("tokenizer.ggml.tokens", ["a", "b", "c"]),
    entry("tokenizer.chat_template", "{{ messages }}"),
]


def put(folder: Path, raw: bytes) -> Path:
    file = folder / "tiny.gguf"
    file.write_bytes(raw)
    return file


def test_a_header_tells_the_facts_a_model_is_chosen_by(tmp_path: Path) -> None:
    header = gguf_header.read_header(
        put(tmp_path, model(FACTS, [tensor("a", (64, 3)), tensor("b", (2,), 1, 768)], 772)),
    )
    assert (header.architecture, header.name, header.quantization) == ("llama", "Tiny", "F16")
    assert (header.parameters, header.context, header.layers) == (194, 2048, 2)
    assert (header.heads, header.kv_heads, header.key_length, header.value_length) == (4, 2, 16, 16)
    assert (header.vocabulary, header.chat_template) == (3, True)
    assert header.kv_cache_bytes_per_token == 2 * 2 * 2 * (16 + 16)


def test_the_shipped_model_is_read(smollm_gguf: Path) -> None:
    header = gguf_header.read_header(smollm_gguf)
    assert (header.parameters, header.context, header.quantization) == (134_515_008, 8192, "Q4_1")
    assert header.chat_template and header.license == "apache-2.0"
    assert header.kv_cache_bytes_per_token == 23_040


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "does not start"),
        (b"GG", "does not start"),
        (b"PK\x03\x04" + bytes(100), "does not start"),
        (b"GGUF", "truncated"),
        (model(FACTS, [], version=1), "version 1"),
        (model(FACTS, [])[:200], "truncated"),
        (model(FACTS, [tensor("a", (64, 3))], 700), "truncated"),
        (model([entry("general.name", "x")], []), "architecture"),
        (model([text("k") + struct.pack("<I", 99)], []), "unknown type 99"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**63, 0), "tensors"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**40), "metadata entries"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**50), "bytes of a text"),
        (model([text("k") + struct.pack("<IIQ", 9, 8, 2**40)], []), "items of an array"),
        (model([text("k") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 50], []), "nested"),
        (model(FACTS, [text("t") + struct.pack("<I", 4_000_000_000)]), "dimensions"),
        (model(FACTS, [tensor("t", (2**60, 2**60, 2**60, 2**60))]), "truncated"),
    ],
)
def test_junk_is_refused_with_the_reason(tmp_path: Path, raw: bytes, why: str) -> None:
    with pytest.raises(ModelUnavailable, match=why) as refused:
        gguf_header.read_header(put(tmp_path, raw))
    assert "tiny.gguf" in refused.value.message and refused.value.hint


def test_a_file_that_lies_about_its_size_costs_time_that_grows_with_what_it_holds(tmp_path: Path) -> None:
    def read(count: int) -> None:
        file = put(tmp_path, model([text("k") + struct.pack("<IIQ", 9, 8, count)], []))
        with file.open("r+b") as sparse:
            sparse.truncate(2**40)
        with pytest.raises(ModelUnavailable):
            gguf_header.read_header(file)

    check_linear(read, 50_000)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.gguf", tmp_path):
        with pytest.raises(ModelUnavailable, match="cannot read the model file"):
            gguf_header.read_header(path)


def test_memory_grows_with_the_context_of_every_slot(tmp_path: Path) -> None:
    header = gguf_header.read_header(put(tmp_path, model(FACTS, [])))
    one = memory_check.estimate_memory(header, context=1000, slots=1, batch=8)
    four = memory_check.estimate_memory(header, context=1000, slots=4, batch=8)
    assert four.kv_cache == 4 * one.kv_cache == 4 * 1000 * header.kv_cache_bytes_per_token
    assert "weights" in str(four) and "cache" in str(four)


def test_this_machine_says_what_is_left() -> None:
    left = memory_check.available_memory()
    assert left is None or 0 < left < 2**50
