"""The slot ledger, whatever workers do: never more than the slots, none idle while one waits, a turn for each."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sizewise.ipc.messages import GrantSlots, RecallSlots
from sizewise.ipc.slot_ledger import SlotLedger, SlotMessage

NAME = "up/model"
WORKERS = st.integers(1, 3)


class Workers(RuleBasedStateMachine):
    """Three workers as LeasedQueue does it: `busy` slots are in use, `spare` are not, `waiting` requests have none."""

    @initialize(total=st.integers(1, 40))
    def begin(self, total: int) -> None:
        self.total, self.ledger = total, SlotLedger()
        self.busy, self.spare, self.waiting = Counter[int](), Counter[int](), Counter[int]()
        self.deliver(self.ledger.open())

    def deliver(self, sent: list[SlotMessage]) -> None:
        for worker, message in sent:
            if isinstance(message, GrantSlots):
                begun = min(message.count, self.waiting[worker])
                self.waiting[worker] -= begun
                self.busy[worker] += begun
                self.spare[worker] += message.count - begun
            elif isinstance(message, RecallSlots) and self.spare[worker]:
                count, self.spare[worker] = self.spare[worker], 0
                self.deliver(self.ledger.give_back(worker, NAME, count))

    @rule(worker=WORKERS, count=st.integers(1, 5))
    def ask(self, worker: int, count: int) -> None:
        begun = min(count, self.spare[worker])
        self.spare[worker] -= begun
        self.busy[worker] += begun
        self.waiting[worker] += count - begun
        if self.waiting[worker]:
            self.deliver(self.ledger.want(worker, NAME, self.total, self.waiting[worker]))

    @rule(worker=WORKERS)
    def end(self, worker: int) -> None:
        if not self.busy[worker]:
            return
        if self.waiting[worker]:
            self.waiting[worker] -= 1  # its slot goes to the next one
        else:
            self.busy[worker] -= 1
            self.deliver(self.ledger.give_back(worker, NAME, 1))

    @rule(worker=WORKERS)
    def die(self, worker: int) -> None:
        for each in (self.busy, self.spare, self.waiting):
            each[worker] = 0
        self.deliver(self.ledger.leave(worker))

    @rule()
    def restart(self) -> None:
        self.ledger = SlotLedger()
        for worker in (1, 2, 3):
            self.ledger.join(worker, {NAME: self.busy[worker] + self.spare[worker]})
            if self.waiting[worker]:
                assert self.ledger.want(worker, NAME, self.total, self.waiting[worker]) == []
        self.deliver(self.ledger.open())

    @invariant()
    def never_more_than_there_are(self) -> None:
        if hasattr(self, "total"):
            assert (self.busy + self.spare).total() <= self.total

    @invariant()
    def none_is_idle_while_a_request_waits(self) -> None:
        if hasattr(self, "total") and self.waiting.total():
            assert self.busy.total() == self.total


TestWorkers = pytest.mark.long(Workers.TestCase)


@given(total=st.integers(1, 8))
def test_a_worker_that_waits_gets_its_share_of_one_that_is_always_busy(total: int) -> None:
    ledger = SlotLedger()
    ledger.open()
    (worker, granted), *_ = ledger.want(1, NAME, total, 100)
    assert (worker, granted) == (1, GrantSlots(NAME, total))
    ((worker, recalled),) = ledger.want(2, NAME, total, 100)
    assert worker == 1 and isinstance(recalled, RecallSlots)
    assert recalled.keep == total // 2
    worker, granted = ledger.give_back(1, NAME, total - recalled.keep)[0]
    assert worker == 2 and isinstance(granted, GrantSlots)
    assert granted.count >= max(1, total // 2)


def test_a_worker_alone_gets_a_block_beyond_its_need() -> None:
    ledger = SlotLedger()
    ledger.open()
    assert ledger.want(1, NAME, 64, 1) == [(1, GrantSlots(NAME, 1 + 64 // 16))]


def test_a_slot_goes_to_who_waits_and_not_to_who_gave_it_back() -> None:
    ledger = SlotLedger()
    ledger.open()
    ledger.want(2, NAME, 3, 2)
    ledger.want(1, NAME, 3, 1)
    ledger.want(2, NAME, 3, 1)
    ledger.want(1, NAME, 3, 2)  # both end in the worker's own slot, one after the other, which it then gives back
    assert ledger.give_back(1, NAME, 1) == [(2, GrantSlots(NAME, 1))]
