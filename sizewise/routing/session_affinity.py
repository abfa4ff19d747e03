"""What a session's past means for its next request, and what is kept of that one; pure, and weighs nothing itself."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sizewise.handler import Ask
from sizewise.messages import Chat, Reply
from sizewise.routing.attempt_record import Try
from sizewise.routing.client_reply import Given
from sizewise.routing.constraints import Against
from sizewise.routing.model_aliases import Plan
from sizewise.routing.session_store import Judged, Memory, Sessions, session
from sizewise.routing.sticky_sessions import NEVER, Minding


class Affinity:
    """What a router knows of sessions. `session_s` is how long a silent one is remembered (seconds), `switch_cost` what
    it costs (pico-dollars) that another model cannot go on from reasoning and tool calls as well as their own."""

    __slots__ = ("_session_s", "_sessions", "_switch_cost")

    def __init__(self, sessions: Sessions, session_s: float, switch_cost: int) -> None:
        self._sessions = sessions
        self._session_s = session_s
        self._switch_cost = switch_cost

    def turn(self, ask: Ask) -> Turn | None:
        """None where the request names no session, or none is minded."""
        key = session(ask) if self._session_s else None
        if key is None:
            return None
        before = self._sessions.recall(key, ask.started, self._session_s)
        return Turn(self._sessions, key, before, ask, self._switch_cost)


@dataclass(frozen=True, slots=True)
class Turn:
    """One request of a session: `before` is what was kept of it so far."""

    sessions: Sessions
    session: bytes
    before: Memory | None
    ask: Ask
    switch_cost: int

    def plan(self, plan: Plan, against: tuple[Against, ...]) -> Plan:
        """The same plan, by a policy that minds the session. One that leaves no choice stays as it is."""
        if self.before is None or plan.exact:
            return plan
        return replace(plan, policy=Minding(plan.policy, self.before, self.switch_cost, against))

    def remember(self, given: Given, got: Reply) -> None:
        """Takes note of the answer: what came of the attempts, and what the client `got`."""
        what, shown = self.ask.what, given.shown
        assert isinstance(what, Chat) and shown is not None
        self.sessions.remember(self.session, _memory(self.before, what, shown, given.tries, got), self.ask.started)


def _memory(before: Memory | None, what: Chat, shown: Try, tries: list[Try], got: Reply) -> Memory:
    usage, model = got.usage, shown.card.name
    # Who counts what it writes to its cache has told all that is in it; others keep what they read, and what they said.
    cached = usage.cached + usage.cache_write if usage.cache_write else usage.input + usage.output
    bound = (
        any(choice.tool_calls or choice.thought for choice in got.choices)
        or any(message.tool_calls for message in what.messages)
        or (before is not None and before.bound and before.model == model)
    )
    judged = dict(before.judged) if before is not None else {}
    for one in tries:
        if one.verdict:
            known, distrusted = judged.get(one.card.name, NEVER), one is not shown or bool(got.degraded)
            judged[one.card.name] = Judged(known.times + 1, known.distrusted + distrusted)
    return Memory(model, cached, bound, judged)
