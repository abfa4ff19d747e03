"""`sizewise records`: request records, newest first, with prompts and replies if you may read them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import islice

import click
import msgspec

from sizewise.cli import operations
from sizewise.cli.agent_calls import print_tool_call
from sizewise.cli.lazy_group import CommandWithVerbs, LazyCommand
from sizewise.cli.options import api_client, refuse_options, server_options, wants_json
from sizewise.cli.output import format_money, format_seconds, format_time, write_json, write_pairs, write_table
from sizewise.cli.record_filters import FILTERS, RecordCriteria, criteria, filter_options
from sizewise.cli.record_tool_calls import newest_tool_calls
from sizewise.energy import format_wh
from sizewise.errors import BadRequest, PathNotFound

SHORT = 16
"""Characters of a trace in the list: 8 are the second, the next 8 are random."""
MAX_RECORDS = 1_000
MAX_FOLDED = 50
"""Calls of a job for each line of the list, at most; more of them are another line."""
JOBS = ("embeddings",)
"""Endpoints of which a job makes many calls."""
OURS = ("shadow", "judge")
"""APIs of requests that Sizewise made itself, to compare answers."""


COMMANDS: Mapping[str, LazyCommand] = {
    "export": LazyCommand("sizewise.cli.records_export:export", "Export records as JSONL, Parquet, OTLP or Langfuse."),
}


@click.group(cls=CommandWithVerbs, lazy_commands=COMMANDS, subcommand_metavar="", invoke_without_command=True)
@click.argument("trace", required=False)
@click.option("--trace", "named", metavar="TRACE", help="The same as TRACE.")
@click.option("-n", "--last", default=20, type=click.IntRange(1, 1_000), help="Number of records. [20]")
@filter_options
@click.option("--feedback", "score", type=float, metavar="SCORE", help="Rate the answer of TRACE: 0 is bad, 1 is good.")
@click.option("--contents", is_flag=True, help="Show prompt and reply, if they are stored.")
@click.option("--erase", metavar="KEY", help="Permanently delete all stored data of the key with this id.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--kind", default="user", help="Kind of feedback, in one word. [user]")
@server_options
def records(
    trace: str | None,
    named: str | None,
    last: int,
    score: float | None,
    contents: bool,
    erase: str | None,
    yes: bool,
    kind: str,
    **filters: object,
) -> None:
    """Show request records, newest first.

    Calls of one job, such as the embedding of a document, are one line with their sums. With the TRACE of a record, or
    its beginning: every attempt of that request.

    \b
    Example: sizewise records --last 5
             sizewise records --since 24h --failed --tag team=search
             sizewise records 6b0641ee22d52f62
             sizewise records 6b0641ee22d52f62 --feedback 0.5
    """
    if trace:
        refuse_options("with a TRACE", "named")
    wanted = named if trace is None else trace
    if score is not None:
        refuse_options("with --feedback", "erase", "contents", "last", *FILTERS)
        _say(wanted, score, kind)
    elif erase:
        refuse_options("with --erase", "trace", "named", "contents", "last", "kind", *FILTERS)
        _erase(erase, yes)
    elif contents:
        refuse_options("with --contents", "last", "kind", *FILTERS)
        _open(wanted)
    elif wanted:
        refuse_options("with a TRACE", "last", "kind", *FILTERS)
        _show_trace(wanted)
    else:
        refuse_options("without --feedback", "kind")
        _list(last, criteria(**filters))


def _show_trace(trace: str) -> None:
    found = api_client()
    details = asyncio.run(operations.get_record(found, trace=trace)).rows
    details.sort(key=lambda each: each.endpoint in OURS)  # the client's own first
    if not details:
        raise PathNotFound(f"there is no record with the trace {trace!r}", "run: sizewise records")
    found_trace = asyncio.run(operations.get_trace(found, id=details[0].trace))
    spans = list(found_trace.spans) if found_trace is not None else []
    if wants_json():
        write_json(msgspec.to_builtins({"records": details, "spans": spans}))
        return
    if any(each.operation not in ("request", "chat") for each in spans):
        _show_tree(spans)
    for each in details:
        _show(each)


def _say(trace: str | None, score: float, kind: str) -> None:
    if not trace:
        raise BadRequest("feedback needs a record", "give its TRACE: sizewise records TRACE --feedback 1")
    told = asyncio.run(operations.send_feedback(api_client(), trace=trace, score=score, kind=kind))
    if wants_json():
        write_json(msgspec.to_builtins({"feedback": told}))
        return
    for each in told:
        click.echo(f"{each.model} gets {each.score:g} ({each.kind}) for {each.trace[:SHORT]}")


def _erase(key: str, sure: bool) -> None:
    if not sure:
        if wants_json():
            raise BadRequest(f"it deletes all stored data of the key {key}, and must be confirmed", "add --yes")
        click.confirm(f"Permanently delete all stored data of the key {key}?", abort=True, err=True)
    told = asyncio.run(operations.erase_records(api_client(), key=key))
    if wants_json():
        write_json(msgspec.to_builtins(told))
        return
    click.echo(f"{told.records} records, {told.contents} contents and {told.feedback} ratings are deleted")


def _open(trace: str | None) -> None:
    if not trace:
        raise BadRequest("contents need a record", "give its TRACE: sizewise records TRACE --contents")
    told = asyncio.run(operations.get_record_contents(api_client(), trace=trace))
    found = [each for each in told.rows if each.contents is not None]
    if not found:
        hint = "contents are stored if [records] has `contents = true`, for `contents_retention_days`"
        raise PathNotFound(f"no contents are stored for {trace!r}", hint)
    if wants_json():
        write_json(msgspec.to_builtins({"records": found}))
        return
    for each in found:
        assert each.contents is not None
        click.echo(each.contents.request)
        click.echo(each.contents.response or "no text")
        for call in newest_tool_calls(each.contents.request):
            print_tool_call("called ", call)
        if each.contents.truncated:
            click.echo("the rest was not stored: it was too long", err=True)


def _list(last: int, wanted: RecordCriteria) -> None:
    count = last if wants_json() else min(last * MAX_FOLDED, MAX_RECORDS)
    listed = asyncio.run(_fetch(count, wanted))
    if wants_json():
        write_json(msgspec.to_builtins({"records": listed}))
    elif not listed:
        click.echo("no record is like that" if wanted else "there are no records yet", err=True)
    else:
        write_table(
            ("TIME", "TRACE", "ASKED", "ANSWERED", "STATUS", "TOKENS", "COST", "FIRST", "TOTAL", "WHY"),
            [_row(job) for job in islice(_jobs(listed), last)],
            right="TOKENS COST FIRST TOTAL",
        )


async def _fetch(count: int, wanted: RecordCriteria) -> list[operations.Record]:
    """The newest `count`, from as many pages as it takes: one may have fewer rows than were requested."""
    client, found, before = api_client(), list[operations.Record](), None
    while True:
        page = await operations.list_records(client, last=count - len(found), before=before, **wanted)
        found += page.rows
        before = page.before
        if before is None or len(found) >= count:
            return found


def _jobs(records: list[operations.Record]) -> Iterator[list[operations.Record]]:
    """Neighbors of one trace, endpoint, model and result together, where that is one of `JOBS`."""
    job: list[operations.Record] = []
    for each in records:
        if job and not (each.endpoint in JOBS and _kind(each) == _kind(job[0])):
            yield job
            job = []
        job.append(each)
    if job:
        yield job


def _kind(record: operations.Record) -> tuple[object, ...]:
    return record.trace, record.endpoint, record.requested_model, record.model, record.status


def _row(job: list[operations.Record]) -> tuple[str, ...]:
    """A record, or the sums of a job's, newest first."""
    record = job[0]
    attempts = sum(each.attempt_count for each in job)
    answered = record.model or "-"
    costs = [each.cost_usd for each in job]
    return (
        format_time(job[-1].at),
        record.trace[:SHORT],
        f"{record.requested_model} ({record.endpoint})" if record.endpoint in OURS else record.requested_model,
        f"{answered} ({attempts})" if attempts > 1 else answered,
        _status(record.status),
        _tokens(job),
        format_money(None if None in costs else f"{sum(Decimal(each or 0) for each in costs):f}"),
        format_seconds(job[-1].first_token_ms),
        format_seconds(sum(each.total_ms for each in job)),
        record.error or record.why,
    )


def _status(status: int) -> str:
    return str(status) if status else "unknown"


def _tokens(records: Sequence[operations.Record | operations.RecordDetails | operations.Attempt]) -> str:
    found = [each.tokens for each in records]
    about = "~" if any(each.estimated for each in found) else ""
    return f"{about}{sum(each.input for each in found)}+{sum(each.output for each in found)}"


def _units(record: operations.RecordDetails) -> str:
    """Units other than tokens; empty if there are none."""
    said = [
        f"{record.audio_seconds:g} s of audio" if record.audio_seconds else "",
        f"{record.characters:,} characters" if record.characters else "",
        f"{record.images:,} images" if record.images else "",
    ]
    return ", ".join(filter(None, said))


def _show_tree(spans: Sequence[operations.Span]) -> None:
    """What a flow or agent did, one line a step."""
    rows = [
        (
            "  " * each.depth + each.operation,
            each.name,
            each.kind,
            "" if each.tokens is None else f"{each.tokens.input}+{each.tokens.output}",
            "" if each.tokens is None else format_money(each.cost_usd),
            format_seconds(each.total_ms),
            each.error,
        )
        for each in spans
        if each.operation != "chat"  # attempts are listed with their request
    ]
    write_table(("STEP", "NAME", "KIND", "TOKENS", "COST", "TIME", "ERROR"), rows, right="TOKENS COST TIME")
    click.echo()


def _show(record: operations.RecordDetails) -> None:
    write_pairs(
        [
            ("trace", record.trace),
            ("at", format_time(record.at)),
            ("asked", f"{record.requested_model}, policy {record.policy}, by key {record.key}"),
            ("answered", record.model or "no model"),
            ("why", record.why or "-"),
            ("status", f"{_status(record.status)} {record.error}"),
            ("tokens", _tokens([record])),
            *([("units", units)] if (units := _units(record)) else []),
            ("cost", format_money(record.cost_usd)),
            ("energy", "unknown" if record.energy is None else f"{format_wh(record.energy.wh)}, {record.energy.how}"),
            (
                "time",
                f"{format_seconds(record.first_token_ms)} to the first token, {format_seconds(record.total_ms)} total",
            ),
            *([("session", record.session)] if record.session else []),
            *([("end user", record.end_user)] if record.end_user else []),
            *([("tags", ", ".join(record.tags))] if record.tags else []),
            *(("prompt", f"{each.id}@{each.version}") for each in record.prompts),
            *([("environment", _environment(record))] if record.environment else []),
            *([("caused by", f"span {record.parent_span}")] if record.parent_span else []),
            *([("freshness", f"may be out of date: {record.freshness}")] if record.freshness else []),
            *([("guardrails", record.guardrails)] if record.guardrails else []),
            *([("degraded", f"not trusted: {record.degraded}")] if record.degraded else []),
        ],
    )
    write_table(
        ("#", "MODEL", "PLACE", "RESULT", "TRUST", "NEEDED", "TOKENS", "COST", "BEGAN", "FIRST", "ENDED", "WHY"),
        [_tried(each) for each in record.attempts or ()],
        right="# TRUST NEEDED TOKENS COST BEGAN FIRST ENDED",
    )
    click.echo()


def _environment(record: operations.Record | operations.RecordDetails) -> str:
    release = f", release {record.release[:12]}" if record.release else ""
    return f"{record.environment}{release}{f' ({record.arm})' if record.arm else ''}"


def _trust(attempt: operations.Attempt) -> list[str]:
    """Score and threshold, with as many digits as tell them apart: 0.497 is not 0.50 where 0.50 is needed."""
    both = (attempt.score, attempt.threshold)
    short = ["-" if each is None else f"{each:.2f}" for each in both]
    return short if len(set(short)) == 2 else ["-" if each is None else f"{each:.4f}" for each in both]


def _tried(attempt: operations.Attempt) -> tuple[str, ...]:
    return (
        str(attempt.number),
        attempt.model,
        attempt.place,
        attempt.result,
        *_trust(attempt),
        _tokens([attempt]),
        format_money(attempt.cost_usd),
        format_seconds(attempt.started_ms),
        format_seconds(attempt.first_token_ms),
        format_seconds(attempt.ended_ms),
        f"{attempt.why} ({attempt.error})" if attempt.error else attempt.why,
    )
