"""Fields of decisions: each question's ladder and certificate, its certification, and its removal; returns no input."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sizewise.app.option_model import options_line
from sizewise.app.tuned_measurement import measure_tuned
from sizewise.auth.api_keys import audit_event
from sizewise.auth.authorization import Resource, require_permission
from sizewise.decisions.certificate import LOOKS, LadderCertificate
from sizewise.decisions.decision_store import QuestionText
from sizewise.decisions.question import question_asked
from sizewise.decisions.tables import QuestionRow
from sizewise.errors import BadRequest, PathNotFound
from sizewise.graphql.context import RequestContext, only_project
from sizewise.graphql.erasure import note_erased
from sizewise.graphql.model_type import FieldValues

MOST = 500
EXAMPLES_PAGE = 1_000


async def decisions(context: RequestContext, project: str | None = None, skip: int = 0) -> list[FieldValues]:
    """Those that changed last first. Raises EncryptionKeyUnavailable, StorageError."""
    context.charge_rows(MOST)
    own = only_project(context)
    if own and project not in (None, own):
        return []
    tenant = context.principal.tenant
    found = await context.services.decisions.list(tenant, own or project, skip=skip, most=MOST)
    return [_values(context, *each) for each in found]


async def decision(context: RequestContext, id: str) -> FieldValues | None:
    """By its id, or the beginning of it that no other has. Raises BadRequest where several begin so."""
    context.charge_rows(1)
    found = await _beginning_with(context, id)
    return _values(context, *found[0]) if found else None


async def decision_examples(context: RequestContext, id: str, skip: int = 0) -> list[FieldValues]:
    """Texts that are kept with their answers. Raises PathNotFound, Forbidden."""
    row = await _own(context, id, "read_contents")
    found = await context.services.decisions.examples(row.tenant, row.project, row.question)
    page = found[skip : skip + EXAMPLES_PAGE]
    context.charge_rows(len(page))
    event = audit_event(context.principal, row.tenant, "read_decision_examples", f"decision:{row.question}")
    await context.services.audit_log.append(event)
    return [msgspec.to_builtins(each) for each in page]


async def measure_decision(context: RequestContext, id: str) -> FieldValues:
    """Asks the model that was tuned for the question about some kept inputs, and says how many are left. Raises
    PathNotFound, Forbidden, SizewiseError of the model.
    """
    row = await _own(context, id, "manage_policies")
    app = context.app
    model = next((card.name for card in app.cards if card.decides == row.question), None)
    if model is None:
        return {"model": None, "asked": 0, "left": 0}
    store, home = context.services.decisions, app.settings.home
    done = await measure_tuned(app.handler, store, home, context.principal, context.trace, row, model)
    return msgspec.structs.asdict(done)


async def certify_decision(context: RequestContext, id: str) -> FieldValues:
    """Tries a certification now. Raises PathNotFound."""
    row = await _own(context, id, "manage_policies")
    principal = context.principal
    await context.services.decisions.certify(row.tenant, row.project, row.question)
    await context.services.audit_log.append(
        audit_event(principal, row.tenant, "certify_decision", f"decision:{row.question}")
    )
    changed = await decision(context, row.question)
    assert changed is not None
    return changed


async def forget_decision(context: RequestContext, id: str) -> int:
    """Deletes a question with all that was learned; returns the number of answers. Raises PathNotFound."""
    row = await _own(context, id, "manage_policies")
    gone = await context.services.decisions.forget(row.tenant, row.project, row.question)
    await context.services.audit_log.append(
        audit_event(
            context.principal, row.tenant, "forget_decision", f"decision:{row.question}", None, {"answers": gone}
        )
    )
    await note_erased(context)
    return gone


async def _own(context: RequestContext, id: str, action: str) -> QuestionRow:
    """The question, if the caller may manage it. Raises PathNotFound, Forbidden."""
    found = await _beginning_with(context, id)
    if not found:
        raise PathNotFound(f"there is no decision {id[:100]!r}", "list them: sizewise decisions list")
    row = found[0][0]
    require_permission(context.principal, action, Resource(row.tenant, row.project))
    return row


async def _beginning_with(context: RequestContext, id: str) -> Sequence[tuple[QuestionRow, QuestionText, int]]:
    """None or one, of all that the caller may see. Raises BadRequest where several begin so."""
    tenant, project = context.principal.tenant, only_project(context) or None
    found = await context.services.decisions.list(tenant, project, beginning=id, most=MOST) if id else []
    if len(found) > 1:
        raise BadRequest(f"{len(found)} decisions begin with {id[:100]!r}", "use a longer beginning of the id")
    return found


def _values(context: RequestContext, row: QuestionRow, text: QuestionText, answers: int) -> FieldValues:
    instructions = text.instructions if "read_contents" in context.principal.permissions else ""
    proof = msgspec.json.decode(row.certificate, type=LadderCertificate) if row.certificate else None
    return {
        "id": row.question,
        "project": row.project,
        "model": row.route,
        "state": row.state,
        "cause": row.cause,
        "options": list(text.options),
        "instructions": instructions,
        "question": question_asked(instructions) or options_line(text.options),
        "answers": answers,
        "nextCertificationAt": LOOKS[row.looks] if row.looks < len(LOOKS) else None,
        "sampled": row.samples,
        "created": row.created,
        "changed": row.changed,
        "certificate": None if proof is None else _certificate(proof),
    }


def _certificate(proof: LadderCertificate) -> FieldValues:
    return {
        "quality": proof.quality,
        "error": proof.error,
        "taught": proof.taught,
        "certifiedOn": proof.certified_on,
        "isCertified": proof.threshold is not None,
        "share": proof.share,
        "agreement": proof.agreement,
        "calibrationError": proof.calibration_error,
        "rungs": [{"rung": rung, "inputs": count} for rung, count in proof.rungs.items()],
    }
