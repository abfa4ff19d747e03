"""Puts the house together: settings and long-lived means in, one immutable House out. Read this after answer.py.

Has no `if` about behaviour and no loop over requests. New settings build a new House; one reference is swapped and
requests in flight finish in the old one. Means (keeper, model workers, metrics) outlive Houses: `build` changes none of
them, so that refused settings leave all as it was. House.apply does, and cannot fail.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from random import random

from sizewise.app.flow_stack import upstairs
from sizewise.app.resources import Means
from sizewise.app.routing_config import choices, terms, ways_out
from sizewise.auth.browser_security import meant
from sizewise.auth.revocation import Admitted
from sizewise.cache.idempotency import Idempotent
from sizewise.cache.response_cache import exact
from sizewise.errors import UnknownModel, nearest
from sizewise.evals.llm_judge import compare
from sizewise.evals.policy_loader import learned, minds
from sizewise.evals.quality_monitor import Watched, watched
from sizewise.evals.shadow_traffic import Shadow, arbiter
from sizewise.guardrails.pipeline import Post
from sizewise.handler import Answerer, Ask
from sizewise.http.client import Client
from sizewise.knowledge.knowledge_service import Library
from sizewise.limits.middleware import Limited
from sizewise.model_card import Card
from sizewise.plugins import Once
from sizewise.principal import Caller
from sizewise.providers.connections import Connections
from sizewise.providers.local.runtime import Runtime
from sizewise.routing.attempt_limits import Ways
from sizewise.routing.explain import Decision, explain
from sizewise.routing.judges.chain import Trust
from sizewise.routing.learned_judge import Mind
from sizewise.routing.model_aliases import Names
from sizewise.routing.quality_prediction import Foresight
from sizewise.routing.router import Routed
from sizewise.routing.session_affinity import Affinity
from sizewise.settings.load import Settings
from sizewise.telemetry.recorder import Recorded
from sizewise.tools.tool import Shelf

RULES = ("rules", "calls", "code", "language")
JUDGES = (*RULES, "consistency", "confidence")
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True, slots=True)
class House:
    """All that one configuration needs to answer. `answer` is the whole onion; the rest is for looking in."""

    settings: Settings
    means: Means
    cards: tuple[Card, ...]
    names: Names
    client: Client
    connections: Connections
    post: Post
    answer: Answerer
    foresight: Foresight | None
    minds: Mapping[str, Mind]  # by policy
    watched: Mapping[str, Watched]  # the same
    library: Library
    lent: Shelf  # tools for other programs
    hosts: frozenset[str]  # Host names this server answers to; empty: all
    changes: tuple[Callable[[], None], ...]  # to the means, in this order; none of them raises

    def apply(self) -> None:
        """The means follow these settings from now on. Once, before it answers."""
        for change in self.changes:
            change()

    def caller(self, key: str, host: str) -> Caller:
        """Who presents `key`, having come to `host` (with its port). Raises BadKey, and Forbidden by `meant`."""
        meant(host, self.hosts)
        return self.means.keeper.accounts.keys.caller(key)

    def card(self, name: str) -> Card:
        """The card of `<provider>/<model>`, or of a bare model name that only one provider has. Raises UnknownModel."""
        for card in self.cards:
            if name in (card.name, card.model):
                return card
        known = [card.name for card in self.cards]
        raise UnknownModel(f"there is no model named {name[:200]!r}", nearest(name, known), param="model")

    def roles(self) -> list[str]:
        """What `model` may say beside the models themselves: auto, auto:<policy>, small, large."""
        models = {card.name for card in self.cards}
        return [name for name in self.names.listed if name not in models]

    def explain(self, ask: Ask) -> Decision:
        """The decision for `ask` without the call."""
        settings, health = self.settings, self.connections.health
        sessions, fallen = affinity(settings, self.means), self.means.keeper.watch.against(self.watched)
        return explain(
            self.post.passed(ask), self.names, health, terms(settings), sessions, self.foresight, self.minds, fallen
        )

    def ready(self) -> tuple[bool, list[str]]:
        """Whether some model can answer, and what limps, in words."""
        objections = [(card.name, self.connections.health(card)) for card in self.cards]
        limps = [f"{name} {why}" for name, why in objections if why]
        if self.means.keeper.trouble:
            limps.append(self.means.keeper.trouble)
        limps += [*self.means.keeper.watch.limps(self.watched), *self.means.hooks.limps(), *self.means.servers.limps()]
        limps += self.means.folder.limps if self.means.folder else []
        return any(not why for _, why in objections), limps


def build(settings: Settings, means: Means, cards: tuple[Card, ...]) -> House:
    """Raises ConfigError, naming what in the settings is wrong. Changes no means: that is House.apply."""
    client = Client(ways_out(settings, cards), proxies=settings.proxies, ca=settings.ca)
    changes = [means.hooks.prepare(settings.webhooks, client), *means.keeper.prepare(settings, client)]
    local, locals = settings.local, means.locals.draft()
    runtime = Runtime(context=local.context, slots=local.slots, threads=local.threads)
    load = Once()
    connections = Connections(cards, settings.providers, client, locals, runtime, settings.cache, load)
    changes.append(partial(means.locals.take, locals))
    router = settings.router
    policies, names = choices(settings, cards, load)
    judge = Trust(tuple(load("judges", name) for name in JUDGES))
    known = minds(policies, cards, Trust(tuple(load("judges", name) for name in RULES)))

    ways = Ways(connections.spare, connections.left, random, router.timeout_s, means.keeper.budgets)
    foresight = learned(settings.learned, cards)

    post = Post(settings.guardrails, settings.policies, names, load, connections)

    watch, large = watched(names.choosing), names.role("large")
    third = arbiter(settings.shadow.judge, cards, large.cards[0] if large else None)
    shadow = Shadow(settings.shadow, watch, third, compare, means.shadows, random)

    # The onion, inside out; the order is a promise.
    answer: Answerer = Routed(
        names,
        post.masking,
        judge,
        connections.health,
        terms(settings),
        affinity(settings, means),
        ways,
        foresight,
        known,
        shadow.witness,
        means.keeper.watch.against(watch),
    )
    answer = exact(answer, names, settings.response_cache)
    answer = Idempotent(answer, means.keeper, means.calls)
    answer = Admitted(answer, means.keeper.accounts.keys)
    answer = post.inspected(answer)
    answer = Limited(answer, means.keeper.budgets)
    keep = means.keeper.contents.put if settings.records.contents else None
    answer = Recorded(answer, means.keeper.put, means.metrics, means.keeper.numbers, keep)
    shadow.answer = answer

    answer, shelved, lends, more = upstairs(settings, means, cards, client, names, connections.health, answer, load)

    hosts = frozenset((*LOOPBACK, *settings.server.allowed_hosts)) if settings.server.host in LOOPBACK else frozenset()
    return House(
        settings,
        means,
        cards,
        names,
        client,
        connections,
        post,
        answer,
        foresight,
        known,
        watch,
        shelved,
        lends,
        hosts,
        (*changes, *more),
    )


def affinity(settings: Settings, means: Means) -> Affinity:
    return Affinity(means.sessions, settings.router.session_ttl_s, settings.router.switch_cost)
