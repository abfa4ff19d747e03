"""Nothing goes further than it may, whatever models, policies and judges do: found by trying thousands of scripts.

Every attempt passes `connect`, and at the end of it the one way out, egress.py. Both are watched here, by a limit
worked out anew from what the request, its key, its project and its policy say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from sizewise.app.services import Keeper
from sizewise.cache.response_cache import exact
from sizewise.data_class import CLASSES, PLACES, DataClass, Place, reaches
from sizewise.errors import SizewiseError
from sizewise.evals.llm_judge import compare
from sizewise.evals.quality_monitor import watched
from sizewise.evals.shadow_traffic import Shadow, Shadows
from sizewise.handler import Answerer, Ask, Send, Wishes
from sizewise.http.egress import Egress
from sizewise.messages import Reply
from sizewise.principal import Caller
from sizewise.providers.echo import Echo, echo_card
from sizewise.routing.data_policy import Rule, Terms
from sizewise.routing.model_aliases import Names
from sizewise.routing.policies.cascade import Cascade
from sizewise.routing.policies.cheapest import Cheapest
from sizewise.routing.policies.fixed import Fixed
from sizewise.routing.policy import Attempt, Field, Policy, Question, Route, race
from sizewise.routing.router import Routed, well
from sizewise.routing.session_affinity import Affinity
from sizewise.routing.session_store import Sessions
from sizewise.settings.routing import Shadow as Wanted
from sizewise.settings.storage import ExactCache
from sizewise.telemetry.metrics import Metrics
from tests.routing.router_harness import JUDGES, Client, Plays, agreeing, asking, chat, embed

NAMES = tuple(f"{place}/m" for place in PLACES)
CARDS = tuple(echo_card(f"{place}/m", place=place, parameters=10**n) for n, place in enumerate(PLACES, 7))
JUDGE = CARDS[-1]
POLICIES: tuple[Callable[[], Policy], ...] = (
    lambda: Fixed(models=NAMES[::-1], retries=2),
    lambda: Fixed(models=NAMES[::-1], retries=1, hedge_delay_s=0.0001, resume=True),
    lambda: Cheapest(retries=1, resume=True),
    lambda: Cascade(threshold=0.9),
    lambda: Cascade(threshold=0.9, votes=2, when_exhausted="show_marked", resume=True),
    lambda: Cascade(models=NAMES, threshold=0.5, verifier=NAMES[-1]),
    lambda: Plays(racers),
    agreeing,
)


def racers(question: Question, field: Field) -> Route:
    return (yield from race(tuple(Attempt(each.card, "first to speak", "first_word") for each in field), 0.0))


CUES = st.sampled_from(
    ["", "[[logprob -3]]", "[[fail]]", "[[fail after=1]]", "[[fail slow]]", "[[busy retry_after=0]]"]
)
CLASS = st.none() | st.sampled_from(CLASSES)
PLACE = st.sampled_from(PLACES)
ONLINE = st.sampled_from(["allow", "deny"])

SCRIPT: dict[str, st.SearchStrategy[Any]] = {
    "reach": st.fixed_dictionaries(dict.fromkeys(CLASSES, PLACE)),
    "nearer": st.dictionaries(st.sampled_from(CLASSES), PLACE),
    "unsaid": st.sampled_from(CLASSES),
    "said": CLASS,
    "key": CLASS,
    "project": CLASS,
    "online": st.tuples(ONLINE, ONLINE, ONLINE),
    "policy": st.sampled_from(POLICIES),
    "model": st.sampled_from(["auto", "auto", "auto", *NAMES, "embed"]),
    "stream": st.booleans(),
    "cues": st.tuples(*[CUES] * len(NAMES)),
}


class Outpost:
    """A model at its place. What comes here has left; the one way out is asked first, as providers/http.py does."""

    def __init__(self, name: str, echo: Echo, egress: Egress, came: list[tuple[Place, Ask]]) -> None:
        self._place: Place = next(place for place in PLACES if name.startswith(place))
        self._echo = echo
        self._egress = egress
        self._came = came

    async def __call__(self, ask: Ask, send: Send) -> Reply:
        kind = ask.wishes.data_class or "confidential"
        self._egress.check(f"http://{self._place}.test", why="ask", data_class=kind, limit=ask.reach or "anyone")
        self._came.append((self._place, ask))
        return await self._echo(ask, send)


def test_nothing_goes_further_than_the_strictest_word_allows(tmp_path: Path) -> None:
    asked: list[Place] = []
    with Keeper(tmp_path) as keeper:

        @settings(max_examples=300, deadline=None)
        @given(**SCRIPT)
        def tried(**script: Any) -> None:
            _script(keeper, asked, **script)

        tried()
    assert set(asked) == set(PLACES), "the scripts are of some use"


def _script(
    keeper: Keeper,
    asked: list[Place],
    *,
    reach: Mapping[DataClass, Place],
    nearer: Mapping[DataClass, Place],
    unsaid: DataClass,
    said: DataClass | None,
    key: DataClass | None,
    project: DataClass | None,
    online: tuple[Literal["allow", "deny"], ...],
    policy: Callable[[], Policy],
    model: str,
    stream: bool,
    cues: tuple[str, ...],
) -> None:
    strict = max((each for each in (unsaid, said, key, project) if each), key=CLASSES.index)
    limit = reach[strict]
    if model == "auto":
        limit = min(limit, nearer.get(strict, limit), key=PLACES.index)
        denied = "deny" in online
    else:
        denied = "deny" in online[:2]  # of the policy only where it decides
    if denied:
        limit = min(limit, "machine", key=PLACES.index)

    came: list[tuple[Place, Ask]] = []
    egress = Egress({f"http://{place}.test": place for place in PLACES}, reach)
    outposts = {card.name: Outpost(card.name, Echo(card), egress, came) for card in CARDS}
    terms = Terms(
        reach,
        unsaid,
        {"default": Rule(project, online[1] == "allow")},
        {"default": Rule(None, online[2] == "allow", nearer)},
    )
    words = "one two " + " ".join(f"[[{name}: {cue[2:]}" for name, cue in zip(NAMES, cues, strict=True) if cue)
    what = embed(words, model=NAMES[0]) if model == "embed" else chat(words, model=model, stream=stream)
    wishes = Wishes(data_class=said, online=online[0], session="s")

    async def play() -> None:
        names = Names(CARDS, {"default": policy()})
        shadows, watch = Shadows(keeper.watch, Metrics(keeper.waiting)), watched(names.choosing)
        shadow = Shadow(Wanted(sample_rate=1.0), watch, JUDGE, compare, shadows, lambda: 0.0)
        answer: Answerer = Routed(
            names,
            lambda card: outposts[card.name],
            JUDGES,
            well,
            terms,
            Affinity(Sessions(), 3_600, 0),
            witness=shadow.witness,
        )
        answer = exact(answer, names, ExactCache(ttl_s=60))
        shadow.answer = answer
        for _ in range(2):  # the second may come from the cache, and from a session
            try:
                await answer(asking(what, wishes, Caller(key="k", data_class=key)), Client().send)
            except SizewiseError as error:
                assert error.code != "egress_denied", "the router itself never tries what the way out would refuse"
        while shadows.tasks:
            await asyncio.wait(set(shadows.tasks))

    asyncio.run(play())
    asked.extend(place for place, _ in came)
    gone = [place for place, _ in came if not reaches(limit, place)]
    assert not gone, f"{strict} data, limit {limit!r}, went to {gone}"
