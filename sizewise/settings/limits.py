"""Settings of rate limits and budgets; counts nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sizewise.money import parse_micro_dollars
from sizewise.settings.toml_reader import setting
from sizewise.settings.validators import NAME, dollar_amount, model_name


def scope(text: str, within_organization: bool = False) -> str:
    """What a limit applies to. `within_organization`: the organization is implied and takes no name."""
    kind, colon, named = text.partition(":")
    if text == "organization" or (kind == "organization" and NAME.match(named) and not within_organization):
        return text
    fits = 0 < len(named) <= 200 and named.isprintable() and named == named.strip()
    if kind not in ("project", "user", "key", "model") or not colon or not fits:
        raise ValueError(
            f"{text[:100]!r} is not a scope: use organization, project:NAME, user:ID, key:ID or model:NAME"
        )
    return model_name(text[6:]) and text if kind == "model" else text


def budget(text: str) -> str:
    if parse_micro_dollars(dollar_amount(text)) > 1_000_000 * 1_000_000:
        raise ValueError(f"{text!r} is more than a million dollars")
    return text


@dataclass(frozen=True, slots=True)
class LimitsSettings:
    """Rate limits and budgets of one scope: organization, project:NAME, user:ID, key:ID, or model:NAME for all callers
    together.

    The stricter of these and the limits set by `sizewise budgets set` applies. Minutes, days and months are in UTC.
    """

    requests_per_minute: int | None = setting(None, "Requests per minute.", minimum=0, maximum=1_000_000_000_000)
    tokens_per_minute: int | None = setting(
        None,
        "Tokens per minute, input and output.",
        minimum=0,
        maximum=1_000_000_000_000,
    )
    usd_per_day: str | None = setting(None, "Dollars per day.", validator=budget)
    usd_per_month: str | None = setting(None, "Dollars per month.", validator=budget)

    @property
    def daily_limit(self) -> int | None:
        """Pico-dollars."""
        return None if self.usd_per_day is None else parse_micro_dollars(self.usd_per_day) * 1_000_000

    @property
    def monthly_limit(self) -> int | None:
        return None if self.usd_per_month is None else parse_micro_dollars(self.usd_per_month) * 1_000_000


@dataclass(frozen=True, slots=True)
class BudgetsSettings:
    """How costs count against budgets."""

    default_max_tokens: int = setting(
        4_096,
        "Output tokens to reserve for a request without `max_tokens` that counts against a budget. The model stops "
        "there.",
        minimum=16,
        maximum=10_000_000,
    )
    unpriced: Literal["refuse", "allow"] = setting(
        "refuse",
        "For requests that count against a budget: refuse models without a known price, or allow them and count "
        "them as free.",
    )
