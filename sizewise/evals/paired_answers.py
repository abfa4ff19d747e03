"""Paired comparison: gets two models' answers to one request and asks a judge which is worse."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from sizewise.errors import BudgetExceeded, SizewiseError
from sizewise.evals.daily_budget import DailyBudget
from sizewise.evals.shadow_requests import judge_request, shadow_request
from sizewise.handler import AttemptFinished, Event, Request, Send
from sizewise.messages import ChatRequest, Reply
from sizewise.model_card import ModelCard
from sizewise.routing.observation import ObservedReply
from sizewise.routing.text.transcript import answer_text, question_text


class ComparisonResult(Protocol):
    """A judge's result. `worse`: how much worse the first answer is than the second, 0..1; None if undecided.

    Ignore `worse` if `is_contradictory`: the judge contradicted itself when the order was swapped.
    """

    @property
    def worse(self) -> float | None: ...
    @property
    def is_contradictory(self) -> bool: ...


SendToModel = Callable[[Request, Send, ModelCard], Awaitable[Reply]]
"""Sends a request to the model that it names."""
AskJudge = Callable[[str], Awaitable[str]]
CompareAnswers = Callable[[AskJudge, str, str, str], Awaitable[ComparisonResult]]
"""(judge call, question, one answer, the other answer) -> result."""


class PairedComparison:
    """One comparison. `cost`: pico-dollars spent so far, where an unknown price counts as 0. `used_judge`: whether the
    judge was called.
    """

    def __init__(
        self,
        *,
        send_to_model: SendToModel,
        request: Request,
        judge: ModelCard,
        compare: CompareAnswers,
        budget: DailyBudget,
        max_cost: Callable[[], int],
    ) -> None:
        """`max_cost` returns the current limit of one call in pico-dollars; it applies if the model has a price."""
        self._send_to_model = send_to_model
        self._request = request
        self._judge = judge
        self._compare = compare
        self._budget = budget
        self._max_cost = max_cost
        self.cost = 0
        self.used_judge = False

    async def compare(
        self,
        replies: tuple[ObservedReply, ...],
        small: ModelCard,
        large: ModelCard,
    ) -> tuple[float | None, str]:
        """How much worse the small answer is, 0..1; or None and a code for the reason."""
        assert isinstance(self._request.payload, ChatRequest)
        try:
            one = await self._answer_text(replies, small)
            other = await self._answer_text(replies, large)
            found = await self._compare(self._ask_judge, question_text(self._request.payload), one, other)
        except SizewiseError as error:
            if isinstance(error, BudgetExceeded):
                self._budget.exhaust()
            return None, error.code
        if found.is_contradictory:
            return None, "contradicted"
        return found.worse, "" if found.worse is not None else "undecided"

    async def _answer_text(self, replies: tuple[ObservedReply, ...], card: ModelCard) -> str:
        there = next((each.reply for each in replies if each.card is card), None)
        if there is None:
            asked = shadow_request(self._request, card.name, time.perf_counter(), self._cost_limit(card))
            there = await self._send_to_model(asked, self._add_cost, card)
        return answer_text(there)

    async def _ask_judge(self, prompt: str) -> str:
        self.used_judge = True
        asked = judge_request(
            self._request,
            self._judge.name,
            prompt,
            time.perf_counter(),
            self._cost_limit(self._judge),
        )
        return (await self._send_to_model(asked, self._add_cost, self._judge)).text

    def _cost_limit(self, card: ModelCard) -> int | None:
        return self._max_cost() if card.price.max_cost(1, 1) is not None else None

    async def _add_cost(self, event: Event) -> None:
        if isinstance(event, AttemptFinished) and event.cost is not None:
            self.cost += event.cost
            self._budget.spend(event.cost)
