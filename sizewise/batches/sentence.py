"""What is to say of a batch in one sentence, the same in the studio, the CLI and GraphQL. Pure."""

from __future__ import annotations

from sizewise.batches.batch_store import StoredBatch


def batch_sentence(stored: StoredBatch) -> str:
    """A batch with failures is never just done."""
    row, its = stored.row, stored.content
    total, done, failed = row.total, row.counts.done, row.counts.failed
    answered = f"{done - failed:,} of {_requests(total)} answered"
    match row.status:
        case "validating":
            return "Checking the file: nothing was asked yet."
        case "in_progress":
            return f"Running: {done:,} of {_requests(total)} done{_failed(failed)}."
        case "finalizing":
            return f"Writing the result files: {answered}{_failed(failed)}."
        case "cancelling":
            return f"Being canceled: {answered}{_failed(failed)}; those in flight end."
        case "cancelled":
            return f"Canceled: {answered}{_failed(failed)}."
        case "failed":
            reasons = {each.message for each in its.errors}
            why = f": {next(iter(reasons))}" if len(reasons) == 1 else f": {len(its.errors)} errors in the file"
            return f"Failed{why}. Nothing was asked."
        case "expired":
            return f"Expired: {answered} in time{_failed(failed)}."
    if not failed:
        return f"Done: {answered}."
    why = f": {its.cut[1]}" if its.cut else ""
    return f"Done, {failed:,} failed: {answered}{why}."


def _requests(number: int) -> str:
    return f"{number:,} request{'' if number == 1 else 's'}"


def _failed(number: int) -> str:
    return f", {number:,} failed" if number else ""
