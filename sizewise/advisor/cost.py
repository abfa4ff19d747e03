"""Cost by volume and months, and break-even volumes; exact, in pico-dollars."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Cost:
    """All in pico-dollars. The existing machine serves `capacity` requests per month (None: unlimited). Beyond that,
    fractions of further machines are rented at `machine_monthly` each.
    """

    one_off: Fraction
    monthly: Fraction
    per_request: Fraction
    capacity: Fraction | None = None
    machine_monthly: Fraction = Fraction(0)

    def monthly_total(self, requests: Fraction | int) -> Fraction:
        return self.monthly + self.per_request * requests + self.machine_monthly * (self.machines(requests) - 1)

    def machines(self, requests: Fraction | int) -> Fraction:
        """Machines used, at least 1."""
        return Fraction(1) if self.capacity is None else max(Fraction(1), requests / self.capacity)

    def total(self, requests: Fraction | int, months: int) -> Fraction:
        return self.one_off + months * self.monthly_total(requests)

    def marginal(self, requests: Fraction | int) -> Fraction:
        """Cost of one more request per month."""
        full = self.capacity is not None and requests >= self.capacity
        return self.per_request + (self.machine_monthly / self.capacity if full and self.capacity else 0)


@dataclass(frozen=True, slots=True)
class Interval:
    """An open interval of requests per month, or of months. `end` None: unbounded.

    With `includes_start`, `start` is 0 and included.
    """

    start: Fraction
    end: Fraction | None
    includes_start: bool = False

    def contains(self, value: Fraction | int) -> bool:
        late = value > self.start or (self.includes_start and value == self.start)
        return late and (self.end is None or value < self.end)


def cheaper_volumes(a: Cost, b: Cost, months: int) -> tuple[Interval, ...]:
    """Volumes at which `a` costs less than `b` over `months`: disjoint intervals in ascending order.

    Costs are linear between the volumes at which a machine is full, so break-even points are solved exactly.
    """
    marks = _breakpoints(a, b, months)
    spans: list[Interval] = []
    for number, mark in enumerate(marks):
        until = marks[number + 1] if number + 1 < len(marks) else None
        middle = (mark + until) / 2 if until is not None else mark + 1
        if _difference(a, b, months, middle) < 0:
            at = _difference(a, b, months, mark) < 0
            if spans and spans[-1].end == mark and at:
                spans[-1] = Interval(spans[-1].start, until, spans[-1].includes_start)
            else:
                spans.append(Interval(mark, until, at and mark == 0))
    return tuple(spans)


def _breakpoints(a: Cost, b: Cost, months: int) -> list[Fraction]:
    """Zero, the volumes at which a machine is full, and those at which both cost the same; ascending."""
    bends = sorted({Fraction(0), *(each.capacity for each in (a, b) if each.capacity is not None)})
    marks = set(bends)
    for begin, end in zip(bends, [*bends[1:], None], strict=True):
        here = _difference(a, b, months, begin)
        width = 1 if end is None else end - begin
        slope = (_difference(a, b, months, begin + width) - here) / width
        if slope:
            meets = begin - here / slope
            if meets > begin and (end is None or meets < end):
                marks.add(meets)
    return sorted(marks)


def _difference(a: Cost, b: Cost, months: int, requests: Fraction) -> Fraction:
    return a.total(requests, months) - b.total(requests, months)


def cheaper_months(a: Cost, b: Cost, requests: int) -> Interval | None:
    """Months for which `a` has cost less than `b` at this volume; None if it never has."""
    once, each = a.one_off - b.one_off, a.monthly_total(requests) - b.monthly_total(requests)
    if once < 0:
        return Interval(Fraction(0), -once / each if each > 0 else None, includes_start=True)
    return Interval(once / -each, None) if each < 0 else None


def first_volume(span: Interval) -> int:
    """The smallest integer in the interval; beyond its end if it contains none."""
    below = span.start.numerator // span.start.denominator
    return below if span.includes_start else below + 1
