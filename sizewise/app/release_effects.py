"""Effects of a planned release: what it would do to recorded outcomes and traffic, or why that is not measured.

Policies are replayed on recorded outcomes. Prices and prompts are applied to the tokens of recorded requests, which
hold no text. Calls no model.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from msgspec import Struct

from sizewise.app.application import Application
from sizewise.errors import SizewiseError
from sizewise.evals.dataset_files import read_dataset
from sizewise.evals.outcomes import OutcomeDataset
from sizewise.evals.replay_comparison import ReplayComparison, ReplayedPolicy, compare_replays
from sizewise.messages import ChatRequest, Message
from sizewise.model_card import ModelCard
from sizewise.money import PICO_PER_DOLLAR
from sizewise.releases.environments.environment_store import Place
from sizewise.releases.environments.recorded_traffic import TrafficSum, read_traffic
from sizewise.releases.manifest import PartChange, PartKind, Release, changed_parts
from sizewise.releases.release_contents import prompts_of
from sizewise.routing.model_aliases import RoutePlan
from sizewise.routing.policies.fixed import FixedPolicy
from sizewise.settings.environments import default_environment

TRAFFIC_DAYS = 30
CHARS_PER_TOKEN = 4
"""Of English text, about."""
MAX_EFFECTS = 50
NO_EFFECT: frozenset[PartKind] = frozenset({"evals", "certificates"})
"""Kinds that answer nothing themselves: a certificate acts by its policy."""


class ReleaseEffect(Struct, frozen=True, kw_only=True):
    """Of one part. `sentence`: the figures in words, or why they are not measured. `requests`: recorded ones or prompts
    that it was measured on. Costs: pico-dollars of all `requests`; None: not known. Quality: 0..1.
    """

    kind: PartKind
    name: str
    sentence: str
    measured: bool = False
    requests: int = 0
    cost_before: int | None = None
    cost_after: int | None = None
    quality_before: float | None = None
    quality_after: float | None = None
    quality_margin: float | None = None


class ReleasePair(Struct, frozen=True):
    """What is live and what shall be, as they are built."""

    before: Application
    after: Application
    base: Release
    release: Release


async def measure_effects(live: Application, place: Place, pair: ReleasePair) -> list[ReleaseEffect]:
    """In the order of the changes; at most MAX_EFFECTS. Raises StorageError."""
    changes = [each for each in changed_parts(pair.base.manifest, pair.release.manifest) if each.kind not in NO_EFFECT]
    if not changes:
        return []
    since = time.time_ns() // 1_000_000 - TRAFFIC_DAYS * 86_400_000
    is_default = place[2] == default_environment(live.settings.environments)
    read = partial(read_traffic, place=place, is_default=is_default, since=since)
    traffic = await live.resources.services.storage.database.read_in_thread(read)
    outcomes = await asyncio.to_thread(_outcomes, live, place[2])
    found = live.resources.offload.in_thread(lambda: list(_effects(pair, changes[:MAX_EFFECTS], traffic, outcomes)))
    return await found


def _outcomes(live: Application, environment: str) -> OutcomeDataset | str:
    """Or why there are none."""
    folder = live.settings.environments[environment].outcomes
    if not folder:
        return f"name a folder of recorded outcomes as `outcomes` in [environments.{environment}]"
    root = live.settings.config_file.parent if live.settings.config_file is not None else live.settings.home
    try:
        return read_dataset(root / Path(folder).expanduser())
    except SizewiseError as error:
        return error.message


def _effects(
    pair: ReleasePair,
    changes: Sequence[PartChange],
    traffic: Sequence[TrafficSum],
    outcomes: OutcomeDataset | str,
) -> Iterator[ReleaseEffect]:
    yield from _price_effects(pair, traffic)
    for each in changes:
        if each.sign == "+":
            yield _not_measured(each, "it is new, so no recorded request has asked for it")
        elif each.sign == "-":
            asked = sum(its.requests for its in traffic if each.name in (its.policy, its.prompt.partition("@")[0]))
            yield _not_measured(each, f"it is gone, and {_times(asked)} asked for it")
        elif each.kind == "policies":
            yield _policy_effect(pair, each, traffic, outcomes)
        elif each.kind == "prompts":
            yield _prompt_effect(pair, each, traffic)
        elif each.kind != "models":  # its price is an effect above
            yield _not_measured(each, "records hold no text to answer again; an eval or a canary measures it")


def _not_measured(change: PartChange, why: str) -> ReleaseEffect:
    return ReleaseEffect(kind=change.kind, name=change.name, sentence=f"not measured: {why}")


def _cost_effect(
    kind: PartKind, name: str, sentence: str, *, requests: int, before: int | None, after: int | None
) -> ReleaseEffect:
    """Of what changes the price of recorded requests and says nothing of quality."""
    return ReleaseEffect(
        kind=kind,
        name=name,
        sentence=sentence,
        measured=before is not None and after is not None,
        requests=requests,
        cost_before=before,
        cost_after=after,
    )


def _policy_effect(
    pair: ReleasePair, change: PartChange, traffic: Sequence[TrafficSum], outcomes: OutcomeDataset | str
) -> ReleaseEffect:
    name, why = change.name, outcomes if isinstance(outcomes, str) else ""
    old, new = _plan(pair.before, name), _plan(pair.after, name)
    if not isinstance(outcomes, str):
        try:
            return _replay_effect(
                name, compare_replays(_replayed(pair.before, old), _replayed(pair.after, new), outcomes)
            )
        except SizewiseError as error:
            why = error.message
    asked = [each for each in traffic if each.policy == name]
    if not isinstance(new.policy, FixedPolicy) or not asked:
        return _not_measured(change, why)
    card = new.cards[0]
    before = _sum([_cost(_card(pair.before, each.model), each) for each in asked])
    after = _sum([_cost(card, each) for each in asked])
    requests = sum(each.requests for each in asked)
    return _cost_effect(
        "policies",
        name,
        f"{_money_change(before, after)} for the tokens of {_times(requests)}; quality not measured: {why}",
        requests=requests,
        before=before,
        after=after,
    )


def _replayed(app: Application, plan: RoutePlan) -> ReplayedPolicy:
    models = app.learned_judges.get(plan.policy_name)
    if models is not None:
        return ReplayedPolicy(plan.policy, plan.cards, models.prediction, models.judge)
    return ReplayedPolicy(plan.policy, plan.cards, app.quality_prediction)


def _replay_effect(name: str, found: ReplayComparison) -> ReleaseEffect:
    old, new = found.before, found.after
    cost = _money_change(_times_each(old.cost, old.prompts), _times_each(new.cost, new.prompts))
    low, high = found.quality_change - found.quality_margin, found.quality_change + found.quality_margin
    shares = [
        f"{model} answers {100 * old.answer_shares.get(model, 0):.0f} -> {100 * new.answer_shares.get(model, 0):.0f} %"
        for model in sorted({*old.answer_shares, *new.answer_shares})
        if abs(old.answer_shares.get(model, 0) - new.answer_shares.get(model, 0)) >= 0.005
    ]
    parts = [
        cost,
        f"quality {100 * old.quality:.1f} -> {100 * new.quality:.1f} % ({100 * low:+.1f} to {100 * high:+.1f})",
        *shares,
    ]
    return ReleaseEffect(
        kind="policies",
        name=name,
        sentence=f"{', '.join(parts)}; by replay on {old.prompts:,} recorded prompts",
        measured=True,
        requests=old.prompts,
        cost_before=_times_each(old.cost, old.prompts),
        cost_after=_times_each(new.cost, new.prompts),
        quality_before=old.quality,
        quality_after=new.quality,
        quality_margin=found.quality_margin,
    )


def _prompt_effect(pair: ReleasePair, change: PartChange, traffic: Sequence[TrafficSum]) -> ReleaseEffect:
    """By its length: what it does to answers is not known."""
    asked = [each for each in traffic if each.prompt.partition("@")[0] == change.name]
    version = pair.base.manifest.parts["prompts"][change.name]
    now = [each for each in asked if each.prompt.endswith(f"@{version}")] or asked
    why = "an eval measures its quality: sizewise eval list"
    if not now:
        return _not_measured(change, f"no request of {TRAFFIC_DAYS} days named it; {why}")
    old, new = (len(prompts_of(each)[change.name].text) for each in (pair.base, pair.release))
    tokens = round((new - old) / CHARS_PER_TOKEN)
    before = _sum([_cost(_card(pair.before, each.model), each) for each in now])
    after = _sum([_cost(_card(pair.after, each.model), each, tokens) for each in now])
    requests = sum(each.requests for each in now)
    return _cost_effect(
        "prompts",
        change.name,
        f"about {tokens:+d} tokens a request, {_money_change(before, after)} for {_times(requests)}; {why}",
        requests=requests,
        before=before,
        after=after,
    )


def _price_effects(pair: ReleasePair, traffic: Sequence[TrafficSum]) -> Iterator[ReleaseEffect]:
    for name in sorted({each.model for each in traffic}):
        old, new = _card(pair.before, name), _card(pair.after, name)
        if old is None or (new is not None and new.price == old.price):
            continue
        asked = [each for each in traffic if each.model == name]
        requests = sum(each.requests for each in asked)
        before, after = _sum([_cost(old, each) for each in asked]), _sum([_cost(new, each) for each in asked])
        what = "it is gone" if new is None else f"its price changes, {_money_change(before, after)}"
        yield _cost_effect(
            "models",
            name,
            f"{what} for the tokens of {_times(requests)}",
            requests=requests,
            before=before,
            after=after,
        )


def _plan(app: Application, policy: str) -> RoutePlan:
    """Raises ModelNotFound."""
    return app.aliases(ChatRequest(f"auto:{policy}", [Message("user", "")], {}))


def _card(app: Application, name: str) -> ModelCard | None:
    return next((each for each in app.cards if each.name == name), None)


def _cost(card: ModelCard | None, asked: TrafficSum, more: int = 0) -> int | None:
    """Pico-dollars at the plain price. `more`: input tokens a request."""
    if card is None:
        return None
    into = max(0, asked.input + more * asked.requests)
    return card.price.cost(into, asked.output, min(into, asked.cached), asked.cache_write, asked.reasoning)


def _sum(costs: Sequence[int | None]) -> int | None:
    known = [each for each in costs if each is not None]
    return sum(known) if len(known) == len(costs) else None


def _times_each(cost: int | None, count: int) -> int | None:
    return None if cost is None else cost * count


def _money_change(before: int | None, after: int | None) -> str:
    if before is None or after is None:
        return "cost of unknown price"
    change = f" ({100 * (after - before) / before:+.1f} %)" if before else ""
    return f"cost {_dollars(before)} -> {_dollars(after)}{change}"


def _dollars(pico: int) -> str:
    return f"${pico / PICO_PER_DOLLAR:.4g}"


def _times(requests: int) -> str:
    return f"{requests:,} request{'' if requests == 1 else 's'} of {TRAFFIC_DAYS} days"
