"""Sampling frame of stored chat requests: lists them page by page, puts them into strata, reads the drawn ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from sizewise.app.dataset_addition import Line
from sizewise.cli import operations
from sizewise.cli.api_client import ApiClient
from sizewise.cli.eval_target import EVAL_TAG
from sizewise.cli.operations import Record
from sizewise.cli.progress import progress_bar
from sizewise.evals.datasets.record_items import reply_text, request_item
from sizewise.evals.datasets.stratified_sample import SampledUnit

PAGE = 1_000
STRATA = ("result", "cost", "model", "policy", "endpoint")
MAX_STRATA = 50
"""Larger ones keep their names, the rest is one."""


@dataclass(frozen=True)
class RecordFrame:
    """`strata`: of each record. `is_cut`: there are more records, older ones."""

    records: Sequence[Record]
    strata: Sequence[str]
    is_cut: bool

    @property
    def sizes(self) -> dict[str, int]:
        return dict(Counter(self.strata))


async def read_frame(
    client: ApiClient, *, since: int, model: str | None, tag: str | None, limit: int
) -> tuple[list[Record], bool]:
    """The newest `limit` chat requests of clients since unix ms, newest first, without those of evals; and whether
    there are more. Raises the server's error.
    """
    found, before = list[Record](), None
    with progress_bar("listing", "requests") as progress:
        while True:
            page = await operations.list_records(
                client, last=PAGE, endpoint="chat", since=since, model=model, tag=tag, before=before
            )
            found += [each for each in page.rows if EVAL_TAG not in each.tags]
            progress(len(found), max(limit, len(found)))
            before = page.before
            if len(found) > limit or before is None:
                return found[:limit], len(found) > limit


def stratify(read: tuple[list[Record], bool], by: Sequence[str]) -> RecordFrame:
    """`by`: some of STRATA. A stratum is named by its words, `failed cheap`."""
    records, is_cut = read
    words = {"cost": _cost_words(records)}
    parts: Mapping[str, Callable[[Record], str]] = {
        "result": _result,
        "cost": lambda each: words["cost"](each),
        "model": lambda each: each.model or "none",
        "policy": lambda each: each.policy or "none",
        "endpoint": lambda each: each.endpoint,
    }
    strata = [" ".join(parts[part](each) for part in by) for each in records]
    named = {name for name, _ in Counter(strata).most_common(MAX_STRATA)}
    return RecordFrame(records, [each if each in named else "other" for each in strata], is_cut)


async def read_contents(
    client: ApiClient, frame: RecordFrame, sample: Sequence[SampledUnit], *, is_masked: bool, answers: bool
) -> tuple[list[tuple[SampledUnit, Line]], Counter[str]]:
    """Items of those whose contents can be used, and why the others cannot. Raises the server's error."""
    found, problems = list[tuple[SampledUnit, Line]](), Counter[str]()
    with progress_bar("reading", "requests") as progress:
        for number, unit in enumerate(sample, 1):
            record = frame.records[unit.place]
            rows = (await operations.get_record_contents(client, trace=record.trace)).rows
            contents = next((each.contents for each in rows if each.span_id == record.span_id), None)
            line = None if contents is None else request_item(contents.request, is_masked=is_masked)
            if contents is None:
                problems["no contents are stored"] += 1
            elif line is None:
                problems["the contents are cut" if contents.truncated else "it is no chat that can be read"] += 1
            else:
                expected = reply_text(contents.response) if answers else ""
                found.append((unit, _item(record, line, expected)))
            progress(number, len(sample))
    return found, problems


def _item(record: Record, line: Line, expected: str) -> Line:
    cluster = record.session or record.end_user
    return {
        "id": record.span_id,
        **line,
        **({"expected": expected} if expected else {}),
        **({"cluster": cluster} if cluster else {}),
        "tags": [_result(record), *record.tags],
        **({"data_class": record.data_class} if record.data_class else {}),
        "source": {
            "trace": record.trace,
            "key": record.key,
            **({"session": record.session} if record.session else {}),
            **({"end_user": record.end_user} if record.end_user else {}),
        },
    }


def _result(record: Record) -> str:
    if record.status >= 400 or record.error or not record.status:
        return "failed"
    return "degraded" if record.degraded else "answered"


def _cost_words(records: Sequence[Record]) -> Callable[[Record], str]:
    """By thirds of the known costs; those at a border belong to the lower third."""
    known = sorted(Decimal(each.cost_usd) for each in records if each.cost_usd is not None)
    if not known:
        return lambda record: "unpriced"
    low, high = known[len(known) // 3], known[2 * len(known) // 3]

    def word(record: Record) -> str:
        if record.cost_usd is None:
            return "unpriced"
        cost = Decimal(record.cost_usd)
        return "cheap" if cost <= low else "middle" if cost <= high else "dear"

    return word
