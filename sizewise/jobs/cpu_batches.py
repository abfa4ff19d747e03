"""CPU work as batches of bytes, here or in worker processes: the results are the same, in any number of processes.

Work is a generator that yields the batches it needs and is sent their results, so that it decides without running
them. A batch is a pure function of its bytes; what needs random numbers gets its seed in them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterable, Mapping, MutableMapping
from functools import partial
from hashlib import sha256
from typing import TypeVar

from msgspec import Struct

from sizewise.errors import ExternalFailure, SizewiseError
from sizewise.jobs.map_batches import Batch, map_batches
from sizewise.offload.job import Work, function_name
from sizewise.offload.job_pool import JobPool

T = TypeVar("T")


class CpuBatches(Struct, frozen=True):
    """`factory(setup)` makes the function; `inputs`: its arguments by the name of the batch. It returns one result."""

    factory: Callable[[bytes], Work]
    setup: bytes
    inputs: Mapping[str, bytes]

    def keys(self) -> dict[str, str]:
        """A digest of all that a result depends on, by the name of the batch."""
        start = sha256(function_name(self.factory) + b"\0" + self.setup).digest()
        return {name: sha256(start + name.encode() + b"\0" + data).hexdigest() for name, data in self.inputs.items()}


CpuSteps = Generator[CpuBatches, Mapping[str, bytes], T]
"""Yields the batches of a step, is sent their results by name, and returns the result of the whole."""


def run_here(steps: CpuSteps[T]) -> T:
    """In this process, one batch after the other."""
    results: Mapping[str, bytes] | None = None
    while True:
        try:
            wanted = steps.send(results) if results is not None else next(steps)
        except StopIteration as end:
            value: T = end.value
            return value
        work = wanted.factory(wanted.setup)
        results = {name: bytes(work(data)[0]) for name, data in wanted.inputs.items()}


async def run_in_processes(
    steps: CpuSteps[T],
    pool: JobPool,
    *,
    stored: MutableMapping[str, bytes],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> T:
    """In the processes of `pool`. `stored`: results of an earlier, interrupted call; each is added when it is there.

    A batch that fails does not keep the others from ending. Raises ExternalFailure with its name, and its cause.
    """
    results: Mapping[str, bytes] | None = None
    while True:
        try:
            wanted = steps.send(results) if results is not None else next(steps)
        except StopIteration as end:
            value: T = end.value
            return value
        results = await _map(wanted, pool, stored, progress)


async def _map(
    wanted: CpuBatches,
    pool: JobPool,
    stored: MutableMapping[str, bytes],
    progress: Callable[[int, int], None],
) -> dict[str, bytes]:
    keys, failed = wanted.keys(), dict[str, SizewiseError]()

    async def run(name: str) -> bytes | None:
        try:
            return (await pool.run(wanted.factory, wanted.setup, [wanted.inputs[name]]))[0]
        except SizewiseError as error:
            failed[name] = error
            return None

    def keep(key: str, result: bytes | None) -> None:
        if result is not None:
            stored[key] = result

    await map_batches(
        _batches(keys.items()),
        run,
        keep,
        concurrency=await pool.slots(),
        done=stored.keys(),
        progress=partial(_report, progress, len(keys)),
    )
    for name, error in failed.items():
        others = f", and {len(failed) - 1} others" if len(failed) > 1 else ""
        raise ExternalFailure(f"the batch {name!r} failed{others}: {error.message}", error.hint) from error
    return {name: stored[key] for name, key in keys.items()}


async def _batches(keys: Iterable[tuple[str, str]]) -> AsyncIterator[Batch[str]]:
    for name, key in keys:
        yield Batch(key, name)


def _report(progress: Callable[[int, int], None], total: int, done: int) -> None:
    progress(done, total)
