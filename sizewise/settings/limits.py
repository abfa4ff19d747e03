"""Settings of rate limits and budgets; counts nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sizewise.money import parse_micro_dollars
from sizewise.settings.toml_reader import setting
from sizewise.settings.validators import NAME, dollar_amount, model_name


def scope(text: str, within_organization: bool = False) -> str:
    """Of whom a limit is. `within_organization`: within one organization, which then has no name."""
    kind, colon, named = text.partition(":")
    if text == "organization" or (kind == "organization" and NAME.match(named) and not within_organization):
        return text
    fits = 0 < len(named) <= 200 and named.isprintable() and named == named.strip()
    if kind not in ("project", "user", "key", "model") or not colon or not fits:
        raise ValueError(f"{text[:100]!r} is no scope: say organization, project:NAME, user:ID, key:ID or model:NAME")
    return model_name(text[6:]) and text if kind == "model" else text


def budget(text: str) -> str:
    if parse_micro_dollars(dollar_amount(text)) > 1_000_000 * 1_000_000:
        raise ValueError(f"{text!r} is more than a million dollars")
    return text


@dataclass(frozen=True, slots=True)
class LimitsSettings:
    """What one scope may ask and spend: organization, project:NAME, user:ID, key:ID, or model:NAME of all together.

    The stricter of this and of what `sizewise budgets set` said holds. Minutes, days and months are those of UTC.
    """

    requests_per_minute: int | None = setting(None, "Requests a minute.", minimum=0, maximum=1_000_000_000_000)
    tokens_per_minute: int | None = setting(
        None,
        "Tokens a minute, read and said.",
        minimum=0,
        maximum=1_000_000_000_000,
    )
    usd_per_day: str | None = setting(None, "Dollars a day.", validator=budget)
    usd_per_month: str | None = setting(None, "Dollars a month.", validator=budget)

    @property
    def daily_limit(self) -> int | None:
        """Pico-dollars."""
        return None if self.usd_per_day is None else parse_micro_dollars(self.usd_per_day) * 1_000_000

    @property
    def monthly_limit(self) -> int | None:
        return None if self.usd_per_month is None else parse_micro_dollars(self.usd_per_month) * 1_000_000


@dataclass(frozen=True, slots=True)
class BudgetsSettings:
    """How money is counted against the limits that are set."""

    default_max_tokens: int = setting(
        4_096,
        "Tokens of an answer where the client did not say and somebody's money is limited: so many are reserved, and "
        "the model is told to stop there.",
        minimum=16,
        maximum=10_000_000,
    )
    unpriced: Literal["refuse", "allow"] = setting(
        "refuse",
        "A model of unknown price where somebody's money is limited: refused, or allowed and counted as free.",
    )
