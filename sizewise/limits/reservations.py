"""Reservations of requests, tokens and money before an attempt, settled once; the errors of an exceeded limit."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from sizewise.errors import BudgetExceeded, Busy, SizewiseError
from sizewise.limits.quota_leases import QuotaLeases, QuotaShortfall
from sizewise.limits.rules import ALL_TENANTS, MAX_COUNT, format_amount
from sizewise.limits.windows import LimitCounter, LimitCounters, LimitWindows, measure_prompt
from sizewise.messages import ChatRequest, EmbeddingRequest, MediaRequest
from sizewise.model_card import ModelCard
from sizewise.settings.limits import BudgetsSettings

MIN_ANSWER_TOKENS = 16
"""A budget that cannot pay for this many tokens of answer rejects the attempt."""
DEFAULT_ANSWER_TOKENS = 1_000
"""Tokens assumed for an answer without a maximum, where only tokens a minute are limited."""


class RequestReservation:
    """One incoming request. It is spent as soon as it is held."""

    __slots__ = ("_counters", "_leases")

    def __init__(self, leases: QuotaLeases, counters: LimitCounters) -> None:
        self._leases = leases
        self._counters = counters

    @property
    def counters(self) -> tuple[LimitCounter, ...]:
        return self._counters.all

    def required(self, counter: LimitCounter) -> int:
        return 1

    def acquire_locally(self, now: float) -> bool:
        self._leases.renew_windows(self._counters, now)
        return self._counters.windows.try_count()

    def reduce(self, shortfall: QuotaShortfall) -> None:
        """Raises Busy."""
        raise limit_error(shortfall, self._leases.clock())


class WorstCaseCost:
    """The counters and bounds of a principal's attempts at one model, computed once."""

    __slots__ = (
        *("allows_unpriced", "card", "counters", "flat_price", "has_budget", "max_answer_tokens", "request_fee"),
        "token_rate",
    )

    def __init__(self, counters: LimitCounters, card: ModelCard, settings: BudgetsSettings) -> None:
        self.counters = counters
        self.has_budget = any(each.is_money for each in counters.all)
        self.token_rate = min(
            (each.limit for each in counters.all if each.is_token_rate),
            default=MAX_COUNT,
        )  # the lowest, tokens a minute
        self.card = card
        self.flat_price = card.price.flat_rates()
        self.request_fee = 0 if card.price.units is None else card.price.units.request or 0  # pico-dollars
        self.max_answer_tokens = (
            settings.default_max_tokens
            if card.max_output is None
            else min(settings.default_max_tokens, card.max_output)
        )
        self.allows_unpriced = settings.unpriced == "allow"

    def upper_bound(self, prompt_tokens: int, output_tokens: int) -> int | None:
        """Pico-dollars at most; None if unknown."""
        if self.flat_price is None:
            bound = self.card.price.upper_bound(prompt_tokens, output_tokens)
            return None if bound is None else bound + self.request_fee
        read, said = self.flat_price
        return prompt_tokens * read + output_tokens * said + self.request_fee


class Reservation:
    """The right to make one attempt. Call `try_acquire()`, else `await acquire()`, before it, and `settle` when it has
    ended, however it ended.

    `tokens`: the tokens it may use. `max_cost`: the most it can cost in pico-dollars, None if unknown. `max_tokens`:
    tokens of the answer, set if the client gave no maximum; None: no bound.
    """

    __slots__ = (
        "_calls",
        "_choices",
        "_cost",
        "_estimated_tokens",
        "_leases",
        "_prompt_tokens",
        "_windows",
        "max_cost",
        "max_tokens",
        "tokens",
    )

    def __init__(self, leases: QuotaLeases, worst_case: WorstCaseCost, payload: ChatRequest | EmbeddingRequest) -> None:
        self._leases = leases
        self._cost = worst_case
        self._windows: LimitWindows | None = None  # the windows that hold it
        prompt, estimate = measure_prompt(payload)
        context = worst_case.card.context
        if context is not None and context < prompt:
            prompt = context
        self._prompt_tokens = prompt
        choices, out = (payload.n, payload.max_tokens) if isinstance(payload, ChatRequest) else (1, 0)
        self._calls = calls = choices if type(payload) is ChatRequest and worst_case.card.makes_single_choices else 1
        self._choices = choices // calls  # of one call
        self._estimated_tokens = estimate = estimate * calls
        self.max_tokens: int | None = None
        self.max_cost: int | None = 0
        if isinstance(payload, MediaRequest):
            out, card = 0, worst_case.card
            if worst_case.has_budget:
                self.max_cost = card.price.media_upper_bound(payload.most, card.context, card.max_output)
        elif worst_case.has_budget:
            self.max_cost = self.upper_bound(worst_case.max_answer_tokens if out is None else out)
            if out is None and self.max_cost:
                self.max_tokens = worst_case.max_answer_tokens
        if out is None:
            out = DEFAULT_ANSWER_TOKENS if self.max_tokens is None else self.max_tokens
        self.tokens = estimate + out * choices

    @property
    def counters(self) -> tuple[LimitCounter, ...]:
        return self._cost.counters.all

    def try_acquire(self) -> bool:
        """Whether it is held now. If not, `acquire` asks the store or raises the reason."""
        fare = self._cost
        if self._estimated_tokens > fare.token_rate or (self.max_cost is None and not fare.allows_unpriced):
            return False
        slices, its = self._leases, fare.counters
        now = slices.clock()
        if now >= its.ends_at:
            slices.renew_windows(its, now)
        pots = its.windows
        if not pots.try_take(self.max_cost or 0, self.tokens):
            return False
        self._windows = pots
        return True

    async def acquire(self) -> None:
        """Raises BudgetExceeded, Busy, or StorageError."""
        if self.try_acquire():
            return
        if self.max_cost is None and not self._cost.allows_unpriced:
            whose, model = next(_describe_scope(*each.key[:2]) for each in self.counters if each.is_money), self.model
            raise BudgetExceeded(
                f"the price of {model} is unknown, and {whose} has a budget",
                f'set its price under [models."{model}".price], or set `unpriced = "allow"` in [budgets]',
            )
        if (beyond := self.exceeded_token_rate()) is not None:
            raise limit_error(QuotaShortfall(beyond, 0), self._leases.clock(), self)
        await self._leases.acquire(self)

    def required(self, counter: LimitCounter) -> int:
        return (
            self.max_cost or 0
            if counter.is_money
            else 1
            if counter.is_request_count
            else min(self.tokens, counter.limit)
        )

    def acquire_locally(self, now: float) -> bool:
        self._leases.renew_windows(self._cost.counters, now)
        return self.try_acquire()

    def reduce(self, shortfall: QuotaShortfall) -> None:
        """Shortens the answer to fit the budget. Raises BudgetExceeded or Busy if it cannot."""
        if not shortfall.counter.is_money or not self._reduce_to(shortfall.remaining):
            raise limit_error(shortfall, self._leases.clock(), self)

    def _reduce_to(self, budget: int) -> bool:
        """Shortens the answer to cost no more than `budget`; False if it would have fewer than MIN_ANSWER_TOKENS."""
        if (
            self.max_tokens is None
            or self.max_tokens <= MIN_ANSWER_TOKENS
            or (self.upper_bound(MIN_ANSWER_TOKENS) or 0) > budget
        ):
            return False
        low, high = MIN_ANSWER_TOKENS, self.max_tokens
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if (self.upper_bound(middle) or 0) <= budget else (low, middle - 1)
        self.tokens -= (self.max_tokens - low) * self._choices * self._calls
        self.max_tokens, self.max_cost = low, self.upper_bound(low)
        return True

    def settle(self, cost: int | None, tokens: int) -> None:
        """`cost`: pico-dollars, None if unknown; `tokens`: input and output. Only the first call counts."""
        pots = self._windows
        if pots is not None:
            self._windows = None
            pots.settle(self.max_cost or 0, self.tokens, cost, tokens)

    def upper_bound(self, output_tokens: int) -> int | None:
        """Pico-dollars at most, if each answer has at most so many tokens; None if unknown."""
        cost = self._cost.upper_bound(self._prompt_tokens, output_tokens * self._choices)
        return None if cost is None else cost * self._calls

    def exceeded_token_rate(self) -> LimitCounter | None:
        """The limit of tokens a minute that the prompt alone exceeds, if any."""
        return next(
            (each for each in self.counters if each.is_token_rate and self._estimated_tokens > each.limit),
            None,
        )

    @property
    def model(self) -> str:
        return self._cost.card.name


def limit_error(shortfall: QuotaShortfall, now: float, reservation: Reservation | None = None) -> SizewiseError:
    """The error of an exceeded limit: scope, remainder and time of renewal."""
    its, pot = shortfall.counter, shortfall.counter.window
    tenant, scope, unit = its.key
    whose = _describe_scope(tenant, scope)
    wait = max(1, math.ceil(pot.ends_at - now))
    limit = format_amount(unit, its.limit)
    if its.is_request_count:
        return Busy(f"{whose} is limited to {limit} requests per minute", "wait for the next minute", retry_after=wait)
    if reservation is None or not its.is_money:
        if reservation is not None and reservation.exceeded_token_rate() is its:
            hint = "shorten the prompt, or ask an administrator to raise the limit"
            return Busy(f"{whose} is limited to {limit} tokens per minute, and this prompt alone has more", hint)
        need = "" if reservation is None else f" for a request that may need {reservation.tokens}"
        left = format_amount(unit, shortfall.remaining)
        words = f"{whose} is limited to {limit} tokens per minute; {left} are left{need}"
        return Busy(words, "wait for the next minute, or lower `max_tokens`", retry_after=wait)
    every = unit.partition("/")[2]
    spent, held = pot.spent + pot.unreported, max(0, pot.allocated - pot.available - pot.spent - pot.unreported)
    stood = (
        "" if tenant == ALL_TENANTS else f"{format_amount(unit, spent)} spent, {format_amount(unit, held)} reserved, "
    )
    least = format_amount(
        unit,
        (reservation.upper_bound(MIN_ANSWER_TOKENS) if reservation.max_tokens is not None else reservation.max_cost)
        or 0,
    )
    return BudgetExceeded(
        f"{whose} has a budget of {limit} dollars per {every}: {stood}a call of {reservation.model} could cost "
        f"{least}; it renews at {format_time(pot.ends_at)}",
        "lower `max_tokens`, use a cheaper model, or ask an administrator to raise the budget",
    )


def format_time(timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _describe_scope(tenant: str, scope: str) -> str:
    kind, _, name = scope.partition(":")
    if kind == "organization":
        return f"the organization {tenant!r}"
    all = " of all organizations together" if tenant == ALL_TENANTS else ""
    return f"the {kind} {name!r}{all}"
