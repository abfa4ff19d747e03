"""Layer of decisions: the middleware that answers closed questions by certified ladders, where learning is on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from random import random

from sizewise.app.decision_explainer import DecisionExplainer
from sizewise.app.option_model import OptionModel
from sizewise.decisions.certificate import ModelRungName
from sizewise.decisions.decision_store import DecisionStore
from sizewise.decisions.ladder_middleware import DecisionLadders
from sizewise.decisions.question import ClosedRequest
from sizewise.errors import did_you_mean
from sizewise.handler import Handler, Request
from sizewise.knowledge.embedder import Embedder
from sizewise.model_card import ModelCard
from sizewise.routing.model_aliases import ModelAliases, RoutePlan
from sizewise.settings.learning import LearnSettings

NOTHING_LEARNED = "nothing is learned of decisions, though [learn] is on:"


class DecisionLayer:
    """Of one application. `ask_by` closes a cycle: vectors of inputs come from what is built upon the layer."""

    def __init__(
        self, settings: LearnSettings, store: DecisionStore, explain: DecisionExplainer, cards: Sequence[ModelCard]
    ) -> None:
        self._settings = settings
        self._store = store
        self._explain = explain
        self._cards = [card for card in cards if card.task == "embed" and card.place == "process"]
        self._tuned = {card.decides: card.name for card in cards if card.decides}
        self._embedder: Embedder | None = None
        self._model: OptionModel | None = None

    def ask_by(self, handler: Handler) -> None:
        """`handler`: with all layers."""
        self._embedder = Embedder(handler, self._cards, ())
        self._model = OptionModel(handler)

    def wrap(self, handler: Handler) -> Handler:
        """`handler` itself if nothing is learned."""
        if self._settings.keep == "off":
            return handler
        return DecisionLadders(
            handler,
            store=self._store,
            plan=self._explain.aliases,
            keep=self._settings.keep,
            embed=self._embed,
            ask_model=self._ask_model,
            find_model=self._find_model,
            data_bounds=self._explain.data_policy.decide,
            draw=random,
        )

    async def _embed(self, request: Request, text: str) -> Sequence[float] | None:
        """None without an embedding model on this machine: nothing is learned then."""
        if self._embedder is None or not self._cards:
            return None
        return (await self._embedder.embed(request, self._cards[0].name, [text], None))[0]

    async def _ask_model(self, request: Request, asked: ClosedRequest, model: str) -> Sequence[float] | None:
        return None if self._model is None else await self._model.ask(request, asked.question.options, model)

    def _find_model(self, asked: ClosedRequest, plan: RoutePlan) -> tuple[ModelRungName, str] | None:
        """The adapter that was tuned for this question, else the model of the settings, unless it is the reference."""
        tuned = self._tuned.get(asked.question.id)
        if tuned is not None:
            return "tuned", tuned
        name = self._settings.model
        return ("next token", name) if name and all(card.name != name for card in plan.cards) else None


def learning_problems(
    settings: LearnSettings,
    cards: Sequence[ModelCard],
    names: ModelAliases,
    unavailable_reason: Callable[[ModelCard], str],
) -> list[str]:
    """Why decisions learn nothing or cannot be certified, each with the next step; empty if learning is off."""
    if settings.keep == "off":
        return []
    embedding = [card for card in cards if card.task == "embed" and card.place == "process"]
    if not embedding:
        return [f"{NOTHING_LEARNED} no embedding model is on this machine. Run: sizewise models pull minilm-l6-v2"]
    found = []
    model = next((card for card in cards if card.name == settings.model), None)
    if settings.model and (model is None or model.place != "process" or model.task != "chat"):
        known = [card.name for card in cards if card.place == "process" and card.task == "chat"]
        hint = did_you_mean(settings.model, known) or f"Embedded models: {', '.join(known) or 'none'}"
        found.append(f"[learn] model: {settings.model!r} is no embedded chat model. {hint}")
    if reason := unavailable_reason(embedding[0]):
        found.append(f"{NOTHING_LEARNED} {embedding[0].name} {reason}")
    if find_spec("numpy") is None:
        found.append("decisions are learned and never certified: numpy is not installed. Run: pip install numpy")
    plan = names.role_plan("large")
    if plan is None:
        found.append(f"{NOTHING_LEARNED} there is no chat model to learn from. Run: sizewise models")
    elif reason := unavailable_reason(plan.cards[0]):
        found.append(f"nothing is learned from the large model: {plan.cards[0].name} {reason}. Run: sizewise doctor")
    return found
