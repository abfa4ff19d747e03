"""Fields of what was published to the repository of [git]; publishes nothing."""

from __future__ import annotations

from sizewise.errors import BadRequest
from sizewise.graphql.model_type import FieldValues
from sizewise.releases.git_publisher import PublishedCommit

MAX_NOTE_CHARS = 500


def commit_fields(made: PublishedCommit | None) -> FieldValues | None:
    if made is None:
        return None
    return {
        "repository": made.repository,
        "branch": made.branch,
        "commit": made.commit,
        "pullRequest": made.pull_request or None,
        "problem": made.problem or None,
    }


def require_short_note(note: str) -> None:
    """Raises BadRequest."""
    if len(note) > MAX_NOTE_CHARS:
        raise BadRequest(f"the note has more than {MAX_NOTE_CHARS} characters", "shorten it", param="note")
