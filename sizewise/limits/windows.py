"""Fixed windows and counters of limits as one worker holds them; plain arithmetic, knows no store.

Invariant of a window: what the worker has leased and not returned is `available` + `in_use` + what it has spent. Only
`available` is spent, and it is leased first: so all workers together never exceed a limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from sizewise.limits.rules import MAX_COUNT, MONEY_UNITS, LimitKey, Unit, window_bounds
from sizewise.messages import ChatRequest, EmbeddingRequest

BYTES_PER_TOKEN = 4
"""Bytes of text per token, on average. The worst case is one byte per token: no tokenizer makes more."""
TOKENS_PER_MESSAGE = 4
TOKENS_PER_MEDIA, MAX_TOKENS_PER_MEDIA = 800, 3_200
"""Tokens of an image or audio part: on average, and an upper bound for nearly all."""


class LimitWindow:
    """One window of one limit, as this worker holds it. `allocated` and `spent` are the store's values at
    `refreshed_at`."""

    __slots__ = (
        *(
            "recently_used",
            "available",
            "exhausted",
            "leased",
            "key",
            "limit",
            "reported",
            "refreshed_at",
            "starts_at",
            "spent",
            "allocated",
            "unreported",
            "ends_at",
        ),
    )

    def __init__(self, key: LimitKey, limit: int, starts_at: int, ends_at: int) -> None:
        self.key = key
        self.limit = limit
        self.starts_at = starts_at  # unix s
        self.ends_at = ends_at
        self.leased = 0  # all that was leased, less what was returned
        self.available = 0  # the part that is neither held nor spent; below 0: a debt
        self.unreported = 0  # spent since the last report to the store
        self.reported = 0  # spent before it
        self.allocated = 0
        self.spent = 0
        self.refreshed_at = 0.0
        self.exhausted = False  # an attempt was rejected since the last report
        self.recently_used = False  # used since the last flush

    @property
    def in_use(self) -> int:
        """Held by running attempts."""
        return self.leased - self.available - self.reported - self.unreported

    def add_lease(self, amount: int) -> None:
        """`amount` below 0: returned to the store."""
        self.leased += amount
        self.available += amount

    def mark_reported(self, spent: int) -> None:
        """`spent` below 0: the report failed."""
        self.reported += spent
        self.unreported -= spent

    @property
    def remaining(self) -> int:
        """What is left for new attempts of this worker, as far as it knows."""
        return max(0, self.limit - self.allocated + self.available)


class LimitCounter:
    """One limit; `window` is its current window."""

    __slots__ = ("is_money", "is_request_count", "is_token_rate", "key", "limit", "window")

    def __init__(self, key: LimitKey, limit: int, now: float) -> None:
        self.key = key
        self.limit = limit
        unit: Unit = key[2]
        self.is_money = unit in MONEY_UNITS
        self.is_request_count = unit == "requests/minute"
        self.is_token_rate = unit == "tokens/minute"
        self.window = self.open_window(now)

    def open_window(self, now: float) -> LimitWindow:
        return LimitWindow(self.key, self.limit, *window_bounds(self.key[2], now))


class LimitWindows:
    """The windows of all limits that apply to the same attempts or requests, by kind.

    Spending is summed here and added to each window by `distribute`; until then a window counts it as held.
    """

    __slots__ = (
        "_cost",
        "_dirty",
        "_is_dirty",
        "_lowest_rate",
        "_request_count",
        "_tokens",
        "money",
        "requests",
        "tokens",
    )

    def __init__(self, counters: Sequence[LimitCounter], dirty: list[LimitWindows]) -> None:
        """`dirty`: receives this object when it has spending to distribute."""
        self.money = tuple(each.window for each in counters if each.is_money)
        self.tokens = tuple(each.window for each in counters if each.is_token_rate)
        self.requests = tuple(each.window for each in counters if each.is_request_count)
        self._lowest_rate = min((pot.limit for pot in self.tokens), default=MAX_COUNT)
        self._dirty = dirty
        self._is_dirty = False
        self._cost = self._tokens = self._request_count = 0

    def try_take(self, money: int, tokens: int) -> bool:
        """Holds the amounts in all windows; False, and nothing is held, if a window has too little.

        A request for more tokens than a minute's limit takes a whole minute.
        """
        for pot in self.money:
            if pot.available < money:
                return False
        for pot in self.tokens:
            if pot.available < tokens and (tokens <= pot.limit or pot.available < pot.limit):
                return False
        for pot in self.requests:
            if pot.available < 1:
                return False
        for pot in self.money:
            pot.available -= money
        if tokens > self._lowest_rate:
            for pot in self.tokens:
                pot.available -= min(tokens, pot.limit)
        else:
            for pot in self.tokens:
                pot.available -= tokens
        for pot in self.requests:
            pot.available -= 1
        if not self._is_dirty:
            self._is_dirty = True
            self._dirty.append(self)
        return True

    def settle(self, money: int, tokens: int, cost: int | None, used_tokens: int) -> None:
        """Settles an attempt that held `money` and `tokens`. An unknown cost counts as what was held."""
        if cost is None:
            cost = money
        back = money - cost
        for pot in self.money:
            pot.available += back
        if tokens > self._lowest_rate:
            for pot in self.tokens:
                pot.available += min(tokens, pot.limit) - used_tokens
        else:
            back = tokens - used_tokens
            for pot in self.tokens:
                pot.available += back
        self._cost += cost
        self._tokens += used_tokens
        self._request_count += 1
        if not self._is_dirty:
            self._is_dirty = True
            self._dirty.append(self)

    def try_count(self) -> bool:
        """Counts one request in all windows; False, and nothing is counted, if a window is empty."""
        for pot in self.requests:
            if pot.available < 1:
                return False
        for pot in self.requests:
            pot.available -= 1
        self._request_count += 1
        if not self._is_dirty:
            self._is_dirty = True
            self._dirty.append(self)
        return True

    def distribute(self) -> None:
        """Adds the summed spending to each window and marks it as used."""
        for pots, spent in (
            (self.money, self._cost),
            (self.tokens, self._tokens),
            (self.requests, self._request_count),
        ):
            for pot in pots:
                pot.unreported += spent
                pot.recently_used = True
        self._cost = self._tokens = self._request_count = 0
        self._is_dirty = False


class LimitCounters:
    """Counters that apply to the same attempts or requests. Their `windows` last until `ends_at`, in unix seconds."""

    __slots__ = ("_dirty", "all", "ends_at", "windows")

    def __init__(self, all: Sequence[LimitCounter], dirty: list[LimitWindows]) -> None:
        self.all = tuple(all)
        self._dirty = dirty
        self.renew()

    def renew(self) -> None:
        """Takes the current windows."""
        self.windows = LimitWindows(self.all, self._dirty)
        self.ends_at = min((float(each.window.ends_at) for each in self.all), default=inf)


def measure_prompt(payload: ChatRequest | EmbeddingRequest) -> tuple[int, int]:
    """Tokens of the prompt: an upper bound and an estimate. Media parts have no exact count."""
    if isinstance(payload, EmbeddingRequest):
        sizes = [len(each.encode("utf-8", "surrogatepass")) for each in payload.inputs if isinstance(each, str)]
        tokens = sum(len(each) for each in payload.inputs if not isinstance(each, str))
        return sum(sizes) + tokens, sum(each // BYTES_PER_TOKEN + 1 for each in sizes) + tokens
    around, sees = TOKENS_PER_MESSAGE * len(payload.messages), False
    for message in payload.messages:
        if type(message.content) is list:
            sees = bool(payload.input_modalities())
            break
    if not sees:
        size = payload.prompt_bytes()
        return size, size // BYTES_PER_TOKEN + around
    tools, media = payload.fields.get("tools"), 0
    size = 0 if tools is None else len(bytes(tools))
    for message in payload.messages:
        size += len(message.text.encode("utf-8", "surrogatepass"))
        if isinstance(message.content, list):
            media += sum(1 for part in message.content if part.type not in ("text", "refusal"))
    return size + around + MAX_TOKENS_PER_MEDIA * media, size // BYTES_PER_TOKEN + around + TOKENS_PER_MEDIA * media
