"""What can be set: one frozen dataclass a room, each default beside the line that explains it; knows no environment.

docs/reference/settings.md and the JSON Schema are made from this page.
"""
# ruff: noqa: RUF009 - `setting` makes a field, it is not a default computed once by mistake

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from types import MappingProxyType
from typing import Literal
from urllib.parse import urlsplit

from sizewise.cards import SIZES, Task
from sizewise.cards import Sizes as Bounds
from sizewise.egress import CLASSES, DataClass, Place
from sizewise.errors import nearest
from sizewise.money import Price, per_million
from sizewise.table import rest, setting

NAME = re.compile(r"[a-z0-9][a-z0-9._-]*\Z", re.IGNORECASE)
Modality = Literal["image", "audio", "file"]
Online = Literal["allow", "deny"]
Whose = Literal["tools", "people", "embedded"]


def reference(text: str) -> str:
    """`text` when it is an env: or file: reference; the ValueError never repeats it, for it may be the key itself."""
    kind, _, rest = text.partition(":")
    if kind not in ("env", "file") or not rest.strip():
        raise ValueError('a key is given by reference, as "env:MY_API_KEY" or "file:/path/of/key", never written here')
    return text


def kms(text: str) -> str:
    if text and not re.match(r"[a-z][a-z0-9_-]*:.", text):
        raise ValueError("a key service is named as 'command:/path/of/program'")
    return text


def is_reference(text: str) -> bool:
    return text.startswith(("env:", "file:"))


def name(text: str) -> str:
    if not NAME.match(text):
        raise ValueError("a name is made of letters, digits, '.', '_' and '-'")
    return text


def model_name(text: str) -> str:
    provider, _, model = text.partition("/")
    if not NAME.match(provider) or not model.strip():
        raise ValueError(f"{text!r} is not of the form <provider>/<model>")
    return text


def data_class(text: str) -> str:
    if text not in CLASSES:
        raise ValueError(f"there is no data class {text!r}; known: {', '.join(CLASSES)}")
    return text


def optional_model(text: str) -> str:
    return model_name(text) if text else ""


def url(text: str) -> str:
    """An http(s) URL with a host and without password, query and fragment, tidied of its last slash."""
    try:
        parts = urlsplit(text)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none, or a broken IPv6 host
        fits = False
    if not fits or re.search(r"[\s\x00-\x1f]", text):
        raise ValueError("is not a URL like 'https://host/v1'")
    if parts.username or parts.password:
        raise ValueError('a URL holds no password here; give it as key = "env:NAME"')
    if parts.query or parts.fragment:
        raise ValueError("a base URL ends before '?' and '#'")
    return text.rstrip("/")


def header(text: str) -> str:
    if not text.isprintable():
        raise ValueError("a header's value is one printable line")
    return text


def auth(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", text):
        raise ValueError(f"{text!r} is neither 'bearer' nor the name of a header")
    return text


def part(text: str) -> str:
    """What is put into a URL must not reach beyond its place there."""
    if not NAME.match(text):
        raise ValueError(f"{text!r} does not fit into a URL: letters, digits, '.', '_' and '-' do")
    return text


def amount(text: str) -> str:
    per_million(text)
    return text


def dollars(text: str) -> str:
    try:
        return amount(text)
    except ValueError:
        raise ValueError(f"{text!r} is not an amount in dollars with at most six decimals") from None


def network(text: str) -> str:
    try:
        ip_network(text)
    except ValueError:
        raise ValueError(f"{text!r} is no network; write it as 10.0.0.0/8 or 2001:db8::/32") from None
    return text


def place_on_site(text: str) -> str:
    if not re.fullmatch(r"/[A-Za-z0-9._~/-]*", text) or text.startswith("//"):
        raise ValueError(f"{text!r} is no path of this server, such as /")
    return text


@dataclass(frozen=True, slots=True)
class Tls:
    """The certificate with which it listens; without one it speaks plain HTTP. Files are meant from this one's folder.

    They are read anew with the settings, and no connection is dropped for that.
    """

    cert: str = setting("", "File of the certificate in PEM, those between it and its authority behind it.")
    key: str = setting("", "File of its key, without a password, readable by its owner alone.", hidden=True)
    client_ca: str = setting("", "File of authorities: a client must show a certificate of theirs. Empty: none.")
    min_version: Literal["1.2", "1.3"] = setting("1.2", "The oldest TLS that is spoken.")


@dataclass(frozen=True, slots=True)
class Server:
    """Where Sizewise listens, and what it takes in."""

    host: str = setting("127.0.0.1", "Address to listen on. Beyond this machine it is refused while there is no key.")
    port: int = setting(8080, "Port to listen on; 0 lets the system choose.", least=0, most=65_535)
    hosts: tuple[str, ...] = setting((), "Further host names under which it may be addressed (against DNS rebinding).")
    proxies: tuple[str, ...] = setting(
        (),
        "Networks in CIDR of reverse proxies in front of it, whose X-Forwarded-For and X-Forwarded-Proto are believed.",
        check=network,
    )
    embedded: bool = setting(True, "Offer the embedded models, in worker processes of this machine.")
    discover: bool = setting(True, "Look for other model servers on this machine at start.")
    fast_lane: bool = setting(True, "Answer the hot route inside the server's protocol class.")
    tls: Tls = setting(Tls(), "The certificate with which it listens.")
    drain_s: float = setting(30.0, "Seconds that running answers may take after SIGTERM.", least=0, most=3_600)
    body_bytes: int = setting(8_388_608, "Largest request body, in bytes.", least=1_024, most=1_073_741_824)
    body_s: float = setting(
        60.0,
        "Seconds that a request's body may take to come, and that a client may take nothing of its answer.",
        least=0.05,
        most=86_400,
    )


@dataclass(frozen=True, slots=True)
class Router:
    """What `auto`, `small` and `large` mean."""

    policy: str = setting("default", "The policy behind `auto`: a name under [policies].")
    small: str = setting("", "The model called `small`; empty: the smallest there is.", check=optional_model)
    large: str = setting("", "The model called `large`; empty: the best there is.", check=optional_model)
    learned: str = setting("", "The file that `sizewise router train -o` wrote, seen from this one; empty: none.")
    data_class: DataClass = setting("internal", "The class of a request that does not say; a request can only tighten.")
    total_s: float = setting(
        600.0, "Seconds for a whole request, all its attempts and pauses together.", least=0.001, most=86_400
    )
    session_s: float = setting(
        3_600.0, "Seconds of silence after which a session is forgotten; 0: none is minded.", least=0, most=604_800
    )
    switch_cost_usd: str = setting(
        "0", "Dollars that losing a session's reasoning and tool history to a switch of models costs.", check=dollars
    )

    @property
    def switch_cost(self) -> int:
        """The same in pico-dollars."""
        return per_million(self.switch_cost_usd) * 1_000_000  # it reads dollars as micro-dollars, exactly


@dataclass(frozen=True, slots=True)
class Reach:
    """The furthest place that each data class may go to."""

    public: Place = setting("anyone", "How far public data may go.")
    internal: Place = setting("anyone", "How far internal data may go.")
    confidential: Place = setting("machine", "How far confidential data may go.")


@dataclass(frozen=True, slots=True)
class Case:
    """One request and what must come of it; models are names or `<provider>/*`."""

    name: str = setting("", "What it shows, in a few words.")
    prompt: str = setting("Hello", "What is asked.")
    model: str = setting("", "What `model` says; empty: this policy.")
    project: str = setting("default", "The project of its key.")
    data_class: DataClass | None = setting(None, "The class that the request says.")
    key_class: DataClass | None = setting(None, "The class that its key says.")
    online: Online = setting("allow", "What the request says of going online.")
    may: tuple[str, ...] = setting((), "Every model that may be asked, on any path, is one of these.")
    never: tuple[str, ...] = setting((), "None of these may be asked, on any path.")
    first: str = setting("", "The model that is asked first.")
    expect_class: DataClass | None = setting(None, "The class that the data has in the end.")
    refused: str = setting("", "The code of the error that must come.")


Action = Literal["off", "flag", "mask", "local", "block"]
GUARDS = ("pii", "secrets", "injection", "topics", "leakage")
"""Ours; others are named in [guards.others]."""
KNOWN = f"Known: {', '.join(GUARDS)}."


def guard(text: str) -> str:
    if text not in GUARDS and not text.startswith("others."):
        raise ValueError(
            f"there is no guard named {text!r}. {nearest(text, GUARDS) or KNOWN}"
            " One of your own is written as others.NAME."
        )
    return text


def tool(text: str) -> str:
    if not text.strip() or "*" in text[:-1]:
        raise ValueError(f"{text[:100]!r} is neither the name of a tool nor the beginning of names with a * behind it")
    return text


@dataclass(frozen=True, slots=True)
class Topic:
    """What nobody shall talk about: a text with one of `deny` in it, and none of `allow`."""

    deny: tuple[str, ...] = setting((), "Words and phrases of the topic; case and accents do not matter.")
    allow: tuple[str, ...] = setting((), "Words and phrases beside which it is not this topic after all.")


@dataclass(frozen=True, slots=True)
class Guards:
    """What is looked for in requests and replies, and what is done about it.

    off: nothing is looked for. flag: it is noted. mask: models beyond `unmasked` see a placeholder, and the client sees
    the value again. local: the request stays on this machine. block: it is refused.
    """

    pii: Action = setting("mask", "Personal data by its form: e-mail, telephone, cards, national numbers and more.")
    secrets: Action = setting("mask", "Keys, tokens and passwords.")
    injection: Literal["off", "flag", "local", "block"] = setting("flag", "Instructions that are slipped in.")
    injection_in: tuple[Whose, ...] = setting(
        ("tools",),
        "Whose words it looks through, at 0.6 us a word: what `tools` brought, `people` say, is `embedded`.",
    )
    topics: Action = setting("off", "What [guards.about.NAME] lists.")
    leakage: Literal["off", "flag", "mask", "block"] = setting(
        "flag", "In replies: the system prompt, canaries, and secrets and personal data that nobody had asked with."
    )
    others: Mapping[str, Action] = setting(
        MappingProxyType({}), "Guards of your own or of an extra, by their name among the kind `guards`.", keys=name
    )
    unmasked: Place = setting("machine", "The furthest place that sees what is masked beyond it.")
    detected: Mapping[str, DataClass] = setting(
        MappingProxyType({}),
        "The class of data of a request in which a guard finds something; it only tightens.",
        keys=guard,
    )
    canaries: tuple[str, ...] = setting((), "Texts of your prompts that no reply may repeat.", hidden=True)
    tools: tuple[str, ...] = setting(
        (),
        "Tools that may be offered and called, by name or as the beginning of names and a *; empty: all.",
        check=tool,
    )
    mark: bool = setting(
        False, "Tell models what tools have brought from what they were told. It changes prompts, and so their caches."
    )
    datamark: bool = setting(False, "Where `mark` is on: also set a sign between all words of what tools have brought.")
    canary: bool = setting(False, "Put a canary of its own behind each system prompt, for `leakage` to look for.")
    about: Mapping[str, Topic] = setting(MappingProxyType({}), "", keys=name)


@dataclass(frozen=True, slots=True)
class Policy:
    """A named way of choosing. The kind checks its own options when the house is built."""

    kind: str = setting("cascade", "The kind of policy.")
    online: Online = setting("allow", "Whether its requests may leave this machine: `allow` or `deny`.")
    reach: Mapping[DataClass, Place] = setting(
        MappingProxyType({}), "Nearer than [reach]: the furthest place for a class of data here.", keys=data_class
    )
    guards: Mapping[str, Action] = setting(
        MappingProxyType({}), "What it does about findings of a guard, in place of [guards].", keys=guard
    )
    tools: tuple[str, ...] = setting(
        (), "Tools that its requests may offer, in place of those of [guards]; empty: those.", check=tool
    )
    mark: bool | None = setting(None, "As in [guards], for its requests.")
    datamark: bool | None = setting(None, "As in [guards], for its requests.")
    canary: bool | None = setting(None, "As in [guards], for its requests.")
    tests: tuple[Case, ...] = setting((), "What `sizewise policy test` checks.")
    options: Mapping[str, object] = rest("The kind's own options.")


@dataclass(frozen=True, slots=True)
class Project:
    """What holds for every request of one project; a request and its key can only tighten it."""

    data_class: DataClass | None = setting(None, "The loosest class that its data has.")
    online: Online = setting("allow", "Whether its requests may leave this machine: `allow` or `deny`.")


def scope(text: str, own: bool = False) -> str:
    """Of whom a limit is. `own`: within one organisation, which then has no name."""
    kind, colon, named = text.partition(":")
    if text == "organisation" or (kind == "organisation" and NAME.match(named) and not own):
        return text
    fits = 0 < len(named) <= 200 and named.isprintable() and named == named.strip()
    if kind not in ("project", "user", "key", "model") or not colon or not fits:
        raise ValueError(f"{text[:100]!r} is no scope: say organisation, project:NAME, user:ID, key:ID or model:NAME")
    return model_name(text[6:]) and text if kind == "model" else text


def budget(text: str) -> str:
    if per_million(dollars(text)) > 1_000_000 * 1_000_000:
        raise ValueError(f"{text!r} is more than a million dollars")
    return text


@dataclass(frozen=True, slots=True)
class Limits:
    """What one scope may ask and spend: organisation, project:NAME, user:ID, key:ID, or model:NAME of all together.

    The stricter of this and of what `sizewise budgets set` said holds. Minutes, days and months are those of UTC.
    """

    requests_minute: int | None = setting(None, "Requests a minute.", least=0, most=1_000_000_000_000)
    tokens_minute: int | None = setting(None, "Tokens a minute, read and said.", least=0, most=1_000_000_000_000)
    usd_day: str | None = setting(None, "Dollars a day.", check=budget)
    usd_month: str | None = setting(None, "Dollars a month.", check=budget)

    @property
    def day(self) -> int | None:
        """Pico-dollars."""
        return None if self.usd_day is None else per_million(self.usd_day) * 1_000_000

    @property
    def month(self) -> int | None:
        return None if self.usd_month is None else per_million(self.usd_month) * 1_000_000


@dataclass(frozen=True, slots=True)
class Budgets:
    """How money is counted against the limits that are set."""

    answer_tokens: int = setting(
        4_096,
        "Tokens of an answer where the client did not say and somebody's money is limited: so many are reserved, and "
        "the model is told to stop there.",
        least=16,
        most=10_000_000,
    )
    unpriced: Literal["refuse", "allow"] = setting(
        "refuse", "A model of unknown price where somebody's money is limited: refused, or allowed and counted as free."
    )


@dataclass(frozen=True, slots=True)
class Store:
    """Where records, keys, limits and all else that must be kept lies."""

    url: str = setting(
        "",
        "By reference, `env:NAME` or `file:PATH`: a Postgres for several servers together, as "
        "`postgresql+psycopg://user@host/name`. Empty: a file in the home. Read at the start.",
        check=reference,
        hidden=True,
    )


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Deadlines of one attempt, in seconds."""

    connect_s: float = setting(5.0, "Seconds until connected, TLS included.", least=0.001, most=3_600)
    first_s: float = setting(
        120.0, "Seconds from the request to the first byte of the answer.", least=0.001, most=3_600
    )
    idle_s: float = setting(60.0, "Seconds of silence within an answer.", least=0.001, most=3_600)
    total_s: float = setting(600.0, "Seconds for the whole attempt.", least=0.001, most=86_400)


@dataclass(frozen=True, slots=True)
class Replica:
    """One more way to a provider's models, at the same place. What is left out here is as the provider says it.

    Where there are replicas, they are all the ways there are. A key goes to no address but the one it stands beside.
    """

    base_url: str = setting("", "Its own address; empty: the provider's, with the provider's key.", check=url)
    key: str = setting("", "Its own key by reference: `env:NAME` or `file:PATH`.", check=reference, hidden=True)
    weight: int = setting(1, "Its share of the requests, beside those of the others.", least=1, most=1_000)


@dataclass(frozen=True, slots=True)
class Provider:
    """An endpoint that speaks a known wire, and its models. What a named endpoint knows need not be said."""

    endpoint: str = setting("", "A [known endpoint](endpoints.md): it fills in what is left out here.")
    account: str = setting("", "Fills {account} in the known endpoint's URL.", check=part)
    region: str = setting("", "Fills {region} in it.", check=part)
    resource: str = setting("", "Fills {resource} in it.", check=part)
    base_url: str = setting("", "Where it answers, as 'https://host/v1'. Only the echo wire needs none.", check=url)
    wire: str = setting("openai", "How it is spoken to.")
    key: str = setting("", "Its key by reference: `env:NAME` or `file:PATH`.", check=reference, hidden=True)
    auth: str = setting(
        "", "How the key is sent: `bearer`, or the name of a header for it; empty: as the wire does.", check=auth
    )
    place: Place = setting("anyone", "Where it runs. Declared by you, never guessed from the address.")
    headers: Mapping[str, str] = setting(
        MappingProxyType({}), "Further headers; a value may be a reference.", check=header, hidden=True
    )
    rename: Mapping[str, str] = setting(
        MappingProxyType({}), "Fields of a request that it knows by another name; ours to its."
    )
    leave_out: tuple[str, ...] = setting((), "Fields of a request that it would refuse.")
    bills: bool = setting(False, "Believe the dollars that it says it charged, for models whose price is unknown.")
    models: tuple[str, ...] = setting((), "Its models, under its own names for them.")
    replicas: tuple[Replica, ...] = setting((), "Several keys or addresses for the same models.")
    timeouts: Timeouts = setting(Timeouts(), "Deadlines of one attempt.")
    pool: int = setting(512, "Connections at the same time.", least=1, most=65_535)


@dataclass(frozen=True, slots=True)
class Rates:
    """A price in dollars per million tokens, as exact texts. A class left out is unknown, or as vendors bill."""

    input: str | None = setting(None, "Prompt tokens.", check=amount)
    output: str | None = setting(None, "Answer tokens.", check=amount)
    cached: str | None = setting(None, "Prompt tokens read from the cache; else as input.", check=amount)
    cache_write: str | None = setting(None, "Prompt tokens written to the cache; else as input.", check=amount)
    cache_write_1h: str | None = setting(None, "Those of them that are kept for an hour; else unknown.", check=amount)
    reasoning: str | None = setting(None, "Reasoning tokens; else as output.", check=amount)
    source: str = setting("sizewise.toml", "Where the price was read.")
    date: str = setting("", "When, as 2026-01-31.")

    def price(self) -> Price:
        return Price(
            input=_known(self.input),
            output=_known(self.output),
            cached=_known(self.cached),
            cache_write=_known(self.cache_write),
            cache_write_1h=_known(self.cache_write_1h),
            reasoning=_known(self.reasoning),
            source=self.source,
            date=self.date,
        )


def _known(amount: str | None) -> int | None:
    return None if amount is None else per_million(amount)


@dataclass(frozen=True, slots=True)
class Facts:
    """What you know of a model better than the catalogue; what is left out stays as it was."""

    task: Task | None = setting(None, "What it does.")
    parameters: int | None = setting(None, "Parameters, as a whole number.", least=1)
    context: int | None = setting(None, "Tokens of prompt and answer together.", least=1)
    max_output: int | None = setting(None, "Tokens of one answer at most.", least=1)
    sees: frozenset[Modality] | None = setting(None, "What it takes beside text.")
    tools: bool | None = setting(None, "Whether it can call tools.")
    logprobs: bool | None = setting(None, "Whether it reports log-probabilities.")
    resumes: bool | None = setting(None, "Whether it can go on with an answer that has begun.")
    quality: float | None = setting(None, "Prior from 0 to 1, to order models of unknown size.", least=0, most=1)
    slots: int | None = setting(
        None,
        "Requests at the same time; 0: as many as come, of an embedded one as [local] says.",
        least=0,
        most=65_535,
    )
    queue: int | None = setting(None, "Requests that may wait for a slot; else 64.", least=0, most=65_535)
    wait_s: float | None = setting(
        None, "Seconds that each may wait, as predicted and in fact; else 60.", least=0, most=3_600
    )
    licence: str | None = setting(None, "Its licence.")
    price: Rates | None = setting(None, "Its price.")


@dataclass(frozen=True, slots=True)
class Sizes:
    """Where the classes of models begin, in parameters: tiny below `slm`, slm below `llm`, llm from there."""

    slm: int = setting(SIZES.slm, "Parameters of the smallest small language model.", least=1)
    llm: int = setting(SIZES.llm, "Parameters of the smallest large one; more than `slm`.", least=2)

    @property
    def bounds(self) -> Bounds:
        return Bounds(slm=self.slm, llm=self.llm)


@dataclass(frozen=True, slots=True)
class Local:
    """How the embedded models run."""

    threads: int = setting(0, "Threads of one model; 0: one for each core.", least=0, most=1_024)
    slots: int = setting(
        2, "Requests that one model answers at the same time; each takes memory for its window.", least=1, most=256
    )
    context: int = setting(8_192, "Tokens of one request's window, where the model has as many.", least=256)


@dataclass(frozen=True, slots=True)
class Records:
    """What is written down of each request, and for how long."""

    keep_days: int = setting(30, "Days until a record is deleted.", least=1, most=36_500)
    max_rows: int = setting(5_000_000, "Records kept at most; the oldest go first.", least=1_000)
    flush_ms: int = setting(50, "Milliseconds that an accepted record may wait in memory.", least=1, most=10_000)
    contents: bool = setting(
        False,
        "Keep the prompts and replies too, sealed per organisation. Off, for what is not kept cannot be lost.",
    )
    contents_days: int = setting(7, "Days until they are deleted.", least=1, most=36_500)
    contents_max_rows: int = setting(100_000, "Requests whose contents are kept at most; the oldest go first.", least=1)
    contents_max_bytes: int = setting(2_000_000_000, "Bytes that they may take; the oldest go first.", least=1_000_000)
    contents_row_bytes: int = setting(
        262_144, "Bytes kept of one prompt, and of one reply; the rest is cut.", least=1_024, most=67_108_864
    )


@dataclass(frozen=True, slots=True)
class Conversations:
    """Responses that clients asked to be remembered; kept sealed."""

    keep_days: int = setting(30, "Days until a response is deleted.", least=1, most=36_500)
    max_rows: int = setting(100_000, "Responses kept at most; the oldest go first.", least=1)
    max_bytes: int = setting(2_000_000_000, "Bytes that they may take; the oldest go first.", least=1_000_000)


@dataclass(frozen=True, slots=True)
class Idempotency:
    """Answers kept for the same idempotency key; kept sealed."""

    keep_hours: int = setting(24, "Hours until a key is forgotten.", least=1, most=8_760)
    max_rows: int = setting(100_000, "Keys kept at most; the oldest go first.", least=1)
    max_bytes: int = setting(2_000_000_000, "Bytes that they may take; the oldest go first.", least=1_000_000)


@dataclass(frozen=True, slots=True)
class ExactCache:
    """The same question gets the same answer, from memory. Has nothing to do with the cache of model weights."""

    ttl_s: float = setting(0.0, "Seconds that an answer may be given again; 0: never.", least=0, most=31_536_000)
    max_entries: int = setting(10_000, "Answers kept at most; the ones longest unused go first.", least=1)
    max_bytes: int = setting(64_000_000, "Bytes of memory they may take.", least=10_000)


@dataclass(frozen=True, slots=True)
class Shadow:
    """Asks the other side too, now and then, to see what routing loses. Off at first, for it costs money."""

    share: float = setting(0.0, "Share of routed requests, drawn by chance; 0: none.", least=0, most=1)
    judge: str = setting("", "The model that judges two answers; empty: the one called `large`.", check=optional_model)
    budget_usd_day: str = setting(
        "1.00", "Dollars that all of it may cost a day (UTC); unknown prices count as nothing.", check=dollars
    )
    sure: float = setting(
        0.95,
        "How sure an alarm and an interval are: while a promise is kept, 1 in 20 ever alarms at 0.95.",
        least=0.5,
        most=0.9999,
    )
    at_once: int = setting(1, "Comparisons at the same time; what is drawn beyond is not looked at.", least=1, most=64)
    asked_again_s: float = setting(
        0.0,
        "Seconds in which the same words from the same key say that the answer before was not good; 0: never.",
        least=0,
        most=3_600,
    )

    @property
    def budget(self) -> int:
        """A day's, in pico-dollars."""
        return per_million(self.budget_usd_day) * 1_000_000  # it reads dollars as micro-dollars, exactly


@dataclass(frozen=True, slots=True)
class Role:
    """A role of your own, beside those that are always there."""

    may: tuple[str, ...] = setting((), "[Actions](roles.md), or `read` and `manage` for many of them.")


@dataclass(frozen=True, slots=True)
class Sessions:
    """How long people stay signed in in a browser."""

    idle_s: float = setting(
        3_600.0, "Seconds without a request after which one is signed out.", least=1, most=2_592_000
    )
    total_s: float = setting(43_200.0, "Seconds after which one is, whatever was done.", least=1, most=31_536_000)
    after: str = setting("/", "The path to which one comes after signing in.", check=place_on_site)


@dataclass(frozen=True, slots=True)
class Oidc:
    """An OpenID Connect provider by which people of one organisation sign in; only those who were invited."""

    issuer: str = setting("", "Its issuer, as 'https://id.example.com'. What it says of itself is fetched.", check=url)
    client_id: str = setting(
        "", "What this server is called there. `<this server>/auth/oidc/NAME/callback` is its redirect."
    )
    client_secret: str = setting(
        "", "By reference, `env:NAME` or `file:PATH`; empty: a public client.", check=reference, hidden=True
    )
    place: Place = setting("anyone", "Where it runs. Declared by you; internal data must be allowed to reach it.")
    origins: tuple[str, ...] = setting(
        (), "Further origins where it has its endpoints, as 'https://oauth2.example.com'.", check=url
    )
    scopes: tuple[str, ...] = setting(("openid", "email", "profile"), "What is asked for.")
    organisation: str = setting("local", "The organisation whose people it knows.", check=name)
    claim: str = setting("groups", "The claim of its tokens in which `roles` are looked up.")
    roles: Mapping[str, str] = setting(
        MappingProxyType({}),
        "A value of that claim and the role it gives in the organisation, the first that fits; else none. "
        "Empty: roles are given here alone.",
    )
    title: str = setting("", "What stands on its button; empty: NAME.")


@dataclass(frozen=True, slots=True)
class Vault:
    """Who wraps the data keys that seal what is kept of prompts and replies."""

    key: str = setting(
        "",
        "By reference, `env:NAME` or `file:PATH`: 32 bytes in base64, older keys behind the newest. "
        "Empty: `vault.key` in the home, made when first needed.",
        check=reference,
        hidden=True,
    )
    kms: str = setting(
        "",
        "A key service in its place, as `command:/path/of/program arguments`; `key` then only opens what it sealed.",
        check=kms,
        hidden=True,
    )


Told = Literal["budget.alert", "promise.broken", "key.revoked"]
"""What a webhook can be told."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """A receiver that is told what happens, signed as Standard Webhooks has it. Nothing of a prompt is ever told."""

    url: str = setting("", "Where it takes messages, as 'https://host/path'. No redirect is followed.", check=url)
    secret: str = setting(
        "",
        "By reference, `env:NAME` or `file:PATH`: `whsec_` and 24 to 64 bytes in base64; while it is changed two, with "
        "a blank between.",
        check=reference,
        hidden=True,
    )
    place: Place = setting("anyone", "Where it runs. Declared by you; internal data must be allowed to reach it.")
    events: tuple[Told, ...] = setting((), "What it is told of; empty: everything.")


@dataclass(frozen=True, slots=True)
class Network:
    """How the outside is reached; what is not said here is taken from the environment."""

    ca: str = setting("", "File of certificate authorities; empty: as the environment says, else the system's.")
    proxy: str = setting("", "Proxy for every endpoint; empty: as the environment says.", hidden=True)
    no_proxy: tuple[str, ...] = setting((), "Hosts, domains or networks reached without a proxy.")


@dataclass(frozen=True, slots=True)
class File:
    """All of sizewise.toml. Every table and every key may be left out."""

    server: Server = setting(Server(), "")
    router: Router = setting(Router(), "")
    reach: Reach = setting(Reach(), "")
    policies: Mapping[str, Policy] = setting(MappingProxyType({"default": Policy()}), "", keys=name)
    projects: Mapping[str, Project] = setting(MappingProxyType({}), "", keys=name)
    providers: Mapping[str, Provider] = setting(MappingProxyType({}), "", keys=name)
    models: Mapping[str, Facts] = setting(MappingProxyType({}), "", keys=model_name)
    sizes: Sizes = setting(Sizes(), "")
    local: Local = setting(Local(), "")
    records: Records = setting(Records(), "")
    conversations: Conversations = setting(Conversations(), "")
    idempotency: Idempotency = setting(Idempotency(), "")
    exact_cache: ExactCache = setting(ExactCache(), "")
    shadow: Shadow = setting(Shadow(), "")
    guards: Guards = setting(Guards(), "")
    roles: Mapping[str, Role] = setting(MappingProxyType({}), "", keys=name)
    sessions: Sessions = setting(Sessions(), "")
    oidc: Mapping[str, Oidc] = setting(MappingProxyType({}), "", keys=name)
    vault: Vault = setting(Vault(), "")
    limits: Mapping[str, Limits] = setting(MappingProxyType({}), "", keys=scope)
    budgets: Budgets = setting(Budgets(), "")
    store: Store = setting(Store(), "")
    webhooks: Mapping[str, Webhook] = setting(MappingProxyType({}), "", keys=name)
    network: Network = setting(Network(), "")

    @property
    def beside(self) -> list[tuple[str, Place]]:
        """What is reached beside providers of models, and where it runs."""
        hooks = [(hook.url, hook.place) for hook in self.webhooks.values()]
        return hooks + [(url, row.place) for row in self.oidc.values() for url in (row.issuer, *row.origins)]
