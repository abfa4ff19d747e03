"""A batch job: applies work to batches in order, with progress and a place to resume; knows no work and no store.

Today it is one plain loop in this process. A job that runs elsewhere can replace the loop, and no caller.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

FetchBatch = Callable[[str], Awaitable[Sequence[str]]]
"""The keys after a key, in order; "" begins. Empty at the end."""


class BatchProgress(Struct, frozen=True):
    """`done`: keys of this call. `next`: pass it as `after` to continue; empty at the end."""

    done: int
    next: str


async def map_batches(
    fetch: FetchBatch,
    work: Callable[[Sequence[str]], Awaitable[None]],
    *,
    after: str = "",
    time_limit_s: float,
) -> BatchProgress:
    """Stops at the end, or after the batch in which the time limit passes; at least one batch is done.

    `work` must be idempotent: a batch is done again if its call ended before it returned.
    """
    until, done = time.monotonic() + time_limit_s, 0
    while keys := await fetch(after):
        await work(keys)
        done, after = done + len(keys), keys[-1]
        if time.monotonic() > until:
            return BatchProgress(done, after)
    return BatchProgress(done, "")
