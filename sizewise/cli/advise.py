"""`sizewise advise`: recommends a small or large model for a workload, from the packaged catalog alone.

The report is in advise_report.py.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import click

from sizewise.advisor.assumptions import parse_assumptions
from sizewise.advisor.criteria import CRITERIA, parse_weights
from sizewise.advisor.own_criterion import parse_own_criteria
from sizewise.advisor.recommendation import recommend
from sizewise.advisor.workload import parse_workload
from sizewise.app.advice_json import advice_json, catalog_offers
from sizewise.app.measured_assumptions import measured_assumptions
from sizewise.catalog.current_catalog import current_catalog
from sizewise.catalog.memory_check import available_memory
from sizewise.catalog.plain_names import models_named
from sizewise.cli.advise_report import print_report
from sizewise.cli.advise_second import advise_second
from sizewise.cli.options import command_settings, local_options, refuse_options, wants_json
from sizewise.cli.output import write_json
from sizewise.errors import BadRequest

WORKLOAD = (
    "task",
    "languages",
    "requests_per_month",
    "tokens_in",
    "tokens_out",
    "latency_ms",
    "context",
    "privacy",
    "memory_gb",
    "gpu_gb",
    "team",
    "months",
    "labels",
    "images",
    "weeks",
)
"""Options that describe the workload."""


@click.command("advise")
@click.option("--task", metavar="TASK", help="classify, extract, summarize, translate, chat, code or reason. [chat]")
@click.option("--languages", metavar="CODES", help="Languages of the input, as en,de. [en]")
@click.option("--requests-per-month", metavar="N", help="Requests per month, as 20k or 3M. [10000]")
@click.option("--tokens-in", metavar="N", help="Input tokens of a typical request. [by task; classify: 250]")
@click.option("--tokens-out", metavar="N", help="Output tokens of a typical response. [by task; classify: 10]")
@click.option("--latency-ms", metavar="MS", help="Maximum time for a whole response. [30000; code, reason: 120000]")
@click.option("--context", metavar="TOKENS", help="Tokens of the longest request and its response. [twice the typical]")
@click.option("--privacy", metavar="CLASS", help="public, internal or confidential. [internal]")
@click.option("--memory-gb", metavar="GB", help="Memory of your machine. [what is free on this one]")
@click.option("--gpu-gb", metavar="GB", help="Memory of its GPU. [0]")
@click.option("--team", metavar="WHO", help="Your experience: none, some, or ml (you train models). [some]")
@click.option("--months", metavar="N", help="How long you will run it. [12]")
@click.option("--labels", metavar="N", help="Labeled examples that you have. [0]")
@click.option("--images", metavar="N", help="Images in a typical request. [0]")
@click.option("--weeks", metavar="N", help="Weeks until it must answer; 0 for no timetable. [0]")
@click.option("--weight", "weight", metavar="CRITERION=N", multiple=True, help="Weight of a criterion.")
@click.option(
    "--criterion",
    metavar="NAME=N,KIND=0.2",
    multiple=True,
    help="A criterion of your own: its weight, and scores from 0 to 1 by kind, model or endpoint.",
)
@click.option("--assume", metavar="NAME=N", multiple=True, help="Override an assumption, as wage=80.")
@click.option("--second", type=click.Path(path_type=Path), metavar="FOLDER", help="Rank second models by outcomes.")
@click.option("--small", metavar="MODEL", help="With --second: the small model that you have.")
@click.option("--large", metavar="MODEL", help="With --second. [the best in the outcomes]")
@click.option("--price", multiple=True, metavar="MODEL=IN,OUT", help="With --second: dollars per million tokens.")
@click.option("--reasons", is_flag=True, help="Show every number with its source, and every assumption.")
@local_options
@click.pass_context
def verb(
    ctx: click.Context,
    /,
    weight: tuple[str, ...],
    criterion: tuple[str, ...],
    assume: tuple[str, ...],
    reasons: bool,
    second: Path | None,
    small: str | None,
    large: str | None,
    price: tuple[str, ...],
    **said: str | None,
) -> None:
    """Recommend a small or a large model for a workload.

    Ranks what meets the need: a classifier, a model on this machine (tuned or not), a hosted small model, a large model
    by API (tuned or not), and a cascade of both. Exits with 1 if none can do the work. Needs no server and no network.

    With --second it tells which second small model is worth its price beside --small, from a folder of recorded answers
    (sizewise route outcomes).

    \b
    Example: sizewise advise --task classify --requests-per-month 3M --labels 2000
    """
    if second is not None:
        refuse_options("with --second", "weight", "criterion", "assume", "reasons", *WORKLOAD)
        ctx.exit(advise_second(second, small, large, price))
    if small or large or price:
        raise BadRequest("--small, --large and --price are used with --second alone", "add --second FOLDER")
    found = command_settings()
    given = {name.replace("_", "-"): text for name, text in said.items()}
    work = parse_workload(given, today=date.today().isoformat(), free_memory=available_memory())
    assumptions, weighed = parse_assumptions(assume), parse_weights(weight)
    if work.memory_is_free:
        assumptions = measured_assumptions(assumptions, found)
    catalog = current_catalog(found)
    every = catalog.load_models()
    offers = catalog_offers(catalog, every, found.sizes.thresholds)
    known = {*every, *(endpoint for each in every.values() for endpoint in each.offers)}
    own = parse_own_criteria(
        criterion,
        list(CRITERIA),
        sorted(known),
        lambda name: [each.name for each in models_named(name, every.values())],
    )
    advice = recommend(work, offers, assumptions, weighed, own)
    if wants_json():
        write_json(advice_json(advice))
    else:
        print_report(advice, reasons)
    ctx.exit(0 if advice.ranked else 1)
