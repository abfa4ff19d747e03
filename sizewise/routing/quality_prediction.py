"""What a learnt router foresees of a request: how good each model's answer would be, or why it cannot tell; pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sizewise.errors import ConfigError
from sizewise.messages import Chat, Embed
from sizewise.model_card import Card
from sizewise.routing.constraints import Need
from sizewise.routing.quality.predictor import Predictor
from sizewise.routing.text.prompt_features import asked


class Foresight:
    """Puts predictions where policies see them. The router's models are found by `<provider>/<model>` or bare name."""

    __slots__ = ("_named", "_predictor")

    def __init__(self, predictor: Predictor, cards: Sequence[Card]) -> None:
        """Raises ConfigError where fewer than two of the router's models are configured: then it tells nothing."""
        self._predictor = predictor
        self._named = {card.name: head for head in predictor.heads for card in cards if head in (card.name, card.model)}
        if len(set(self._named.values())) < 2:
            learnt = ", ".join(predictor.heads)
            hint = "configure both, or train it on models that are: sizewise route train"
            raise ConfigError(f"the learnt router knows {learnt}, and fewer than two of them are configured", hint)

    def __call__(self, need: Need, what: Chat | Embed) -> Need:
        if not isinstance(what, Chat):
            return need
        good, doubt = self.of(asked(what))
        question = msgspec.structs.replace(need.question, unforeseen=doubt, good=good)
        return msgspec.structs.replace(need, question=question)

    def of(self, ask: str) -> tuple[dict[str, float], str]:
        """By model the chance of a good answer, 0..1, to a person's words; or why nothing is foreseen, in words."""
        found = self._predictor(ask)
        if found is None:
            return {}, self._predictor.objection(ask)
        return {name: found[head] for name, head in self._named.items()}, ""
