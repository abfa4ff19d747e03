"""Nothing goes further than it may, whatever models, policies and judges do: found by trying thousands of scripts.

Every attempt passes `connect`, and at the end of it the one way out, egress.py. Both are watched here, by a limit
worked out anew from what the request, its key, its project and its policy say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sizewise.app.services import Services, open_services
from sizewise.cache.response_cache import with_response_cache
from sizewise.data_class import DATA_CLASSES, PLACES, DataClass, Place, is_within
from sizewise.errors import SizewiseError
from sizewise.evals.llm_judge import compare_answers
from sizewise.evals.quality_monitor import monitored_policies
from sizewise.evals.shadow_traffic import ShadowComparisons, ShadowTraffic
from sizewise.handler import Handler, Request, RequestOptions, Send
from sizewise.http.egress import EgressPolicy
from sizewise.messages import Reply
from sizewise.principal import Principal
from sizewise.providers.echo import EchoModel, echo_card
from sizewise.routing.data_policy import DataPolicy, DataRule
from sizewise.routing.model_aliases import ModelAliases
from sizewise.routing.policies.cascade import CascadePolicy
from sizewise.routing.policies.cheapest import CheapestPolicy
from sizewise.routing.policies.fixed import FixedPolicy
from sizewise.routing.policy import Attempt, Candidates, Policy, PolicyRun, RequestFeatures, hedge
from sizewise.routing.router import Router, always_healthy
from sizewise.routing.session_affinity import SessionAffinity
from sizewise.routing.session_store import SessionStore
from sizewise.settings.root import FileSettings
from sizewise.settings.routing import ShadowSettings
from sizewise.settings.storage import ResponseCacheSettings
from sizewise.telemetry.metrics import Metrics
from tests.routing.router_harness import JUDGES, Client, Plays, agreeing, asking, chat, embed

NAMES = tuple(f"{place}/m" for place in PLACES)
CARDS = tuple(echo_card(f"{place}/m", place=place, parameters=10**n) for n, place in enumerate(PLACES, 7))
JUDGE = CARDS[-1]
POLICIES: tuple[Callable[[], Policy], ...] = (
    lambda: FixedPolicy(models=NAMES[::-1], retries=2),
    lambda: FixedPolicy(models=NAMES[::-1], retries=1, hedge_delay_s=0.0001, resume=True),
    lambda: CheapestPolicy(retries=1, resume=True),
    lambda: CascadePolicy(threshold=0.9),
    lambda: CascadePolicy(threshold=0.9, votes=2, when_exhausted="show_marked", resume=True),
    lambda: CascadePolicy(models=NAMES, threshold=0.5, verifier=NAMES[-1]),
    lambda: Plays(racers),
    agreeing,
)


def racers(question: RequestFeatures, field: Candidates) -> PolicyRun:
    return (yield from hedge(tuple(Attempt(each.card, "first to speak", "first_word") for each in field), 0.0))


CUES = st.sampled_from(
    ["", "[[logprob -3]]", "[[fail]]", "[[fail after=1]]", "[[fail slow]]", "[[busy retry_after=0]]"],
)
CLASS = st.none() | st.sampled_from(DATA_CLASSES)
PLACE = st.sampled_from(PLACES)
ONLINE = st.sampled_from(["allow", "deny"])

SCRIPT: dict[str, st.SearchStrategy[Any]] = {
    "reach": st.fixed_dictionaries(dict.fromkeys(DATA_CLASSES, PLACE)),
    "nearer": st.dictionaries(st.sampled_from(DATA_CLASSES), PLACE),
    "unsaid": st.sampled_from(DATA_CLASSES),
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

    def __init__(self, name: str, echo: EchoModel, egress: EgressPolicy, came: list[tuple[Place, Request]]) -> None:
        self._place: Place = next(place for place in PLACES if name.startswith(place))
        self._echo = echo
        self._egress = egress
        self._came = came

    async def __call__(self, request: Request, send: Send) -> Reply:
        kind = request.options.data_class or "confidential"
        self._egress.check(
            f"http://{self._place}.test",
            purpose="ask",
            data_class=kind,
            max_place=request.reach or "anyone",
        )
        self._came.append((self._place, request))
        return await self._echo(request, send)


@pytest.mark.long
def test_nothing_goes_further_than_the_strictest_word_allows(tmp_path: Path) -> None:
    asked: list[Place] = []
    with open_services(tmp_path) as services:

        @settings(max_examples=300, deadline=None)  # always: fewer may not come to every place
        @given(**SCRIPT)
        def tried(**script: Any) -> None:
            _script(services, asked, **script)

        tried()
    assert set(asked) == set(PLACES), "the scripts are of some use"


def _script(
    services: Services,
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
    strict = max((each for each in (unsaid, said, key, project) if each), key=DATA_CLASSES.index)
    limit = reach[strict]
    if model == "auto":
        limit = min(limit, nearer.get(strict, limit), key=PLACES.index)
        denied = "deny" in online
    else:
        denied = "deny" in online[:2]  # of the policy only where it decides
    if denied:
        limit = min(limit, "machine", key=PLACES.index)

    came: list[tuple[Place, Request]] = []
    egress = EgressPolicy({f"http://{place}.test": place for place in PLACES}, reach)
    outposts = {card.name: Outpost(card.name, EchoModel(card), egress, came) for card in CARDS}
    terms = DataPolicy(
        reach,
        unsaid,
        {"default": DataRule(project, online[1] == "allow")},
        {"default": DataRule(None, online[2] == "allow", nearer)},
    )
    words = "one two " + " ".join(f"[[{name}: {cue[2:]}" for name, cue in zip(NAMES, cues, strict=True) if cue)
    what = embed(words, model=NAMES[0]) if model == "embed" else chat(words, model=model, stream=stream)
    options = RequestOptions(data_class=said, online=online[0], session="s")

    async def play() -> None:
        names = ModelAliases(CARDS, {"default": policy()})
        shadows, watch = (
            ShadowComparisons(services.quality_monitor, Metrics(services.records.queue_counts)),
            monitored_policies(names.policy_plans),
        )
        shadow = ShadowTraffic(
            settings=ShadowSettings(sample_rate=1.0),
            policies=watch,
            judge=JUDGE,
            compare=compare_answers,
            comparisons=shadows,
            draw=lambda: 0.0,
            handler=lambda request, send: answer(request, send),
        )
        answer: Handler = Router(
            plan=names,
            connect=lambda card: outposts[card.name],
            judge=JUDGES,
            health_check=always_healthy,
            data_policy=terms,
            affinity=SessionAffinity(SessionStore(), 3_600, 0),
            observer=shadow.observer,
        )
        answer = with_response_cache(answer, names, FileSettings(response_cache=ResponseCacheSettings(ttl_s=60)))
        for _ in range(2):  # the second may come from the cache, and from a session
            try:
                await answer(asking(what, options, Principal(key_id="k", data_class=key)), Client().send)
            except SizewiseError as error:
                assert error.code != "egress_denied", "the router itself never tries what the way out would refuse"
        while shadows.tasks:
            await asyncio.wait(set(shadows.tasks))

    asyncio.run(play())
    asked.extend(place for place, _ in came)
    gone = [place for place, _ in came if not is_within(limit, place)]
    assert not gone, f"{strict} data, limit {limit!r}, went to {gone}"
