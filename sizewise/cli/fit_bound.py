"""The report of `sizewise fit` for a model of unknown architecture: what its parameters alone can tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from types import MappingProxyType

import click
from msgspec import Struct

from sizewise.advisor.memory_fit import MemoryPool
from sizewise.advisor.parameter_bound import CacheOfSimilar, ParameterBound
from sizewise.catalog.memory_estimate import format_bytes
from sizewise.catalog.model_info import ModelInfo
from sizewise.cli.options import wants_json
from sizewise.cli.output import write_json, write_table

WORDS: Mapping[bool | None, str] = MappingProxyType({True: "fits", False: "no", None: "cannot be told"})


class BoundReport(Struct, frozen=True):
    """`on`: the name of the GPU or of memory. `tokens`: of a request. `similar`: None if no model is about its size."""

    model: ModelInfo
    on: str
    pool: MemoryPool
    tokens: int
    bounds: Sequence[ParameterBound]
    similar: CacheOfSimilar | None


def print_bounds(report: BoundReport) -> int:
    """The exit code: 0 if one quantization fits."""
    if wants_json():
        write_json(_json(report))
    else:
        _print(report)
    return 0 if any(each.fits for each in report.bounds) else 1


def _print(report: BoundReport) -> None:
    free = format_bytes(report.pool.available)
    click.echo(f"{report.model.title} on {report.on}: {free} free for it, requests of {report.tokens:,} tokens")
    write_table(
        ("QUANTIZATION", "AT LEAST", "FITS"),
        [(each.quantization, format_bytes(each.weights), WORDS[each.fits]) for each in report.bounds],
        right="LEAST",
    )
    told = f"A bound by {_parameters(report.model)} parameters alone: AT LEAST is the weights. {_basis(report.similar)}"
    for line in wrap(told, 100, break_on_hyphens=False):
        click.echo(line)


def _basis(similar: CacheOfSimilar | None) -> str:
    unknown = "Its architecture (layers, heads) is unknown, and with it the KV cache"
    if similar is None:
        return f"{unknown}, also of any model of its size."
    return (
        f"{unknown}; `fits` says that there is room for the largest cache among {similar.count} models of half to twice"
        f" its size, {format_bytes(similar.bytes)} of {similar.model}."
    )


def _parameters(model: ModelInfo) -> str:
    return f"{model.parameters.value / 1e9:.3g} billion" if model.parameters is not None else "unknown"


def _json(report: BoundReport) -> dict[str, object]:
    """As of a model of known architecture, but with a bound. `fits` null: it cannot be told."""
    model, similar = report.model, report.similar
    return {
        "model": model.name,
        "on": report.on,
        "room_bytes": report.pool.available,
        "context": report.tokens,
        "bound_by": "parameters",
        "parameters": model.parameters.value if model.parameters is not None else None,
        "cache_of_similar": None
        if similar is None
        else {"bytes": similar.bytes, "model": similar.model, "of_models": similar.count},
        "quantizations": [
            {"quantization": each.quantization, "at_least_bytes": each.weights, "fits": each.fits}
            for each in report.bounds
        ],
    }
