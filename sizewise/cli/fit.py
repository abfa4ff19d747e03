"""`sizewise fit`: whether a model fits a GPU or a machine, by quantization, and its pace; needs no server."""

from __future__ import annotations

from fractions import Fraction
from textwrap import wrap

import click

from sizewise.advisor.assumptions import Assumptions, parse_assumptions
from sizewise.advisor.memory_fit import MemoryFit, MemoryPool, fit_quantizations
from sizewise.advisor.parameter_bound import bounds_by_parameters, cache_of_similar
from sizewise.app.measured_assumptions import measured_assumptions
from sizewise.catalog.accelerators import Accelerator, find_accelerator
from sizewise.catalog.current_catalog import current_catalog
from sizewise.catalog.memory_check import available_memory
from sizewise.catalog.memory_estimate import format_bytes
from sizewise.catalog.model_info import ModelInfo
from sizewise.cli.fit_bound import BoundReport, print_bounds
from sizewise.cli.options import command_settings, local_options, wants_json
from sizewise.cli.output import dim, write_json, write_table
from sizewise.cli.value_completion import complete_catalog_model
from sizewise.errors import BadRequest, ModelNotFound, did_you_mean

DEFAULT_CONTEXT = 4096  # tokens, unless the model's window is smaller


@click.command("fit")
@click.argument("model", shell_complete=complete_catalog_model)
@click.option("--on", metavar="GPU", help="A GPU as V100-32GB, or its memory as 24GB. [this machine, without a GPU]")
@click.option("--memory-gb", metavar="GB", type=click.FloatRange(min=0.001), help="Memory of another machine.")
@click.option("--context", metavar="TOKENS", type=click.IntRange(min=64), help="Tokens of a request and its response.")
@click.option("--assume", metavar="NAME=N", multiple=True, help="Override an assumption, as reserve-gpu=0.1.")
@local_options
@click.pass_context
def fit(
    ctx: click.Context,
    model: str,
    on: str | None,
    memory_gb: float | None,
    context: int | None,
    assume: tuple[str, ...],
) -> None:
    """Show whether a model fits a GPU or this machine.

    For each quantization: memory for weights and cache, concurrent requests, and an estimate of the pace. Of a model
    whose architecture is unknown, a bound by its parameters. Exits with 1 if none fits, or if that cannot be told.

    \b
    Example: sizewise fit phi-4 --on V100-32GB
    """
    if memory_gb and on:
        raise BadRequest("--on and --memory-gb exclude each other", "Use --on for a GPU, --memory-gb for a machine.")
    info = _find(model)
    assumptions = parse_assumptions(assume)
    window = info.context.value if info.context else DEFAULT_CONTEXT
    tokens = context or min(DEFAULT_CONTEXT, window)
    if info.context and tokens > window:
        raise BadRequest(f"{info.name} has a window of {window:,} tokens", f"Use --context {window} or less.")
    place, pool, assumptions = _place(on, memory_gb, info.name, assumptions)
    fits = tuple(fit_quantizations(info, pool, tokens, assumptions))
    if not fits:
        ctx.exit(_show_bounds(info, place.name if place is not None else "memory", pool, tokens))
    rows = [(each, _pace(each, place, assumptions)) for each in fits]
    _show(info, place, pool, tokens, rows, assumptions)
    ctx.exit(0 if any(each.slots for each in fits) else 1)


def _show_bounds(info: ModelInfo, on: str, pool: MemoryPool, tokens: int) -> int:
    """Raises ModelNotFound if not even the parameters are known."""
    models = current_catalog(command_settings()).load_models().values()
    similar = cache_of_similar(info, models, tokens)
    bounds = list(bounds_by_parameters(info, pool, similar))
    if not bounds:
        raise ModelNotFound(
            f"neither the parameters nor the architecture of {info.name} are known, so its memory cannot be estimated",
            f"see what is known: sizewise models show {info.name}",
        )
    return print_bounds(BoundReport(info, on, pool, tokens, bounds=bounds, similar=similar))


def _find(name: str) -> ModelInfo:
    catalog = current_catalog(command_settings())
    found = catalog.models_named(name)
    if len(found) > 1:
        raise BadRequest(
            f"{name!r} names {len(found)} models", f"Choose one: {', '.join(each.name for each in found)}."
        )
    if not found:
        near = did_you_mean(name, list(catalog.load_models())) or "See sizewise models list --all."
        raise ModelNotFound(f"the catalog has no model {name!r}", near, param="model")
    return found[0]


def _place(
    on: str | None, memory_gb: float | None, model: str, assumptions: Assumptions
) -> tuple[Accelerator | None, MemoryPool, Assumptions]:
    """The GPU, or None for a machine; its memory; and the assumptions, with what was measured if it is this machine."""
    if on:
        gpu = find_accelerator(on)
        return gpu, MemoryPool("gpu", gpu.memory, round(gpu.memory * assumptions["reserve-gpu"])), assumptions
    if memory_gb:
        total = round(memory_gb * 10**9)
        return None, MemoryPool("memory", total, round(total * assumptions["reserve"])), assumptions
    free = available_memory()
    if free is None:
        raise BadRequest("this machine does not report how much memory is free", "Set it, as --memory-gb 16.")
    return None, MemoryPool("memory", free, 0), measured_assumptions(assumptions, command_settings(), model)


def _pace(each: MemoryFit, gpu: Accelerator | None, assumptions: Assumptions) -> Fraction | None:
    """Output tokens per second of one request: bandwidth over the bytes that a token reads; None if unknown."""
    bandwidth = assumptions["bandwidth-cpu"] * 10**9
    if gpu is not None:
        if gpu.bandwidth is None:
            return None
        bandwidth = Fraction(round(gpu.bandwidth)) * assumptions["bandwidth-share"]
    model, active = each.model, Fraction(1)
    if model.active is not None and model.parameters is not None:
        active = Fraction(model.active.value, model.parameters.value)
    return bandwidth / (active * each.memory.weights + (model.kv_cache_bytes(each.context) or 0))


def _show(
    info: ModelInfo,
    gpu: Accelerator | None,
    pool: MemoryPool,
    tokens: int,
    rows: list[tuple[MemoryFit, Fraction | None]],
    assumptions: Assumptions,
) -> None:
    name = gpu.name if gpu is not None else "memory"
    if wants_json():
        write_json(
            {
                "model": info.name,
                "on": name,
                "room_bytes": pool.available,
                "context": tokens,
                "source": gpu.source if gpu is not None else "",
                "quantizations": [_row_json(each, pace) for each, pace in rows],
            },
        )
        return
    click.echo(f"{info.title} on {name}: {format_bytes(pool.available)} free for it, requests of {tokens:,} tokens")
    table = [
        (
            each.quantization,
            format_bytes(each.memory.weights),
            format_bytes(info.kv_cache_bytes(each.context) or 0),
            format_bytes(one.total if (one := info.estimate_memory(each.quantization, each.context)) else 0),
            "no" if not each.slots else "1 request" if each.slots == 1 else f"{each.slots} concurrent",
            f"{float(pace):.1f}" if pace is not None and each.slots else "?" if pace is None else "",
        )
        for each, pace in rows
    ]
    heads = ("QUANTIZATION", "WEIGHTS", "CACHE", "TOTAL", "FITS", "TOKENS/S")
    write_table(heads, table, right="WEIGHTS CACHE TOTAL TOKENS/S")
    if gpu is not None:
        about = f"bandwidth: {gpu.source}" if gpu.source else "its bandwidth is unknown, so the pace is too"
        click.echo("Unproven: computed, not run on this GPU.")
        for line in wrap(about, 100, break_on_hyphens=False):
            click.echo(dim(line))
    else:
        click.echo(dim(f"bandwidth: {assumptions.number('bandwidth-cpu').source}"))
    if not any(each.slots for each, _ in rows):
        click.echo("It does not fit. Try a smaller context (--context), a larger machine, or sizewise advise.")


def _row_json(each: MemoryFit, pace: Fraction | None) -> dict[str, object]:
    return {
        "quantization": each.quantization,
        "weights_bytes": each.memory.weights,
        "total_bytes": each.memory.total,
        "fits": each.slots > 0,
        "slots": each.slots,
        "tokens_per_second": None if pace is None else round(float(pace), 2),
    }
