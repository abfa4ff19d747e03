"""Runtime options of a local model, fitted to the model and the machine; starts and imports nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec

from sizewise.catalog import gguf_header, memory_check
from sizewise.catalog.memory_estimate import MemoryEstimate, format_bytes
from sizewise.errors import ModelUnavailable
from sizewise.process import physical_cores

INSTALL_HINT = "pip install xllamacpp"  # what mends `missing_dependency`; our own name in an index may be a stranger's
DEFAULT_CONTEXT = 8192  # tokens a slot, where the model was trained for more
MIN_CONTEXT = 2048  # what is proposed when memory is short
MAX_BATCH = 32  # tokens
BATCH_PARAMETERS = 600_000_000  # parameters times tokens of one batch: 4 for 135M


@dataclass(frozen=True, slots=True)
class LocalRuntime:
    """How a model is run. 0 means: chosen by the model's size and this machine."""

    context: int = 0  # tokens a slot, prompt and answer together
    slots: int = 0  # requests at the same time; memory for the context is taken once for each
    threads: int = 0
    batch: int = 0  # tokens of prompt between two looks at whether the client has left
    max_waiting: int = 64  # requests in line for a slot


AUTO_RUNTIME = LocalRuntime()


def missing_dependency() -> str:
    """What this installation lacks to run any local model; "" when nothing. It is looked for, not imported."""
    return "" if find_spec("xllamacpp") else "xllamacpp is not installed"


def fit_runtime(requested: LocalRuntime, header: gguf_header.GgufHeader) -> LocalRuntime:
    """`requested` with every 0 replaced.

    Batches are small because a client that leaves is noticed between two of them, and the next one has begun by
    then: two batches are to cost less than 300 ms of CPU time. Measured within 4,000 tokens: 135M with 4 at a time
    at most 180 ms, 1.5B with 2 at most 310. The price on a short prompt, against batches of 64: 135M two fifths more
    time, 1.5B twice as much.
    """
    slots = requested.slots or (4 if header.parameters < 500_000_000 else 2)
    window = header.context or DEFAULT_CONTEXT
    return replace(
        requested,
        slots=slots,
        context=min(requested.context, window) if requested.context else min(DEFAULT_CONTEXT, window),
        threads=requested.threads or physical_cores(),
        # llama.cpp wants room for one token of every slot.
        batch=max(requested.batch or min(MAX_BATCH, BATCH_PARAMETERS // max(1, header.parameters)), slots, 2),
    )


def estimate_memory(header: gguf_header.GgufHeader, runtime: LocalRuntime) -> MemoryEstimate:
    return memory_check.estimate_memory(header, context=runtime.context, slots=runtime.slots, batch=runtime.batch)


def check_memory(name: str, header: gguf_header.GgufHeader, runtime: LocalRuntime, available: int | None) -> None:
    """Raises ModelUnavailable, with the numbers, when the model does not fit into `available` bytes."""
    need = estimate_memory(header, runtime)
    if available is None or need.total <= available:
        return
    hint = "Close other programs, or choose a smaller model or one of fewer bits."
    for context in (runtime.context, MIN_CONTEXT):
        less = replace(runtime, slots=1, context=min(context, runtime.context), batch=min(runtime.batch, MAX_BATCH))
        least = estimate_memory(header, less)
        if least.total <= available:
            hint = f"With slots = 1 and context = {less.context} it needs {format_bytes(least.total)}."
            break
    raise ModelUnavailable(
        f"{name!r} does not fit in memory: {runtime.slots} slots of {runtime.context} tokens need {need}, "
        f"available are {format_bytes(available)}",
        hint,
    )
