"""Which session a request belongs to, and what is kept of each for a while; has no clock and keeps no words.

Kept in memory only: a restart forgets all sessions, and the next answer of each begins it anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from hashlib import blake2b
from types import MappingProxyType

import msgspec
from msgspec import Struct

from sizewise.handler import Ask
from sizewise.messages import Chat

MOST = 20_000
"""Sessions kept at most, about 650 bytes each; whoever was silent for longest is forgotten first."""
FIELDS = frozenset({"prompt_cache_key", "user"})
"""Fields of a request that may name its session."""


class Judged(Struct, frozen=True):
    """How often a model's held answers were judged in a session, and how often they were not trusted."""

    times: int = 0
    distrusted: int = 0


class Memory(Struct, frozen=True):
    """What is kept of a session after an answer. `cached` are the tokens that its model has read and may have kept;
    `bound`: reasoning or tool calls stand in the history, which another model cannot go on from as well."""

    model: str
    cached: int = 0
    bound: bool = False
    judged: Mapping[str, Judged] = MappingProxyType({})  # by model


class Sessions:
    """The memories of all sessions. Times are seconds of any one clock that only goes forward."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: OrderedDict[bytes, tuple[float, Memory]] = OrderedDict()  # the longest silent first

    def recall(self, session: bytes, now: float, within_s: float) -> Memory | None:
        """None where it was never seen, or not in the last `within_s` seconds."""
        seen, memory = self._kept.get(session, (now, None))
        return memory if now - seen <= within_s else None

    def remember(self, session: bytes, memory: Memory, now: float) -> None:
        self._kept[session] = (now, memory)
        self._kept.move_to_end(session)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)


def session(ask: Ask) -> bytes | None:
    """The session of a request, as a hash that no other tenant or project comes to; None when it names none.

    To wish for an empty one is to wish for none, whatever else the request holds.
    """
    what = ask.what
    if not isinstance(what, Chat) or ask.wishes.session == "":
        return None
    if ask.wishes.session is None and FIELDS.isdisjoint(what.fields):  # nearly every request
        return None
    named = ask.wishes.session or _named(what, "prompt_cache_key") or _of_user(what)
    if not named:
        return None
    scope = msgspec.json.encode((ask.caller.tenant, ask.caller.project, named))
    return blake2b(scope, digest_size=16).digest()


def _named(chat: Chat, field: str) -> str:
    """A field's text; empty where it is left out or is something else."""
    raw = chat.fields.get(field)
    if raw is None:
        return ""
    try:
        return msgspec.json.decode(raw, type=str)
    except msgspec.DecodeError:
        return ""


def _of_user(chat: Chat) -> str:
    """A user is no session: they may have many. But coding agents put one behind it: `<user>_session_<id>`."""
    user = _named(chat, "user")
    return user if user.partition("_session_")[2] else ""
