"""Fixed windows and counters of limits as one worker holds them; plain arithmetic, knows no store.

Invariant of a pot: what the worker has taken of the store and not given back is `available` + `in_use` + what it has
spent. Only `available` is spent from, and it is taken before: so all workers together never pass a limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from sizewise.limits.rules import MAX_COUNT, MONEY_UNITS, LimitKey, Unit, window_bounds
from sizewise.messages import ChatRequest, EmbeddingRequest

BYTES_PER_TOKEN = 4
"""Bytes of text in a token, on average. In the worst case every byte is one: no tokenizer makes more."""
TOKENS_PER_MESSAGE = 4
TOKENS_PER_MEDIA, MAX_TOKENS_PER_MEDIA = 800, 3_200
"""Tokens of a picture or sound: on average, and of nearly all at most."""


class LimitWindow:
    """One window of one limit, as this worker holds it. `allocated` and `spent` are the store's, as it was last
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
        self.leased = 0  # all that was taken, less what went back
        self.available = 0  # of that, what is neither held nor spent; below 0: owed
        self.unreported = 0  # spent since the store was last told
        self.reported = 0  # spent before
        self.allocated = 0
        self.spent = 0
        self.refreshed_at = 0.0
        self.exhausted = False  # something found no room since the store was last told
        self.recently_used = False  # was used since it was last looked at

    @property
    def in_use(self) -> int:
        """By attempts under way."""
        return self.leased - self.available - self.reported - self.unreported

    def add_lease(self, amount: int) -> None:
        """From the store; below 0: gives back."""
        self.leased += amount
        self.available += amount

    def mark_reported(self, spent: int) -> None:
        """To the store; below 0: it has not arrived."""
        self.reported += spent
        self.unreported -= spent

    @property
    def remaining(self) -> int:
        """What is left of the limit for new attempts of this worker, as far as it knows."""
        return max(0, self.limit - self.allocated + self.available)


class LimitCounter:
    """One limit; `window` is its window of the moment."""

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
    """The windows of all limits that hold for the same attempts or requests, by kind.

    What is spent is summed here, and told to each pot by `distribute`; until then its own sum of it counts as held.
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
        """`dirty`: whoever has something to share adds itself there."""
        self.money = tuple(each.window for each in counters if each.is_money)
        self.tokens = tuple(each.window for each in counters if each.is_token_rate)
        self.requests = tuple(each.window for each in counters if each.is_request_count)
        self._lowest_rate = min((pot.limit for pot in self.tokens), default=MAX_COUNT)
        self._dirty = dirty
        self._is_dirty = False
        self._cost = self._tokens = self._request_count = 0

    def try_take(self, money: int, tokens: int) -> bool:
        """Holds so much of each; False, and nothing is held, where one has too little.

        Tokens that are more than a whole minute wait for a whole one.
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
        """What an attempt has come to that held so much money and so many tokens. An unknown cost is what was held."""
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
        """Spends one of each at once; False, and nothing is spent, where one has none. For those that only count."""
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
        """Tells each what was spent of it, and that it was used."""
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
    """All that limit the same attempts or requests. Their `windows` last `ends_at`, in unix seconds."""

    __slots__ = ("_dirty", "all", "ends_at", "windows")

    def __init__(self, all: Sequence[LimitCounter], dirty: list[LimitWindows]) -> None:
        self.all = tuple(all)
        self._dirty = dirty
        self.renew()

    def renew(self) -> None:
        """Takes the windows of the moment."""
        self.windows = LimitWindows(self.all, self._dirty)
        self.ends_at = min((float(each.window.ends_at) for each in self.all), default=inf)


def measure_prompt(payload: ChatRequest | EmbeddingRequest) -> tuple[int, int]:
    """Tokens of the prompt: at most, and estimated. What pictures and files come to, nobody knows exactly."""
    if isinstance(payload, EmbeddingRequest):
        most = sum(len(each.encode()) if isinstance(each, str) else len(each) for each in payload.inputs)
        estimate = sum(
            len(each) // BYTES_PER_TOKEN + 1 if isinstance(each, str) else len(each) for each in payload.inputs
        )
        return most, estimate
    around, sees = TOKENS_PER_MESSAGE * len(payload.messages), False
    for message in payload.messages:
        if type(message.content) is list:
            sees = bool(payload.input_modalities())
            break
    if not sees:
        size = payload.prompt_chars()
        return size, size // BYTES_PER_TOKEN + around
    tools, media = payload.fields.get("tools"), 0
    size = 0 if tools is None else len(bytes(tools))
    for message in payload.messages:
        size += len(message.text.encode("utf-8", "surrogatepass"))
        if isinstance(message.content, list):
            media += sum(1 for part in message.content if part.type not in ("text", "refusal"))
    return size + around + MAX_TOKENS_PER_MEDIA * media, size // BYTES_PER_TOKEN + around + TOKENS_PER_MEDIA * media
