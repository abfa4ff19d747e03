"""A judge that was learnt: what the held answers of certain models are worth, beside the large one's; pure.

An answer that a rule objects to counts as no answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from msgspec import Struct

from sizewise.messages import Chat, Embed, Reply
from sizewise.routing.answer_agreement import agreement
from sizewise.routing.constraints import PER_TOKEN, Need
from sizewise.routing.guarantees.certificate import Proof
from sizewise.routing.judges.confidence import logarithms
from sizewise.routing.policy import Judging, Question, Verdict
from sizewise.routing.quality.answer_signals import Said, Signals, odds, unlike
from sizewise.routing.quality_prediction import Foresight


class Mind(Struct, frozen=True):
    """What one policy knows beside the others: of a prompt before anybody is asked, and of answers."""

    foresight: Foresight
    judge: Weighed

    def __call__(self, need: Need, what: Chat | Embed) -> Need:
        """As the foresight, but nothing of what no calibration holds: conversations of several turns, and media."""
        odd = _odd(what)
        if not odd:
            return self.foresight(need, what)
        return msgspec.structs.replace(need, question=msgspec.structs.replace(need.question, unforeseen=odd))


@dataclass(frozen=True, slots=True)
class Weighed:
    """`models`: as the proof's, under their names here. `rules`: a judge whose 0 is a veto."""

    proof: Proof
    models: tuple[str, ...]
    rules: Judging

    def __call__(self, question: Question, replies: tuple[Reply, ...]) -> Verdict:
        """`replies`: of the small models in the order of asking."""
        objections = [its.why if its.score == 0 else "" for its in (self.rules(question, (each,)) for each in replies)]
        said = [heard(reply) for reply in replies]
        agrees = agreement(replies[0], replies[1]) if len(replies) > 1 else None
        return self.verdict(question, said, agrees, objections)

    def verdict(
        self, question: Question, said: Sequence[Said], agrees: bool | None, objections: Sequence[str] = ()
    ) -> Verdict:
        """`said` without their odds, which the question knows."""
        if question.unforeseen:
            return Verdict(0.0, question.unforeseen)
        if said and all(objections) and len(objections) == len(said):
            return Verdict(0.0, objections[-1])
        foreseen = [odds(question.good[name]) for name in self.models]
        known = tuple(msgspec.structs.replace(its, odds=at) for its, at in zip(said, foreseen, strict=False))
        signals, combined = Signals(known, foreseen[-1], agrees), self.proof.after[len(said) - 1]
        if unlike(combined, signals):
            return Verdict(0.0, "it came without log-probabilities, and was calibrated with them")
        *given, large = combined.good(signals)
        for place, words in enumerate(objections):
            if words:
                given[place] = 0.0
        best = max(range(len(given)), key=lambda each: given[each])
        worth = large - given[best]
        words = f"good with {given[best]:.2f}, {self.models[-1]} would be with {large:.2f}"
        return Verdict(min(1.0, max(0.0, 1.0 - worth)), words, worth, best)


def _odd(what: Chat | Embed) -> str:
    if isinstance(what, Chat) and sum(message.role == "user" for message in what.messages) > 1:
        return "it is a conversation, and single questions were calibrated"
    return "it is more than words, and words were calibrated" if isinstance(what, Chat) and what.sees() else ""


def heard(reply: Reply) -> Said:
    """An answer's own signals; its odds are not its own."""
    choice = reply.choices[0] if reply.choices else None
    known = logarithms(choice.logprobs) if choice is not None else []
    mean = sum(known) / len(known) if known else None
    silent = choice is None or not (choice.text.strip() or choice.tool_calls)
    cut = choice is not None and choice.finish == "length"
    size = 0 if choice is None else -(-len(choice.text) // PER_TOKEN)
    return Said(0.0, mean, min(known) if known else None, reply.usage.output or size, silent, cut)
