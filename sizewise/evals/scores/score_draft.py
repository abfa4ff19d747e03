"""A score before it is stored: what a caller says about which answer, checked; reads no database."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from msgspec import Struct

from sizewise.errors import BadRequest, Forbidden, PathNotFound
from sizewise.evals.scores.tables import ScoreSource, TargetKind
from sizewise.principal import Principal
from sizewise.telemetry.payload_log import INTERNAL_ENDPOINTS
from sizewise.telemetry.tables import RequestRecord

SCORE_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
"""One word: free text is not stored in clear."""
TRACE_ID = re.compile(r"[0-9a-f]{1,32}")
SPAN_ID = re.compile(r"[0-7][0-9a-f]{15}")
LABEL = re.compile(r"[^\s\x00-\x1f\x7f-\x9f](?:[^\x00-\x1f\x7f-\x9f]{0,62}[^\s\x00-\x1f\x7f-\x9f])?")
SCORER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:-]{0,99}(?:@[A-Za-z0-9._-]{1,64})?")
MAX_COMMENT = 4_000
"""Characters."""
NAME_HINT = "use one word of lower-case letters, digits, '-' and '_', such as 'user'"


class ScoreDraft(Struct, frozen=True, kw_only=True):
    """One of `trace` (an id or its beginning), `span` (of a record) or `session`. `value`: 0..1. One of `value` and
    `label` at least.
    """

    trace: str = ""
    span: str = ""
    session: str = ""
    name: str = "user"
    value: float | None = None
    label: str | None = None
    source: ScoreSource = "user"
    scorer: str = ""
    comment: str | None = None

    @property
    def kind(self) -> TargetKind:
        return "trace" if self.trace else "record" if self.span else "session"

    def check(self, principal: Principal) -> None:
        """Raises BadRequest with the field that is wrong, and Forbidden for a person's score without `annotate`."""
        if sum(map(bool, (self.trace, self.span, self.session))) != 1:
            raise BadRequest("a score needs one target", "name a trace, a span or a session", param="trace")
        if self.trace and not TRACE_ID.fullmatch(self.trace):
            hint = "use the x-sizewise-trace of an answer: 32 hex digits, or the first of them"
            raise BadRequest(f"{self.trace[:100]!r} is not a trace id", hint, param="trace")
        if self.span and not SPAN_ID.fullmatch(self.span):
            hint = "use the `spanId` of a record: 16 hex digits"
            raise BadRequest(f"{self.span[:100]!r} is not a span id", hint, param="span")
        self._check_judgement()
        if self.source == "person" and "annotate" not in principal.permissions:
            raise Forbidden(
                "scores of people need the permission `annotate`", "leave `source` out: it is the user's feedback"
            )

    def _check_judgement(self) -> None:
        if not SCORE_NAME.fullmatch(self.name):
            raise BadRequest(f"{self.name[:100]!r} is not the name of a score", NAME_HINT, param="name")
        if self.value is None and self.label is None:
            raise BadRequest("a score needs a value or a label", "such as `value`: 1", param="value")
        if self.value is not None and not (math.isfinite(self.value) and 0.0 <= self.value <= 1.0):
            raise BadRequest(f"{self.value!r} is not a score", "use a number from 0 (bad) to 1 (good)", param="value")
        if self.label is not None and not LABEL.fullmatch(self.label):
            raise BadRequest(
                f"{self.label[:100]!r} is not a label", "use 1 to 64 characters in one line", param="label"
            )
        if self.scorer and not SCORER.fullmatch(self.scorer):
            hint = "use NAME@VERSION: letters, digits and . _ / : -"
            raise BadRequest(f"{self.scorer[:100]!r} is not a scorer", hint, param="scorer")
        if self.source == "judge" and not self.scorer:
            raise BadRequest("a judge's score needs its `scorer`", "such as resolved@3", param="scorer")
        if self.comment is not None and len(self.comment) > MAX_COMMENT:
            raise BadRequest(
                f"the comment has {len(self.comment):,} characters", f"use at most {MAX_COMMENT:,}", param="comment"
            )


def scored_records(found: Sequence[RequestRecord], principal: Principal, draft: ScoreDraft) -> list[RequestRecord]:
    """The records among `found` that the caller may score. Answers to other keys need manage_policies; a person's own
    labels `annotate`. Raises PathNotFound if there are none, BadRequest for the beginning of several traces.
    """
    any_key = "manage_policies" in principal.permissions or draft.source == "person"
    mine = [
        its
        for its in found
        if its.model
        and its.door not in INTERNAL_ENDPOINTS
        and (principal.all_projects or its.project == principal.project)
        and (any_key or its.key == principal.key_id)
    ]
    what = f"{draft.kind} {(draft.trace or draft.span or draft.session)[:100]!r}"
    if not mine:
        hint = "use the x-sizewise-trace of an answer to your key; `sizewise records` lists them"
        raise PathNotFound(f"there is no answer with the {what}", hint, param=draft.kind)
    if draft.trace and len({its.trace for its in mine}) > 1:
        raise BadRequest(f"several traces begin with {draft.trace!r}", "use a longer prefix", param="trace")
    return mine
