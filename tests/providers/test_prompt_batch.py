"""How many tokens of a prompt the embedded runtime reads at once: by the model, the machine and its measured pace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sizewise.catalog.gguf_header import GgufHeader
from sizewise.providers.local.llamacpp import LlamaCppModel
from sizewise.providers.local.runtime import LocalRuntime, fit_runtime


def header(parameters: int, layers: int, width: int) -> GgufHeader:
    return GgufHeader(
        "llama", "", parameters, parameters, 8192, layers, width, 9, 3, 64, 64, 49_152, "Q4_1", "", (), True
    )  # fmt: skip


SMOLLM, QWEN = header(134_515_008, 30, 576), header(1_543_714_304, 28, 1536)


@pytest.mark.parametrize(
    ("model", "threads", "tokens_per_s", "batch"),
    [
        (SMOLLM, 1, None, 4),
        (SMOLLM, 2, None, 4),
        (SMOLLM, 8, None, 17),
        (SMOLLM, 64, None, 32),
        (QWEN, 2, None, 2),
        (QWEN, 16, None, 3),
        (SMOLLM, 2, 150.0, 4),  # measured on two shared cores
        (SMOLLM, 2, 2_000.0, 32),
        (SMOLLM, 8, 10.0, 4),  # never less than one core gets: it may have been measured beside other programs
        (QWEN, 8, 300.0, 16),
        (QWEN, 8, 10**6, 32),
    ],
)
def test_a_faster_machine_reads_more_at_once(
    model: GgufHeader, threads: int, tokens_per_s: float | None, batch: int
) -> None:
    assert fit_runtime(LocalRuntime(slots=1, threads=threads), model, tokens_per_s).batch == batch


def test_a_batch_that_is_asked_for_is_kept_and_has_room_for_every_slot() -> None:
    assert fit_runtime(LocalRuntime(slots=1, batch=64), SMOLLM, 5.0).batch == 64
    assert fit_runtime(LocalRuntime(slots=6, threads=1), SMOLLM).batch == 6


@pytest.mark.long
async def test_answers_and_their_log_probabilities_are_the_same_in_every_batch_that_may_be_chosen(
    smollm_gguf: Path,
) -> None:
    text = " ".join(f"Vault {number} is on floor {number % 7}." for number in range(20))
    body = json.dumps(
        {
            "messages": [{"role": "user", "content": f"{text} Where is vault 12?"}],
            "temperature": 0,
            "max_tokens": 8,
            "logprobs": True,
        }
    ).encode()

    async def said(batch: int) -> list[Any]:
        llama = LlamaCppModel("local/small", smollm_gguf, LocalRuntime(context=1024, slots=1, batch=batch))
        await llama.start()
        found: list[Any] = []

        async def keep(chunk: bytes) -> None:
            found.extend(choice.get("logprobs") for choice in json.loads(chunk)["choices"])

        try:
            await llama.chat(body, keep)
        finally:
            await llama.stop()
        return found

    four = await said(4)
    assert any(four) and four == await said(16) == await said(32)
