"""Settings of providers, models, prices and the local runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from sizewise.data_class import Place
from sizewise.model_card import Effort, ModelTask
from sizewise.money import Price, UnitRates, parse_micro_dollars, parse_pico_dollars
from sizewise.settings.toml_reader import setting
from sizewise.settings.validators import (
    Modality,
    auth,
    header,
    language_code,
    partial_date,
    price_amount,
    reference,
    unit_price_amount,
    url,
    url_segment,
)


@dataclass(frozen=True, slots=True)
class TimeoutsSettings:
    """Timeouts of one attempt, in seconds."""

    connect_s: float = setting(5.0, "Seconds to connect, including TLS.", minimum=0.001, maximum=3_600)
    first_byte_s: float = setting(
        120.0,
        "Seconds from the request to the first byte of the response.",
        minimum=0.001,
        maximum=3_600,
    )
    idle_s: float = setting(60.0, "Seconds without data during a response.", minimum=0.001, maximum=3_600)
    total_s: float = setting(600.0, "Seconds for the whole attempt.", minimum=0.001, maximum=86_400)


@dataclass(frozen=True, slots=True)
class ReplicaSettings:
    """One of several keys or addresses for a provider's models, in the same place. Unset keys are the provider's.

    If replicas are configured, the provider's own address and key are not used. A key is only sent to the address in
    the same table.
    """

    base_url: str = setting("", "Base URL; empty: the provider's URL and key.", validator=url)
    key: str = setting(
        "", "API key by reference: `env:NAME`, `file:PATH` or `exec:COMMAND`.", validator=reference, secret=True
    )
    weight: int = setting(1, "Relative share of the requests.", minimum=1, maximum=1_000)


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """A model API and its models. A preset (`endpoint`) fills in the keys that are left out."""

    endpoint: str = setting("", "[Provider preset](provider-presets.md) that fills in the keys left out here.")
    account: str = setting("", "Value of {account} in the preset's URL.", validator=url_segment)
    region: str = setting("", "Value of {region} in the preset's URL.", validator=url_segment)
    resource: str = setting("", "Value of {resource} in the preset's URL.", validator=url_segment)
    base_url: str = setting("", "Base URL, as 'https://host/v1'. Required, except for the echo wire.", validator=url)
    wire: str = setting("openai", "Wire format (API dialect) of the provider.")
    key: str = setting(
        "", "API key by reference: `env:NAME`, `file:PATH` or `exec:COMMAND`.", validator=reference, secret=True
    )
    auth: str = setting(
        "",
        "How the key is sent: `bearer`, or the name of a header; empty: the wire's default.",
        validator=auth,
    )
    place: Place = setting("anyone", "Where it runs. You declare it; it is never guessed from the address.")
    headers: Mapping[str, str] = setting(
        MappingProxyType({}),
        "Additional request headers; a value may be a reference.",
        validator=header,
        secret=True,
    )
    rename_params: Mapping[str, str] = setting(
        MappingProxyType({}),
        'Request parameters to rename, as `{ours = "theirs"}`.',
    )
    drop_params: tuple[str, ...] = setting(
        (),
        "Request parameters to drop before sending. What the wire cannot express is dropped, not refused, if this "
        "names its field, or the `type` or `name` of a tool or content block.",
    )
    reports_cost: bool = setting(
        False,
        "Use the cost in dollars that the provider reports, for models without a known price.",
    )
    models: tuple[str, ...] = setting(
        (), 'Models to offer, under the provider\'s names; `"*"`: all that it lists when the server starts or reloads.'
    )
    replicas: tuple[ReplicaSettings, ...] = setting((), "Several keys or addresses for the same models.")
    timeouts: TimeoutsSettings = setting(TimeoutsSettings(), "Timeouts of one attempt.")
    max_connections: int = setting(
        4_096,
        "Maximum number of open connections, which is that of concurrent requests. Beyond: 429 with Retry-After.",
        minimum=1,
        maximum=65_535,
    )


@dataclass(frozen=True, slots=True)
class PriceSettings:
    """A price in dollars per million tokens, or per another unit, as strings (exact decimals). Unset kinds of tokens
    are unknown, or as noted. Prices of several units are added up.
    """

    input: str | None = setting(None, "Prompt tokens.", validator=price_amount)
    output: str | None = setting(None, "Output tokens.", validator=price_amount)
    cached: str | None = setting(None, "Prompt tokens read from the cache; unset: as `input`.", validator=price_amount)
    cache_write: str | None = setting(
        None,
        "Prompt tokens written to the cache; unset: as `input`.",
        validator=price_amount,
    )
    cache_write_1h: str | None = setting(
        None,
        "Prompt tokens written to the cache for one hour; unset: unknown.",
        validator=price_amount,
    )
    reasoning: str | None = setting(None, "Reasoning tokens; unset: as `output`.", validator=price_amount)
    second: str | None = setting(
        None, "One second of audio to transcribe; a second has 1,000 parts.", validator=unit_price_amount
    )
    character: str | None = setting(None, "One character of text to speak.", validator=unit_price_amount)
    image: str | None = setting(None, "One image.", validator=unit_price_amount)
    images: Mapping[str, str] = setting(
        MappingProxyType({}),
        'One image of a size, or of a quality and size, in place of `image`: `{"1024x1024" = "0.04", '
        '"hd 1024x1024" = "0.08"}`.',
        validator=unit_price_amount,
    )
    request: str | None = setting(None, "One request.", validator=unit_price_amount)
    source: str = setting("sizewise.toml", "Source of the price.")
    date: str = setting("", "Date of the price, as 2026-01-31.")

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
            units=self._unit_rates(),
        )

    def _unit_rates(self) -> UnitRates | None:
        second, character, image, request = map(
            _parse_unit_rate, (self.second, self.character, self.image, self.request)
        )
        kinds = tuple((kind, parse_pico_dollars(amount)) for kind, amount in self.images.items())
        rates = UnitRates(second=second, character=character, image=image, request=request, image_kinds=kinds)
        return None if rates == UnitRates() else rates


def _parse_rate(amount: str | None) -> int | None:
    return None if amount is None else parse_micro_dollars(amount)


def _parse_unit_rate(amount: str | None) -> int | None:
    return None if amount is None else parse_pico_dollars(amount)


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Overrides of the catalog's data about a model. Unset keys keep the catalog's value."""

    task: ModelTask | None = setting(
        None,
        "Task of the model. `rerank`, `moderate`, `transcribe`, `speak`, `image`: its provider has `/rerank`, "
        "`/moderations`, `/audio/transcriptions`, `/audio/speech`, `/images/generations` below `base_url`.",
    )
    parameters: int | None = setting(None, "Number of parameters.", minimum=1)
    context: int | None = setting(None, "Context window: prompt and output tokens together.", minimum=1)
    max_output: int | None = setting(None, "Maximum number of output tokens.", minimum=1)
    input_modalities: frozenset[Modality] | None = setting(None, "Accepted inputs besides text.")
    tools: bool | None = setting(None, "Supports tool calls.")
    logprobs: bool | None = setting(None, "Reports log-probabilities.")
    prefill: bool | None = setting(None, "Can continue a given beginning of an answer (prefill).")
    single_choice: bool | None = setting(
        None,
        "Makes one choice per call, so that `n` choices take `n` calls; unset: true for embedded models and for wires "
        "without `n`.",
    )
    completions: bool | None = setting(
        None,
        "The provider has `/completions` for it: text completions go there as they are, not as a chat.",
    )
    decisions: bool | None = setting(
        None,
        "The provider has `/decisions` for it: questions of `/v1/decisions` go there as they are, not as a chat.",
    )
    edge: bool | None = setting(
        None,
        "At [an edge](../how-to/edge.md) it is asked by the binding of Workers AI, under the provider's name for it, "
        "instead of at `base_url`.",
    )
    quality: float | None = setting(
        None, "Quality prior from 0 to 1, to rank models of unknown size.", minimum=0, maximum=1
    )
    slots: int | None = setting(
        None,
        "Concurrent requests; 0: no limit, for embedded models as in [local].",
        minimum=0,
        maximum=65_535,
    )
    queue: int | None = setting(None, "Requests that may wait for a slot; unset: 64.", minimum=0, maximum=65_535)
    queue_timeout_s: float | None = setting(
        None,
        "Seconds that a request may wait for a slot, predicted or actual; unset: 60.",
        minimum=0,
        maximum=3_600,
    )
    languages: frozenset[str] | None = setting(
        None,
        "Languages that it answers in, as ISO 639 codes; questions in others go to models that list them.",
        validator=language_code,
    )
    knowledge_cutoff: str | None = setting(
        None,
        "End of its training data, as '2024', '2024-06' or '2024-06-30'; a question about later times is marked.",
        validator=partial_date,
    )
    temperature: float | None = setting(
        None,
        "Sampling temperature of an embedded model, for requests that set neither it nor `top_p`.",
        minimum=0,
        maximum=2,
    )
    top_p: float | None = setting(
        None,
        "`top_p` of an embedded model, for requests that set neither it nor `temperature`.",
        minimum=0,
        maximum=1,
    )
    efforts: tuple[Effort, ...] | None = setting(
        None,
        "Efforts of reasoning at which policies may choose it, each as a model of its own: `<name>@low`.",
    )
    license: str | None = setting(None, "License.")
    price: PriceSettings | None = setting(None, "Price.")


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """Runtime of the embedded models."""

    threads: int = setting(0, "Threads of one model; 0: one per core.", minimum=0, maximum=1_024)
    slots: int = setting(
        2,
        "Concurrent requests of one model; each reserves memory for its context window.",
        minimum=1,
        maximum=256,
    )
    context: int = setting(8_192, "Context window of one request in tokens, limited by the model's own.", minimum=256)
    gpu_layers: Literal["auto"] | int = setting(
        "auto",
        "Layers of a model on the GPU; `auto`: as many as fit into its free memory, none without one. "
        "[Unproven](../how-to/own-gguf.md#use-a-gpu).",
        minimum=0,
        maximum=10_000,
    )
    watts: float = setting(
        60.0,
        "Power of this machine while it answers, such as 400 with a GPU. [Energy](../how-to/energy.md) is estimated by "
        "it where its counters cannot be read.",
        minimum=0.1,
        maximum=100_000,
    )
