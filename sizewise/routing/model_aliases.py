"""What `model` means: one model, a role, or a policy over several; pure, worked out once for all that is configured.

auto             the router, by the default policy
auto:<policy>    the router, by that policy
small, large     the configured role; without one the weakest and the strongest chat model
<provider>/<model>   exactly that one; a bare <model> where only one provider has it
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sizewise.errors import ConfigError, SizewiseError, UnknownModel, nearest
from sizewise.messages import Chat, Embed
from sizewise.model_card import Card, Task
from sizewise.routing.policies.fixed import Fixed
from sizewise.routing.policy import Policy, strength

ROLES = ("auto", "small", "large")


@dataclass(frozen=True, slots=True)
class Plan:
    """Who is considered and by which policy. `exact`: it can only be this one model, so unknown
    facts are left to the model itself to refuse."""

    asked: str
    policy: Policy
    name: str  # of the policy
    cards: tuple[Card, ...]
    exact: bool = False
    why: str = ""  # one sentence, where the name settles the matter
    only: Card | None = field(init=False, default=None)  # where nothing but a failure leaves anything to decide

    def __post_init__(self) -> None:
        if self.exact and len(self.cards) == 1 and self.policy == Fixed(why=self.why):
            object.__setattr__(self, "only", self.cards[0])


class Names:
    """All that can be said in `model`. Raises ConfigError for a role or policy that names no configured model."""

    def __init__(
        self,
        cards: tuple[Card, ...],
        policies: Mapping[str, Policy],
        default: str = "default",
        small: str = "",
        large: str = "",
    ) -> None:
        self._default = default
        self._policies = policies
        self._cards = {card.name: card for card in cards}
        self._bare = _bare(cards)
        chats = tuple(card for card in cards if card.task == "chat")
        self._plans: dict[Task, dict[str, Plan | SizewiseError]] = {
            "chat": {**self._roles(chats, small, large), **self._autos(chats)},
            "embed": _auto_embed(tuple(card for card in cards if card.task == "embed")),
        }
        for plans in self._plans.values():
            plans.update((card.name, _named(card.name, card)) for card in cards)

    @property
    def listed(self) -> tuple[str, ...]:
        """Every name that answers a chat: roles, policies, models."""
        return tuple(name for name, plan in self._plans["chat"].items() if isinstance(plan, Plan))

    @property
    def choosing(self) -> dict[str, Plan]:
        """By policy its plan, of those that leave a choice."""
        plans = {name: self._plans["chat"].get(f"auto:{name}") for name in self._policies}
        return {name: plan for name, plan in plans.items() if isinstance(plan, Plan) and not plan.exact}

    def role(self, role: str) -> Plan | None:
        """The plan of `auto`, `small` or `large`; None where no chat model is configured."""
        plan = self._plans["chat"].get(role)
        return plan if isinstance(plan, Plan) else None

    def __call__(self, what: Chat | Embed, policy: str | None = None) -> Plan:
        """The plan for a request. `policy` (the asker's wish) stands for auto:<policy>. Raises UnknownModel."""
        name = what.model
        if policy is not None and name == "auto":
            name = f"auto:{policy}"
        plan = self._plans["chat" if isinstance(what, Chat) else "embed"].get(name)
        if plan is None:
            plan = self._plan_bare(name)
        if isinstance(plan, SizewiseError):
            raise type(plan)(plan.message, plan.hint, param=plan.param)
        return plan

    def _plan_bare(self, name: str) -> Plan:
        same = self._bare.get(name, ())
        if len(same) == 1:
            return _named(name, same[0])
        if same:
            listed = ", ".join(card.name for card in same)
            raise UnknownModel(f"{name!r} is the name of several models", f"say which: {listed}", param="model")
        raise self._unknown(name)

    def _unknown(self, name: str) -> UnknownModel:
        shown = name if len(name) <= 100 else name[:100] + "…"
        if name.startswith("flow:"):
            hint = "name a model, or run that flow as a subflow"
            return UnknownModel(f"{shown!r}: a node cannot ask a flow", hint, param="model")
        if name.startswith("auto:"):
            policy, known = shown.removeprefix("auto:"), list(self._policies)
            hint = nearest(policy, known) or f"known: {', '.join(known)}"
            return UnknownModel(f"there is no policy named {policy!r}", hint, param="model")
        near = nearest(shown, [*ROLES, *self._cards, *self._bare])
        return UnknownModel(f"there is no model named {shown!r}", near or "see GET /v1/models", param="model")

    def _autos(self, chats: tuple[Card, ...]) -> dict[str, Plan | SizewiseError]:
        plans: dict[str, Plan | SizewiseError] = {}
        for name, policy in self._policies.items():
            plans[f"auto:{name}"] = self._auto(f"auto:{name}", name, policy, chats)
        if self._default not in self._policies:
            hint = nearest(self._default, list(self._policies)) or f"known: {', '.join(self._policies)}"
            raise ConfigError(f"`router.policy` is {self._default!r}, and there is no such policy", hint)
        plans["auto"] = self._auto("auto", self._default, self._policies[self._default], chats)
        return plans

    def _auto(self, asked: str, name: str, policy: Policy, chats: tuple[Card, ...]) -> Plan | SizewiseError:
        cards = tuple(self._known(f"policies.{name}.models", model) for model in policy.models) or chats
        if not cards:
            return UnknownModel("no chat model is configured", "add one: sizewise models pull NAME", param="model")
        if len(cards) > 1:
            return Plan(asked, policy, name, cards)
        why = f"one model is configured: {asked} is that model"
        if policy.models:
            why = f"{asked} is {cards[0].name}, the only model of its policy"
        return Plan(asked, Fixed(why=why), name, cards, exact=True, why=why)

    def _roles(self, chats: tuple[Card, ...], small: str, large: str) -> dict[str, Plan | SizewiseError]:
        if not chats:
            none = UnknownModel("no chat model is configured", "add one: sizewise models pull NAME", param="model")
            return {"small": none, "large": none}
        weakest = self._known("router.small", small) if small else min(chats, key=strength)
        strongest = self._known("router.large", large) if large else max(chats, key=strength)
        return {
            "small": _role("small", weakest, "as configured" if small else "the smallest that is configured"),
            "large": _role("large", strongest, "as configured" if large else "the best that is configured"),
        }

    def _known(self, setting: str, name: str) -> Card:
        card = self._cards.get(name)
        if card is None:
            hint = nearest(name, list(self._cards)) or f"known: {', '.join(self._cards) or 'none'}"
            raise ConfigError(f"`{setting}` names {name!r}, and there is no such model", hint)
        return card


def _named(asked: str, card: Card) -> Plan:
    why = "asked for by name"
    return Plan(asked, Fixed(why=why), "fixed", (card,), exact=True, why=why)


def _role(role: str, card: Card, how: str) -> Plan:
    why = f"`{role}` is {card.name}, {how}"
    return Plan(role, Fixed(why=why), "fixed", (card,), exact=True, why=why)


def _auto_embed(cards: tuple[Card, ...]) -> dict[str, Plan | SizewiseError]:
    """Vectors of two models cannot be compared, so nobody chooses among several for the asker."""
    if len(cards) == 1:
        why = "one embedding model is configured: auto is that model"
        return {"auto": Plan("auto", Fixed(why=why), "fixed", cards, exact=True, why=why)}
    listed = ", ".join(card.name for card in cards) or "none is configured"
    return {"auto": UnknownModel("`auto` does not choose an embedding model", f"name one: {listed}", param="model")}


def _bare(cards: tuple[Card, ...]) -> dict[str, tuple[Card, ...]]:
    """Names without their provider, and the upstream's own names -> who has them."""
    known: dict[str, tuple[Card, ...]] = {}
    for card in cards:
        for name in {card.name.partition("/")[2], card.model} - {""}:
            known[name] = (*known.get(name, ()), card)
    return known
