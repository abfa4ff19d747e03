"""What holds whatever models do and whenever the client leaves: found by trying thousands of scripts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sizewise.errors import SizewiseError
from sizewise.handler import AttemptFinished, Event, ModelSelected
from sizewise.messages import Reply
from sizewise.providers.echo import echo_card
from sizewise.routing.policies.cascade import CascadePolicy
from sizewise.routing.policies.cheapest import CheapestPolicy
from sizewise.routing.policies.fixed import FixedPolicy
from sizewise.routing.policy import Policy
from sizewise.routing.session_store import SessionMemory
from sizewise.routing.sticky_sessions import StickySessionPolicy
from tests.properties import examples, tried_with_all
from tests.routing.router_harness import Routing, agreeing, chat, racing

pytestmark = tried_with_all

NAMES = ("echo/a", "echo/b", "echo/c")
CARDS = tuple(echo_card(name, parameters=10**number) for number, name in enumerate(NAMES, 7))
POLICIES: tuple[Callable[[], Policy], ...] = (
    FixedPolicy,
    lambda: FixedPolicy(retries=3, resume=True),
    lambda: CheapestPolicy(retries=0),
    lambda: CheapestPolicy(resume=True),
    CascadePolicy,
    lambda: CascadePolicy(threshold=1.0),
    lambda: CascadePolicy(when_exhausted="show_marked"),
    lambda: racing(0.0, *NAMES),
    lambda: racing(0.0005, *NAMES),
    agreeing,
    lambda: StickySessionPolicy(CheapestPolicy(), SessionMemory("echo/b"), 10**12),
    lambda: StickySessionPolicy(CascadePolicy(), SessionMemory("echo/b", is_model_bound=True), 10**12),
    lambda: StickySessionPolicy(CascadePolicy(), SessionMemory("echo/c"), 0),
)
FAILURES = st.sampled_from(["", "garbled", "slow", "refused", "unavailable", "toolong"])
CUES = st.one_of(
    st.just(""),
    st.sampled_from(
        ["[[logprob -3]]", "[[uncounted]]", "[[finish length]]", "[[think hm]]", "[[busy]]", "[[slow 0.0005]]"],
    ),
    st.builds("[[fail {} after={}]]".format, FAILURES, st.integers(0, 3)),
    st.builds("[[fail {} after={} times=1]]".format, FAILURES, st.integers(0, 3)),
    st.just("[[busy retry_after=0 times=2]]"),
)


@pytest.mark.long
@examples(400)
@given(
    policy=st.sampled_from(POLICIES),
    cues=st.tuples(*[CUES] * 3),
    stream=st.booleans(),
    leaves=st.none() | st.integers(0, 30),
    hangs=st.sets(st.sampled_from(NAMES)),
)
def test_every_attempt_is_booked_once_and_nobody_sees_what_was_not_chosen(
    policy: Callable[[], Policy],
    cues: tuple[str, ...],
    stream: bool,
    leaves: int | None,
    hangs: set[str],
) -> None:
    script = "".join(
        f"[[{name}: say {_words(name)}]]{cue.replace('[[', f'[[{name}: ')}"
        for name, cue in zip(NAMES, cues, strict=True)
    )
    if leaves is not None:
        script += "".join(f"[[{name}: hang after=1]]" for name in hangs)
    routing = Routing(*CARDS, policy=policy())
    ended = asyncio.run(_run(routing, script, stream, leaves))

    tried, text = routing.client.tried, routing.client.text
    assert len(tried) == sum(echo.request_count for echo in routing.echoes.values())
    assert [one.result for one in tried].count("answered") == (
        1 if isinstance(ended, Reply) else 0
    ) or leaves is not None
    for one in tried:
        seen = any(word in text for word in _words(one.model).split())
        again = sum(other.model == one.model for other in tried) > 1
        assert not (seen and one.result in ("distrusted", "lost_race")) or again
        assert one.end_s >= one.start_s and (one.first_token_s is None or one.start_s <= one.first_token_s <= one.end_s)
        assert one.cost == echo_card().price.cost(one.usage.input, one.usage.output, reasoning=one.usage.reasoning)
        assert bool(one.error_code) == (one.result == "failed")
    _in_order(routing.client.events)
    if isinstance(ended, Reply):
        assert text == (ended.text if stream else "")
    if not stream and not isinstance(ended, Reply):
        assert routing.client.shown == []


def _words(name: str) -> str:
    return " ".join(f"{name[-1]}{number}" for number in range(4))


def _in_order(events: list[Event]) -> None:
    """Who answers is said once, before anything is shown; the books come last."""
    kinds = [
        "tried" if isinstance(e, AttemptFinished) else "chosen" if isinstance(e, ModelSelected) else "shown"
        for e in events
    ]
    assert kinds.count("chosen") <= 1
    assert kinds == sorted(kinds, key=["chosen", "shown", "tried"].index)
    assert "shown" not in kinds or "chosen" in kinds


async def _run(routing: Routing, script: str, stream: bool, leaves: int | None) -> Reply | BaseException:
    task = asyncio.ensure_future(routing.ask(chat(script, stream=stream)))
    if leaves is not None:
        for _ in range(leaves):
            await asyncio.sleep(0)
        task.cancel()
    await asyncio.wait([task])
    if task.cancelled():
        return asyncio.CancelledError()
    error = task.exception()
    assert error is None or isinstance(error, SizewiseError), error
    return error or task.result()
