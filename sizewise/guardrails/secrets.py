"""Secrets guard: finds keys, tokens and passwords by issuer format, keyword and entropy.

Kinds: KEY (of a service, Sizewise included), TOKEN (JWT, session tokens of services), PRIVATE_KEY (PEM), PASSWORD (in a
URL, or after a keyword). Without a keyword, a secret needs its issuer's prefix and length, and a digit or a capital.
After a keyword, it must look random and be neither the name of a variable nor an example.

Sources: each issuer's documentation of its own tokens; the published rules of gitleaks and detect-secrets for the list
of issuers. Their test values were not used.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from math import log2

from msgspec import Struct

from sizewise.guardrails.base import Finding, Guard, GuardConfig, merge_overlaps
from sizewise.guardrails.long_words import long_words
from sizewise.guardrails.prefilter import PrefilteredGuard, PrefilterSigns

NAME = "secrets"


MIN_SECRET_CHARS = 14
"""Every issuer's secret has at least this many characters without a space; most prompts have few such words."""
MAX_USER_CHARS = 306
"""From the `://` of a URL to the `@` after its user and password: what the pattern takes at most, and more."""
MIN_TEXT_CHARS = 10
"""Shortest text that can hold a keyword and its secret."""


class SecretPattern(Struct, frozen=True):
    """Format of an issuer's secrets. Each contains one of `markers` literally, so that a text without any of them needs
    no regular expression. `is_long_word`: each has MIN_SECRET_CHARS or more and no space, so that the long words of a
    text show whether it has any.
    """

    kind: str
    markers: tuple[str, ...]
    pattern: re.Pattern[str]
    is_long_word: bool


def _pattern(kind: str, markers: str, pattern: str, is_long_word: bool = True) -> SecretPattern:
    return SecretPattern(kind, tuple(markers.split()), re.compile(pattern), is_long_word)


B, E = r"(?<![A-Za-z0-9_])", r"(?![A-Za-z0-9_])"
"""Begin and end of a token."""

SECRET_PATTERNS: tuple[SecretPattern, ...] = (
    # ---- model vendors, and Sizewise
    _pattern("KEY", "sk-", rf"{B}sk-(?:[a-z]+(?:[0-9]*-))*[A-Za-z0-9_\-]{{20,250}}"),
    _pattern("KEY", "sw-", rf"{B}sw-[A-Za-z0-9_\-]{{20,200}}"),
    _pattern("KEY", "AIza", rf"{B}AIza[A-Za-z0-9_\-]{{35}}(?![A-Za-z0-9_\-])"),
    _pattern("KEY", "gsk_ hf_ r8_ co_ fw_", rf"{B}(?:gsk|hf|r8|fw|co)_[A-Za-z0-9]{{20,80}}{E}"),
    _pattern("KEY", "xai- pplx- tgp_v1_", rf"{B}(?:xai-|pplx-|tgp_v1_)[A-Za-z0-9_\-]{{32,100}}"),
    # ---- clouds
    _pattern(
        "KEY",
        "AKIA ASIA ABIA ACCA A3T",
        r"(?<![A-Z0-9])(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Z0-9])",
    ),
    _pattern("KEY", "ya29.", rf"{B}ya29\.[A-Za-z0-9_\-]{{20,500}}"),
    _pattern("KEY", "GOCSPX-", rf"{B}GOCSPX-[A-Za-z0-9_\-]{{28}}"),
    _pattern("KEY", "AccountKey= SharedAccessKey=", r"(?:Account|SharedAccess)Key=([A-Za-z0-9+/]{40,100}={0,2})"),
    _pattern("KEY", "dop_v1_ doo_v1_ dor_v1_", rf"{B}do[opr]_v1_[a-f0-9]{{64}}{E}"),
    _pattern("KEY", "LTAI", rf"{B}LTAI[A-Za-z0-9]{{12,26}}{E}"),
    _pattern("KEY", "HRKU-", rf"{B}HRKU-[A-Za-z0-9_\-]{{30,80}}"),
    _pattern("KEY", "v1.0-", rf"{B}v1\.0-[a-f0-9]{{24}}-[a-f0-9]{{146}}"),
    # ---- code and packages
    _pattern("KEY", "ghp_ gho_ ghu_ ghs_ ghr_", rf"{B}gh[pousr]_[A-Za-z0-9]{{36,255}}{E}"),
    _pattern("KEY", "github_pat_", rf"{B}github_pat_[A-Za-z0-9_]{{22,255}}"),
    _pattern(
        "KEY",
        "glpat- gldt- glrt- GR1348941 glcbt- glptt- glsoat- glft- glimt- glagent-",
        rf"{B}(?:gl(?:pat|dt|rt|ptt|soat|ft|imt|agent)-|GR1348941|glcbt-[0-9a-fA-F]{{1,5}}_)[A-Za-z0-9_\-]{{20,64}}",
    ),
    _pattern("KEY", "npm_", rf"{B}npm_[A-Za-z0-9]{{36}}{E}"),
    _pattern("KEY", "_authToken", r"_authToken\s?=\s?([A-Za-z0-9\-_]{20,100})", is_long_word=False),
    _pattern("KEY", "pypi-AgE", r"pypi-AgE[A-Za-z0-9_\-]{50,500}"),
    _pattern("KEY", "rubygems_", rf"{B}rubygems_[a-f0-9]{{48}}{E}"),
    _pattern("KEY", "dckr_pat_", rf"{B}dckr_pat_[A-Za-z0-9_\-]{{20,60}}"),
    _pattern(
        "KEY",
        "AKCp AP",
        rf"A(?<![A-Za-z0-9+/]A)(?:KC[A-Za-z0-9]{{10,200}}|P[\dABCDEF][A-Za-z0-9]{{8,200}}){E}",
        is_long_word=False,
    ),
    _pattern("KEY", "lin_api_ ATATT3 ATCTT3 ATBB", rf"{B}(?:lin_api_|ATATT3|ATCTT3|ATBB)[A-Za-z0-9_\-=]{{24,250}}"),
    # ---- chat, mail, payments
    _pattern("TOKEN", "xox", r"xox[aboeprs]-(?:[A-Za-z0-9]{1,60}-){0,6}[A-Za-z0-9]{1,80}", is_long_word=False),
    _pattern("TOKEN", "xapp-", r"xapp-[0-9]-[A-Z0-9]{5,20}-[0-9]{5,20}-[a-f0-9]{30,80}"),
    _pattern("KEY", "hooks.slack.com", r"hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9_/]{20,100}"),
    _pattern("KEY", "discord", r"discord(?:app)?\.com/api/webhooks/[0-9]{15,25}/[A-Za-z0-9_\-]{50,90}"),
    _pattern(
        "TOKEN",
        "M N O",
        r"(?<![A-Za-z0-9_\-.])[MNO][A-Za-z0-9_\-]{23,25}\.[A-Za-z0-9_\-]{6}\.[A-Za-z0-9_\-]{27,38}",
    ),
    _pattern("TOKEN", ":A", r"(?<![0-9])[0-9]{5,16}:A[A-Za-z0-9_\-]{34}(?![A-Za-z0-9_\-])"),
    _pattern("KEY", "_live_ _test_ _prod_", rf"{B}(?:sk|rk|pk|whsec)_(?:live|test|prod)_[A-Za-z0-9]{{10,250}}{E}"),
    _pattern("KEY", "whsec_", rf"{B}whsec_[A-Za-z0-9+/=]{{24,80}}"),
    _pattern("KEY", "sq0 EAAA", rf"{B}(?:sq0[a-z]{{3}}-[A-Za-z0-9_\-]{{22,43}}|EAAA[A-Za-z0-9_\-]{{56,80}})"),
    _pattern("KEY", "access_token$production$", r"access_token\$production\$[a-z0-9]{16}\$[a-f0-9]{32}"),
    _pattern("KEY", "shpat_ shpca_ shppa_ shpss_", rf"{B}shp(?:at|ca|pa|ss)_[a-fA-F0-9]{{32}}{E}"),
    _pattern("KEY", "SG.", r"(?<![A-Za-z0-9_.\-])SG\.[A-Za-z0-9_\-]{16,24}\.[A-Za-z0-9_\-]{39,50}"),
    _pattern("KEY", "-us xkeysib- key- re_", r"(?<![A-Za-z0-9])[0-9a-f]{32}-us[0-9]{1,2}(?![0-9])"),
    _pattern("KEY", "xkeysib-", r"xkeysib-[a-f0-9]{64}-[A-Za-z0-9]{16}"),
    _pattern("KEY", "AC SK", r"(?<![A-Za-z0-9])(?:AC|SK)[a-f0-9]{32}(?![A-Za-z0-9])"),
    _pattern("KEY", "NRAK- NRII- NRJS- phc_ phx_ sntrys_ sntryu_", rf"{B}(?:NRAK|NRII|NRJS)-[A-Za-z0-9]{{19,40}}{E}"),
    _pattern("KEY", "phc_ phx_ sntrys_ sntryu_", rf"{B}(?:ph[cx]_|sntry[su]_)[A-Za-z0-9_+/=]{{30,250}}"),
    _pattern("KEY", "hvs. hvb. hvr.", rf"{B}hv[sbr]\.[A-Za-z0-9_\-]{{24,250}}"),
    _pattern("KEY", "dapi", rf"{B}dapi[a-f0-9]{{32}}(?:-[0-9])?{E}"),
    _pattern("KEY", "dp.pt. dp.st. pul- PMAK- secret_ ntn_", rf"{B}(?:dp\.[ps]t\.|pul-|PMAK-)[A-Za-z0-9.\-]{{40,100}}"),
    _pattern("KEY", "secret_ ntn_", rf"{B}(?:secret|ntn)_[A-Za-z0-9]{{40,60}}{E}"),
    _pattern("KEY", "EAACEdEose0cBA EAA", rf"{B}EAA[A-Za-z0-9]{{80,250}}{E}"),
    _pattern("KEY", "AGE-SECRET-KEY-", r"AGE-SECRET-KEY-1[A-Z0-9]{58}"),
    # ---- others with a prefix
    _pattern("KEY", "ops_eyJ", r"ops_eyJ[A-Za-z0-9+/=]{200,4000}"),
    _pattern(
        "KEY",
        "A3-",
        rf"{B}A3-[A-Z0-9]{{6}}-(?:[A-Z0-9]{{11}}|[A-Z0-9]{{6}}-[A-Z0-9]{{5}})(?:-[A-Z0-9]{{5}}){{3}}{E}",
    ),
    _pattern(
        "KEY",
        "p8e- dnkey- ico- fio-u- s-s4t2",
        rf"{B}(?:p8e-|dnkey-|ico-|fio-u-|s-s4t2(?:ud|af)-)[A-Za-z0-9\-]{{32,120}}",
    ),
    _pattern("KEY", "pat", rf"{B}pat(?:[A-Za-z0-9]{{14}}\.[a-f0-9]{{64}}|(?:\.[A-Za-z0-9_\-]{{20,24}}){{3}}){E}"),
    _pattern("KEY", "ABSK -api-key- cmVmd", rf"{B}(?:ABSK|[a-z]{{3,16}}-api-key-|cmVmd)[A-Za-z0-9+/=]{{28,300}}"),
    _pattern("KEY", "Q~", r"(?<![A-Za-z0-9_~.\-])[A-Za-z0-9_~.]{3}\dQ~[A-Za-z0-9_~.\-]{31,34}"),
    _pattern(
        "KEY",
        "CLOJARS_ duffel_ dt0c01.",
        rf"{B}(?:CLOJARS_|duffel_(?:test|live)_|dt0[a-z]\d\d\.)[A-Za-z0-9_.\-=]{{40,100}}",
    ),
    _pattern(
        "KEY",
        "EZAK EZTK FLWSECK FLWPUBK",
        rf"{B}(?:EZ[AT]K[A-Za-z0-9]{{54}}|FLW(?:SEC|PUB)K_(?:TEST|LIVE)-[A-Za-z0-9\-]{{12,34}})",
    ),
    _pattern("KEY", "fo1_ fm1 fm2_", rf"{B}(?:fo1_|fm1[ar]_|fm2_)[A-Za-z0-9_\-+/=]{{43,500}}"),
    _pattern(
        "KEY",
        "sc_ ext_",
        rf"{B}(?:sc|ext|scauth|authress)_[a-z0-9]{{5,30}}\.[a-z0-9]{{4,6}}\.acc[_\-][a-z0-9\-]{{10,32}}\.[A-Za-z0-9+/_=\-]{{30,120}}",
    ),
    _pattern(
        "KEY",
        "glffct- gloas- _gitlab_session=",
        rf"{B}(?:glffct-|gloas-|_gitlab_session=)[A-Za-z0-9_\-]{{20,70}}",
    ),
    _pattern("KEY", "glc_ glsa_", rf"{B}gl(?:c|sa)_[A-Za-z0-9+/_=]{{32,400}}"),
    _pattern("KEY", "atlasv1.", r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9\-_=]{60,70}"),
    _pattern("KEY", "api_org_", rf"{B}api_org_[A-Za-z]{{34}}{E}"),
    _pattern("TOKEN", "eyJrIjoi ZXlK", r"(?<![A-Za-z0-9])(?:eyJrIjoi|ZXlK)[A-Za-z0-9+/_\-]{40,4000}={0,3}"),
    _pattern("KEY", "key-", rf"{B}(?:pub)?key-[a-f0-9]{{32}}{E}"),
    _pattern(
        "KEY",
        "pscale_ pnu_ rdme_ tk-us- tfp_ sgp_",
        rf"{B}(?:pscale_(?:tkn|oauth|pw)_|pnu_|rdme_|tk-us-|tfp_|sgp_)[A-Za-z0-9=._\-]{{32,90}}",
    ),
    _pattern("KEY", "sm_ shippo_", rf"{B}(?:sm_[aps]at_[A-Za-z0-9]{{16}}|shippo_(?:live|test)_[a-fA-F0-9]{{40}}){E}"),
    _pattern(
        "KEY",
        "pk. sk. _mmk API- sha256~",
        rf"{B}(?:[ps]k\.[A-Za-z0-9]{{60,90}}\.[A-Za-z0-9_\-]{{22}}|[A-Za-z0-9]{{6}}_[A-Za-z0-9]{{29}}_mmk|API-[A-Z0-9]{{26}}|sha256~[A-Za-z0-9_\-]{{43}}){E}",
    ),
    _pattern(
        "KEY",
        "webhook.office.com",
        r"webhook\.office\.com/webhookb2/[A-Za-z0-9@\-]{60,90}/IncomingWebhook/[A-Za-z0-9/\-]{30,100}",
    ),
    _pattern(
        "KEY",
        "access-",
        rf"{B}access-(?:sandbox|development|production)-[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}{E}",
    ),
    # ---- of no particular issuer
    _pattern(
        "TOKEN",
        "eyJ",
        r"(?<![A-Za-z0-9_\-])eyJ[A-Za-z0-9_\-=]{8,4000}\.[A-Za-z0-9_\-=]{2,8000}"
        r"\.?[A-Za-z0-9_\-.+/=]{0,2000}",
    ),
    _pattern(
        "PASSWORD",
        "://",
        r"[A-Za-z][A-Za-z0-9+.\-]{1,20}://[^\s:/@?#\"'<>]{0,100}:([^\s/@?#\"'<>]{1,200})@[^\s@\"'<>]",
        is_long_word=False,
    ),
)

MARKERS = tuple((mark, form) for form in SECRET_PATTERNS for mark in form.markers)
KEYWORDS = re.compile("[0-9A-Z]|://")
"""Every issuer's secret contains this: none is lower-case letters alone, and a password in a URL follows a scheme."""

PEM = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
BEGUN, PEM_END = "-----", "-----END "

KEYWORD_SECRET = re.compile(
    r"(?:word|wd|phrase|code|orization)?s?(?:[_\- ]?id)?[\"'\])]{0,3}\s{0,5}(?:=>|:=|==?|:|\bis\b|\bwas\b)\s{0,5}"
    r"(?:\"|'|`|[bru]['\"])?(?:(?:bearer|basic|token) )?([^\s\"'`,;<>(){}\[\]]{6,500})",
    re.IGNORECASE,
)
"""The rest of a keyword, an assignment, and the secret as group 1. Matched right after a word of KEYWORD."""

BEARER = re.compile(r" {1,3}([A-Za-z0-9_\-.+/=]{20,500})")

KEYWORD: Sequence[tuple[str, re.Pattern[str], str]] = (
    *((word, KEYWORD_SECRET, "PASSWORD") for word in ("pass", "pwd", "secret", "token", "key", "credential", "auth")),
    ("bearer", BEARER, "TOKEN"),
)
"""Keyword or its prefix, the pattern right after it, and the kind. The first five letters are searched first: Python
finds five letters in a long text three times as fast as six."""

ODD = "?!#$%&*+=@\\^|~"
"""ASCII characters that occur in passwords and not in words."""
SECRETIVE = f"1{ODD}023456789"
"""A secret after a keyword contains one of these or a non-ASCII character."""

EXAMPLE = re.compile(
    r"example|placeholder|your[_\-]?|xxx|\*\*\*|\.\.\.|changeme|change_me|dummy|redacted|todo|none\b|null\b|true\b"
    r"|false\b|undefined|<|\$\{|\{\{"
    r"|process\.|os\.|env\.|self\.|this\.|config\.|settings\.|args\.|get_|\bstring\b|password|passwd|secret|token|api_?key",
    re.IGNORECASE,
)
"""Examples, placeholders and code that are not secrets."""


PREFILTER_SIGNS = PrefilterSigns(
    SECRETIVE,
    non_ascii=True,
    substrings=(BEGUN,),
    long_word_bytes=MIN_SECRET_CHARS,
    long_word_substrings=("://",),
)
"""Digits are in SECRETIVE; without one, a long word counts if it has a capital or a `://`."""


def secrets_guard(config: GuardConfig) -> Guard:
    """Ignores the settings."""
    return PrefilteredGuard(find_secrets, PREFILTER_SIGNS)


def find_secrets(text: str) -> list[Finding]:
    if len(text) < MIN_TEXT_CHARS:
        return []
    found: list[Finding] = []
    long = long_words(text, MIN_SECRET_CHARS)
    if long and KEYWORDS.search(long):
        for form in dict.fromkeys([form for mark, form in MARKERS if mark in long]):
            if form.pattern.search(long) if form.is_long_word else form.kind != "PASSWORD" or _names_user(text):
                found += _matches(form, text)
    if BEGUN in text:
        found += _keys(text)
    if text.isascii():
        for sign in SECRETIVE:
            if sign in text:
                break
        else:
            return merge_overlaps(found) if found else found
    low = text.lower()
    if len(low) != len(text):  # a few characters become two in lower case
        low = "".join(c.lower() if c.isascii() else c for c in text)
    for word, behind, kind in KEYWORD:
        if word[:5] in low:
            found += _said(text, low, word, behind, kind)
    return merge_overlaps(found) if found else found


def _matches(pattern: SecretPattern, text: str) -> Iterator[Finding]:
    group = pattern.pattern.groups
    for match in pattern.pattern.finditer(text):
        said = match.group(group)
        if (group or KEYWORDS.search(said)) and _random(said) and not (group and EXAMPLE.search(said)):
            yield Finding(NAME, pattern.kind, match.start(group), match.end(group))


def _names_user(text: str) -> bool:
    """Whether an `@` follows a `://` as near as in a URL with a password; its pattern takes 35 us a KB."""
    place = text.find("://")
    while place >= 0:
        if text.find("@", place, place + MAX_USER_CHARS) >= 0:
            return True
        place = text.find("://", place + 3)
    return False


def _keys(text: str) -> Iterator[Finding]:
    """PEM private keys, to their end line or the end of the text."""
    place = 0
    while (begin := PEM.search(text, place)) is not None:
        stop = text.find(PEM_END, begin.end())
        line = text.find("\n", stop) if stop >= 0 else -1
        place = line if line >= 0 else len(text)
        yield Finding(NAME, "PRIVATE_KEY", begin.start(), place)


def _said(text: str, low: str, word: str, behind: re.Pattern[str], kind: str) -> Iterator[Finding]:
    place = low.find(word)
    while place >= 0:
        match = behind.match(text, place + len(word))
        if match is not None:
            said = match.group(1).rstrip(".")
            if _secretive(said):
                yield Finding(guard=NAME, kind=kind, start=match.start(1), end=match.start(1) + len(said), score=0.8)
        place = low.find(word, place + len(word))


def _random(said: str) -> bool:
    """False for a few characters repeated over and over, as in examples."""
    return len(set(said)) >= min(6, max(3, len(said) // 3)) or "://" in said


def _secretive(said: str) -> bool:
    """Whether this is a password or key rather than a word, a name or an example."""
    if EXAMPLE.search(said) or "://" in said:
        return False
    letters, digits = any(c.isalpha() for c in said), any(c.isdigit() for c in said)
    odd = any(c in ODD or not (c.isascii() or c.isalnum()) for c in said)
    if len(said) < 8:
        return letters and digits and odd
    if entropy(said) < 2.8:
        return False
    mixed = any(c.isupper() for c in said[1:]) and any(c.islower() for c in said)
    return (letters and digits and (mixed or len(said) >= 16 or odd)) or (odd and mixed) or _long(said, digits)


def _long(said: str, digits: bool) -> bool:
    return len(said) >= 20 and digits and entropy(said) >= 3.0


def entropy(text: str) -> float:
    """Shannon entropy in bits per character."""
    size = len(text)
    return -sum(count / size * log2(count / size) for count in Counter(text).values())
