"""`sizewise route replay`: a policy over recorded outcomes, beside each model alone; asks no model."""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan
from pathlib import Path
from time import perf_counter

import click
import msgspec

from sizewise.cli.options import placed, settings, wants_json
from sizewise.cli.output import count, write_json, write_table
from sizewise.cli.price_options import priced
from sizewise.errors import BadRequest, nearest
from sizewise.evals.dataset_files import read
from sizewise.evals.outcomes import Outcomes
from sizewise.evals.policy_loader import learned, mind
from sizewise.evals.policy_loader import policy as made
from sizewise.evals.replay import Case, Replayed, cases
from sizewise.evals.replay import replay as replayed
from sizewise.messages import Reply
from sizewise.model_card import Card, Endpoint
from sizewise.money import UNKNOWN, Price, dollars
from sizewise.plugins import Once, names
from sizewise.routing.policies.certified import Promised
from sizewise.routing.policies.fixed import Fixed
from sizewise.routing.policy import Policy, Question, Verdict
from sizewise.settings.routing import Policy as Wanted


@click.command("replay")
@click.argument("policy")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--models", metavar="A,B,...", help="Smallest first, as the outcomes name them. [all, by their scores]")
@click.option("--price", "prices", multiple=True, metavar="MODEL=IN,OUT", help="Dollars per million tokens.")
@click.option("--predictor", "router", type=click.Path(path_type=Path), help="A file that `route train -o` wrote.")
@placed
def replay(policy: str, folder: Path, models: str | None, prices: tuple[str, ...], router: Path | None) -> None:
    """Replay a policy over recorded outcomes, at no cost.

    POLICY is a name under [policies] of the settings, or a kind. FOLDER holds prompts.jsonl and outcomes.jsonl.

    \b
    Example: sizewise route replay cascade data/mine --models phi,gpt --price phi=0.05,0.1 --price gpt=2,8
    """
    outcomes = read(folder)
    its = _policy(policy)
    named = _named(its, outcomes)
    cards = _cards(outcomes, models or ",".join(named) or None, priced(prices, outcomes), named)
    known = mind(its, cards, _silent) if isinstance(its, Promised) else None
    foresight = learned(router, cards) if known is None else known.foresight
    played = cases(outcomes, cards, foresight, None if known is None else known.judge)
    began = perf_counter()
    rows = {policy: replayed(its, played, outcomes, cards)}
    speed = len(played) / max(1e-9, perf_counter() - began)
    for card in cards:
        rows[f"{card.name} alone"] = replayed(
            Fixed((card.name,)), [_only(each, card) for each in played], outcomes, cards
        )
    if wants_json():
        write_json({"decisions_s": round(speed), "rows": msgspec.to_builtins(rows)})
        return
    write_table(
        ("WAY", "QUALITY", "COST EACH", "MODELS ASKED", "ANSWERED BY"),
        [(name, _quality(its), dollars(its.cost), f"{its.asked:.2f}", _gave(its)) for name, its in rows.items()],
    )
    click.echo()
    click.echo(f"{count(len(played))} prompts, {count(round(speed))} decisions a second")


def _silent(question: Question, replies: tuple[Reply, ...]) -> Verdict:
    """No rule can be applied to an answer of which only its end was recorded."""
    return Verdict(None, "nothing to judge")


def _only(case: Case, card: Card) -> Case:
    return msgspec.structs.replace(case, field=tuple(each for each in case.field if each.card is card))


def _quality(its: Replayed) -> str:
    return f"{its.quality:.1%} +- {its.within:.1%}"


def _gave(its: Replayed) -> str:
    told = [f"{name} {share:.0%}" for name, share in its.gave.items()]
    return ", ".join([*told, f"nobody {its.refused:.0%}"] if its.refused else told)


def _named(policy: Policy, outcomes: Outcomes) -> dict[str, str]:
    """Of a promise: the outcomes' name of each of its models, and its name in the settings. Raises BadRequest."""
    if not isinstance(policy, Promised):
        return {}
    for name in policy.certificate.models:
        outcomes.column(name)
    return dict(zip(policy.certificate.models, policy.models, strict=True))


def _cards(
    outcomes: Outcomes, models: str | None, prices: dict[str, Price], named: Mapping[str, str]
) -> tuple[Card, ...]:
    """In the order of their strength, which `quality` carries. `named`: what some of them are called elsewhere."""
    if models is None:
        ranked = sorted(outcomes.models, key=lambda name: _mean(outcomes, name))
    else:
        ranked = [name.strip() for name in models.split(",") if name.strip()]
    for name in ranked:
        outcomes.column(name)
    here = Endpoint("recorded", place="process")
    last = max(1, len(ranked) - 1)
    return tuple(
        Card(named.get(name, name), here, name, quality=number / last, price=prices.get(name, UNKNOWN))
        for number, name in enumerate(ranked)
    )


def _mean(outcomes: Outcomes, name: str) -> float:
    known = [score for score in outcomes.column(name).score if not isnan(score)]
    return sum(known) / max(1, len(known))


def _policy(name: str) -> Policy:
    wanted, known = settings().policies, names("policies")
    if name in wanted:
        return made(name, wanted[name], Once())
    if name not in known:
        every = list(dict.fromkeys([*wanted, *known]))
        hint = nearest(name, every) or f"known: {', '.join(every)}"
        raise BadRequest(f"there is no policy {name!r}", hint)
    return made(name, Wanted(kind=name), Once())
