"""One after the other until somebody answers: retries, pauses, hedging and going on; moves for a policy, no judge."""

from __future__ import annotations

from sizewise.model_card import Card
from sizewise.routing.policy import Attempt, Outcome, Question, Route, attempt, race, resume

PAUSE_S = 0.2  # the first retry comes within this, each further one within twice the time
PAUSE_MOST_S = 10.0
SPREAD = 0.25  # of a pause that a model asked for, so that not all come back at once
HEDGED_S = 3_600.0  # a hedged first word is awaited as long as any other


def in_turn(
    question: Question,
    cards: tuple[Card, ...],
    why: str,
    retries: int = 0,
    patience_s: float = 0.0,
    resumes: bool = False,
    hedge_s: float = 0.0,
) -> Route:
    """One after the other until somebody answers: the words pass as they come, so a failure counts before the first.

    What may pass (`Outcome.again`: not reached, reset, busy, 5xx; no timeout with the question in its hands, no
    refusal) is asked `retries` times more, or until all its replicas have been, after a pause that grows and is spread
    by chance; one that names a pause of at most `patience_s` seconds, after that. With `hedge_s` the second starts when
    the first has not spoken by then. With `resumes` a plain answer that broke off is finished by a card that can.
    """
    got, left, because = Outcome(cards[0]), cards, why
    if hedge_s > 0 and (second := _second(cards)):
        late = f"{cards[0].name} had not spoken after {hedge_s:g} s, or failed"
        pair = Attempt(cards[0], why, "first_word", HEDGED_S), Attempt(second, late, "first_word", HEDGED_S)
        got = yield from race(pair, hedge_s)
        left, because = cards[2:], _went(got)
    for card in () if got.settled else left:
        got = yield from attempt(card, because)
        for number in range(max(retries, card.endpoint.replicas - 1) if retries else 0):
            if got.settled or not _worth_another(got, patience_s):
                break
            after_s, spread_s = _pause(got, number)
            words = f"{_went(got)}; asked once more"
            got = yield from attempt(card, words, after_s=after_s, spread_s=spread_s)
        if got.settled:
            break
        because = _went(got)
    return (yield from carried_on(question, cards, got)) if resumes else got


def carried_on(question: Question, cards: tuple[Card, ...], got: Outcome) -> Route:
    """`got`, or where it is a plain answer that broke off, what became of it on the cards that can go on with it."""
    if got.reply is None and got.said and question.plain:
        for card in cards:
            if card.resumes and got.reply is None and got.said:
                got = yield from resume(card, got.said, f"{got.card.name} broke off in mid-answer ({got.error})")
    return got


def _second(cards: tuple[Card, ...]) -> Card | None:
    """Who is asked when the first is slow: the next, or the only one once more where it has another replica."""
    if len(cards) > 1:
        return cards[1]
    return cards[0] if cards[0].endpoint.replicas > 1 else None


def _worth_another(got: Outcome, patience_s: float) -> bool:
    if got.error == "busy":  # our own line before it: whoever was turned away there shall not come back at once
        return False
    if got.retry_after is not None:
        return got.retry_after <= patience_s
    return got.again


def _pause(got: Outcome, number: int) -> tuple[float, float]:
    """Seconds before retry `number` (from 0), and how many more by chance: full jitter, above what was asked for."""
    if got.retry_after is not None:
        return got.retry_after, got.retry_after * SPREAD
    return 0.0, min(PAUSE_S * 2.0**number, PAUSE_MOST_S)


def _went(got: Outcome) -> str:
    return f"{got.card.name} failed ({got.error})"
