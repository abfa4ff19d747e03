"""Which models there are, how each is reached, and what is known of it; knows no wire."""
# ruff: noqa: RUF009 - `setting` makes a field, it is not a default computed once by mistake

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sizewise.data_class import Place
from sizewise.model_card import Task
from sizewise.money import Price, per_million
from sizewise.settings.toml_reader import setting
from sizewise.settings.validators import Modality, amount, auth, header, part, reference, url


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Deadlines of one attempt, in seconds."""

    connect_s: float = setting(5.0, "Seconds until connected, TLS included.", least=0.001, most=3_600)
    first_byte_s: float = setting(
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
    rename_params: Mapping[str, str] = setting(
        MappingProxyType({}), "Fields of a request that it knows by another name; ours to its."
    )
    drop_params: tuple[str, ...] = setting((), "Fields of a request that it would refuse.")
    reports_cost: bool = setting(
        False, "Believe the dollars that it says it charged, for models whose price is unknown."
    )
    models: tuple[str, ...] = setting((), "Its models, under its own names for them.")
    replicas: tuple[Replica, ...] = setting((), "Several keys or addresses for the same models.")
    timeouts: Timeouts = setting(Timeouts(), "Deadlines of one attempt.")
    max_connections: int = setting(512, "Connections at the same time.", least=1, most=65_535)


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
    input_modalities: frozenset[Modality] | None = setting(None, "What it takes beside text.")
    tools: bool | None = setting(None, "Whether it can call tools.")
    logprobs: bool | None = setting(None, "Whether it reports log-probabilities.")
    prefill: bool | None = setting(None, "Whether it can go on with an answer that has begun.")
    quality: float | None = setting(None, "Prior from 0 to 1, to order models of unknown size.", least=0, most=1)
    slots: int | None = setting(
        None,
        "Requests at the same time; 0: as many as come, of an embedded one as [local] says.",
        least=0,
        most=65_535,
    )
    queue: int | None = setting(None, "Requests that may wait for a slot; else 64.", least=0, most=65_535)
    queue_timeout_s: float | None = setting(
        None, "Seconds that each may wait, as predicted and in fact; else 60.", least=0, most=3_600
    )
    license: str | None = setting(None, "Its licence.")
    price: Rates | None = setting(None, "Its price.")


@dataclass(frozen=True, slots=True)
class Local:
    """How the embedded models run."""

    threads: int = setting(0, "Threads of one model; 0: one for each core.", least=0, most=1_024)
    slots: int = setting(
        2, "Requests that one model answers at the same time; each takes memory for its window.", least=1, most=256
    )
    context: int = setting(8_192, "Tokens of one request's window, where the model has as many.", least=256)
