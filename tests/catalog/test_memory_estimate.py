"""What the catalogue says a model takes in memory, against what its worker process really holds."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from sizewise.catalog import gguf_header
from sizewise.catalog.model_files import find_models
from sizewise.providers.local.llamacpp import LlamaCppModel
from sizewise.providers.local.runtime import LocalRuntime

CONTEXTS = (512, 4_096, 8_192)
SLOTS = 2
PROMPT = json.dumps({"messages": [{"role": "user", "content": "word " * 200}], "temperature": 0, "max_tokens": 16})

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


async def held(file: Path, context: int) -> tuple[int, int]:
    """Bytes of the worker once it has answered, and the tokens that it reads at a time."""
    llama = LlamaCppModel("local/measured", file, LocalRuntime(context=context, slots=SLOTS))
    await llama.start()
    try:
        await llama.chat(PROMPT.encode(), ignored)
        memory = llama.health().memory
        assert memory is not None
        return memory, llama.runtime.batch
    finally:
        await llama.stop()


async def ignored(chunk: bytes) -> None:
    pass


def off(name: str, file: Path, context: int) -> tuple[float, float]:
    """The catalogue's figures by the measured one: for any file of that quantisation, and for this file."""
    measured, batch = asyncio.run(held(file, context))
    model = find_models([name])[name]
    rule = model.estimate_memory(gguf_header.read_header(file).quantization, context, SLOTS, batch=batch)
    need = model.estimate_memory_for_file(file.stat().st_size, context, SLOTS, batch=batch)
    assert rule is not None and need is not None
    return rule.total / measured, need.total / measured


@pytest.mark.long
@linux
@pytest.mark.parametrize("context", CONTEXTS)
def test_the_catalogue_knows_what_the_small_model_takes(smollm_gguf: Path, context: int) -> None:
    rule, need = off("smollm2-135m", smollm_gguf, context)
    assert 0.9 < rule < 1.1 and 0.9 < need < 1.1


@linux
@pytest.mark.large
@pytest.mark.parametrize("context", CONTEXTS)
def test_the_catalogue_knows_what_the_larger_model_takes(qwen_gguf: Path, context: int) -> None:
    """This file holds the embedding a second time, as the output matrix: some 140 MB that no rule knows of."""
    rule, need = off("qwen2.5-coder-1.5b", qwen_gguf, context)
    assert 0.9 < need < 1.1 and rule < need
