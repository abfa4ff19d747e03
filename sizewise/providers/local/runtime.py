"""How a local model is run: what is asked for, fitted to the model and to this machine; starts and imports nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec

from sizewise.catalog import gguf_header, memory_check
from sizewise.catalog.memory_estimate import Need, size
from sizewise.errors import ModelUnavailable
from sizewise.process import cores

ADD = "pip install xllamacpp"  # what mends `missing`; our own name in an index may be a stranger's
CONTEXT = 8192  # tokens a slot, where the model was trained for more
CONTEXT_LEAST = 2048  # what is proposed when memory is short
BATCH_MOST = 32  # tokens
BATCH_WORK = 600_000_000  # parameters times tokens of one batch: 4 for 135M


@dataclass(frozen=True, slots=True)
class Runtime:
    """How a model is run. 0 means: chosen by the model's size and this machine."""

    context: int = 0  # tokens a slot, prompt and answer together
    slots: int = 0  # requests at the same time; memory for the context is taken once for each
    threads: int = 0
    batch: int = 0  # tokens of prompt between two looks at whether the client has left
    waiting: int = 64  # requests in line for a slot


AUTOMATIC = Runtime()


def missing() -> str:
    """What this installation lacks to run any local model; "" when nothing. It is looked for, not imported."""
    return "" if find_spec("xllamacpp") else "xllamacpp is not installed"


def fitted(asked: Runtime, header: gguf_header.Header) -> Runtime:
    """`asked` with every 0 replaced.

    Batches are small because a client that leaves is noticed between two of them, and the next one has begun by
    then: two batches are to cost less than 300 ms of CPU time. Measured within 4,000 tokens: 135M with 4 at a time
    at most 180 ms, 1.5B with 2 at most 310. The price on a short prompt, against batches of 64: 135M two fifths more
    time, 1.5B twice as much.
    """
    slots = asked.slots or (4 if header.parameters < 500_000_000 else 2)
    window = header.context or CONTEXT
    return replace(
        asked,
        slots=slots,
        context=min(asked.context, window) if asked.context else min(CONTEXT, window),
        threads=asked.threads or cores(),
        # llama.cpp wants room for one token of every slot.
        batch=max(asked.batch or min(BATCH_MOST, BATCH_WORK // max(1, header.parameters)), slots, 2),
    )


def needed(header: gguf_header.Header, runtime: Runtime) -> Need:
    return memory_check.need(header, context=runtime.context, slots=runtime.slots, batch=runtime.batch)


def refuse_too_big(name: str, header: gguf_header.Header, runtime: Runtime, available: int | None) -> None:
    """Raises ModelUnavailable, with the numbers, when the model does not fit into `available` bytes."""
    need = needed(header, runtime)
    if available is None or need.total <= available:
        return
    hint = "Close other programs, or choose a smaller model or one of fewer bits."
    for context in (runtime.context, CONTEXT_LEAST):
        less = replace(runtime, slots=1, context=min(context, runtime.context), batch=min(runtime.batch, BATCH_MOST))
        least = needed(header, less)
        if least.total <= available:
            hint = f"With slots = 1 and context = {less.context} it needs {size(least.total)}."
            break
    raise ModelUnavailable(
        f"{name!r} does not fit in memory: {runtime.slots} slots of {runtime.context} tokens need {need}, "
        f"available are {size(available)}",
        hint,
    )
