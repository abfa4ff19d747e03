"""How a policy is written: a generator that yields the moves it wants and is told what came of them; no I/O, no clock.

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
from sizewise.model_card import Card
from sizewise.routing.answer_format import Form

Commit = Literal["hold", "stream", "first_word"]
"""hold: the client sees nothing until the policy returns this outcome. stream: words pass as they come.
first_word: nothing is shown until the first word, then as stream; in a race the first to speak wins."""


class Candidate(Struct, frozen=True):
    """A model that may answer, its expected cost (pico-dollars) and how good it is (0..1); None unknown.

    `quality` is of this very request where `Question.unforeseen` is empty, else of the model as such.
    """

    card: Card
    cost: int | None = None
    quality: float | None = None


class Question(Struct, frozen=True):
    """What a policy may know of the request: counts and kinds, never an address or a key.

    `form` answers what a judge asks of the answer's form, and tells nobody a word of the request.
    """

    tokens: int  # prompt, estimated
    max_tokens: int | None = None  # the longest answer asked for
    choices: int = 1
    tools: bool = False
    schema: bool = False
    logprobs: bool = False
    plain: bool = True  # one choice of plain text: may be resumed on another model
    unforeseen: str = "no router was learnt"  # why nobody knows how good the answers would be; empty: it is known
    form: Form = Form()
    good: Mapping[str, float] = {}  # by model: the foreseen chance of a good answer, 0..1
    min_quality: float | None = None  # wished for, 0..1 of the reference model


class Attempt(Struct, frozen=True):
    """Ask `card`, after a pause of `after_s` seconds and up to `spread_s` more, by chance.

    `hold_s` bounds the time in which the client sees nothing of a hold or first_word, in seconds; then the attempt has
    failed. `why` is one sentence the client may read.
    """

    card: Card
    why: str
    commit: Commit = "stream"
    hold_s: float = 60.0
    after_s: float = 0.0
    spread_s: float = 0.0


class Race(Struct, frozen=True):
    """Hedging: start the first, each next one `after_s` seconds later or at once when one failed; the first word
    wins, losers are cancelled and booked."""

    attempts: tuple[Attempt, ...]
    after_s: float


class All(Struct, frozen=True):
    """Ask all at once, held; the outcomes come back in the order of the attempts (agreement, self-consistency)."""

    attempts: tuple[Attempt, ...]


class Judge(Struct, frozen=True):
    """How far `replies` can be trusted. `by`: a candidate that is asked for its opinion of the best of them too."""

    replies: tuple[Reply, ...]
    by: Card | None = None


class Resume(Struct, frozen=True):
    """Go on after `said` on another model; allowed for one choice of plain text on a card that can continue."""

    card: Card
    said: str
    why: str


class Outcome(Struct, frozen=True):
    """What came of an attempt: a reply, or the error's code and words.

    `shown`: the client has seen a part of it, so nobody can begin again. `said` is that part where it is plain text
    and nothing else, which a Resume can go on from.
    """

    card: Card
    reply: Reply | None = None
    error: str = ""
    message: str = ""
    retry_after: float | None = None  # seconds, when the failed model named them
    shown: bool = False
    said: str = ""
    seconds: float = 0.0
    usage: Usage = Usage()
    cost: int | None = None
    why: str = ""
    number: int = 0  # position among the request's attempts, from 1
    degraded: str = ""  # set by a policy that shows a distrusted reply: the reason
    again: bool = False  # the same model may do better in a moment

    @property
    def settled(self) -> bool:
        """Nobody else can answer any more: there is a reply, or a part of one was shown."""
        return self.reply is not None or self.shown


class Verdict(Struct, frozen=True):
    """How far the replies can be trusted, 0..1, and why in words. None: nothing in them could be judged.

    Where that was learnt: `worth` is what the large model is still worth, -1..1, `best` the place of the best reply.
    """

    score: float | None
    why: str
    worth: float | None = None
    best: int = 0


Move = Attempt | Race | All | Judge | Resume
Told = Outcome | tuple[Outcome, ...] | Verdict
Route = Generator[Move, Told, Outcome]
Field = tuple[Candidate, ...]
"""Candidates that passed the constraints, cheapest first; never empty."""


class Policy(Protocol):
    """A frozen dataclass whose fields are its options; wrong ones raise ConfigError when it is made.

    Survives the failure of every candidate: it then returns the last Outcome, error and all. Begins nobody new once
    an outcome is `settled`.
    """

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models it may ask, in the user's order; empty: all that are configured."""

    def route(self, question: Question, field: Field) -> Route: ...


class Judging(Protocol):
    """A judge: pure, looks at replies and says how far they can be trusted."""

    def __call__(self, question: Question, replies: tuple[Reply, ...]) -> Verdict: ...


def attempt(
    card: Card, why: str, commit: Commit = "stream", hold_s: float = 60.0, after_s: float = 0.0, spread_s: float = 0.0
) -> Generator[Move, Told, Outcome]:
    return cast(Outcome, (yield Attempt(card, why, commit, hold_s, after_s, spread_s)))


def race(attempts: tuple[Attempt, ...], after_s: float) -> Generator[Move, Told, Outcome]:
    return cast(Outcome, (yield Race(attempts, after_s)))


def everyone(attempts: tuple[Attempt, ...]) -> Generator[Move, Told, tuple[Outcome, ...]]:
    return cast("tuple[Outcome, ...]", (yield All(attempts)))


def judge(*replies: Reply, by: Card | None = None) -> Generator[Move, Told, Verdict]:
    return cast(Verdict, (yield Judge(replies, by)))


def resume(card: Card, said: str, why: str) -> Generator[Move, Told, Outcome]:
    return cast(Outcome, (yield Resume(card, said, why)))


def strength(card: Card) -> float:
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
