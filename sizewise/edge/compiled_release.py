"""Compiles settings and models to the data of a Worker: plans, models and rules of data; names what it cannot take.

The data is what edge/src/release.ts reads. It holds no key: only the names of secrets, which the Worker must have.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from hashlib import sha256
from typing import Any

from sizewise import __version__
from sizewise.app.routing_config import build_policies, reach_by_data_class
from sizewise.catalog.release_date import first_second
from sizewise.edge.edge_safety import (
    EDGE_GUARDS,
    Obstacle,
    flagging_guards,
    guard_actions,
    guard_obstacles,
    model_obstacle,
    policy_obstacles,
)
from sizewise.edge.guard_tables import pii_tables, secret_tables
from sizewise.evals.policy_loader import load_prediction
from sizewise.messages import ChatRequest
from sizewise.model_card import MODEL_KINDS, ModelCard
from sizewise.money import Price
from sizewise.plugins import PluginRegistry
from sizewise.releases.manifest import canonical
from sizewise.routing.model_aliases import ModelAliases, RoutePlan
from sizewise.routing.policies.cascade import CascadePolicy
from sizewise.routing.policies.cheapest import CheapestPolicy
from sizewise.routing.policies.fixed import FixedPolicy
from sizewise.routing.policies.learned import LearnedPolicy
from sizewise.routing.policy import Policy
from sizewise.routing.quality_prediction import QualityPrediction
from sizewise.routing.strength import strength
from sizewise.routing.text.prompt_features import STOP_WORDS
from sizewise.settings.load import Settings
from sizewise.settings.validators import is_reference

FORMAT = 1
"""Of the data; edge/src/worker.ts reads this one."""
LEARNED = "what is learned of decisions lies in the gateway's database, as vectors of its embedding model"
Json = dict[str, Any]
KINDS: Mapping[type, str] = {
    FixedPolicy: "fixed",
    CheapestPolicy: "cheapest",
    CascadePolicy: "cascade",
    LearnedPolicy: "learned",
}


@dataclass(frozen=True, slots=True)
class CompiledRelease:
    """`data` has the `hash` of the release, and of all of itself, models too, as `build`.

    `obstacles`: what has to be changed before it can be built. `left_out`: what the Worker does without,
    `forwarded`: what it has the gateway do, each in words. `secrets`: names that the Worker must have.
    """

    data: Json
    obstacles: tuple[Obstacle, ...]
    left_out: tuple[str, ...]
    forwarded: tuple[str, ...]
    secrets: tuple[str, ...]


def compile_release(settings: Settings, cards: tuple[ModelCard, ...], release_hash: str, built: int) -> CompiledRelease:
    """`built`: Unix seconds. Raises ConfigError for settings that no server accepts either."""
    chats = tuple(card for card in cards if not card.is_adapter)
    against = {card.name: each for card in chats if (each := model_obstacle(card, settings)) is not None}
    at_home = bool(settings.edge.origin)
    usable = chats if at_home else tuple(card for card in chats if card.name not in against)
    obstacles = list(_named_but_unusable(settings, {} if at_home else against))
    if not usable:
        obstacles.append(Obstacle("providers", "no model can be asked from an edge", "add one under [providers.NAME]"))
    if settings.router.compaction:
        obstacles.append(Obstacle("router.compaction", "the gateway alone shortens conversations", "turn it off"))
    if settings.edge.key.startswith("file:"):
        obstacles.append(Obstacle("edge.key", "a Worker has only secrets with names", 'write it as "env:NAME"'))
    if obstacles:
        return CompiledRelease(data={}, obstacles=tuple(obstacles), left_out=(), forwarded=(), secrets=())
    policies, names = build_policies(settings, usable, PluginRegistry())
    plans, refused, forwarded = _compile_plans(settings, policies, names)
    rows = {card.name: _row(card, settings, via_origin=card.name in against) for card in usable}
    home = [f"{name} ({against[name].why})" for name in rows if name in against]
    left_out = [] if at_home else [f"{each.subject}: {each.why}" for each in against.values()]
    learns = settings.learn.keep != "off"
    left_out += [] if at_home or not learns else [f"learn.keep: {LEARNED}"]
    left_out += [f"guardrails.{name}: what it would flag is not noted" for name in flagging_guards(settings)]
    home += [f"/v1/decisions ({LEARNED})"] if learns and at_home else []
    data: Json = {
        "format": FORMAT,
        "hash": release_hash,
        "version": __version__,
        "name": settings.edge.name,
        "built": built,
        "rows": rows,
        "plans": plans,
        "short": _short_names(usable),
        "roles": names.role_names,
        "aliasOf": {name: target for name in names.role_names if (target := names.alias_target(name))},
        "reach": dict(reach_by_data_class(settings)),
        "dataClass": settings.router.data_class,
        "projects": {
            name: {"dataClass": each.data_class, "online": each.online == "allow", "reach": {}}
            for name, each in settings.projects.items()
        },
        "policies": {
            name: {"dataClass": None, "online": each.online == "allow", "reach": dict(each.egress)}
            for name, each in settings.policies.items()
        },
        "limits": {
            "bodyBytes": settings.server.max_body_bytes,
            "requestsPerMinute": settings.edge.requests_per_minute,
        },
        "origin": settings.edge.origin,
        "recordsKey": _records_key(settings),
        "revoked": [],
        "guards": _guards(settings),
        "predictor": _predictor(load_prediction(settings.trained_router, usable)),
        "decisions": "origin" if learns and at_home else "here",
        "cacheS": int(settings.response_cache.ttl_s),
    }
    data["build"] = sha256(canonical({**data, "built": 0})).hexdigest()
    return CompiledRelease(
        data=data,
        obstacles=tuple(refused),
        left_out=tuple(left_out),
        forwarded=(*home, *forwarded),
        secrets=_secrets(rows, _records_key(settings)),
    )


def _named_but_unusable(settings: Settings, against: Mapping[str, Obstacle]) -> Iterator[Obstacle]:
    """Models that the settings name, and no Worker can ask."""
    named = [(f"policies.{name}", model) for name, its in settings.policies.items() for model in _models(its.options)]
    named += [("router.small", settings.router.small), ("router.large", settings.router.large)]
    named += [(f"router.alias.{alias}", model) for alias, model in settings.router.alias.items()]
    for subject, model in named:
        if model in against:
            yield Obstacle(subject, f"it names {model}, and {against[model].why}", against[model].hint)


def _models(options: Mapping[str, object]) -> list[str]:
    listed = options.get("models")
    return [each for each in listed if isinstance(each, str)] if isinstance(listed, list | tuple) else []


def _compile_plans(
    settings: Settings, policies: Mapping[str, Policy], names: ModelAliases
) -> tuple[dict[str, Json], list[Obstacle], list[str]]:
    """The plans by name; what refuses the build; and the policies that are forwarded, with their reason."""
    forwards = settings.edge.unsupported == "forward" and bool(settings.edge.origin)
    plans: dict[str, Json] = {}
    obstacles: dict[str, list[Obstacle]] = {}
    for name in names.chat_names:
        plan = names(ChatRequest(model=name, messages=[], fields={}))
        if plan.policy_name not in obstacles:
            mine = policies.get(plan.policy_name)
            found = list(guard_obstacles(plan.policy_name, settings))
            if mine is not None and not plan.is_exact:
                found += policy_obstacles(plan.policy_name, mine, plan.cards)
            obstacles[plan.policy_name] = found
        plans[name] = _plan(plan, forwarded=forwards and bool(obstacles[plan.policy_name]))
    told = list(dict.fromkeys(each for found in obstacles.values() for each in found))
    if settings.edge.unsupported == "forward" and not settings.edge.origin and told:
        told.append(Obstacle("edge.unsupported", 'it is "forward" without an `origin`', "set `origin` in [edge]"))
    if not forwards:
        return plans, told, []
    words = [f"auto:{policy} ({found[0].subject}: {found[0].why})" for policy, found in obstacles.items() if found]
    return plans, [], words


def _plan(plan: RoutePlan, *, forwarded: bool) -> Json:
    policy = plan.policy
    known = {each.name for each in fields(policy)} if not forwarded else set()  # type: ignore[arg-type]  # a dataclass

    def option(name: str, otherwise: object) -> object:
        return getattr(policy, name) if name in known else otherwise

    never_small = isinstance(policy, CascadePolicy) and policy.prior is not None
    return {
        "policy": plan.policy_name,
        "kind": "origin" if forwarded else KINDS.get(type(policy), "origin"),
        "models": [card.name for card in plan.cards],
        "exact": plan.is_exact,
        "namesModel": plan.names_model,
        "why": plan.why or option("why", ""),
        "options": {
            "retries": option("retries", 1),
            "maxRetryDelayS": option("max_retry_delay_s", 2.0),
            "threshold": option("threshold", 0.5),
            "holdS": option("hold_s", 60.0),
            "whenExhausted": option("when_exhausted", "refuse"),
            "minGain": option("min_gain", 0.1),
            "fallback": option("fallback", "large"),
            "order": list(policy.models),
            "judges": not never_small,
        },
    }


def _guards(settings: Settings) -> Json:
    usual = _edge_actions(settings, None)
    own = {name: _edge_actions(settings, name) for name in settings.policies}
    used = {guard for actions in (usual, *own.values()) for guard, action in actions.items() if action != "off"}
    return {
        "tables": {
            "pii": pii_tables() if "pii" in used else None,
            "secrets": secret_tables() if "secrets" in used else None,
        },
        "unmaskedPlace": settings.guardrails.unmasked_place,
        "usual": usual,
        "policies": {name: actions for name, actions in own.items() if actions != usual},
        "dataClass": dict(settings.guardrails.detected_data_class),
    }


def _edge_actions(settings: Settings, policy: str | None) -> dict[str, str]:
    found = guard_actions(settings.guardrails, None if policy is None else settings.policies[policy])
    return {guard: action for guard, action in found.items() if guard in EDGE_GUARDS}


def _predictor(prediction: QualityPrediction | None) -> Json | None:
    if prediction is None:
        return None
    known = prediction.predictor
    return {
        "vocabulary": known.vocabulary,
        "idf": known.idf,
        "scale": {"mean": known.scale.mean, "scale": known.scale.scale},
        "heads": {name: known.heads[head] for name, head in prediction.heads.items()},
        "languages": sorted(known.languages),
        "min_known_share": known.min_known_share,
        "abstention": known.abstention,
        "stopWords": dict(STOP_WORDS),
    }


# ---- models ---------------------------------------------------------------------------------------------------------


def _row(card: ModelCard, settings: Settings, *, via_origin: bool) -> Json:
    endpoint, given = card.endpoint, settings.models.get(card.name)
    at_edge = given is not None and bool(given.edge)
    via = "workers-ai" if at_edge else "origin" if via_origin else "provider"
    provider = settings.providers.get(endpoint.provider)
    direct = via == "provider"
    return {
        "name": card.name,
        "owner": endpoint.provider,
        "via": via,
        "model": card.model,
        "url": endpoint.base_url if direct else "",
        "secret": endpoint.key.removeprefix("env:") if direct else "",
        "auth": endpoint.auth if direct else "",
        "headers": {name: value for name, value in endpoint.headers if direct and not is_reference(value)},
        "secretHeaders": {
            name: value.removeprefix("env:") for name, value in endpoint.headers if direct and is_reference(value)
        },
        "rename": dict(endpoint.renamed_fields) if direct else {},
        "drop": list(endpoint.dropped_fields),
        "timeoutS": provider.timeouts.first_byte_s if provider is not None else 120.0,
        "place": card.place,
        "task": card.task,
        "kind": MODEL_KINDS[card.task],
        "context": card.context,
        "maxOutput": card.max_output,
        "modalities": sorted(card.input_modalities),
        "tools": card.tools,
        "logprobs": card.logprobs,
        "singleChoice": card.makes_single_choices,
        "knowsModalities": bool(card.weights) or "input_modalities" in card.facts,
        "strength": strength(card),
        "quality": card.quality,
        "size": card.size,
        "created": first_second(card.release_date) if card.release_date else 0,
        "price": _price(card.price),
    }


def _price(price: Price) -> Json:
    return {
        "input": price.input,
        "output": price.output,
        "cached": price.cached,
        "reasoning": price.reasoning,
        "tiers": [[tokens, _price(dearer)] for tokens, dearer in price.tiers],
        "others": [_price(window.price) for window in price.schedule],
        "request": None if price.units is None else price.units.request,
    }


def _short_names(cards: Iterable[ModelCard]) -> dict[str, list[str]]:
    """Names without a provider, and the providers' own: the models that they could mean."""
    known: dict[str, list[str]] = {}
    for card in cards:
        for name in {card.name.partition("/")[2], card.model} - {"", card.name}:
            known.setdefault(name, []).append(card.name)
    return known


def _records_key(settings: Settings) -> str:
    return settings.edge.key.removeprefix("env:") if settings.edge.origin else ""


def _secrets(rows: Mapping[str, Json], records_key: str) -> tuple[str, ...]:
    found = {records_key, *(row["secret"] for row in rows.values())} - {""}
    return tuple(sorted(found | {name for row in rows.values() for name in row["secretHeaders"].values()}))
