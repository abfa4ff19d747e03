"""How long an answer takes, in seconds: bytes to read and sums to do against a machine's, or an endpoint's speed."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from sizewise.advisor.assumptions import THINKING, Assumed
from sizewise.advisor.memory_fit import Fit
from sizewise.advisor.sourced_number import Number
from sizewise.advisor.workload import GB, Workload
from sizewise.catalog.model_info import Known

MONTH_S = 30 * 86_400


@dataclass(frozen=True, slots=True)
class Pace:
    """`seconds` until one answer is whole, of which a machine is taken for `busy`, side by side with others.

    `capacity`: requests a month that one machine serves; None where it is not ours to fill. `numbers` it came from.
    """

    seconds: Fraction
    busy: Fraction
    capacity: Fraction | None
    numbers: tuple[Number, ...]


def written(model: Known, work: Workload, assumed: Assumed) -> Fraction:
    """Tokens of an answer, those of thought included, where the task wants thought and the model can."""
    thinks = model.thinks is not None and model.thinks.value and work.task in THINKING
    return work.tokens_out * (1 + (assumed["thought"] if thinks else Fraction(0)))


def here(fit: Fit, work: Workload, assumed: Assumed) -> Pace:
    """On this machine: the prompt costs two sums a weight and token, each token of the answer reads all weights."""
    kind = "gpu" if fit.room.where == "gpu" else "cpu"
    times = Fraction(fit.room.all, GB) if kind == "gpu" else Fraction(1)
    model, parameters = fit.model, fit.model.parameters
    active = Fraction(1)
    if model.active is not None and parameters is not None:
        active = Fraction(model.active.value, parameters.value)
    sums = 2 * active * (parameters.value if parameters else 0) * work.tokens_in
    read = sums / (times * assumed[f"flops-{kind}"] * 10**12)
    cache = model.cache(work.tokens_in + work.tokens_out) or 0
    bytes_ = active * fit.need.weights + cache
    said = written(model, work, assumed) * bytes_ / (times * assumed[f"bandwidth-{kind}"] * 10**9)
    streams = fit.slots if kind == "gpu" else 1  # a processor has no sums to spare for a second
    busy = read + said / streams
    names = (f"flops-{kind}", f"bandwidth-{kind}", "busy", "most-slots", *_thought(model, work))
    numbers = (*assumed.numbers(*names), *work.numbers("tokens-in", "tokens-out"), *fit.numbers())
    return Pace(read + said, busy, MONTH_S * assumed["busy"] / busy, numbers)


def away(model: Known, large: bool, work: Workload, assumed: Assumed) -> Pace:
    """At an endpoint on the Internet."""
    speed = "speed-large" if large else "speed-small"
    seconds = assumed["first-word"] + written(model, work, assumed) / assumed[speed]
    numbers = (*assumed.numbers("first-word", speed, *_thought(model, work)), work.number("tokens-out"))
    return Pace(seconds, seconds, None, numbers)


def _thought(model: Known, work: Workload) -> tuple[str, ...]:
    return ("thought",) if model.thinks is not None and model.thinks.value and work.task in THINKING else ()
