"""Certificate of a ladder, and the answer of a rung: plain values, and how the error is spent over several tries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from msgspec import Struct

Rung = Literal["exact", "near copy", "head", "tuned", "next token"]
ModelRungName = Literal["tuned", "next token"]
LOOKS = (250, 500, 1_000, 2_000, 3_000, 5_000, 8_000)
"""Numbers of answers at which a certification is tried."""
MAX_ANSWERS = LOOKS[-1]
FIRST_LOOK_SHARE, NEXT_LOOK_SHARE = 0.9, 0.1
"""Of the error. The first try has the fewest answers, so it gets nearly all; later ones have answers to spare."""
TAUGHT_SHARE = 0.38
"""Of more answers, by the trials of bench/decisions: the more teach, the better the head, and the less it can prove."""
CROSSED_ANSWERS, FOLDS = 1_000, 5
"""Up to so many answers each teaches and tests, a fifth of them at a time: heads of more take too long to teach."""
SHIFT_FACTOR, SHIFT_SHARE = 5, 0.10
"""Any one answer may come this many times as often as it was learned, up to this share of all inputs."""
GOLDEN_RATIO = 0.6180339887498949


class RungAnswer(Struct, frozen=True):
    """`trust` (0..1): what is compared with the threshold; `probabilities`: of every option, calibrated."""

    rung: Rung
    option: int
    trust: float
    probabilities: tuple[float, ...]


class LadderCertificate(Struct, frozen=True):
    """What was certified, and on how much. `taught`: answers that each tested head had learned, all of them others.
    `threshold`: the least trust with which a rung answers; None: nothing is certified. Shares are of the
    certification's inputs, 0..1; `calibration_error` is the expected one of the trust.
    """

    quality: float
    error: float  # probability with which it may be wrong
    look: int
    taught: int
    certified_on: int
    threshold: float | None
    share: float = 0.0
    agreement: float = 1.0
    rungs: Mapping[str, int] = {}  # inputs of the certification that each rung would answer
    calibration_error: float = 0.0
    model: str = ""  # that is asked where the head is not trusted; empty: none
    candidate: str = ""  # the small model whose probabilities were tried in it, also in vain; empty: none


class ReadyLadder(Protocol):
    """A ladder that is ready to answer."""

    @property
    def certificate(self) -> LadderCertificate: ...

    @property
    def asks(self) -> str:
        """The small model whose probabilities are asked for where `answer` has none; empty: none."""
        ...

    def answer_with(self, vector: Sequence[float], shares: Sequence[float]) -> RungAnswer | None:
        """The answer with the probabilities of the model that it asks. None: the input goes up."""
        ...

    def answer(self, digest: str, vector: Sequence[float] | None, *, confidential: bool = False) -> RungAnswer | None:
        """None: the input goes up. Without a `vector` only the exact text is known. For confidential inputs the stored
        answers of other inputs are never repeated.
        """
        ...


def is_taught(number: int) -> bool:
    """Whether answer `number` teaches, where the others certify. Fixed before the answer is known, spread evenly."""
    return (number * GOLDEN_RATIO) % 1.0 < TAUGHT_SHARE


def fold_of(number: int) -> int:
    """The fifth in which answer `number` tests. Fixed before the answer is known, spread evenly."""
    return int((number * GOLDEN_RATIO) % 1.0 * FOLDS)


def look_error(look: int, error: float) -> float:
    """The part of `error` that try number `look` (from 0) spends: all tries together spend at most `error`."""
    return error * FIRST_LOOK_SHARE * NEXT_LOOK_SHARE**look
