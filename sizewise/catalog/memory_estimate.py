"""What a loaded model takes in memory, in bytes, from its shape alone; reads no file and knows no machine."""

from __future__ import annotations

from dataclasses import dataclass

# Fitted to the resident memory of SmolLM2-135M and Qwen2.5-1.5B at three sizes of context each: off by 2 % at most.
PROCESS = 42_000_000  # bytes: Python, llama.cpp's code, buffers of fixed size
TOKEN = 420  # bytes that llama.cpp keeps for each token of the vocabulary


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes that a loaded model takes, in three parts."""

    weights: int
    cache: int  # keys and values of every slot, taken when loading
    compute: int

    @property
    def total(self) -> int:
        return self.weights + self.cache + self.compute

    def __str__(self) -> str:
        parts = f"weights {size(self.weights)}, cache {size(self.cache)}, computing {size(self.compute)}"
        return f"{size(self.total)} ({parts})"


def computing(*, heads: int, vocabulary: int, context: int, slots: int, batch: int) -> int:
    """For `slots` requests side by side with `context` tokens each, read `batch` tokens at a time."""
    scores = heads * context * batch * 4 * 2  # attention, before and after its softmax
    logits = vocabulary * max(batch, slots) * 4
    return PROCESS + TOKEN * vocabulary + scores + logits


def size(count: int) -> str:
    """Bytes for people: 98 MB, 1.1 GB."""
    if count < 1_000_000_000:
        return f"{count / 1_000_000:.0f} MB"
    return f"{count / 1_000_000_000:.1f} GB"
