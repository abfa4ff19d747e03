"""Writes reference/models.md from the tables in sizewise/catalog/models; knows no model by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sizewise.catalog.current_catalog import PACKAGED
from sizewise.catalog.model_files import load_models
from sizewise.catalog.model_info import Fact, ModelInfo
from sizewise.money import PICO_PER_DOLLAR, Price, format_dollars

PAGE = Path(__file__).parent / "reference" / "models.md"
INTRODUCTION = """\
# Known models

*Generated from `sizewise/catalog/models` by `python -m docs.build`; edit it there.*

{count} models of {vendors} vendors. `sizewise models show NAME` shows every fact about a model with its source and
date, the memory it needs, and its prices by provider; `sizewise models list --all` lists all models. A `?` means
*unknown*: there is no citable source. *claimed* means that the source is not authoritative. The price is that of the
cheapest provider. The class follows the default thresholds of [`[sizes]`](settings.md#sizes).

Of the facts, `architecture` says `decoder`, `encoder` or `encoder-decoder`, and `dense` or `moe` (a mixture of
experts), as far as a source does. `training_data` is where a model's training data came from, as its vendor says.
`calls_home` says whether the runtime that Sizewise embeds for a model opens connections of its own: `no` for those
whose process was traced. Where the weights are not published, `license` says so, and the vendor's terms apply.
`languages` is unknown if a vendor names only some of them, since a model is not asked first in a language that is
[not listed](../explanation/languages.md).

## How to add a fact

Each vendor has a file in `sizewise/catalog/models`, and each model a table. Each entry of its `facts` holds what
*one* source states, with name and date: a published package release, or a public document. Facts are never written from
memory, and a fact never mixes sources. A source that several models cite is written once, under `[sources]`, or in
`sources.toml` for all files. The loader refuses a fact without source or date, a date in the future, an unknown key,
and contradictions, with the reason; `tests/catalog/test_model_files.py` loads all files. The price of a
[provider preset](provider-presets.md) is not repeated: `offers` refers to its line in `prices.toml`.
"""


def pages() -> dict[Path, str]:
    """The generated file and its text."""
    return {PAGE: "\n".join(_page(load_models()))}


def _page(models: Mapping[str, ModelInfo]) -> Iterator[str]:
    vendors = list(dict.fromkeys(model.vendor for model in models.values()))
    yield INTRODUCTION.format(count=len(models), vendors=len(vendors))
    yield from _known_facts([model for model in models.values() if model.task == "chat"])
    prices = PACKAGED.prices_by_offer(models.values())
    yield "## The models\n"
    yield "| model | vendor | parameters | class | context | license | $ per million, in / out | sources |"
    yield "|---|---|---:|---|---:|---|---|---:|"
    for model in models.values():
        cells = (
            f"`{model.name}`",
            model.vendor,
            _count(model.parameters),
            model.size_class(),
            _count(model.context),
            str(model.license.value) if model.license else "?",
            _price(model, prices),
            str(len({fact.source for _, fact in model.facts()} | {each.source for each in _offers(model, prices)})),
        )
        yield f"| {' | '.join(cells)} |"
    yield ""


def _known_facts(models: Sequence[ModelInfo]) -> Iterator[str]:
    """How many of the chat models have these facts, each with its source."""
    yield "## What is known\n"
    yield f"Of {len(models)} chat models; the others are `unknown`, since nothing was found that can be cited.\n"
    yield "| fact | known | unknown |"
    yield "|---|---:|---:|"
    for name in ("license", "languages", "training_data", "calls_home"):
        known = sum(getattr(model, name) is not None for model in models)
        yield f"| `{name}` | {known} | {len(models) - known} |"
    yield ""


def _count(fact: Fact[int] | None) -> str:
    return "?" if fact is None else f"{fact.value:,}{' *claimed*' if fact.claimed else ''}"


def _offers(model: ModelInfo, prices: Mapping[str, Price]) -> list[Price]:
    names = [f"{endpoint}/{each}" for endpoint, every in model.offers.items() for each in every]
    own = [model.price.value] if model.price else []
    return [*(prices[name] for name in names if name in prices), *own]


def _price(model: ModelInfo, prices: Mapping[str, Price]) -> str:
    offers = [each for each in _offers(model, prices) if each.input is not None]
    if not offers:
        return "?"
    least = min(offers, key=lambda each: (each.input or 0, each.output or 0))
    answers = "-" if model.task == "embed" and least.output is None else _rate(least.output)
    return f"{_rate(least.input)} / {answers}"


def _rate(micro: int | None) -> str:
    return "?" if micro is None else format_dollars(micro * (PICO_PER_DOLLAR // 1_000_000))
