"""How LiteLLM writes values: references to the environment, dollars per token, durations; opens no file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation

_REFERENCE = re.compile(r"os\.environ/([A-Za-z_][A-Za-z0-9_]*)|\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SECRET_NAME = re.compile(r"auth|key|token|secret|passw|cookie|credential", re.IGNORECASE)
_NO_KEY = re.compile(
    r"(sk-)?(empty|none|null|no|dummy|fake|not?[-_]?(key|needed|required|used)|no[-_]key[-_]\w+|lm-?studio)",
    re.IGNORECASE,
)
_DURATION = re.compile(r"(\d+)(s|m|h|d|w|mo)\Z")
MAX_NUMBER = 10**15
_DAYS: Mapping[str, Decimal] = {
    "s": Decimal(1) / 86_400,
    "m": Decimal(1) / 1_440,
    "h": Decimal(1) / 24,
    "d": Decimal(1),
    "w": Decimal(7),
    "mo": Decimal(30),
}


def reference(value: object) -> str:
    """`env:NAME` of `os.environ/NAME`, or of `${NAME}`, which a template engine fills in; empty if it is none."""
    found = _REFERENCE.fullmatch(value.strip()) if isinstance(value, str) else None
    return f"env:{found[1] or found[2]}" if found else ""


def names_secret(name: str) -> bool:
    """Whether a header or an option of this name may hold a secret, as `X-Api-Key` or `--token`."""
    return bool(_SECRET_NAME.search(name))


def secret_argument(args: Sequence[str]) -> bool:
    """Whether a program's arguments hold a secret: an option or a header of such a name with a plain value, or a URL
    with a password or a query.
    """
    for before, each in zip(["", *args], args, strict=False):
        option, _, value = each.partition("=") if each.startswith("-") else (before, "", each)
        is_named = option.startswith("-") and names_secret(option) and value and not value.startswith("-")
        title, colon, content = each.partition(":")
        is_header = bool(colon) and names_secret(title) and bool(content.strip()) and not content.startswith("//")
        if is_named or is_header or _address_has_more(each):
            return True
    return False


def _address_has_more(text: str) -> bool:
    """Whether an address in it has a password or a query."""
    rests = (rest.split(maxsplit=1)[:1] for rest in text.split("://")[1:] if rest[:1].strip())
    return any("?" in word or "@" in word.partition("/")[0] for (word,) in rests)


def stands_for_no_key(key: str) -> bool:
    """Whether it is a word such as `EMPTY` or `no-key`, which is there because LiteLLM wants some key."""
    return bool(_NO_KEY.fullmatch(key.strip()))


def fits(check: Callable[[str], str], text: str) -> bool:
    """Whether `check`, of a setting, accepts it."""
    try:
        check(text)
    except ValueError:
        return False
    return True


def looked_up(value: object, environ: Mapping[str, str]) -> str:
    """The text, or that of the variable which it names; empty if the variable is not set, or it is no text."""
    if found := reference(value):
        return environ.get(found.removeprefix("env:"), "").strip()
    return value.strip() if isinstance(value, str) else ""


def number(value: object) -> Decimal | None:
    """A number from 0 to MAX_NUMBER, also as text; None if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() and 0 <= found <= MAX_NUMBER else None


def whole(value: object) -> int | None:
    found = number(value)
    return int(found) if found is not None and found == int(found) else None


def dollars(amount: Decimal) -> str:
    """Without an exponent, as settings write it."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def per_million(value: object) -> str:
    """Dollars per million tokens of dollars per token; empty if it is no number."""
    found = number(value)
    return "" if found is None else dollars(found * 1_000_000)


def days(value: object) -> Decimal | None:
    """Of a duration such as `30d`, `1mo` or `24h`; None if it is none."""
    found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    return None if found is None else int(found[1]) * _DAYS[found[2]]


def slug(name: str) -> str:
    """A name for a provider or policy: letters, digits, `.`, `_` and `-`."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._") or "imported"
