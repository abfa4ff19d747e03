"""Model aliases: what the `model` field of a request means: one model, a role, or a policy over several models.

auto                 routed by the default policy
auto:<policy>        routed by that policy
small, large         the configured role, else the weakest and the strongest chat model
<alias>              the model, role or policy that the settings give this name
<provider>/<model>   exactly that model; a bare <model> if only one provider has it
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sizewise.errors import ConfigError, ModelNotFound, SizewiseError, did_you_mean
from sizewise.messages import ChatRequest, EmbeddingRequest
from sizewise.model_card import ModelCard, ModelTask
from sizewise.routing.policies.fixed import FixedPolicy
from sizewise.routing.policy import Policy
from sizewise.routing.strength import strength

ROLES = ("auto", "small", "large")


@dataclass(frozen=True, slots=True)
class RoutePlan:
    """The considered models and the policy. `is_exact`: only one model is possible, so it is asked even where its facts
    are unknown.
    """

    requested_model: str
    policy: Policy
    policy_name: str
    cards: tuple[ModelCard, ...]
    is_exact: bool = False
    why: str = ""  # one sentence, if the name alone decides
    # set if there is nothing to decide unless the model fails
    direct_card: ModelCard | None = field(init=False, default=None)
    names_model: bool = field(init=False, default=False)  # the request names a model, and no role or policy

    def __post_init__(self) -> None:
        if self.is_exact and len(self.cards) == 1 and self.policy == FixedPolicy(why=self.why):
            object.__setattr__(self, "direct_card", self.cards[0])
        if self.is_exact and self.requested_model.partition(":")[0] not in ROLES:
            object.__setattr__(self, "names_model", True)


class ModelAliases:
    """All values of `model`. Raises ConfigError for a role or policy that names no configured model."""

    def __init__(
        self,
        cards: tuple[ModelCard, ...],
        policies: Mapping[str, Policy],
        *,
        default_policy: str = "default",
        small: str = "",
        large: str = "",
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        """`aliases`: further names -> a model, a role or `auto:<policy>`."""
        self._default_policy = default_policy
        self._policies = policies
        self._cards = {card.name: card for card in cards}
        self._short_names = _short_names(cards)
        chats = tuple(card for card in cards if card.task == "chat" and not card.is_adapter)
        self._plans: dict[ModelTask, dict[str, RoutePlan | SizewiseError]] = {
            "chat": {
                **self._roles(tuple(card for card in chats if card.effort is None), small, large),
                **self._autos(chats),
            },
            "embed": _only_model_plan("embedding", tuple(card for card in cards if card.task == "embed")),
            "moderate": _only_model_plan("moderation", tuple(card for card in cards if card.task == "moderate")),
            "transcribe": _only_model_plan("transcription", tuple(card for card in cards if card.task == "transcribe")),
            "speak": _only_model_plan("speech", tuple(card for card in cards if card.task == "speak")),
            "image": _only_model_plan("image", tuple(card for card in cards if card.task == "image")),
            "rerank": _only_model_plan("reranking", tuple(card for card in cards if card.task == "rerank")),
        }
        for plans in self._plans.values():
            plans.update((card.name, _named_plan(card.name, card)) for card in cards)
        self._aliases: dict[str, str] = {}  # -> the full name of its target
        for alias, target in (aliases or {}).items():
            self._add_alias(alias, target)

    @property
    def chat_names(self) -> tuple[str, ...]:
        """Every name that answers chats: roles, policies, models."""
        return tuple(name for name, plan in self._plans["chat"].items() if isinstance(plan, RoutePlan))

    @property
    def role_names(self) -> list[str]:
        """The values of `model` that are not models: auto, auto:<policy>, small, large."""
        return [name for name in self.chat_names if name not in self._cards]

    def alias_target(self, name: str) -> str:
        """The model, role or policy of an alias in the settings; empty if `name` is none."""
        return self._aliases.get(name, "")

    def find_card(self, name: str) -> ModelCard:
        """The card of `<provider>/<model>`, of a model name without its provider, or of an alias. Raises
        ModelNotFound.
        """
        name = self._aliases.get(name, name)
        for card in self._cards.values():
            if name in (card.name, card.model):
                return card
        raise ModelNotFound(
            f"there is no model named {name[:200]!r}",
            did_you_mean(name, list(self._cards)),
            param="model",
        )

    def rerank_task(self, name: str, policy: str | None = None) -> ModelTask:
        """How the model `name` scores documents: as a reranker, by vectors, or in a chat. `auto` without a policy is a
        reranker, else an embedding model. Raises ModelNotFound.
        """
        target = self._aliases.get(name, name)
        if target == "auto" and policy is None:
            tasks = {card.task for card in self._cards.values()}
            return "rerank" if "rerank" in tasks or "embed" not in tasks else "embed"
        if target in ROLES or target.startswith("auto:"):
            return "chat"
        return self.find_card(target).task

    @property
    def policy_plans(self) -> dict[str, RoutePlan]:
        """Plan by policy, of policies with a choice of models."""
        plans = {name: self._plans["chat"].get(f"auto:{name}") for name in self._policies}
        return {name: plan for name, plan in plans.items() if isinstance(plan, RoutePlan) and not plan.is_exact}

    def role_plan(self, role: str) -> RoutePlan | None:
        """The plan of `auto`, `small` or `large`; None if no chat model is configured."""
        plan = self._plans["chat"].get(role)
        return plan if isinstance(plan, RoutePlan) else None

    def __call__(self, payload: ChatRequest | EmbeddingRequest, policy: str | None = None) -> RoutePlan:
        """The plan for a request. With model `auto`, `policy` selects auto:<policy>. Raises ModelNotFound."""
        name = payload.model
        if policy is not None and name == "auto":
            name = f"auto:{policy}"
        plan = self._plans[payload.task].get(name)
        if plan is None:
            plan = self._short_name_plan(name, payload.task)
        if isinstance(plan, SizewiseError):
            raise type(plan)(plan.message, plan.hint, param=plan.param)
        return plan

    def _short_name_plan(self, name: str, task: ModelTask) -> RoutePlan:
        same = self._short_names.get(name, ())
        if len(same) == 1:
            return _named_plan(name, same[0])
        if same:
            listed = ", ".join(card.name for card in same)
            raise ModelNotFound(f"{name!r} is ambiguous", f"use one of: {listed}", param="model")
        raise self._unknown(name, task)

    def _unknown(self, name: str, task: ModelTask) -> ModelNotFound:
        shown = name if len(name) <= 100 else name[:100] + "…"
        if name.startswith("flow:"):
            hint = "name a model, or run that flow as a subflow"
            return ModelNotFound(f"{shown!r}: a node cannot use a flow as its model", hint, param="model")
        if name.startswith("auto:"):
            policy, known = shown.removeprefix("auto:"), list(self._policies)
            hint = did_you_mean(policy, known) or f"known: {', '.join(known)}"
            return ModelNotFound(f"there is no policy named {policy!r}", hint, param="model")
        named = self._cards | {each: same[0] for each, same in self._short_names.items() if len(same) == 1}
        names = [each for each, card in named.items() if card.task == task]
        near = did_you_mean(shown, [*(ROLES if task == "chat" else ()), *names])
        return ModelNotFound(
            f"there is no model named {shown!r}", near or "list the models: GET /v1/models", param="model"
        )

    def _add_alias(self, alias: str, target: str) -> None:
        """Raises ConfigError."""
        if alias in self._cards or alias in ROLES or alias.partition(":")[0] in ("auto", "flow") or not alias:
            raise ConfigError(f"`router.alias` has {alias!r}, which already means something", "choose another alias")
        same = self._short_names.get(target, ())
        name = same[0].name if target not in self._cards and len(same) == 1 else target
        if name not in self._plans["chat"]:
            known = [*self._plans["chat"], *self._short_names]
            raise ConfigError(
                f"`router.alias` gives {alias!r} to {target!r}, but there is no such model",
                did_you_mean(target, known) or f"known: {', '.join(known[:20])}",
            )
        self._aliases[alias] = name
        why = f"{alias} is an alias of {name}"
        for plans in self._plans.values():
            plan = plans.get(name)
            if isinstance(plan, RoutePlan) and plan.is_exact:
                plan = replace(plan, requested_model=alias, policy=FixedPolicy(why=why), why=why)
            elif isinstance(plan, RoutePlan):
                plan = replace(plan, requested_model=alias)
            if plan is not None:
                plans[alias] = plan

    def _autos(self, chats: tuple[ModelCard, ...]) -> dict[str, RoutePlan | SizewiseError]:
        plans: dict[str, RoutePlan | SizewiseError] = {}
        for name, policy in self._policies.items():
            plans[f"auto:{name}"] = self._auto(f"auto:{name}", name, policy, chats)
        if self._default_policy not in self._policies:
            hint = did_you_mean(self._default_policy, list(self._policies)) or f"known: {', '.join(self._policies)}"
            raise ConfigError(f"`router.policy` is {self._default_policy!r}, but there is no such policy", hint)
        plans["auto"] = self._auto("auto", self._default_policy, self._policies[self._default_policy], chats)
        return plans

    def _auto(
        self,
        requested_model: str,
        name: str,
        policy: Policy,
        chats: tuple[ModelCard, ...],
    ) -> RoutePlan | SizewiseError:
        cards = tuple(self._configured_card(f"policies.{name}.models", model) for model in policy.models) or chats
        if not cards:
            return ModelNotFound("no chat model is configured", "add one: sizewise models pull NAME", param="model")
        if len(cards) > 1:
            return RoutePlan(requested_model, policy, name, cards)
        why = f"{requested_model} is the only configured model"
        if policy.models:
            why = f"{requested_model} is {cards[0].name}, the only model of its policy"
        return RoutePlan(requested_model, FixedPolicy(why=why), name, cards, is_exact=True, why=why)

    def _roles(self, chats: tuple[ModelCard, ...], small: str, large: str) -> dict[str, RoutePlan | SizewiseError]:
        if not chats:
            none = ModelNotFound("no chat model is configured", "add one: sizewise models pull NAME", param="model")
            return {"small": none, "large": none}
        weakest = self._configured_card("router.small", small) if small else min(chats, key=strength)
        strongest = self._configured_card("router.large", large) if large else max(chats, key=strength)
        return {
            "small": _role_plan("small", weakest, "as configured" if small else "the smallest configured model"),
            "large": _role_plan("large", strongest, "as configured" if large else "the best configured model"),
        }

    def _configured_card(self, setting: str, name: str) -> ModelCard:
        card = self._cards.get(name)
        if card is None:
            hint = did_you_mean(name, list(self._cards)) or f"known: {', '.join(self._cards) or 'none'}"
            raise ConfigError(f"`{setting}` is {name!r}, but there is no such model", hint)
        return card


def _named_plan(requested_model: str, card: ModelCard) -> RoutePlan:
    why = "named in the request"
    return RoutePlan(requested_model, FixedPolicy(why=why), "fixed", (card,), is_exact=True, why=why)


def _role_plan(role: str, card: ModelCard, how: str) -> RoutePlan:
    why = f"`{role}` is {card.name}, {how}"
    return RoutePlan(role, FixedPolicy(why=why), "fixed", (card,), is_exact=True, why=why)


def _only_model_plan(kind: str, cards: tuple[ModelCard, ...]) -> dict[str, RoutePlan | SizewiseError]:
    """Vectors and scores of two models cannot be compared, so `auto` works only with a single model of this kind."""
    if len(cards) == 1:
        why = f"auto is the only configured {kind} model"
        return {"auto": RoutePlan("auto", FixedPolicy(why=why), "fixed", cards, is_exact=True, why=why)}
    if not cards:
        hint = "`sizewise models list` names those that can be pulled; or add one under [providers.NAME]"
        return {"auto": ModelNotFound(f"no {kind} model is configured", hint, param="model")}
    hint = f"name a model: {', '.join(card.name for card in cards)}"
    return {"auto": ModelNotFound(f"`auto` cannot choose among several {kind} models", hint, param="model")}


def _short_names(cards: tuple[ModelCard, ...]) -> dict[str, tuple[ModelCard, ...]]:
    """Names without their provider, and the upstream's names -> cards."""
    known: dict[str, tuple[ModelCard, ...]] = {}
    for card in cards:
        names = {card.name.partition("/")[2], card.model if card.effort is None else ""}
        for name in names - {""}:
            known[name] = (*known.get(name, ()), card)
    return known
