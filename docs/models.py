"""Writes reference/models.md out of the tables in sizewise/catalog/models; knows no model by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from sizewise.catalog.model_files import load_models, prices_by_offer
from sizewise.catalog.model_info import Fact, ModelInfo
from sizewise.money import PICO_PER_DOLLAR, Price, format_dollars

PAGE = Path(__file__).parent / "reference" / "models.md"
INTRODUCTION = """\
# Known models

*Made from `sizewise/catalog/models` by `python -m docs.build`; change it there.*

{count} models of {vendors} vendors. `sizewise models show NAME` tells every fact of one with its source and day, what
it takes to run it, and where it is sold; `sizewise models list --all` lists them. A `?` is *unknown*: nobody whom we
can name has said it. *Claimed* was said by somebody who need not know. The price is that of the cheapest who sells it.
The class is by the default bounds of [`[sizes]`](settings.md#sizes).

## How a fact gets in

Each vendor has a file in `sizewise/catalog/models`, each model a table, and each entry of its `said` the facts of *one*
source. A source has a name and a day: a release of a package that anybody can fetch, or a public document. Nothing is
written from memory, and no two sources are mixed in one fact. A source that several models quote stands once under
`[sources]`, for all files in `sources.toml`. Reading is the check: what is undated, unsourced, or of a day to come is
refused. A misspelt or contradictory file is refused with the reason; `tests/catalog/test_model_files.py` reads all
of them. A price of a [known endpoint](endpoints.md) is not repeated: `sold` names its line in `prices.toml`.
"""


def pages() -> dict[Path, str]:
    """The file made here and what belongs into it."""
    return {PAGE: "\n".join(_page(load_models()))}


def _page(models: Mapping[str, ModelInfo]) -> Iterator[str]:
    vendors = list(dict.fromkeys(model.vendor for model in models.values()))
    yield INTRODUCTION.format(count=len(models), vendors=len(vendors))
    prices = prices_by_offer(models.values())
    yield "## The models\n"
    yield "| model | vendor | parameters | class | context | licence | $ per million, in / out | sources |"
    yield "|---|---|---:|---|---:|---|---|---:|"
    for model in models.values():
        cells = (
            f"`{model.name}`",
            model.vendor,
            _count(model.parameters),
            model.size_class(),
            _count(model.context),
            str(model.licence.value) if model.licence else "?",
            _price(model, prices),
            str(len({fact.source for _, fact in model.facts()} | {each.source for each in _offers(model, prices)})),
        )
        yield f"| {' | '.join(cells)} |"
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
