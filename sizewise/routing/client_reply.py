"""The client's side of one request: who it was told answers, whose words it has seen, and what it gets in the end.

Knows nothing of how an answer came about. Nothing leaves here that the policy has not returned or let pass.
"""

from __future__ import annotations

import msgspec

from sizewise.errors import SizewiseError
from sizewise.handler import Chosen, Result, Send
from sizewise.messages import Reply
from sizewise.routing.attempt_record import Try, by_code, cut, filled
from sizewise.routing.data_policy import Given as Allowed
from sizewise.routing.policy import Outcome
from sizewise.routing.request_rewrite import joined, marked, reply_without_logprobs, without_logprobs


class Given:
    """`prompt` is the estimate of the prompt's tokens, for replies that count nothing."""

    __slots__ = ("_policy", "_terms", "chosen", "prompt", "send", "shown", "tries")

    def __init__(self, send: Send, policy: str, prompt: int, terms: Allowed) -> None:
        self.send = send
        self._policy = policy
        self._terms = terms
        self.prompt = prompt
        self.tries: list[Try] = []
        self.chosen = False  # the client has been told who answers
        self.shown: Try | None = None  # whose words the client has seen, or who answered without holding back

    async def show(self, one: Try) -> None:
        """The client is about to see the first event of `one`."""
        self.shown = one  # before anything is sent: what follows cannot be unsaid
        if not self.chosen:
            await self._choose(one, one.why)

    async def end(self, outcome: Outcome, unmade: SizewiseError | None) -> Reply:
        """Gives what the policy returns: the reply, held words and all, or raises its error (maybe `unmade`)."""
        if not isinstance(outcome, Outcome) or not 0 <= outcome.number <= len(self.tries):
            raise self.nonsense("does not return one of its outcomes")
        one = self.tries[outcome.number - 1] if outcome.number else None
        if self.shown is not None and self.shown is not one:
            raise self.over()
        if one is None or outcome.reply is None:
            raise self._error(one, outcome, unmade)
        return await self.gives(one, outcome.why, outcome.degraded)

    async def gives(self, one: Try, why: str, degraded: str = "") -> Reply:
        """Gives the reply of an attempt, held words and all."""
        if one.reply is None or one.result != "answered":
            raise self.nonsense(f"returns an answer of {one.card.name}, which gave none")
        self.shown = one
        if not self.chosen:
            await self._choose(one, why)
            for event in one.events:
                await self.send(without_logprobs(event) if one.lent else event)
        return self._reply(one, one.reply, degraded)

    def over(self) -> SizewiseError:
        """Why nobody else can answer: the cut in what the client has seen, or that it has an answer."""
        assert self.shown is not None
        return cut(self.shown) or self.nonsense(f"goes on although {self.shown.card.name} has answered")

    def unused(self, one: Try, left: bool) -> Result:
        """What became of a reply that the client was not given; `left` if it did not wait for one."""
        if one.verdict or not (self.chosen or left):
            return "distrusted"
        return "lost_race" if self.chosen else "cancelled"

    def nonsense(self, what: str) -> SizewiseError:
        return SizewiseError(f"the policy {self._policy!r} {what}", "the policy is at fault, not your request")

    async def _choose(self, one: Try, why: str) -> None:
        self.chosen = True
        terms = self._terms
        await self.send(Chosen(one.card.name, why, len(self.tries), self._policy, terms.data_class, not terms.denied))

    def _reply(self, one: Try, reply: Reply, degraded: str) -> Reply:
        if reply.usage.estimated:
            reply = msgspec.structs.replace(reply, usage=filled(reply, self.prompt))
        if one.lent:
            reply = reply_without_logprobs(reply)
        if one.prefix:
            reply = joined(one.prefix, reply)
        return marked(reply, degraded) if degraded else reply

    def _error(self, one: Try | None, outcome: Outcome, unmade: SizewiseError | None) -> SizewiseError:
        if one is not None and one.error is not None and one.error.code == outcome.error:
            return (cut(one) if self.shown is one else None) or one.error
        if one is None and unmade is not None and outcome.error == unmade.code:
            return unmade
        if not outcome.error:
            return self.nonsense("returns neither an answer nor an error")
        return by_code(outcome.error)(outcome.message or "the policy gave no answer", param="model")
