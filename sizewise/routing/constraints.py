"""Who may answer, and for each who may not the reason in words; pure, and asks nobody: health is told to it.

Only what is known counts against a model that can be nobody else (`exact`): what its card leaves open, the model
itself shall say. A router choosing among several takes no such chances.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from sizewise.data_class import DataClass, reaches
from sizewise.errors import (
    BadRequest,
    Forbidden,
    ModelUnavailable,
    NoModelFits,
    OverBudget,
    SizewiseError,
    TooLong,
)
from sizewise.handler import Ask
from sizewise.messages import Chat
from sizewise.model_card import Card, Task
from sizewise.money import dollars
from sizewise.principal import within
from sizewise.routing.answer_format import Form
from sizewise.routing.data_policy import Given, Terms
from sizewise.routing.model_aliases import Plan
from sizewise.routing.policy import Candidate, Field, Question, strength
from sizewise.routing.structured_output import Promise

Health = Callable[[Card], str]
"""Why a model cannot be asked just now, in words; empty when it is well."""

PER_TOKEN = 4  # bytes of UTF-8 text in one token, on average
PER_TOKEN_MOST = 8  # and at most, over the whole of any prompt that people really send
PER_MESSAGE = 4  # tokens of the chat template around each message
PER_MEDIUM = 800  # tokens of one image, sound or file; only an order of magnitude
ANSWER = 1_000  # tokens of an answer whose length was not said

ABLER = "leave it out, or name a model that can"


class Need(Struct, frozen=True):
    """What one request needs of whoever answers it. Tokens are estimates; money is pico-dollars."""

    task: Task
    size: int  # characters the model must read
    question: Question
    sees: frozenset[str]
    data_class: DataClass
    given: Given  # how far this data may go, and who says so
    max_cost: int | None
    models: tuple[str, ...] = ()  # that the key may ask; none: all
    promise: Promise | None = None  # what every answer must be
    window: int | None = None  # tokens of prompt and answer, as the request wishes them


class Against(Struct, frozen=True):
    """Why a model may not answer: one sentence without its subject, and the error when it was the only one."""

    card: Card
    why: str
    error: type[SizewiseError]
    param: str | None = None
    hint: str = ""


def need(ask: Ask, terms: Terms, policy: str = "") -> Need:
    """What `ask` needs, on these terms, where the policy of that name decides."""
    what, wishes, given, scope = ask.what, ask.wishes, terms.of(ask, policy), ask.caller.scope
    if isinstance(what, Chat):
        task: Task = "chat"
        size, sees, media = _measure(what)
        plain = what.n == 1 and not (what.tools or what.schema or what.logprobs)
        tokens = size // PER_TOKEN + PER_MESSAGE * len(what.messages) + PER_MEDIUM * media
        question = Question(
            tokens,
            what.max_tokens,
            what.n,
            what.tools,
            what.schema,
            what.logprobs,
            plain,
            form=Form(what),
            min_quality=wishes.min_quality,
        )
    else:
        task, sees = "embed", frozenset()
        sizes = [len(each) if isinstance(each, str) else len(each) * PER_TOKEN for each in what.inputs]
        size = max(sizes, default=0)
        question = Question(sum(sizes) // PER_TOKEN, 0, plain=False)
    models = () if scope is None else scope.models
    return Need(task, size, question, sees, given.data_class, given, wishes.max_cost, models, window=wishes.min_window)


def _measure(chat: Chat) -> tuple[int, frozenset[str], int]:
    """Characters of text, kinds of media and how many there are: a picture's bytes are not words."""
    sees = chat.sees()
    if not sees:
        return chat.size(), sees, 0
    tools = chat.fields.get("tools")
    size, media = len(bytes(tools)) if tools is not None else 0, 0
    for message in chat.messages:
        size += len(message.text)
        if isinstance(message.content, list):
            media += sum(1 for part in message.content if part.type not in ("text", "refusal"))
    return size, sees, media


def field(plan: Plan, need: Need, health: Health) -> tuple[Field, tuple[Against, ...]]:
    """Candidates, cheapest first, and everyone else with the reason. Equals in cost go by strength."""
    may: list[Candidate] = []
    against: list[Against] = []
    good = need.question.good
    for card in plan.cards:
        why = objection(card, need, plan.exact, health)
        if why is None:
            quality = good.get(card.name) if good else card.quality
            may.append(Candidate(card, expected(card, need.question), quality))
        else:
            against.append(why)
    if len(may) > 1:
        may.sort(key=by_cost)
    return tuple(may), tuple(against)


def by_cost(candidate: Candidate) -> tuple[bool, int, float]:
    return (candidate.cost is None, candidate.cost or 0, strength(candidate.card))


def expected(card: Card, question: Question) -> int | None:
    """Pico-dollars for this prompt and the longest answer asked for, or 1,000 tokens where none was said."""
    out = ANSWER if question.max_tokens is None else question.max_tokens
    return card.price.most(question.tokens, out * question.choices)


def objection(card: Card, need: Need, exact: bool, health: Health) -> Against | None:
    """The first reason against `card`, the asker's limits before the model's state; None when it may answer."""
    given, place = need.given, card.endpoint.place
    if need.models and not within(card.name, need.models):
        return Against(card, "is none of the models that this key may ask", Forbidden, hint="use a key that may")
    if given.reach is None or not reaches(given.reach, place):
        return _too_far(card, given)
    if given.denied and ((limit := given.limit) is None or not reaches(limit, place)):
        return Against(card, f"is at place {place!r}, and {given.denied} denies going online", Forbidden)
    if card.task != need.task:
        what = "an embedding model" if card.task == "embed" else "a chat model"
        return Against(card, f"is {what}", BadRequest, "model", "name another model, or ask this one at its own door")
    return (
        (_narrow(card, need, exact) if need.window is not None else None)
        or (_window(card, need, exact) if card.context is not None else None)
        or _unable(card, need, exact)
        or (_cost(card, need) if need.max_cost is not None else None)
        or _unwell(card, health)
    )


def _too_far(card: Card, given: Given) -> Against:
    limit = "nowhere" if given.reach is None else f"no further than {given.reach!r}"
    why = f"is at place {card.place!r}, and {given.whose} may go {limit}"
    return Against(card, why, Forbidden, hint="name a model that is nearer, or widen [egress] in sizewise.toml")


def _narrow(card: Card, need: Need, exact: bool) -> Against | None:
    """Whether its window is less than the request wishes, whatever this prompt takes of it."""
    if need.window is None or need.task != "chat" or (card.context is None and exact):
        return None
    if card.context is None:
        why = f"is not known to have a window of {need.window} tokens, which the request requires"
    elif card.context < need.window:
        why = f"has a window of {card.context} tokens, and the request requires {need.window}"
    else:
        return None
    hint = "name a model with a larger window; one of this machine may have more than [local] context gives it"
    return Against(card, why, NoModelFits, "min_window", hint)


def _window(card: Card, need: Need, exact: bool) -> Against | None:
    context = card.context
    if context is None or (need.size <= context and not need.question.max_tokens):
        return None  # no prompt has more tokens than characters
    if exact:
        least = need.size // PER_TOKEN_MOST
        if least <= context:
            return None  # counting exactly is the model's own job
        why = f"reads at most {context} tokens, and this prompt has about {need.question.tokens}"
    else:
        room = context - (need.question.max_tokens or 0)
        if need.question.tokens <= room:
            return None
        why = f"has a window of {context} tokens, and this request needs about {context - room + need.question.tokens}"
    return Against(card, why, TooLong, "messages", "shorten the prompt or name a model with a larger window")


def fits(card: Card, question: Question) -> bool:
    """Whether its window, as far as it is known, has room for the question and the longest answer asked for."""
    return card.context is None or question.tokens + (question.max_tokens or 0) <= card.context


def _unable(card: Card, need: Need, exact: bool) -> Against | None:
    asked = need.question
    if need.sees and not need.sees <= card.sees and (not exact or card.weights or "sees" in card.facts):
        blind = ", ".join(sorted(need.sees - card.sees))
        return Against(card, f"cannot take {blind}", BadRequest, "messages", ABLER)
    if asked.tools and not card.tools and (not exact or card.tools is False):
        why = "cannot call tools" if card.tools is False else "is not known to call tools"
        return Against(card, why, BadRequest, "tools", ABLER)
    if asked.logprobs and not card.logprobs and (not exact or card.logprobs is False):
        why = "gives no log-probabilities" if card.logprobs is False else "is not known to give log-probabilities"
        return Against(card, why, BadRequest, "logprobs", ABLER)
    if asked.choices > 1 and card.weights is not None:
        return Against(card, f"gives one choice at a time, and n is {asked.choices}", BadRequest, "n", ABLER)
    if not exact and card.max_output is not None and (asked.max_tokens or 0) > card.max_output:
        why = f"writes at most {card.max_output} tokens, and {asked.max_tokens} are asked for"
        return Against(card, why, BadRequest, "max_tokens")
    return None


def _cost(card: Card, need: Need) -> Against | None:
    limit = need.max_cost
    assert limit is not None
    cost = expected(card, need.question)
    if cost is None:
        return Against(card, "has no known price, and the request sets a maximum cost", OverBudget)
    if cost > limit:
        why = f"could cost {dollars(cost)} dollars, and the request allows {dollars(limit)}"
        return Against(card, why, OverBudget, hint="allow more, or ask for fewer tokens")
    return None


def _unwell(card: Card, health: Health) -> Against | None:
    words = health(card)
    return Against(card, words, ModelUnavailable, hint="try again later, or name another model") if words else None
