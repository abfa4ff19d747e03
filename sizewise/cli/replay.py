"""`sizewise route replay`: evaluates a policy on recorded outcomes, next to each model alone; calls no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path
from time import perf_counter

import click
import msgspec

from sizewise.cli.options import command_settings, local_options, refuse_options, wants_json
from sizewise.cli.output import format_count, write_json, write_table
from sizewise.cli.price_options import parse_prices
from sizewise.cli.value_completion import complete_policy
from sizewise.errors import BadRequest, did_you_mean
from sizewise.evals.dataset_files import read_dataset
from sizewise.evals.missing_answers import find_missing
from sizewise.evals.outcomes import OutcomeDataset
from sizewise.evals.policy_loader import certificate_models, load_prediction
from sizewise.evals.policy_loader import load_policy as made
from sizewise.evals.replay import ReplayCase, ReplaySummary, replay_cases
from sizewise.evals.replay import replay as replayed
from sizewise.messages import Reply
from sizewise.model_card import ModelCard, ModelEndpoint, effort_in
from sizewise.money import UNKNOWN_PRICE, Price, format_dollars
from sizewise.plugins import PluginRegistry, plugin_names
from sizewise.routing.guarantees.certificate import CertificateProvenance
from sizewise.routing.policies.certified import CertifiedPolicy
from sizewise.routing.policies.fixed import FixedPolicy
from sizewise.routing.policies.learned import LearnedPolicy
from sizewise.routing.policy import Policy, RequestFeatures, Verdict
from sizewise.routing.quality.predictor import PredictorProvenance
from sizewise.routing.quality.prompt_sketch import known_share
from sizewise.routing.quality_prediction import QualityPrediction
from sizewise.settings.routing import PolicySettings

FEW_PROMPTS = 30


@click.command("replay")
@click.argument("policy", shell_complete=complete_policy)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--models", metavar="A,B,...", help="Smallest first, by their names in the outcomes. [all, by their scores]"
)
@click.option("--price", "prices", multiple=True, metavar="MODEL=IN,OUT", help="Dollars per million tokens.")
@click.option("--predictor", "router", type=click.Path(path_type=Path), help="A predictor written by `route train -o`.")
@local_options
def replay(policy: str, folder: Path, models: str | None, prices: tuple[str, ...], router: Path | None) -> None:
    """Replay a policy over recorded outcomes, at no cost.

    POLICY is a name under [policies] of the settings, or a kind. FOLDER holds prompts.jsonl and outcomes.jsonl.

    \b
    Example: sizewise route replay cascade data/mine --models phi,gpt --price phi=0.05,0.1 --price gpt=2,8
    """
    outcomes = read_dataset(folder)
    its = named_policy(policy)
    named = certified_names(its, outcomes)
    cards = recorded_cards(outcomes, models or ",".join(named) or None, parse_prices(prices, outcomes), named)
    known = certificate_models(its, cards, no_judge) if isinstance(its, CertifiedPolicy) else None
    if known is None:
        foresight = load_prediction(router, cards)
    else:
        refuse_options(f"with {policy}, which is certified with a predictor of its own", "router")
        foresight = known.prediction
    played = replay_cases(outcomes, cards, foresight, None if known is None else known.judge)
    began = perf_counter()
    rows = {policy: replayed(its, played, outcomes, cards)}
    speed = len(played) / max(1e-9, perf_counter() - began)
    for card in cards:
        rows[f"{card.name} alone"] = replayed(
            FixedPolicy((card.name,)), [_only(each, card) for each in played], outcomes, cards
        )
    names = [card.name if card.name in outcomes.columns else card.model for card in cards]
    missing = find_missing(outcomes, names)
    in_sample = _in_sample_share(its, foresight, outcomes, [outcomes.prompts[each.row] for each in played])
    if wants_json():
        evidence = {"in_sample": round(in_sample, 3), "missing": msgspec.to_builtins(missing)}
        write_json({"decisions_s": round(speed), **evidence, "rows": msgspec.to_builtins(rows)})
        return
    write_table(
        ("WAY", "QUALITY", "COST EACH", "MODELS ASKED", "ANSWERED BY"),
        [
            (name, _quality(its), format_dollars(its.cost), f"{its.calls_per_prompt:.2f}", _gave(its))
            for name, its in rows.items()
        ],
    )
    click.echo()
    click.echo(f"{format_count(len(played))} prompts, {format_count(round(speed))} decisions a second")
    if in_sample:
        click.echo(
            f"In-sample: {policy} was learned from about {in_sample:.0%} of these prompts, so its row is better than on"
            " new ones. Replay prompts that it was not learned from."
        )
    if isinstance(its, LearnedPolicy) and foresight is None:
        click.echo(f"{policy} has no predictor, so it asks the best model each time: name one with --predictor.")
    if missing.incomplete:
        click.echo(f"{missing}: left out")
    if len(played) < FEW_PROMPTS:
        few = "1 prompt is" if len(played) == 1 else f"{len(played)} prompts are"
        click.echo(f"{few} too few to compare policies: the margins say by how much.")
    _write_never_right([card.name for card in cards if not rows[f"{card.name} alone"].quality], len(cards))


def _write_never_right(names: Sequence[str], count: int) -> None:
    """Of `count` models, `names` have no right answer."""
    if len(names) == count:
        click.echo("No answer to any of these prompts is right: check the scores of the outcomes.")
    elif names:
        are = "is" if len(names) == 1 else "are"
        click.echo(f"{', '.join(names)} {are} never right on these prompts: check the scores of the outcomes.")


def _in_sample_share(
    policy: Policy, prediction: QualityPrediction | None, outcomes: OutcomeDataset, prompts: Sequence[str]
) -> float:
    """Estimated share of the prompts that the policy was learned from, 0..1."""
    if isinstance(policy, CertifiedPolicy):
        learned: CertificateProvenance | PredictorProvenance = policy.certificate.provenance
    elif prediction is not None:
        learned = prediction.provenance
    else:
        return 0.0
    if learned.dataset_digest == outcomes.digest:
        return 1.0
    return known_share(learned.prompt_sketch, prompts)


def no_judge(features: RequestFeatures, replies: tuple[Reply, ...]) -> Verdict:
    """Replaces the rule judges, which need the whole reply: only the final answer was recorded."""
    return Verdict(None, "nothing to judge")


def _only(case: ReplayCase, card: ModelCard) -> ReplayCase:
    return msgspec.structs.replace(case, candidates=tuple(each for each in case.candidates if each.card is card))


def _quality(its: ReplaySummary) -> str:
    return f"{its.quality:.1%} +- {its.quality_margin:.1%}"


def _gave(its: ReplaySummary) -> str:
    told = [f"{name} {share:.0%}" for name, share in its.answer_shares.items()]
    return ", ".join([*told, f"refused {its.refusal_share:.0%}"] if its.refusal_share else told)


def certified_names(policy: Policy, outcomes: OutcomeDataset) -> dict[str, str]:
    """For a certified policy: each model's name in the outcomes and in the settings. Raises BadRequest."""
    if not isinstance(policy, CertifiedPolicy):
        return {}
    for name in policy.certificate.models:
        outcomes.column(name)
    return dict(zip(policy.certificate.models, policy.models, strict=True))


def recorded_cards(
    outcomes: OutcomeDataset, models: str | None, prices: dict[str, Price], named: Mapping[str, str]
) -> tuple[ModelCard, ...]:
    """Weakest first, with a `quality` by rank. `named`: name in the outcomes -> name in the settings."""
    if models is None:
        ranked = sorted(outcomes.columns, key=lambda name: _mean(outcomes, name))
    else:
        ranked = [name.strip() for name in models.split(",") if name.strip()]
    for name in ranked:
        outcomes.column(name)
    here = ModelEndpoint("recorded", place="process")
    last = max(1, len(ranked) - 1)
    return tuple(
        ModelCard(
            name=named.get(name, name),
            endpoint=here,
            model=name,
            quality=number / last,
            price=prices.get(name, UNKNOWN_PRICE),
            effort=effort_in(named.get(name, name)),
        )
        for number, name in enumerate(ranked)
    )


def _mean(outcomes: OutcomeDataset, name: str) -> float:
    known = [score for score in outcomes.column(name).score if not isnan(score)]
    return sum(known) / max(1, len(known))


def named_policy(name: str) -> Policy:
    """Of the settings, or a kind of policy with its defaults. Raises BadRequest."""
    wanted, known = command_settings().policies, plugin_names("policies")
    if name in wanted:
        return made(name, wanted[name], PluginRegistry())
    if name not in known:
        every = list(dict.fromkeys([*wanted, *known]))
        hint = did_you_mean(name, every) or f"known: {', '.join(every)}"
        raise BadRequest(f"there is no policy {name!r}", hint)
    return made(name, PolicySettings(kind=name), PluginRegistry())
