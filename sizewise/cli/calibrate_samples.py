"""Calibrating a cascade on what a running server has sampled of its own traffic; asks no model."""

from __future__ import annotations

import asyncio
from datetime import date

import click
import msgspec
from msgspec import Struct

from sizewise import __version__
from sizewise.cli.options import server, settings, wants_json
from sizewise.cli.output import count, write_json, write_table
from sizewise.cli.settings_patch import promise, show
from sizewise.errors import BadRequest
from sizewise.routing.guarantees.bounds import Promise
from sizewise.routing.guarantees.sampled_certificate import Found, Held, Sampled, certified

QUERY = "query ($policy: String!) { samples(policy: $policy) { small large judge pairs } }"


class Pairs(Struct):
    small: str
    large: str
    judge: str
    pairs: list[tuple[float | None, float | None]]


class Told(Struct):
    samples: Pairs


def sampled(policy: str, its: Promise, writes: bool) -> bool:
    """Says what can be promised, and whether the promise asked for can. Raises BadRequest for no cascade of two."""
    known = settings()
    wanted = known.policies.get(policy)
    if wanted is not None and wanted.kind != "cascade":
        hint = "give a FOLDER of outcomes, or name a policy of kind 'cascade' with --policy"
        raise BadRequest(f"sampled pairs calibrate a cascade, and {policy!r} is of the kind {wanted.kind!r}", hint)
    told = asyncio.run(server().graphql(QUERY, Told, policy=policy)).samples
    held = [Held(trust, worse) for trust, worse in told.pairs]
    found = certified(held, its)
    unjudged = sum(each.worse is None for each in held)
    day = date.today().isoformat()
    options = {} if wanted is None else wanted.options
    votes, verifier = options.get("votes", 1), options.get("verifier", "")
    proof = Sampled(
        told.small,
        told.large,
        its.confidence,
        found.kept,
        told.judge,
        len(held),
        unjudged,
        day,
        votes if isinstance(votes, int) else 1,
        verifier if isinstance(verifier, str) else "",
        __version__,
    )
    holds = proof.keeping(its.quality) is not None
    file, changed = None, list[str]()
    if holds:
        file, changed = promise(known, policy, "cascade", its, proof, proof.models, writes)
    if wants_json():
        write_json({**msgspec.to_builtins(proof), "needs": found.needs, "diff": changed})
    else:
        _show(proof, found, its)
        if file is not None:
            show(file, changed, writes)
    return holds


def _show(proof: Sampled, found: Found, its: Promise) -> None:
    if not proof.pairs:
        click.echo(f"No answers of {proof.small} and {proof.large} were compared yet, so nothing can be promised.")
        click.echo("Give [shadow] in the settings a `sample_rate` and a `judge`, and ask: docs/how-to/shadow.md")
        return
    judge = proof.judge or "nobody, for all were the same"
    click.echo(f"{count(proof.pairs)} sampled pairs of {proof.small} and {proof.large}, compared by {judge}")
    if proof.unjudged:
        click.echo(f"{count(proof.unjudged)} of them could not be judged, and count as lost")
    click.echo()
    if found.kept:
        write_table(
            ("PROMISED", "TRUST FROM", "QUALITY", "ANSWERED SMALL"),
            [
                (f"{each.quality:g}", f"{each.trust:.2f}", f"{each.measured:.1%}", f"{each.served:.0%}")
                for each in found.kept
            ],
        )
        click.echo()
    if proof.keeping(its.quality) is None:
        takes = "" if found.needs is None else f"; it would take about {count(found.needs)} pairs"
        click.echo(f"{its.quality:g} of {proof.large} with chance {its.confidence:g} cannot be promised yet{takes}.")
