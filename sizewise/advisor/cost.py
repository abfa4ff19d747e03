"""What an option costs by volume and months, and the volume at which it begins to pay; exact, in pico-dollars."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Cost:
    """Pico-dollars: once, each month, each request. `capacity` requests a month are served by what stands there; beyond
    them further machines are rented by the share that is used, `machine` a month each. None: no bound."""

    one_off: Fraction
    monthly: Fraction
    unit: Fraction
    capacity: Fraction | None = None
    machine: Fraction = Fraction(0)

    def month(self, requests: Fraction | int) -> Fraction:
        return self.monthly + self.unit * requests + self.machine * (self.machines(requests) - 1)

    def machines(self, requests: Fraction | int) -> Fraction:
        """At least 1, which stands there whether anybody asks or not."""
        return Fraction(1) if self.capacity is None else max(Fraction(1), requests / self.capacity)

    def total(self, requests: Fraction | int, months: int) -> Fraction:
        return self.one_off + months * self.month(requests)

    def next(self, requests: Fraction | int) -> Fraction:
        """What one more request a month costs."""
        full = self.capacity is not None and requests >= self.capacity
        return self.unit + (self.machine / self.capacity if full and self.capacity else 0)


@dataclass(frozen=True, slots=True)
class Span:
    """What lies between two, neither of them included, in requests a month or in months; `until` None: without end.

    Where `begins` is set, `after` is nought and is included.
    """

    after: Fraction
    until: Fraction | None
    begins: bool = False

    def holds(self, value: Fraction | int) -> bool:
        late = value > self.after or (self.begins and value == self.after)
        return late and (self.until is None or value < self.until)


def cheaper(a: Cost, b: Cost, months: int) -> tuple[Span, ...]:
    """The volumes at which `a` costs less than `b` over so many months: at most a few spans, apart and rising.

    Both costs are straight lines between the volumes at which a machine is full, so every end is solved, not searched.
    """
    marks = _marks(a, b, months)
    spans: list[Span] = []
    for number, mark in enumerate(marks):
        until = marks[number + 1] if number + 1 < len(marks) else None
        middle = (mark + until) / 2 if until is not None else mark + 1
        if _more(a, b, months, middle) < 0:
            at = _more(a, b, months, mark) < 0
            if spans and spans[-1].until == mark and at:
                spans[-1] = Span(spans[-1].after, until, spans[-1].begins)
            else:
                spans.append(Span(mark, until, at and mark == 0))
    return tuple(spans)


def _marks(a: Cost, b: Cost, months: int) -> list[Fraction]:
    """Nought, the volumes at which a machine is full, and those at which both cost the same."""
    bends = sorted({Fraction(0), *(each.capacity for each in (a, b) if each.capacity is not None)})
    marks = set(bends)
    for begin, end in zip(bends, [*bends[1:], None], strict=True):
        here = _more(a, b, months, begin)
        width = 1 if end is None else end - begin
        slope = (_more(a, b, months, begin + width) - here) / width
        if slope:
            meets = begin - here / slope
            if meets > begin and (end is None or meets < end):
                marks.add(meets)
    return sorted(marks)


def _more(a: Cost, b: Cost, months: int, requests: Fraction) -> Fraction:
    return a.total(requests, months) - b.total(requests, months)


def lasting(a: Cost, b: Cost, requests: int) -> Span | None:
    """The months for which `a` has cost less than `b` at this volume; None where it never has."""
    once, each = a.one_off - b.one_off, a.month(requests) - b.month(requests)
    if once < 0:
        return Span(Fraction(0), -once / each if each > 0 else None, begins=True)
    return Span(once / -each, None) if each < 0 else None


def first(span: Span) -> int:
    """The least whole volume in the span (a span may hold none: then this lies behind its end)."""
    below = span.after.numerator // span.after.denominator
    return below if span.begins else below + 1
