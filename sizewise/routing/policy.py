"""The policy protocol: a generator that yields moves and receives their results. No I/O and no clock.

    def route(self, question, field):
        got = yield from attempt(field[0].card, why="cheapest that fits")
        return got

The same file runs live (route.py performs the moves) and in replay (moves are answered from recorded outcomes).
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from typing import Literal, Protocol, cast

from msgspec import Struct

from sizewise.messages import Reply, Usage
from sizewise.model_card import ModelCard
from sizewise.routing.answer_format import AnswerFormat

StreamMode = Literal["hold", "stream", "first_word"]
"""hold: the client sees nothing until the policy returns this outcome. stream: words pass as they come.
first_word: nothing is shown until the first word, then as stream; in a race the first to speak wins."""


class Candidate(Struct, frozen=True):
    """A model that may answer, its expected cost (pico-dollars) and how good it is (0..1); None unknown.

    `quality` is of this very request where `RequestFeatures.abstention` is empty, else of the model as such.
    """

    card: ModelCard
    expected_cost: int | None = None
    quality: float | None = None


class RequestFeatures(Struct, frozen=True):
    """What a policy may know of the request: counts and kinds, never an address or a key.

    `answer_format` answers what a judge asks of the answer's form, and tells nobody a word of the request.
    """

    prompt_tokens: int  # prompt, estimated
    max_tokens: int | None = None  # the longest answer asked for
    choice_count: int = 1
    tools: bool = False
    schema: bool = False
    logprobs: bool = False
    is_plain_text: bool = True  # one choice of plain text: may be resumed on another model
    abstention: str = "no router was learnt"  # why nobody knows how good the answers would be; empty: it is known
    answer_format: AnswerFormat = AnswerFormat()
    predicted_quality: Mapping[str, float] = {}  # by model: the foreseen chance of a good answer, 0..1
    min_quality: float | None = None  # wished for, 0..1 of the reference model


class Attempt(Struct, frozen=True):
    """Ask `card`, after a pause of `delay_s` seconds and up to `jitter_s` more, by chance.

    `hold_timeout_s` bounds the time in which the client sees nothing of a hold or first_word, in seconds; then the
    attempt has failed. `why` is one sentence the client may read.
    """

    card: ModelCard
    why: str
    stream_mode: StreamMode = "stream"
    hold_timeout_s: float = 60.0
    delay_s: float = 0.0
    jitter_s: float = 0.0


class Hedge(Struct, frozen=True):
    """Hedging: start the first, each next one `delay_s` seconds later or at once when one failed; the first word
    wins, losers are cancelled and booked.
    """

    attempts: tuple[Attempt, ...]
    delay_s: float


class Parallel(Struct, frozen=True):
    """Ask all at once, held; the outcomes come back in the order of the attempts (agreement, self-consistency)."""

    attempts: tuple[Attempt, ...]


class JudgeReplies(Struct, frozen=True):
    """How far `replies` can be trusted. `verifier`: a candidate that is asked for its opinion of the best of them
    too."""

    replies: tuple[Reply, ...]
    verifier: ModelCard | None = None


class Resume(Struct, frozen=True):
    """Go on after `said` on another model; allowed for one choice of plain text on a card that can continue."""

    card: ModelCard
    prefix: str
    why: str


class AttemptOutcome(Struct, frozen=True):
    """What came of an attempt: a reply, or the error's code and words.

    `delivered`: the client has seen a part of it, so nobody can begin again. `said` is that part where it is plain text
    and nothing else, which a Resume can go on from.
    """

    card: ModelCard
    reply: Reply | None = None
    error: str = ""
    message: str = ""
    retry_after: float | None = None  # seconds, when the failed model named them
    delivered: bool = False
    delivered_text: str = ""
    seconds: float = 0.0
    usage: Usage = Usage()
    cost: int | None = None
    why: str = ""
    attempt_number: int = 0  # position among the request's attempts, from 1
    degraded: str = ""  # set by a policy that shows a distrusted reply: the reason
    is_retryable: bool = False  # the same model may do better in a moment

    @property
    def is_final(self) -> bool:
        """Nobody else can answer any more: there is a reply, or a part of one was shown."""
        return self.reply is not None or self.delivered


class Verdict(Struct, frozen=True):
    """How far the replies can be trusted, 0..1, and why in words. None: nothing in them could be judged.

    Where that was learnt: `escalation_gain` is what the large model is still worth, -1..1, `best_index` the place of
    the best reply.
    """

    score: float | None
    why: str
    escalation_gain: float | None = None
    best_index: int = 0


Move = Attempt | Hedge | Parallel | JudgeReplies | Resume
MoveResult = AttemptOutcome | tuple[AttemptOutcome, ...] | Verdict
PolicyRun = Generator[Move, MoveResult, AttemptOutcome]
Candidates = tuple[Candidate, ...]
"""Candidates that passed the constraints, cheapest first; never empty."""


class Policy(Protocol):
    """A frozen dataclass whose fields are its options; wrong ones raise ConfigError when it is made.

    Survives the failure of every candidate: it then returns the last AttemptOutcome, error and all. Begins nobody new
    once an outcome is `is_final`.
    """

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models it may ask, in the user's order; empty: all that are configured."""

    def route(self, features: RequestFeatures, candidates: Candidates) -> PolicyRun: ...


class Judge(Protocol):
    """A judge: pure, looks at replies and says how far they can be trusted."""

    def __call__(self, features: RequestFeatures, replies: tuple[Reply, ...]) -> Verdict: ...


def attempt(
    card: ModelCard,
    why: str,
    stream_mode: StreamMode = "stream",
    hold_timeout_s: float = 60.0,
    delay_s: float = 0.0,
    jitter_s: float = 0.0,
) -> Generator[Move, MoveResult, AttemptOutcome]:
    return cast("AttemptOutcome", (yield Attempt(card, why, stream_mode, hold_timeout_s, delay_s, jitter_s)))


def hedge(attempts: tuple[Attempt, ...], delay_s: float) -> Generator[Move, MoveResult, AttemptOutcome]:
    return cast("AttemptOutcome", (yield Hedge(attempts, delay_s)))


def parallel(attempts: tuple[Attempt, ...]) -> Generator[Move, MoveResult, tuple[AttemptOutcome, ...]]:
    return cast("tuple[AttemptOutcome, ...]", (yield Parallel(attempts)))


def judge(*replies: Reply, verifier: ModelCard | None = None) -> Generator[Move, MoveResult, Verdict]:
    return cast("Verdict", (yield JudgeReplies(replies, verifier)))


def resume(card: ModelCard, prefix: str, why: str) -> Generator[Move, MoveResult, AttemptOutcome]:
    return cast("AttemptOutcome", (yield Resume(card, prefix, why)))


def strength(card: ModelCard) -> float:
    """How able a model is presumed to be, as the logarithm of a number of parameters; only for putting cards in order.

    Its parameters where they are known; else its declared quality prior, 0..1 on the range from 0.1 to 1,000 billion;
    else its price, a dollar per million answer tokens counting as 30 billion; else 10 billion, and 1 billion for a
    model on this machine.
    """
    if card.parameters:
        return math.log10(card.parameters)
    if card.quality is not None:
        return 8 + 4 * card.quality
    if card.price.output:
        return math.log10(30_000 * card.price.output)  # micro-dollars: 1_000_000 is a dollar
    return 9.0 if card.place in ("process", "machine") else 10.0
