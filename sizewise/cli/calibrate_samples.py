"""Calibrates a cascade on pairs that a running server has sampled from its traffic; calls no model."""

from __future__ import annotations

import asyncio
from datetime import date

import click
import msgspec

from sizewise import __version__
from sizewise.cli import operations
from sizewise.cli.options import api_client, command_settings, wants_json
from sizewise.cli.output import format_count, write_json, write_table
from sizewise.cli.settings_patch import print_patch, write_policy
from sizewise.errors import BadRequest
from sizewise.routing.guarantees.bounds import QualityGuarantee
from sizewise.routing.guarantees.sampled_certificate import (
    SampledCertificate,
    SampledCertification,
    SampledPair,
    certify_samples,
)


def calibrate_from_samples(policy: str, target: QualityGuarantee, write: bool) -> bool:
    """Shows which targets can be certified, and whether `target` can. Raises BadRequest if the policy is not a cascade
    of two.
    """
    known = command_settings()
    wanted = known.policies.get(policy)
    if wanted is not None and wanted.kind != "cascade":
        hint = "give a FOLDER of outcomes, or name a policy of kind 'cascade' with --policy"
        raise BadRequest(f"sampled pairs calibrate a cascade, and {policy!r} is of kind {wanted.kind!r}", hint)
    told = asyncio.run(operations.get_samples(api_client(), policy=policy))
    pairs = msgspec.convert(told.pairs, list[tuple[float | None, float | None]])
    held = [SampledPair(trust, worse) for trust, worse in pairs]
    found = certify_samples(held, target)
    unjudged = sum(each.worse is None for each in held)
    day = date.today().isoformat()
    options = {} if wanted is None else wanted.options
    votes, verifier = options.get("votes", 1), options.get("verifier", "")
    proof = SampledCertificate(
        small_model=told.small,
        large_model=told.large,
        confidence_level=target.confidence,
        guarantees=found.guarantees,
        judge_model=told.judge,
        pair_count=len(held),
        undecided=unjudged,
        date=day,
        votes=votes if isinstance(votes, int) else 1,
        verifier=verifier if isinstance(verifier, str) else "",
        version=__version__,
    )
    holds = proof.guarantee_for(target.quality) is not None
    file, changed = None, list[str]()
    if holds:
        file, changed = write_policy(known, policy, "cascade", target, proof, proof.models, write)
    if wants_json():
        write_json({**msgspec.to_builtins(proof), "needs": found.samples_needed, "diff": changed})
    else:
        _show(proof, found, target)
        if file is not None:
            print_patch(file, changed, write)
    return holds


def _show(proof: SampledCertificate, found: SampledCertification, its: QualityGuarantee) -> None:
    if not proof.pair_count:
        click.echo(
            f"No answers of {proof.small_model} and {proof.large_model} were compared yet, so no target can be "
            "certified.",
        )
        click.echo("Set `sample_rate` and `judge` in [shadow] and send requests: docs/how-to/shadow.md")
        return
    judge = proof.judge_model or "no judge, since all were identical"
    click.echo(
        f"{format_count(proof.pair_count)} sampled pairs of {proof.small_model} and {proof.large_model}, compared by"
        f" {judge}",
    )
    if proof.undecided:
        click.echo(f"{format_count(proof.undecided)} of them could not be judged, and count as losses")
    click.echo()
    if found.guarantees:
        write_table(
            ("TARGET", "THRESHOLD", "QUALITY", "ANSWERED SMALL"),
            [
                (
                    f"{each.quality:g}",
                    f"{each.trust_threshold:.2f}",
                    f"{each.measured_quality:.1%}",
                    f"{each.small_share:.0%}",
                )
                for each in found.guarantees
            ],
        )
        click.echo()
    if proof.guarantee_for(its.quality) is None:
        takes = "" if found.samples_needed is None else f"; about {format_count(found.samples_needed)} pairs are needed"
        click.echo(
            f"{its.quality:g} of {proof.large_model} with confidence {its.confidence:g} cannot be certified "
            f"yet{takes}.",
        )
