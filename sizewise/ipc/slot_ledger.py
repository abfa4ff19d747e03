"""Slot ledger: which worker holds how many slots of each queue, and who gets the next; does no I/O.

Invariant: what all workers hold of a queue, together with what was granted to them, is never more than its total.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sizewise.ipc.messages import GrantSlots, RecallSlots

BLOCK_DIVISOR = 16
"""A worker that asks alone gets this part of a queue beyond its need, so that it need not ask for each request."""
SlotMessage = tuple[int, GrantSlots | RecallSlots]
"""A worker, and what it is sent."""


class _Queue:
    def __init__(self) -> None:
        self.total = 0
        self.held: dict[int, int] = {}
        self.waiting: dict[int, int] = {}
        self.last_grant: dict[int, int] = {}  # the number of the grant


class SlotLedger:
    """For one event loop. Nothing is granted before `open`: workers may hold slots that they have not reported yet."""

    def __init__(self) -> None:
        self._queues: dict[str, _Queue] = {}
        self._is_open = False
        self._grants = 0

    def open(self) -> list[SlotMessage]:
        """All workers have reported what they hold."""
        self._is_open = True
        return [each for name in self._queues for each in self._settle(name)]

    def join(self, worker: int, held: Mapping[str, int]) -> None:
        for name, count in held.items():
            self._queue(name).held[worker] = count

    def leave(self, worker: int) -> list[SlotMessage]:
        """The worker is gone: what it held is free."""
        for queue in self._queues.values():
            queue.held.pop(worker, None)
            queue.waiting.pop(worker, None)
        return [each for name in self._queues for each in self._settle(name)]

    def want(self, worker: int, name: str, total: int, waiting: int) -> list[SlotMessage]:
        """`total`: by the worker's settings; the newest counts."""
        queue = self._queue(name)
        queue.total, queue.waiting[worker] = total, waiting
        return self._settle(name, worker)

    def give_back(self, worker: int, name: str, count: int) -> list[SlotMessage]:
        """A worker whose requests still wait says so again after it: those of before may be served."""
        queue = self._queue(name)
        queue.waiting[worker] = 0
        queue.held[worker] = max(0, queue.held.get(worker, 0) - count)
        return self._settle(name)

    def held(self, name: str) -> int:
        """Slots in the hands of workers."""
        return sum(self._queue(name).held.values())

    def _queue(self, name: str) -> _Queue:
        return self._queues.setdefault(name, _Queue())

    def _settle(self, name: str, asking: int | None = None) -> list[SlotMessage]:
        if not self._is_open:
            return []
        queue, granted = self._queues[name], dict[int, int]()
        free = queue.total - sum(queue.held.values())
        while free > 0 and (worker := self._next(queue)) is not None:
            free -= 1
            queue.waiting[worker] -= 1
            self._grant(queue, worker, 1, granted)
        if free > 0 and asking in granted and not any(queue.waiting.values()):
            self._grant(queue, asking, min(free, queue.total // BLOCK_DIVISOR), granted)
        told: list[SlotMessage] = [(worker, GrantSlots(name, count)) for worker, count in granted.items()]
        return [*told, *self._recalls(name, queue)]

    def _grant(self, queue: _Queue, worker: int, count: int, granted: dict[int, int]) -> None:
        if count:
            self._grants += 1
            queue.last_grant[worker] = self._grants
            queue.held[worker] = queue.held.get(worker, 0) + count
            granted[worker] = granted.get(worker, 0) + count

    def _next(self, queue: _Queue) -> int | None:
        """The waiting worker that holds least; among equals the one whose turn is longest ago."""
        waiting = [worker for worker, count in queue.waiting.items() if count > 0]
        return min(waiting, key=lambda each: (queue.held.get(each, 0), queue.last_grant.get(each, 0)), default=None)

    def _recalls(self, name: str, queue: _Queue) -> Iterator[SlotMessage]:
        """Half of the difference from each worker that holds more than the one that waits with least; from the others
        what they do not use.
        """
        worker = self._next(queue)
        if worker is None:
            return
        least = queue.held.get(worker, 0)
        for other, count in queue.held.items():
            if other != worker and count:
                yield other, RecallSlots(name, max(least, (count + least) // 2) if count > least else count)
