"""`sizewise calibrate`: what could be promised on recorded outcomes, and what that would save; asks no model."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import click
import msgspec

from sizewise.cli.options import placed, wants_json
from sizewise.cli.paper import count, write_json, write_table
from sizewise.errors import ConfigError
from sizewise.evals.folder import read
from sizewise.routing.promise import Promise

NEEDS = "numpy"


@click.command("calibrate")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--small", required=True, metavar="MODEL", help="The small model, as the outcomes name it.")
@click.option("--large", required=True, metavar="MODEL", help="The large one: the promise is of its quality.")
@click.option("--second", metavar="MODEL", help="Another small model, whose agreement counts as evidence.")
@click.option("--quality", default=0.95, show_default=True, help="Of the large model's, 0 to 1.")
@click.option("--sure", default=0.95, show_default=True, help="Chance that what is promised is true, 0 to 1.")
@click.option("--ratio", default=0.1, show_default=True, help="Price of a small answer, where a large one costs 1.")
@click.option("--seed", default=0, show_default=True, help="Of the lot that parts the prompts.")
@placed
@click.pass_context
def calibrate(
    ctx: click.Context,
    /,
    folder: Path,
    small: str,
    large: str,
    second: str | None,
    quality: float,
    sure: float,
    ratio: float,
    seed: int,
) -> None:
    """What could be promised, and what it would save.

    FOLDER holds recorded outcomes: prompts.jsonl and outcomes.jsonl. Half of the prompts teach, the other half proves.
    Asks no model and changes no setting. Ends with 1 when nothing can be promised yet, and says how many prompts that
    would take.

    \b
    Example: sizewise calibrate data/mine --small phi --large gpt --quality 0.95
    """
    if find_spec(NEEDS) is None:
        raise ConfigError("calibrating needs numpy", "pip install numpy, where Sizewise is installed")
    from sizewise.evals.calibrate import calibrate as calibrated

    found = calibrated(read(folder), small, large, Promise(quality, sure, large), second=second, ratio=ratio, seed=seed)
    if wants_json():
        write_json(msgspec.to_builtins(found))
    else:
        click.echo(
            f"{small} is right {found.small_good:.1%} of the time, {large} {found.large_good:.1%}: "
            f"{count(found.proved)} prompts that prove; {count(found.taught)} others taught"
        )
        click.echo()
        write_table(
            ("POLICY", "KEPT SMALL", "QUALITY", "SAVES", "PAIRS NEEDED"),
            [
                (
                    each.policy,
                    f"{each.served:.0%}",
                    "-" if each.quality is None else f"{each.quality:.1%}",
                    f"{each.saves:.0%}",
                    "-" if each.served or each.needs is None else f"about {count(each.needs)}",
                )
                for each in found.tried
            ],
        )
        click.echo()
        if found.chosen is None:
            click.echo(f"Nothing that saves keeps {quality:g} of the quality of {large} with chance {sure:g} yet.")
        else:
            click.echo(
                f"With chance {sure:g} the policy {found.chosen.policy!r} keeps at least {quality:g} of the quality of "
                f"{large}, as these scores measure it, and saves {found.chosen.saves:.0%} of its cost."
            )
        click.echo("No router uses this yet: it is what could be promised.")
    ctx.exit(0 if found.chosen is not None else 1)
