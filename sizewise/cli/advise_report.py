"""The page that `sizewise advise` shows to people, a hundred columns wide; decides nothing."""

from __future__ import annotations

from fractions import Fraction
from textwrap import wrap

import click

from sizewise.advisor.candidates import KINDS
from sizewise.advisor.cost import Span
from sizewise.advisor.criteria import CRITERIA
from sizewise.advisor.memory_fit import Fit
from sizewise.advisor.recommendation import Advice, Advised, BreakEven
from sizewise.advisor.sourced_number import Number, plain, seconds, usd
from sizewise.advisor.workload import Workload
from sizewise.catalog.memory_estimate import size
from sizewise.cli.output import dim, write_table

WIDE = 100
WEAK = 0.6
"""Quality below which the page says so."""


def show(advice: Advice, reasons: bool) -> None:
    _head(advice.work)
    if advice.ranked:
        _ranking(advice)
        _criteria(advice)
        _hardware(advice)
        _costs(advice)
    else:
        click.echo()
        _lines(f"Nothing in the catalogue can do this. {_way_out(advice.work)}")
    _out(advice, reasons)
    if reasons:
        _reasons(advice)
    else:
        _footing(advice)


def volumes(work: Workload) -> tuple[tuple[int, int], ...]:
    """Requests a month and months, for which the costs are shown."""
    few, many = max(1, work.requests // 10), max(10, work.requests * 10)
    pairs = ((few, work.months), (work.requests, work.months), (many, work.months))
    return (*pairs, (work.requests, 1), (work.requests, work.months * 3))


def _title(text: str) -> None:
    click.echo()
    click.echo(click.style(text, bold=True))


def _lines(text: str, indent: str = "") -> None:
    for line in wrap(text, WIDE, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False):
        click.echo(line)


def _head(work: Workload) -> None:
    inputs = work.all()
    for kind, title in (("input", "You said"), ("default", "Taken for granted")):
        shown = ", ".join(f"{each.name} {each.value}" for each in inputs if each.kind == kind)
        if shown:
            _lines(f"{title}: {shown}")


def _ranking(advice: Advice) -> None:
    _title("Recommendation")
    work = advice.work
    rows = [
        (
            f"{rank}.",
            each.title,
            f"{float(each.points):.1f}",
            f"{float(each.option.quality):.2f}",
            seconds(each.option.seconds),
            usd(each.option.cost.one_off),
            usd(each.option.cost.month(work.requests)),
            usd(each.option.cost.total(work.requests, work.months)),
        )
        for rank, each in enumerate(advice.ranked, 1)
    ]
    heads = ("", "OPTION", "POINTS", "QUALITY", "ANSWER", "ONCE", "A MONTH", f"IN {work.months} MONTHS")
    write_table(heads, rows, right="POINTS QUALITY ANSWER ONCE MONTH MONTHS")
    click.echo()
    for rank, each in enumerate(advice.ranked, 1):
        others = "; ".join(other.name for other in each.others)
        _lines(f"{rank}. {_models(each)}" + (f". Also: {others}" if others else ""))
    click.echo()
    _lines(_because(advice))
    if (best := advice.ranked[0].option.quality) < WEAK:
        _lines(f"A quality of {float(best):.2f} is weak: the best may have been left out. {_way_out(work)}")


def _models(each: Advised) -> str:
    found = []
    for part in each.option.parts:
        licence = part.model.licence
        about = [] if not part.here else [f"licence {licence.value if licence else 'unknown'}"]
        about += [] if part.able.measured else ["quality not measured"]
        found.append(part.name + (f" ({', '.join(about)})" if about else ""))
    return ", then ".join(found)


def _because(advice: Advice) -> str:
    """Where the first one gains on the second, and where it loses."""
    first, *rest = advice.ranked
    if not rest:
        return f"Nothing but a {first.title} can do this; the reasons against the others are below."
    second, total = rest[0], sum(advice.weights.values())
    gains = {}
    for name, weight in advice.weights.items():
        ours, theirs = first.scores[name], second.scores[name]
        gains[name] = 100 * weight * (ours.value - ours.over - theirs.value + theirs.over) / total
    wins = [f"{CRITERIA[name][1]} +{plain(gain, 1)}" for name, gain in _large(gains, 1)]
    losses = [f"{CRITERIA[name][1]} {plain(gain, 1)}" for name, gain in _large(gains, -1)]
    gap = first.points - second.points
    ahead = f"{plain(gap, 1)} points" if gap >= Fraction(1, 20) else "a hair"
    told = f"First by {ahead}: {', '.join(wins) or 'no criterion'}"
    told += f"; against it {', '.join(losses)}." if losses else ", and nothing against it."
    return told + (" That is close: small changes turn it." if gap < 2 else "")


def _large(gains: dict[str, Fraction], sign: int) -> list[tuple[str, Fraction]]:
    shown = [(name, gain) for name, gain in gains.items() if gain * sign >= Fraction(1, 20)]
    return sorted(shown, key=lambda each: -abs(each[1]))


def _criteria(advice: Advice) -> None:
    _title("Criteria, 0 to 1")
    heads = ("CRITERION", "WEIGHT", *(f"{rank}." for rank in range(1, len(advice.ranked) + 1)))
    rows = []
    for name, (_, title, _) in CRITERIA.items():
        scores = [each.scores[name] for each in advice.ranked]
        shown = [f"{float(score.value - score.over):.2f}" for score in scores]
        rows.append((title, plain(advice.weights[name]), *shown))
    write_table(heads, rows, right=" ".join(heads[1:]))
    if any(each.scores["cost"].over for each in advice.ranked):
        budget = advice.assumed.number("budget").value
        _lines(f"A cost below 0 is beyond the budget of {budget}, an assumption: --assume budget=N says yours.")
    click.echo()
    for name, score in advice.ranked[0].scores.items():
        _lines(f"1. {CRITERIA[name][1]}: {score.why}")


def _hardware(advice: Advice) -> None:
    if not advice.fits:
        return
    work = advice.work
    _title(f"Hardware: weights and cache for {work.context:,} tokens a request")
    rows = [
        (fit.model.name, fit.quantisation, fit.room.where, *_needs(fit), size(fit.room.bytes), _fits(fit))
        for fit in advice.fits
    ]
    heads = ("MODEL", "QUANTISATION", "IN", "WEIGHTS", "CACHE", "ALL", "THERE IS", "FITS")
    write_table(heads, rows, right="WEIGHTS CACHE ALL THERE")
    if not work.free:
        parts = [f"{plain(100 * advice.assumed['reserve'], 1)} % of memory"]
        parts += [f"{plain(100 * advice.assumed['reserve-gpu'], 1)} % of the GPU"] if work.gpu else []
        _lines(f"{' and '.join(parts)} left to others (assumptions reserve, reserve-gpu).")
    else:
        _lines("Memory is what is free on this machine now; say --memory-gb for another machine.")


def _needs(fit: Fit) -> tuple[str, str, str]:
    one = fit.model.memory(fit.quantisation, fit.context)
    need = one if one is not None else fit.need
    return size(need.weights), size(need.cache), size(need.total)


def _fits(fit: Fit) -> str:
    return "no" if not fit.slots else "1 request" if fit.slots == 1 else f"{fit.slots} side by side"


def _costs(advice: Advice) -> None:
    work = advice.work
    _title("Total cost")
    columns = volumes(work)
    heads = [f"{_short(volume)}×{months}" for volume, months in columns]
    rows = [
        (f"{rank}.", each.title, *(usd(each.option.cost.total(volume, months)) for volume, months in columns))
        for rank, each in enumerate(advice.ranked, 1)
    ]
    write_table(("", "REQUESTS A MONTH × MONTHS", *heads), rows, right=" ".join(heads))
    if advice.break_even:
        click.echo()
    for rank, each in enumerate(advice.break_even, 2):
        _lines(f"1. against {rank}. {each.other.title}: {_even(each, work)}")


def _short(volume: int) -> str:
    for letter, times in (("M", 1_000_000), ("k", 1_000)):
        if volume >= times:
            return f"{plain(Fraction(volume, times), 1)}{letter}"
    return str(volume)


def _even(each: BreakEven, work: Workload) -> str:
    if not each.spans and each.months is None:
        return "never costs less"
    said = f"costs less {' and '.join(map(_span, each.spans))}" if each.spans else "costs less at no volume"
    at, span = f"at {_short(work.requests)} a month", each.months
    if span is None:
        return f"{said}; {at} not"
    if span.begins or not span.after:
        until = "" if span.until is None else f" to month {plain(span.until, 1)}"
        return f"{said}; {at} from the start{until}"
    return f"{said}; {at} after {plain(span.after, 1)} months"


def _span(span: Span) -> str:
    begin, end = _volume(span.after), None if span.until is None else _volume(span.until)
    if span.begins or not span.after:
        return "at every volume" if end is None else f"up to {end} requests a month"
    return f"above {begin} requests a month" if end is None else f"between {begin} and {end} requests a month"


def _volume(volume: Fraction) -> str:
    """The last whole volume that is not beyond it; the break-even itself is a fraction."""
    return f"{volume.numerator // volume.denominator:,}"


def _out(advice: Advice, reasons: bool) -> None:
    """The commonest reason for each kind that nothing of is left; all reasons where they are asked for."""
    kinds = tuple(KINDS) if reasons else advice.kinds_out
    shown = set[str]()
    rows = [each for each in advice.out if each.kind in kinds]
    if rows:
        _title("What was left out, and why" if reasons else "Not possible")
    for each in rows:
        if reasons or each.kind not in shown:
            example = f"{each.count}, as {each.example}" if each.count > 1 else each.example
            _lines(f"{KINDS[each.kind]}: {each.why} ({example})")
            shown.add(each.kind)
    if len(shown) < len(rows) and not reasons:
        click.echo(dim(f"{len(rows) - len(shown)} more reasons: --reasons"))


def _way_out(work: Workload) -> str:
    less = "more time (--latency-ms), or ask for less (--context, --languages)."
    if work.privacy != "confidential":
        return f"Allow {less}"
    return f"Give it a machine with more memory or a GPU (--memory-gb, --gpu-gb), data that may leave, or {less}"


def _footing(advice: Advice) -> None:
    click.echo()
    own = [each.number() for each in advice.assumed.all.values() if each.yours]
    if own:
        _lines(f"You assumed {', '.join(f'{each.name} {each.value}' for each in own)}.")
    count = len(advice.assumed.all) - len(own)
    click.echo(dim(f"Rests on {count} assumptions of ours, and on facts with a source each: --reasons shows them all."))
    click.echo(dim("It is no measurement of your work: before you decide, measure on your own examples."))


def _reasons(advice: Advice) -> None:
    for rank, each in enumerate(advice.ranked, 1):
        _title(f"{rank}. {each.title}: {each.option.name}, {plain(each.points, 1)} points")
        for name, (_, title, _) in CRITERIA.items():
            score = each.scores[name]
            click.echo(f"{title} {float(score.value - score.over):.2f} x {plain(advice.weights[name])}: {score.why}")
            for number in score.numbers:
                click.echo(dim(f"    {_number(number)}"))
    _title("Assumptions; --assume NAME=N says another")
    for assumption in advice.assumed.all.values():
        click.echo(_number(assumption.number()))


def _number(number: Number) -> str:
    return f"{number.name} = {number.value}  [{number.kind}: {number.source}]"
