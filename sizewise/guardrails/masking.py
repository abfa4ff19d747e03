"""An attempt at a model further away than it may see everything: asked with placeholders, answered with the values.

Stands around the one model that is asked, so every way to it passes here: first try, fallback, retry, hedge, judge and
shadow. What cannot be masked is not sent.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping

from msgspec.structs import replace

from sizewise.data_class import Place, reaches
from sizewise.guardrails.base import Guard
from sizewise.guardrails.pseudonymization import Looked, Restore, mask
from sizewise.guardrails.stream_unmasking import Restoring, restored
from sizewise.handler import Answerer, Ask, Guarded, Send
from sizewise.messages import Chat, Embed, Reply
from sizewise.model_card import Card

Connect = Callable[[Card], Answerer]


class Masking:
    """`connect` as it was for cards within `limit`; others are asked through a mask."""

    def __init__(self, connect: Connect, limit: Place, guards: Mapping[str, Guard], hiding: frozenset[str]) -> None:
        """`guards`: all there are, by name. `hiding`: those that mask where nobody has looked at the request before."""
        self._connect = connect
        self._limit = limit
        self._guards = guards
        self._hiding = hiding

    def __call__(self, card: Card) -> Answerer:
        answer = self._connect(card)
        return answer if reaches(self._limit, card.place) else Masked(answer, self.hidden)

    def hidden(self, ask: Ask) -> tuple[Chat | Embed, Restore | None]:
        """What is sent in the place of the request, and the way back; None where there is nothing to hide.

        Nobody looks twice at the very request that was looked at before; a judge's question, a repair or a
        continuation is another one. Raises BadBody for what cannot be gone through.
        """
        found = ask.found
        same = found is not None and found.what is ask.what
        if found is not None and same and found.clean:
            return ask.what, None
        hiding = self._hiding if found is None else found.hiding
        seen = found.seen if same and isinstance(found, Looked) else None
        return mask(ask.what, {name: self._guards[name] for name in self._guards if name in hiding}, seen)

    def seen_by(self, card: Card, ask: Ask) -> Chat | Embed:
        """The request as `card` may see it."""
        return ask.what if reaches(self._limit, card.place) else self.hidden(ask)[0]


class Masked:
    """An Answerer around one of a model further away."""

    __slots__ = ("_answer", "_hidden")

    def __init__(self, answer: Answerer, hidden: Callable[[Ask], tuple[Chat | Embed, Restore | None]]) -> None:
        self._answer = answer
        self._hidden = hidden

    def __call__(self, ask: Ask, send: Send) -> Coroutine[object, object, Reply]:
        what, restore = self._hidden(ask)
        if restore is None:
            return self._answer(ask, send)
        return self._asked(replace(ask, what=what), restore, send)

    async def _asked(self, ask: Ask, restore: Restore, send: Send) -> Reply:
        counted = tuple((guard, kind, count) for (guard, kind), count in restore.counts.items())
        await send(Guarded(counted, "masked"))
        restoring = Restoring(restore, send)
        reply = await self._answer(ask, restoring)
        await restoring.end()
        return restored(reply, restore)
