"""Session store: which session a request belongs to, and the routing state kept in memory for each session.

A restart forgets all sessions; the next answer of each starts a new memory.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from hashlib import blake2b
from types import MappingProxyType

import msgspec
from msgspec import Struct

from sizewise.handler import Request
from sizewise.messages import ChatRequest
from sizewise.routing.agent_turn import loop_key

MAX_SESSIONS = 20_000
"""Maximum number of sessions, about 650 bytes each; the longest idle are evicted first."""
SESSION_FIELDS = frozenset({"prompt_cache_key", "user"})
"""Fields of a request that may name its session."""


class JudgmentCount(Struct, frozen=True):
    """How often a model's held answers were judged in a session, and how often they were not trusted."""

    judged: int = 0
    distrusted: int = 0


class SessionMemory(Struct, frozen=True):
    """State of a session after an answer. `cached_tokens`: tokens that its model has processed and may have cached.
    `is_model_bound`: the history holds reasoning or tool calls, which another model continues less well.
    """

    model: str
    cached_tokens: int = 0
    is_model_bound: bool = False
    judgments: Mapping[str, JudgmentCount] = MappingProxyType({})  # by model


class SessionStore:
    """The memories of all sessions. Times are seconds of any monotonic clock."""

    def __init__(self, max_sessions: int = MAX_SESSIONS) -> None:
        self._max_sessions = max_sessions
        self._memories: OrderedDict[bytes, tuple[float, SessionMemory]] = OrderedDict()  # longest idle first

    def find(self, session_key: bytes, now: float, within_s: float) -> SessionMemory | None:
        """None if it is unknown or was idle for more than `within_s` seconds."""
        seen, memory = self._memories.get(session_key, (now, None))
        return memory if now - seen <= within_s else None

    def save(self, session_key: bytes, memory: SessionMemory, now: float) -> None:
        self._memories[session_key] = (now, memory)
        self._memories.move_to_end(session_key)
        while len(self._memories) > self._max_sessions:
            self._memories.popitem(last=False)


def session_key(request: Request) -> bytes | None:
    """Hash that identifies the session within its tenant and project; None if the request names no session.

    An empty session option means none, whatever else the request contains.
    """
    what = request.payload
    if not isinstance(what, ChatRequest) or request.options.session == "":
        return None
    if request.options.session is None and SESSION_FIELDS.isdisjoint(what.fields):  # nearly every request
        return None
    named = request.options.session or _named(what, "prompt_cache_key") or _of_user(what)
    if not named:
        return None
    scope = msgspec.json.encode((request.principal.tenant, request.principal.project, named))
    return blake2b(scope, digest_size=16).digest()


def tool_loop_key(request: Request) -> bytes | None:
    """As `session_key`, of the tool loop that a request without a session is a turn of; None if it is of none."""
    what = request.payload
    if not isinstance(what, ChatRequest) or request.options.session == "" or not what.tools:
        return None
    loop = loop_key(what)
    if loop is None:
        return None
    scope = msgspec.json.encode((request.principal.tenant, request.principal.project, request.principal.key_id))
    return blake2b(loop + scope, digest_size=16).digest()


def _named(chat: ChatRequest, field: str) -> str:
    """A field's text; empty if missing or not a string."""
    raw = chat.fields.get(field)
    if raw is None:
        return ""
    try:
        return msgspec.json.decode(raw, type=str)
    except msgspec.DecodeError:
        return ""


def _of_user(chat: ChatRequest) -> str:
    """A user is no session, but coding agents append one: `<user>_session_<id>`."""
    user = _named(chat, "user")
    return user if user.partition("_session_")[2] else ""
