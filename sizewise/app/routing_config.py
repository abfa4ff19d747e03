"""What the settings say about who may answer and how far data may go, as the values that rooms take; asks nobody."""

from __future__ import annotations

from sizewise.data_class import DataClass, Place
from sizewise.evals.policy_loader import policy
from sizewise.http.egress import Egress
from sizewise.model_card import Card
from sizewise.plugins import Once
from sizewise.routing.data_policy import Rule, Terms
from sizewise.routing.model_aliases import Names
from sizewise.routing.policy import Policy
from sizewise.settings.load import Settings


def choices(settings: Settings, cards: tuple[Card, ...], load: Once) -> tuple[dict[str, Policy], Names]:
    """The policies, and what every name means. Raises ConfigError."""
    policies = {name: policy(name, wanted, load) for name, wanted in settings.policies.items()}
    router = settings.router
    return policies, Names(cards, policies, router.policy, router.small, router.large)


def reach(settings: Settings) -> dict[DataClass, Place]:
    asked = settings.egress
    return {"public": asked.public, "internal": asked.internal, "confidential": asked.confidential}


def terms(settings: Settings) -> Terms:
    projects = {name: Rule(each.data_class, each.online == "allow") for name, each in settings.projects.items()}
    policies = {name: Rule(None, each.online == "allow", each.egress) for name, each in settings.policies.items()}
    said = {name: rule for name, rule in policies.items() if rule != Rule()}
    return Terms(reach(settings), settings.router.data_class, projects, said)


def ways_out(settings: Settings, cards: tuple[Card, ...]) -> Egress:
    """Every origin that the settings name, and where it was declared to run. Raises ConfigError."""
    egress = Egress({}, reach(settings))
    for url, place in {(card.endpoint.base_url, card.place) for card in cards if card.endpoint.base_url}:
        egress = egress.allowing(url, place)
    for provider in settings.providers.values():
        for url in {row.base_url for row in provider.replicas if row.base_url}:
            egress = egress.allowing(url, provider.place)
    for url, place in settings.beside:
        egress = egress.allowing(url, place)
    return egress
