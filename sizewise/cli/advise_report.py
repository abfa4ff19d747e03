"""The text report of `sizewise advise`, at most 100 columns wide; decides nothing."""

from __future__ import annotations

from fractions import Fraction
from textwrap import wrap

import click

from sizewise.advisor.assumptions import Assumptions
from sizewise.advisor.candidate_kinds import CANDIDATE_KINDS
from sizewise.advisor.cost import Interval
from sizewise.advisor.memory_fit import MemoryFit
from sizewise.advisor.next_steps import next_steps
from sizewise.advisor.recommendation import BreakEven, RankedCandidate, Recommendation
from sizewise.advisor.sourced_number import SourcedNumber, format_number, format_seconds, format_usd
from sizewise.advisor.training_from_scratch import training_energy
from sizewise.advisor.workload import TOKENS, Workload
from sizewise.app.advice_json import volumes
from sizewise.catalog.loader import bundled_models
from sizewise.catalog.memory_estimate import format_bytes
from sizewise.catalog.reported_trainings import ReportedTraining, reported_trainings
from sizewise.cli.output import dim, write_table
from sizewise.energy import format_wh

MAX_COLUMNS = 100


def print_report(advice: Recommendation, reasons: bool) -> None:
    _head(advice.workload)
    if advice.ranked:
        _ranking(advice)
        _criteria(advice)
        _hardware(advice)
        _costs(advice)
        _security(advice)
    else:
        click.echo()
        _ways_out(advice)
    _near(advice)
    _out(advice, reasons)
    _scratch(advice)
    if reasons:
        _reasons(advice)
    else:
        _footing(advice)
    if advice.ranked:
        _next(advice.ranked[0])


def _title(text: str) -> None:
    click.echo()
    click.echo(click.style(text, bold=True))


def _lines(text: str, indent: str = "") -> None:
    for line in wrap(text, MAX_COLUMNS, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False):
        click.echo(line)


def _head(work: Workload) -> None:
    inputs = work.all_numbers()
    for kind, title in (("input", "Your input"), ("default", "Defaults")):
        shown = ", ".join(f"{each.name} {each.value}" for each in inputs if each.kind == kind)
        if shown:
            _lines(f"{title}: {shown}")
    length = TOKENS[work.task]
    assumed = (
        ("tokens-in", f"{work.tokens_in:,} input tokens", length.input_reason),
        ("tokens-out", f"{work.tokens_out:,} output tokens", length.output_reason),
    )
    for option, tokens, reason in assumed:
        if option not in work.explicit_inputs:
            _lines(f"Assumed to {work.task}: {tokens}, {reason}. Change it: --{option} N")


def _ranking(advice: Recommendation) -> None:
    _title("Recommendation")
    work = advice.workload
    rows = [
        (
            f"{rank}.",
            each.title,
            f"{float(each.points):.1f}",
            f"{float(each.candidate.quality):.2f}",
            format_seconds(each.candidate.latency_s),
            format_usd(each.candidate.cost.one_off),
            format_usd(each.candidate.cost.monthly_total(work.requests)),
            format_usd(each.candidate.cost.total(work.requests, work.months)),
        )
        for rank, each in enumerate(advice.ranked, 1)
    ]
    heads = ("", "OPTION", "POINTS", "QUALITY", "ANSWER", "ONCE", "A MONTH", f"IN {work.months} MONTHS")
    write_table(heads, rows, right="POINTS QUALITY ANSWER ONCE MONTH MONTHS")
    click.echo()
    for rank, each in enumerate(advice.ranked, 1):
        others = "; ".join(other.name for other in each.alternatives)
        _lines(f"{rank}. {_models(each)}" + (f". Also: {others}" if others else ""))
    click.echo()
    _lines(_because(advice))


def _near(advice: Recommendation) -> None:
    """What is possible and misses the need, nearest first."""
    if not advice.near:
        return
    need = f"{float(advice.assumptions['need']):.2f}"
    _title(f"Misses the need: a quality of at least {need} (assumption need)")
    for each in advice.near:
        _lines(f"{each.title}: {_models(each)}, quality {float(each.candidate.quality):.2f}")
        if each.candidate.kind in ("local", "local-large", "hosted", "api", "classifier"):
            _lines(each.scores["quality"].reason, "    ")


def _security(advice: Recommendation) -> None:
    _title("Security, four risks")
    shown = [[each.level for each in advice.risks(option)] for option in advice.ranked]
    names = [each.name for each in advice.risks(advice.ranked[0])]
    heads = ("RISK", *(f"{rank}." for rank in range(1, len(shown) + 1)))
    write_table(heads, [(name, *levels) for name, levels in zip(names, zip(*shown, strict=True), strict=True)])
    click.echo()
    for risk in advice.risks(advice.ranked[0]):
        _lines(f"1. {risk.name}: {risk.reason}")


def _scratch(advice: Recommendation) -> None:
    _title("Train one from scratch?")
    _lines(advice.scratch.reason(advice.workload))
    for each in reported_trainings():
        _lines(_reported(each, advice.assumptions))


def _reported(each: ReportedTraining, assumptions: Assumptions) -> str:
    hours = [Fraction(count) for count in each.gpu_hours()]
    millions = [format_number(count / 10**6, 0) for count in hours]
    dollars = [format_number(count * assumptions["gpu-hour"] / 10**6, 0) for count in hours]
    energy = [format_wh(training_energy(count, assumptions)) for count in hours]
    return (
        f"For comparison, {each.name} is reported to have taken {each.gpus:,} {each.gpu} for {each.days[0]} to"
        f" {each.days[1]} days: {millions[0]} to {millions[1]} million GPU hours, ${dollars[0]} to ${dollars[1]}"
        f" million of rent, {energy[0]} to {energy[1]} ({each.source})."
    )


def _next(first: RankedCandidate) -> None:
    _title(f"Next, for 1. {first.title}")
    for line in next_steps(first.candidate, bundled_models()):
        click.echo(f"  {line}")


def _models(each: RankedCandidate) -> str:
    found = []
    for part in each.candidate.placements:
        license_ = part.model.license
        about = [] if not part.is_local else [f"license {license_.value if license_ else 'unknown'}"]
        about += [] if part.quality_estimate.measured else ["quality not measured"]
        found.append(part.name + (f" ({', '.join(about)})" if about else ""))
    return ", then ".join(found)


def _because(advice: Recommendation) -> str:
    """Where the first option gains on the second, and where it loses."""
    first, *rest = advice.ranked
    if not rest:
        return f"Only a {first.title} can do this; see below why the others cannot."
    second, total = rest[0], sum(advice.weights.values())
    gains = {}
    for name, weight in advice.weights.items():
        ours, theirs = first.scores[name], second.scores[name]
        gains[name] = 100 * weight * (ours.value - ours.over_budget - theirs.value + theirs.over_budget) / total
    wins = [f"{advice.criteria[name]} +{format_number(gain, 1)}" for name, gain in _large(gains, 1)]
    losses = [f"{advice.criteria[name]} {format_number(gain, 1)}" for name, gain in _large(gains, -1)]
    gap = first.points - second.points
    ahead = f"{format_number(gap, 1)} points" if gap >= Fraction(1, 20) else "less than 0.1 points"
    told = f"First by {ahead}: {', '.join(wins) or 'no criterion'}"
    told += f"; behind in {', '.join(losses)}." if losses else ", behind in none."
    return told + (" This is close: small changes in the input can reverse it." if gap < 2 else "")


def _large(gains: dict[str, Fraction], sign: int) -> list[tuple[str, Fraction]]:
    shown = [(name, gain) for name, gain in gains.items() if gain * sign >= Fraction(1, 20)]
    return sorted(shown, key=lambda each: -abs(each[1]))


def _criteria(advice: Recommendation) -> None:
    _title("Criteria, 0 to 1")
    heads = ("CRITERION", "WEIGHT", *(f"{rank}." for rank in range(1, len(advice.ranked) + 1)))
    rows = []
    for name, title in advice.criteria.items():
        scores = [each.scores[name] for each in advice.ranked]
        shown = [f"{float(score.value - score.over_budget):.2f}" for score in scores]
        rows.append((title, format_number(advice.weights[name]), *shown))
    write_table(heads, rows, right=" ".join(heads[1:]))
    if any(each.scores["cost"].over_budget for each in advice.ranked):
        budget = advice.assumptions.number("budget").value
        _lines(f"A cost score below 0 exceeds the budget of {budget}, an assumption; change it with --assume budget=N.")
    click.echo()
    for name, score in advice.ranked[0].scores.items():
        _lines(f"1. {advice.criteria[name]}: {score.reason}")


def _hardware(advice: Recommendation) -> None:
    if not advice.fits:
        return
    work = advice.workload
    _title(f"Hardware: weights and cache for requests of {work.context:,} tokens")
    rows = [
        (fit.model.name, fit.quantization, fit.pool.kind, *_needs(fit), format_bytes(fit.pool.available), _fits(fit))
        for fit in advice.fits
    ]
    heads = ("MODEL", "QUANTIZATION", "IN", "WEIGHTS", "CACHE", "TOTAL", "AVAILABLE", "FITS")
    write_table(heads, rows, right="WEIGHTS CACHE TOTAL AVAILABLE")
    if not work.memory_is_free:
        parts = [f"{format_number(100 * advice.assumptions['reserve'], 1)} % of memory"]
        parts += [f"{format_number(100 * advice.assumptions['reserve-gpu'], 1)} % of the GPU"] if work.gpu else []
        _lines(f"{' and '.join(parts)} reserved for other programs (assumptions reserve, reserve-gpu).")
    else:
        _lines("Memory is what is free on this machine now; use --memory-gb for another machine.")


def _needs(fit: MemoryFit) -> tuple[str, str, str]:
    one = fit.model.estimate_memory(fit.quantization, fit.context)
    need = one if one is not None else fit.memory
    return format_bytes(need.weights), format_bytes(need.kv_cache), format_bytes(need.total)


def _fits(fit: MemoryFit) -> str:
    return "no" if not fit.slots else "1 request" if fit.slots == 1 else f"{fit.slots} concurrent"


def _costs(advice: Recommendation) -> None:
    work = advice.workload
    _title("Total cost")
    columns = volumes(work)
    heads = [f"{_short(volume)}×{months}" for volume, months in columns]
    rows = [
        (f"{rank}.", each.title, *(format_usd(each.candidate.cost.total(volume, months)) for volume, months in columns))
        for rank, each in enumerate(advice.ranked, 1)
    ]
    write_table(("", "REQUESTS PER MONTH × MONTHS", *heads), rows, right=" ".join(heads))
    if advice.break_even:
        click.echo()
    for rank, each in enumerate(advice.break_even, 2):
        _lines(f"1. compared to {rank}. {each.alternative.title}: {_even(each, work)}")


def _short(volume: int) -> str:
    for letter, times in (("M", 1_000_000), ("k", 1_000)):
        if volume >= times:
            return f"{format_number(Fraction(volume, times), 1)}{letter}"
    return str(volume)


def _even(each: BreakEven, work: Workload) -> str:
    if not each.volumes and each.months is None:
        return "never costs less"
    said = f"costs less {' and '.join(map(_span, each.volumes))}" if each.volumes else "costs less at no volume"
    at, span = f"at {_short(work.requests)} per month", each.months
    if span is None:
        return f"{said}; {at} never"
    if span.includes_start or not span.start:
        until = "" if span.end is None else f" until month {format_number(span.end, 1)}"
        return f"{said}; {at} from the start{until}"
    return f"{said}; {at} after {format_number(span.start, 1)} months"


def _span(span: Interval) -> str:
    begin, end = _volume(span.start), None if span.end is None else _volume(span.end)
    if span.includes_start or not span.start:
        return "at every volume" if end is None else f"up to {end} requests per month"
    return f"above {begin} requests per month" if end is None else f"between {begin} and {end} requests per month"


def _volume(volume: Fraction) -> str:
    """The last whole volume up to it; the break-even itself is a fraction."""
    return f"{volume.numerator // volume.denominator:,}"


def _out(advice: Recommendation, reasons: bool) -> None:
    """The most frequent reason for each kind without a candidate left; every reason with `reasons`."""
    kinds = tuple(CANDIDATE_KINDS) if reasons else advice.excluded_kinds
    shown = set[str]()
    rows = [each for each in advice.exclusions if each.kind in kinds]
    if rows:
        _title("Excluded, and why" if reasons else "Not possible")
    for each in rows:
        if reasons or each.kind not in shown:
            example = f"{each.count}, such as {each.example}" if each.count > 1 else each.example
            _lines(f"{CANDIDATE_KINDS[each.kind]}: {each.reason} ({example})")
            shown.add(each.kind)
    if len(shown) < len(rows) and not reasons:
        click.echo(dim(f"{len(rows) - len(shown)} more reasons: --reasons"))


def _ways_out(advice: Recommendation) -> None:
    """The single changes that help; without one, what else could."""
    if not advice.ways_out:
        _lines(f"No model in the catalog can do this. {_way_out(advice.workload)}")
        return
    _lines("No model in the catalog can do this as it is. With one of these changes there is one:")
    wide = max(len(each.option) for each in advice.ways_out)
    for each in advice.ways_out:
        _lines(f"{each.option.ljust(wide)}  {each.title}: {each.name}", "  ")


def _way_out(work: Workload) -> str:
    less = "more time (--latency-ms), or ask for less (--context, --languages)."
    if work.privacy != "confidential":
        return f"Allow {less}"
    return f"Use a machine with more memory or a GPU (--memory-gb, --gpu-gb), data that may leave it, or {less}"


def _footing(advice: Recommendation) -> None:
    click.echo()
    own = [each.number() for each in advice.assumptions.all.values() if each.user_set]
    if own:
        _lines(f"Your assumptions: {', '.join(f'{each.name} {each.value}' for each in own)}.")
    count = len(advice.assumptions.all) - len(own)
    click.echo(dim(f"Based on {count} default assumptions and on facts with sources; --reasons lists all of them."))
    click.echo(dim("This is an estimate. Measure with your own examples before you decide."))


def _reasons(advice: Recommendation) -> None:
    for rank, each in enumerate(advice.ranked, 1):
        _title(f"{rank}. {each.title}: {each.candidate.name}, {format_number(each.points, 1)} points")
        for name, title in advice.criteria.items():
            score = each.scores[name]
            click.echo(
                f"{title} {float(score.value - score.over_budget):.2f} x {format_number(advice.weights[name])}:"
                f" {score.reason}",
            )
            for number in score.numbers:
                click.echo(dim(f"    {_number(number)}"))
    _title("Assumptions; change one with --assume NAME=N")
    for assumption in advice.assumptions.all.values():
        click.echo(_number(assumption.number()))


def _number(number: SourcedNumber) -> str:
    return f"{number.name} = {number.value}  [{number.kind}: {number.source}]"
