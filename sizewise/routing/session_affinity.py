"""Session affinity: what a session's history means for its next request, and what is recorded after the answer."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sizewise.handler import Request
from sizewise.messages import ChatRequest, Reply
from sizewise.routing.agent_turn import is_in_loop
from sizewise.routing.attempt_record import AttemptRecord
from sizewise.routing.client_reply import ClientReply
from sizewise.routing.model_aliases import RoutePlan
from sizewise.routing.rejection import Rejection
from sizewise.routing.session_store import JudgmentCount, SessionMemory, SessionStore, session_key, tool_loop_key
from sizewise.routing.sticky_sessions import NO_JUDGMENTS, StickySessionPolicy


class SessionAffinity:
    """The router's view of sessions. `timeout_s`: seconds for which an idle session is remembered. `switch_cost`:
    assumed cost in pico-dollars of a history with reasoning or tool calls that another model continues less well.
    """

    __slots__ = ("_sessions", "_switch_cost", "_timeout_s")

    def __init__(self, sessions: SessionStore, timeout_s: float, switch_cost: int) -> None:
        self._sessions = sessions
        self._timeout_s = timeout_s
        self._switch_cost = switch_cost

    def for_request(self, request: Request) -> SessionTurn | None:
        """None if the request names no session and is no turn of a tool loop, or is no chat, or sessions are off."""
        what = request.payload
        if not self._timeout_s or not isinstance(what, ChatRequest):
            return None
        key = session_key(request)
        begins = False
        if key is None:
            key = tool_loop_key(request)
            begins = key is not None and not is_in_loop(what)
        if key is None:
            return None
        before = None if begins else self._sessions.find(key, request.started_at, self._timeout_s)
        return SessionTurn(
            sessions=self._sessions, session_key=key, memory=before, request=request, switch_cost=self._switch_cost
        )


@dataclass(frozen=True, slots=True)
class SessionTurn:
    """One request of a session. `memory`: the state recorded before it."""

    sessions: SessionStore
    session_key: bytes
    memory: SessionMemory | None
    request: Request
    switch_cost: int

    def apply(self, plan: RoutePlan, rejections: tuple[Rejection, ...]) -> RoutePlan:
        """The plan with a sticky policy; unchanged if it leaves no choice or the session is new."""
        if self.memory is None or plan.is_exact:
            return plan
        return replace(plan, policy=StickySessionPolicy(plan.policy, self.memory, self.switch_cost, rejections))

    def record(self, client_reply: ClientReply, reply: Reply) -> None:
        """Records the answer, the attempts and their verdicts in the session."""
        what, shown = self.request.payload, client_reply.delivered
        assert isinstance(what, ChatRequest) and shown is not None
        self.sessions.save(
            self.session_key,
            _memory(self.memory, what, shown, client_reply.attempts, reply),
            self.request.started_at,
        )


def _memory(
    previous: SessionMemory | None,
    chat: ChatRequest,
    delivered: AttemptRecord,
    attempts: list[AttemptRecord],
    reply: Reply,
) -> SessionMemory:
    usage, model = reply.usage, delivered.card.name
    # A model that reports cache writes has reported the whole cache; others are assumed to cache all input and output.
    cached = usage.cached + usage.cache_write if usage.cache_write else usage.input + usage.output
    bound = (
        any(choice.tool_calls or choice.reasoning for choice in reply.choices)
        or any(message.tool_calls for message in chat.messages)
        or (previous is not None and previous.is_model_bound and previous.model == model)
    )
    judged = dict(previous.judgments) if previous is not None else {}
    for one in attempts:
        if one.verdict_why:
            known, distrusted = judged.get(one.card.name, NO_JUDGMENTS), one is not delivered or bool(reply.degraded)
            judged[one.card.name] = JudgmentCount(known.judged + 1, known.distrusted + distrusted)
    return SessionMemory(model, cached, bound, judged)
