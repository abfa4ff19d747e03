"""Queue of a model whose slots are shared with other processes: leased from the store process, and returned.

Invariant: what runs here never exceeds what is leased. So all workers together never exceed the model's slots.
"""

from __future__ import annotations

from collections.abc import Callable

from sizewise.ipc.messages import GrantSlots, RecallSlots, ReturnSlots, ToStore, WantSlots
from sizewise.jobs.periodic_tasks import PeriodicTask
from sizewise.providers.concurrency_limiter import FairQueue

IDLE_S = 1.0
"""Seconds without a new request after which unused slots are returned."""
NO_BOUND = 1 << 62


class LeasedQueue(FairQueue):
    """A FairQueue that starts without slots. `slots`: those of the model on this machine."""

    def __init__(self, name: str, *, slots: int, max_waiting: int, max_wait_s: float, leases: SlotLeases) -> None:
        super().__init__(name, slots=slots, max_waiting=max_waiting, max_wait_s=max_wait_s)
        self.name = name
        self.total = slots
        self.leased = 0
        self.was_used = False  # since the last look
        self._leases = leases
        self._keep = NO_BOUND
        self.available = 0

    @property
    def in_use(self) -> int:
        return self.leased - self.available

    def grant(self, count: int) -> None:
        self.leased += count
        self._keep = NO_BOUND
        for _ in range(count):
            super()._pass_on()

    def recall(self, keep: int) -> int:
        """Slots that are returned now; others follow when they are released."""
        self._keep = keep
        return self._take_back(max(0, self.available if keep < NO_BOUND else 0))

    def return_unused(self) -> int:
        """If no request came since the last call: the slots that are returned."""
        used, self.was_used = self.was_used, False
        return 0 if used else self._take_back(self.available)

    def _take_back(self, count: int) -> int:
        self.available -= count
        self.leased -= count
        return count

    def _pass_on(self) -> None:
        if self.leased > self._keep:
            self.leased -= 1
            return self._leases.returned(self.name, 1)
        super()._pass_on()

    def _on_wait(self) -> None:
        self.was_used = True
        self._leases.want(self)

    def _check_capacity(self, key: str, remaining_s: float, background: bool) -> None:
        """While other processes may have slots to give, only the length of the queue counts."""
        if self.leased < self.total and self.waiting < self._max_waiting:
            return
        super()._check_capacity(key, remaining_s, background)


class SlotLeases:
    """The leased queues of one worker. `send`: to the store process; dropped while that is away."""

    def __init__(self, send: Callable[[ToStore], None]) -> None:
        self._send = send
        self._queues: dict[str, list[LeasedQueue]] = {}  # newest last: a reload makes new ones

    def new_queue(self, name: str, /, *, slots: int, max_waiting: int, max_wait_s: float) -> FairQueue:
        return LeasedQueue(name, slots=slots, max_waiting=max_waiting, max_wait_s=max_wait_s, leases=self)

    def held(self) -> dict[str, int]:
        return {name: sum(each.leased for each in queues) for name, queues in self._queues.items()}

    def want(self, queue: LeasedQueue) -> None:
        known = self._queues.setdefault(queue.name, [])
        if queue not in known:  # the first request after a reload
            for older in known:
                self.returned(queue.name, older.recall(0))
            known.append(queue)
        self._ask(queue.name)

    def want_again(self) -> None:
        """After a new connection."""
        for name in self._queues:
            self._ask(name)

    def returned(self, name: str, count: int) -> None:
        if count:
            self._send(ReturnSlots(name, count))
            self._ask(name)

    def grant(self, message: GrantSlots) -> None:
        left, queues = message.count, self._queues.get(message.name, [])
        for queue in queues[:-1]:
            count = min(left, queue.waiting)
            queue.grant(count)
            left -= count
        if queues:
            queues[-1].grant(left)

    def recall(self, message: RecallSlots) -> None:
        queues = self._queues.get(message.name, [])
        for queue in queues:
            self.returned(message.name, queue.recall(message.keep if queue is queues[-1] else 0))

    def periodic_tasks(self) -> list[PeriodicTask]:
        return [PeriodicTask("unused slots", IDLE_S, self.return_unused)]

    async def return_unused(self) -> None:
        for name, queues in self._queues.items():
            for queue in queues:
                self.returned(name, queue.return_unused())
            self._queues[name] = [each for each in queues if each.leased or each.waiting or each is queues[-1]]

    def _ask(self, name: str) -> None:
        queues = self._queues[name]
        waiting = sum(each.waiting for each in queues)
        if waiting:
            self._send(WantSlots(name, queues[-1].total, waiting))
