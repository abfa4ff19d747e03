"""Settings of providers, models, prices and the local runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sizewise.data_class import Place
from sizewise.model_card import ModelTask
from sizewise.money import Price, parse_micro_dollars
from sizewise.settings.toml_reader import setting
from sizewise.settings.validators import Modality, auth, header, price_amount, reference, url, url_segment


@dataclass(frozen=True, slots=True)
class TimeoutsSettings:
    """Deadlines of one attempt, in seconds."""

    connect_s: float = setting(5.0, "Seconds until connected, TLS included.", minimum=0.001, maximum=3_600)
    first_byte_s: float = setting(
        120.0,
        "Seconds from the request to the first byte of the answer.",
        minimum=0.001,
        maximum=3_600,
    )
    idle_s: float = setting(60.0, "Seconds of silence within an answer.", minimum=0.001, maximum=3_600)
    total_s: float = setting(600.0, "Seconds for the whole attempt.", minimum=0.001, maximum=86_400)


@dataclass(frozen=True, slots=True)
class ReplicaSettings:
    """One more way to a provider's models, at the same place. What is left out here is as the provider says it.

    Where there are replicas, they are all the ways there are. A key goes to no address but the one it stands beside.
    """

    base_url: str = setting("", "Its own address; empty: the provider's, with the provider's key.", validator=url)
    key: str = setting("", "Its own key by reference: `env:NAME` or `file:PATH`.", validator=reference, secret=True)
    weight: int = setting(1, "Its share of the requests, beside those of the others.", minimum=1, maximum=1_000)


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """An endpoint that speaks a known wire, and its models. What a named endpoint knows need not be said."""

    endpoint: str = setting("", "A [known endpoint](endpoints.md): it fills in what is left out here.")
    account: str = setting("", "Fills {account} in the known endpoint's URL.", validator=url_segment)
    region: str = setting("", "Fills {region} in it.", validator=url_segment)
    resource: str = setting("", "Fills {resource} in it.", validator=url_segment)
    base_url: str = setting("", "Where it answers, as 'https://host/v1'. Only the echo wire needs none.", validator=url)
    wire: str = setting("openai", "How it is spoken to.")
    key: str = setting("", "Its key by reference: `env:NAME` or `file:PATH`.", validator=reference, secret=True)
    auth: str = setting(
        "",
        "How the key is sent: `bearer`, or the name of a header for it; empty: as the wire does.",
        validator=auth,
    )
    place: Place = setting("anyone", "Where it runs. Declared by you, never guessed from the address.")
    headers: Mapping[str, str] = setting(
        MappingProxyType({}),
        "Further headers; a value may be a reference.",
        validator=header,
        secret=True,
    )
    rename_params: Mapping[str, str] = setting(
        MappingProxyType({}),
        "Fields of a request that it knows by another name; ours to its.",
    )
    drop_params: tuple[str, ...] = setting((), "Fields of a request that it would refuse.")
    reports_cost: bool = setting(
        False,
        "Believe the dollars that it says it charged, for models whose price is unknown.",
    )
    models: tuple[str, ...] = setting((), "Its models, under its own names for them.")
    replicas: tuple[ReplicaSettings, ...] = setting((), "Several keys or addresses for the same models.")
    timeouts: TimeoutsSettings = setting(TimeoutsSettings(), "Deadlines of one attempt.")
    max_connections: int = setting(512, "Connections at the same time.", minimum=1, maximum=65_535)


@dataclass(frozen=True, slots=True)
class PriceSettings:
    """A price in dollars per million tokens, as exact texts. A class left out is unknown, or as vendors bill."""

    input: str | None = setting(None, "Prompt tokens.", validator=price_amount)
    output: str | None = setting(None, "Answer tokens.", validator=price_amount)
    cached: str | None = setting(None, "Prompt tokens read from the cache; else as input.", validator=price_amount)
    cache_write: str | None = setting(
        None,
        "Prompt tokens written to the cache; else as input.",
        validator=price_amount,
    )
    cache_write_1h: str | None = setting(
        None,
        "Those of them that are kept for an hour; else unknown.",
        validator=price_amount,
    )
    reasoning: str | None = setting(None, "Reasoning tokens; else as output.", validator=price_amount)
    source: str = setting("sizewise.toml", "Where the price was read.")
    date: str = setting("", "When, as 2026-01-31.")

    def price(self) -> Price:
        return Price(
            input=_parse_rate(self.input),
            output=_parse_rate(self.output),
            cached=_parse_rate(self.cached),
            cache_write=_parse_rate(self.cache_write),
            cache_write_1h=_parse_rate(self.cache_write_1h),
            reasoning=_parse_rate(self.reasoning),
            source=self.source,
            date=self.date,
        )


def _parse_rate(amount: str | None) -> int | None:
    return None if amount is None else parse_micro_dollars(amount)


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """What you know of a model better than the catalogue; what is left out stays as it was."""

    task: ModelTask | None = setting(None, "What it does.")
    parameters: int | None = setting(None, "Parameters, as a whole number.", minimum=1)
    context: int | None = setting(None, "Tokens of prompt and answer together.", minimum=1)
    max_output: int | None = setting(None, "Tokens of one answer at most.", minimum=1)
    input_modalities: frozenset[Modality] | None = setting(None, "What it takes beside text.")
    tools: bool | None = setting(None, "Whether it can call tools.")
    logprobs: bool | None = setting(None, "Whether it reports log-probabilities.")
    prefill: bool | None = setting(None, "Whether it can go on with an answer that has begun.")
    quality: float | None = setting(None, "Prior from 0 to 1, to order models of unknown size.", minimum=0, maximum=1)
    slots: int | None = setting(
        None,
        "Requests at the same time; 0: as many as come, of an embedded one as [local] says.",
        minimum=0,
        maximum=65_535,
    )
    queue: int | None = setting(None, "Requests that may wait for a slot; else 64.", minimum=0, maximum=65_535)
    queue_timeout_s: float | None = setting(
        None,
        "Seconds that each may wait, as predicted and in fact; else 60.",
        minimum=0,
        maximum=3_600,
    )
    license: str | None = setting(None, "Its licence.")
    price: PriceSettings | None = setting(None, "Its price.")


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """How the embedded models run."""

    threads: int = setting(0, "Threads of one model; 0: one for each core.", minimum=0, maximum=1_024)
    slots: int = setting(
        2,
        "Requests that one model answers at the same time; each takes memory for its window.",
        minimum=1,
        maximum=256,
    )
    context: int = setting(8_192, "Tokens of one request's window, where the model has as many.", minimum=256)
