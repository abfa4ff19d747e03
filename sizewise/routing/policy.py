"""The policy protocol: a generator that yields moves and receives their results. No I/O and no clock.

    def route(self, features, candidates):
        outcome = yield from attempt(candidates[0].card, why="cheapest that fits")
        return outcome

The same code runs live (executor.py performs the moves) and in replay (recorded outcomes answer them).
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Literal, Protocol, cast

from msgspec import Struct

from sizewise.messages import Reply, Usage
from sizewise.model_card import ModelCard
from sizewise.money import MediaUnits
from sizewise.routing.agent_turn import AgentTurn
from sizewise.routing.answer_format import AnswerFormat
from sizewise.routing.quality.answer_prior import PriorModel

StreamMode = Literal["hold", "stream", "first_word"]
"""hold: the client sees nothing until the policy returns this outcome. stream: content passes as it arrives.
first_word: nothing is shown until the first content, then as stream; in a race the first to produce content wins.
"""


class Candidate(Struct, frozen=True):
    """A model that may answer, with its expected cost (pico-dollars) and quality (0..1); None: unknown.

    `quality` is for this request if `RequestFeatures.abstention` is empty, else the model's in general. `expected_s`
    and `latest_s`: predicted seconds to the last token with the wait in its queue, the middle and what few answers
    exceed; None: not measured yet, or neither a deadline nor equal costs make it matter.
    """

    card: ModelCard
    expected_cost: int | None = None
    quality: float | None = None
    expected_s: float | None = None
    latest_s: float | None = None
    thinking_tokens: int | None = None  # of its answers so far, at this effort; None: not measured, or not looked at


class RequestFeatures(Struct, frozen=True):
    """What a policy may know of the request: counts and kinds, never an address or a key.

    `answer_format` lets a judge check the form of an answer without showing any text of the request.
    """

    prompt_tokens: int  # of the prompt, estimated
    max_tokens: int | None = None  # requested maximum
    choice_count: int = 1
    tools: bool = False
    schema: bool = False
    logprobs: bool = False
    is_plain_text: bool = True  # one choice of plain text: can be resumed on another model
    abstention: str = "no predictor is configured"  # why quality is not predicted; empty: it is
    answer_format: AnswerFormat = AnswerFormat()
    predicted_quality: Mapping[str, float] = {}  # by model: predicted chance of a good answer, 0..1
    min_quality: float | None = None  # requested, 0..1 of the reference model
    media: MediaUnits | None = None  # at most, of a request for audio or images
    turn: AgentTurn | None = None  # of an agent; None: a chat without tools
    time_left_s: float | None = None  # until the request's own deadline; None: it has none


class Attempt(Struct, frozen=True):
    """Ask `card`, after a pause of `delay_s` seconds and a random 0 to `jitter_s` more.

    `hold_timeout_s`: seconds that a hold or first_word may keep the client waiting. `why`: one sentence for the client.
    To explain it: `threshold`, the score or chance from which the reply is shown; `average`, what holds over requests.
    """

    card: ModelCard
    why: str
    stream_mode: StreamMode = "stream"
    hold_timeout_s: float = 60.0
    delay_s: float = 0.0
    jitter_s: float = 0.0
    threshold: float | None = None
    average: str = ""


class Hedge(Struct, frozen=True):
    """Start the first attempt; start the next after `delay_s` seconds, or at once if one fails. The first content wins;
    losers are cancelled and reported.
    """

    attempts: tuple[Attempt, ...]
    delay_s: float


class Parallel(Struct, frozen=True):
    """Ask all at once, held; outcomes are in the order of `attempts` (agreement, self-consistency)."""

    attempts: tuple[Attempt, ...]


class JudgeReplies(Struct, frozen=True):
    """Judge `replies`. `verifier`: a candidate that is also asked to judge the best of them. `prior`: what gives the
    chance that the best of them is right.
    """

    replies: tuple[Reply, ...]
    verifier: ModelCard | None = None
    prior: PriorModel | None = None


class Resume(Struct, frozen=True):
    """Continue after `prefix` on another model; requires one choice of plain text and a card that can resume."""

    card: ModelCard
    prefix: str
    why: str


class AttemptOutcome(Struct, frozen=True):
    """The result of an attempt: a reply, or an error code and message.

    `delivered`: the client has seen a part of it, so no attempt can start over. `delivered_text` is that part, if it is
    only plain text, for a Resume.
    """

    card: ModelCard
    reply: Reply | None = None
    error: str = ""
    message: str = ""
    retry_after: float | None = None  # seconds, if the failed model sent it
    delivered: bool = False
    delivered_text: str = ""
    seconds: float = 0.0
    usage: Usage = Usage()
    cost: int | None = None
    why: str = ""
    attempt_number: int = 0  # position among the request's attempts, from 1
    degraded: str = ""  # reason, set by a policy that returns an untrusted reply
    is_retryable: bool = False  # the same model may succeed in a moment

    @property
    def is_final(self) -> bool:
        """Whether no other model can answer any more: there is a reply, or a part of one was sent."""
        return self.reply is not None or self.delivered


class Verdict(Struct, frozen=True):
    """How far the replies can be trusted, 0..1, and why. None: they could not be judged.

    If learned: `escalation_gain` is the expected gain of asking the large model, -1..1; `best_index` the index of the
    best reply. `chance`: that it is right, 0..1, if a prior was asked and can tell.
    """

    score: float | None
    why: str
    escalation_gain: float | None = None
    best_index: int = 0
    chance: float | None = None


Move = Attempt | Hedge | Parallel | JudgeReplies | Resume
MoveResult = AttemptOutcome | tuple[AttemptOutcome, ...] | Verdict
PolicyRun = Generator[Move, MoveResult, AttemptOutcome]
Candidates = tuple[Candidate, ...]
"""Candidates that passed the constraints, cheapest first; never empty."""


class Policy(Protocol):
    """A frozen dataclass whose fields are its options; construction with invalid ones raises ConfigError.

    If every candidate fails, returns the last AttemptOutcome with its error. Starts no attempt after an outcome that
    `is_final`.
    """

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models it may ask, in configured order; empty: all configured models."""

    def route(self, features: RequestFeatures, candidates: Candidates) -> PolicyRun: ...


class Judge(Protocol):
    """A pure function from replies to a verdict."""

    def __call__(self, features: RequestFeatures, replies: tuple[Reply, ...]) -> Verdict: ...


def attempt(
    card: ModelCard,
    why: str,
    stream_mode: StreamMode = "stream",
    hold_timeout_s: float = 60.0,
    delay_s: float = 0.0,
    jitter_s: float = 0.0,
) -> Generator[Move, MoveResult, AttemptOutcome]:
    move = Attempt(card, why, stream_mode, hold_timeout_s, delay_s=delay_s, jitter_s=jitter_s)
    return cast("AttemptOutcome", (yield move))


def hedge(attempts: tuple[Attempt, ...], delay_s: float) -> Generator[Move, MoveResult, AttemptOutcome]:
    return cast("AttemptOutcome", (yield Hedge(attempts, delay_s)))


def parallel(attempts: tuple[Attempt, ...]) -> Generator[Move, MoveResult, tuple[AttemptOutcome, ...]]:
    return cast("tuple[AttemptOutcome, ...]", (yield Parallel(attempts)))


def judge(
    *replies: Reply, verifier: ModelCard | None = None, prior: PriorModel | None = None
) -> Generator[Move, MoveResult, Verdict]:
    return cast("Verdict", (yield JudgeReplies(replies, verifier, prior)))


def resume(card: ModelCard, prefix: str, why: str) -> Generator[Move, MoveResult, AttemptOutcome]:
    return cast("AttemptOutcome", (yield Resume(card, prefix, why)))
