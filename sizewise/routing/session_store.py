"""Session store: which session a request belongs to, and the routing state kept in memory for each session.

Kept in memory only: a restart forgets all sessions, and the next answer of each begins it anew.
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

MAX_SESSIONS = 20_000
"""Sessions kept at most, about 650 bytes each; whoever was silent for longest is forgotten first."""
SESSION_FIELDS = frozenset({"prompt_cache_key", "user"})
"""Fields of a request that may name its session."""


class JudgmentCount(Struct, frozen=True):
    """How often a model's held answers were judged in a session, and how often they were not trusted."""

    judged: int = 0
    distrusted: int = 0


class SessionMemory(Struct, frozen=True):
    """What is kept of a session after an answer. `cached_tokens` are the tokens that its model has read and may have
    kept; `is_model_bound`: reasoning or tool calls stand in the history, which another model cannot go on from as
    well.
    """

    model: str
    cached_tokens: int = 0
    is_model_bound: bool = False
    judgments: Mapping[str, JudgmentCount] = MappingProxyType({})  # by model


class SessionStore:
    """The memories of all sessions. Times are seconds of any one clock that only goes forward."""

    def __init__(self, max_sessions: int = MAX_SESSIONS) -> None:
        self._max_sessions = max_sessions
        self._memories: OrderedDict[bytes, tuple[float, SessionMemory]] = OrderedDict()  # the longest silent first

    def find(self, session_key: bytes, now: float, within_s: float) -> SessionMemory | None:
        """None where it was never seen, or not in the last `within_s` seconds."""
        seen, memory = self._memories.get(session_key, (now, None))
        return memory if now - seen <= within_s else None

    def save(self, session_key: bytes, memory: SessionMemory, now: float) -> None:
        self._memories[session_key] = (now, memory)
        self._memories.move_to_end(session_key)
        while len(self._memories) > self._max_sessions:
            self._memories.popitem(last=False)


def session_key(request: Request) -> bytes | None:
    """The session of a request, as a hash that no other tenant or project comes to; None when it names none.

    To wish for an empty one is to wish for none, whatever else the request holds.
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


def _named(chat: ChatRequest, field: str) -> str:
    """A field's text; empty where it is left out or is something else."""
    raw = chat.fields.get(field)
    if raw is None:
        return ""
    try:
        return msgspec.json.decode(raw, type=str)
    except msgspec.DecodeError:
        return ""


def _of_user(chat: ChatRequest) -> str:
    """A user is no session: they may have many. But coding agents put one behind it: `<user>_session_<id>`."""
    user = _named(chat, "user")
    return user if user.partition("_session_")[2] else ""
