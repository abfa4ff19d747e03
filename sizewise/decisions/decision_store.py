"""Store of decisions: learns the reference's answers, certifies ladders on them, and holds those that are in use.

A question is `learning` until a ladder is certified, and `void`, with the cause, when the certificate no longer holds;
then it learns anew, from later answers alone. What answers to a ladder's own traffic are learned must be drawn at
random, or the next certificate would be on hard inputs only: the caller passes the drawn ones.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from array import array
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Literal, TypeVar

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import replace

from sizewise.decisions import tables
from sizewise.decisions.certificate import LOOKS, MAX_ANSWERS, LadderCertificate, ModelRungName, ReadyLadder, is_taught
from sizewise.decisions.question import ClosedQuestion
from sizewise.decisions.tables import AnswerRow, QuestionRow
from sizewise.errors import PathNotFound
from sizewise.handler import Request
from sizewise.routing.guarantees.bounds import QualityGuarantee
from sizewise.routing.guarantees.drift import DriftState, is_alarm, update_drift
from sizewise.storage.database import AsyncTransactionRunner, TransactionRunner
from sizewise.storage.encryption import EnvelopeEncryption
from sizewise.storage.erasure import Caller

log = logging.getLogger("sizewise.decisions")

GUARANTEE = QualityGuarantee(0.95, 0.95)
"""Agreement with the reference over all inputs, and the confidence in the certification."""
LEAST_ASKED = 0.75
"""Of the inputs, for a ladder with a small model: the others would be lost to it."""
REFRESH_S = 5.0
"""How long a certificate that another server made void may still be used here."""
CHANGED_REFERENCE = "the reference changed: another model, or other settings of its policy"
CHANGED_OPTIONS = "its options changed: the same instructions were asked with others"
DRIFT = "drift: in a random sample the ladder disagreed with the reference too often"
NOT_REBUILT = "it could not be built again: answers, or what a small model said of them, were deleted"
ALL_EQUAL = "every answer so far was the same: there is nothing to tell apart"
QUESTIONS_TABLE, ANSWERS_TABLE = "decision_questions", "decision_answers"
"""Names of the tables, to which their sealed values are bound."""

T = TypeVar("T")


class ModelShares(Struct, frozen=True):
    """What a small model says of an input: the probability of each option, as 32-bit floats. `look`: certifications
    that had been tried when it was asked.
    """

    rung: ModelRungName
    model: str
    shares: bytes
    is_seen: bool = False  # the model was trained on this input
    look: int = 0


class LearnedInput(Struct, frozen=True):
    """What is kept of an input: `vector` as 32-bit floats. `text` is empty unless `[learn] keep = "text"`. `shares`,
    `rung` and `model`: as in ModelShares, of the model that was asked when the input was learned; empty: none was.
    `later`: of models that were asked since.
    """

    digest: str
    vector: bytes
    text: str = ""
    shares: bytes = b""
    rung: ModelRungName | Literal[""] = ""
    model: str = ""
    is_seen: bool = False
    later: tuple[ModelShares, ...] = ()

    @property
    def asked(self) -> tuple[ModelShares, ...]:
        """Of each model that was asked, the newest last."""
        first = (ModelShares(self.rung, self.model, self.shares, self.is_seen),) if self.rung else ()
        return (*first, *self.later)

    def said_by(self, model: str, look: int | None = None) -> ModelShares | None:
        """What `model` says. `look`: only what was known at this certification."""
        known = [each for each in self.asked if look is None or each.look <= look]
        return next((each for each in known if each.model == model), None)

    def with_shares(self, fresh: ModelShares, certified: str) -> LearnedInput:
        """Also with these. Of the other models it keeps the newest, and the one named `certified`."""
        others = [each for each in self.asked if each.model != fresh.model]
        kept = [each for each in others if each.model == certified]
        newest = [each for each in others if each.model != certified][-1:]
        return LearnedInput(self.digest, self.vector, self.text, later=(*kept, *newest, fresh))


class LearnedExample(Struct, frozen=True):
    """An answer whose text is kept. `teaches`: whether it may be learned from; the others certify."""

    id: str
    input: str
    option: int
    teaches: bool


class KeptInput(Struct, frozen=True):
    """A learned input. `teaches`: as in LearnedExample."""

    id: str
    teaches: bool
    learned: LearnedInput


class QuestionText(Struct, frozen=True):
    """What people recognize a question by. `instructions` is empty unless `[learn] keep = "text"`."""

    options: tuple[str, ...]
    instructions: str = ""


class Unmeasured(Struct, frozen=True):
    """Inputs of which a model was not asked yet: some of them, and how many there are."""

    question: QuestionText
    inputs: Sequence[KeptInput]
    count: int


class LiveQuestion(Struct):
    """A question in memory. `ladder`: None while nothing is certified. `read_at`: time.monotonic()."""

    row: QuestionRow
    ladder: ReadyLadder | None
    read_at: float
    epoch: int


class DecisionStore:
    """One per process. Methods raise StorageError, EncryptionKeyUnavailable."""

    def __init__(
        self,
        *,
        encryption: EnvelopeEncryption,
        read: TransactionRunner,
        write: AsyncTransactionRunner,
        executor: Executor,
        epoch: Callable[[], int],
        hash_end_user: Callable[[str, str], str],
    ) -> None:
        """`epoch` changes when personal data was erased: then no ladder of before is used."""
        self._encryption = encryption
        self._read = read
        self._write = write
        self._executor = executor
        self._epoch = epoch
        self._hash_end_user = hash_end_user
        self._live: dict[tuple[str, str, str], LiveQuestion] = {}
        self._certifying: set[tuple[str, str, str]] = set()
        self._reloads: dict[tuple[str, str, str], asyncio.Future[LiveQuestion | None]] = {}
        self.pending: set[asyncio.Task[None]] = set()  # answers that are being learned

    async def find(self, request: Request, question: ClosedQuestion, version: str) -> LiveQuestion | None:
        """None: nothing was learned of it yet. A certificate on another reference is void from here on."""
        key = (request.principal.tenant, request.principal.project, question.id)
        live = self._live.get(key)
        if live is None or time.monotonic() - live.read_at > REFRESH_S or live.epoch != self._epoch():
            live = await self._reloaded(key, live)
        if live is not None and live.row.version != version:
            live = await self._void(live, CHANGED_REFERENCE, version)
        return live

    async def _reloaded(self, key: tuple[str, str, str], live: LiveQuestion | None) -> LiveQuestion | None:
        """Once for all requests that wait for it: to build a ladder of many answers takes seconds."""
        reload = self._reloads.get(key)
        if reload is None:
            reload = asyncio.ensure_future(self._reload(key, live))
            self._reloads[key] = reload
            reload.add_done_callback(lambda _: self._reloads.pop(key, None))
        return await asyncio.shield(reload)

    async def learn(
        self,
        request: Request,
        question: ClosedQuestion,
        version: str,
        learned: LearnedInput,
        option: int,
        instructions: str = "",
    ) -> None:
        """Adds an answer of the reference, and tries a certification when there are enough."""
        principal = request.principal
        tenant, project, id = principal.tenant, principal.project, secrets.token_hex(10)
        name = request.options.end_user
        sealed = await self._in_thread(self._seal, learned, tenant, ANSWERS_TABLE, f"{project}/{id}")
        row = AnswerRow(
            tenant=tenant,
            project=project,
            question=question.id,
            id=id,
            option=option,
            created=_now(),
            session=request.options.session,
            end_user=None if name is UNSET else self._hash_end_user(tenant, name) or None,
            sealed=sealed,
        )
        fresh = await self._new_question(request, question, version, instructions)
        caller = Caller(principal.key_id, principal.user_id)
        number, state, count = await self._write(
            partial(tables.add_answer, row=row, caller=caller, fresh=fresh, cause=CHANGED_OPTIONS)
        )
        if state.looks < len(LOOKS) and count >= LOOKS[state.looks]:
            await self.certify(tenant, project, question.id, number)

    async def record_sample(self, live: LiveQuestion, disagreed: bool) -> None:
        """One randomly drawn input whose ladder's answer was compared. Too many that disagree raise the alarm. It
        counts as long as the certificate of `live` is in force, whoever has recorded others since.
        """
        live.row = await self._change(live, partial(_with_sample, disagreed=disagreed)) or live.row
        if live.row.state == "void":
            self._end(live)

    async def certify(self, tenant: str, project: str, id: str, until: int | None = None) -> QuestionRow:
        """Tries a certification now, which spends a part of the allowed error. Raises PathNotFound."""
        key = (tenant, project, id)
        if key not in self._certifying:
            self._certifying.add(key)
            try:
                before, epoch = await self._in_thread(self._require, key), self._epoch()
                row, ladder = await self._in_thread(self._certify, before, until)
                saved = await self._write(partial(tables.save_certification, row=row, before=before))
                if saved and ladder is not None:
                    self._live[key] = LiveQuestion(row, ladder, time.monotonic(), epoch)
                else:
                    self._live.pop(key, None)
            finally:
                self._certifying.discard(key)
        return await self._in_thread(self._require, key)

    async def list(
        self, tenant: str, project: str | None, *, beginning: str = "", skip: int = 0, most: int | None = None
    ) -> Sequence[tuple[QuestionRow, QuestionText, int]]:
        """Each question with what it is about, and the number of its answers; those that changed last first. `project`:
        None for all. `beginning`: of their ids.
        """
        return await self._in_thread(self._list, tenant, project, beginning, skip, most)

    async def examples(self, tenant: str, project: str, id: str) -> Sequence[LearnedExample]:
        """The newest answers from which it learns, whose texts are kept; the oldest first. Raises PathNotFound."""
        row = await self._in_thread(self._require, (tenant, project, id))
        found = await self._in_thread(self._learned, row)
        return [LearnedExample(each[1], its.text, each[2], is_taught(each[0])) for each, its in found if its.text]

    async def unmeasured(self, tenant: str, project: str, id: str, model: str, limit: int) -> Unmeasured:
        """Learned inputs with kept texts of which `model`, tuned for this question, was not asked yet: the newest
        `limit`, and how many there are. Raises PathNotFound.
        """
        row = await self._in_thread(self._require, (tenant, project, id))
        found = await self._in_thread(self._learned, row)
        fresh = [(each, its) for each, its in found if its.text and its.said_by(model) is None]
        left = [KeptInput(each[1], is_taught(each[0]), its) for each, its in fresh]
        text = await self._in_thread(self._text_of, row)
        return Unmeasured(text, left[-limit:], len(left))

    async def keep_shares(
        self, tenant: str, project: str, id: str, model: str, said: Sequence[tuple[KeptInput, Sequence[float], bool]]
    ) -> None:
        """Keeps what the model that was tuned for this question says of inputs: the probability of each option, and
        whether it was trained on the input. Those that were erased meanwhile are left out. The certificate in force
        knows nothing of it: the next one may. Raises PathNotFound.
        """
        row = await self._in_thread(self._require, (tenant, project, id))
        changed, certified = dict[str, bytes](), _candidate(_proof(row)) if row.certificate else ""
        for each, shares, is_seen in said:
            fresh = ModelShares("tuned", model, pack_floats(shares), is_seen=is_seen, look=row.looks)
            kept = each.learned.with_shares(fresh, certified)
            sealing = self._seal, kept, tenant, ANSWERS_TABLE, f"{project}/{each.id}"
            changed[each.id] = await self._in_thread(*sealing)
        await self._write(partial(tables.replace_inputs, row=row, sealed=changed))

    def _learned(
        self, row: QuestionRow, until: int | None = None
    ) -> Sequence[tuple[tuple[int, str, int, bytes], LearnedInput]]:
        """`until`: the number of the last answer; None for all."""
        last = self._read(tables.last_number) if until is None else until
        found = self._read(lambda c: tables.learned_answers(c, row, last, MAX_ANSWERS))
        place = f"{row.project}/"
        return [(each, self._open(each[3], LearnedInput, row.tenant, ANSWERS_TABLE, place + each[1])) for each in found]

    async def count_kept(self, ids: Sequence[str]) -> int:
        """How many of these answers there still are."""
        return await self._in_thread(self._read, lambda c: tables.count_ids(c, ids))

    async def forget(self, tenant: str, project: str, id: str) -> int:
        """Deletes a question with all that was learned; the number of answers. Raises PathNotFound."""
        await self._in_thread(self._require, (tenant, project, id))
        gone = await self._write(partial(tables.delete_question, tenant=tenant, project=project, question=id))
        self._live.pop((tenant, project, id), None)
        return gone

    async def _new_question(
        self, request: Request, question: ClosedQuestion, version: str, instructions: str
    ) -> QuestionRow:
        tenant, project = request.principal.tenant, request.principal.project
        text, now = QuestionText(question.options, instructions), _now()
        sealed = await self._in_thread(self._seal, text, tenant, QUESTIONS_TABLE, f"{project}/{question.id}")
        return QuestionRow(
            tenant=tenant,
            project=project,
            question=question.id,
            family=question.family,
            route=question.route,
            version=version,
            options=len(question.options),
            state="learning",
            cause="",
            since=0,
            until=0,
            looks=0,
            certificate="",
            samples=0,
            wealths=_json(DriftState().bet_wealths),
            created=now,
            changed=now,
            sealed=sealed,
        )

    async def _void(self, live: LiveQuestion, cause: str, version: str) -> LiveQuestion:
        """Learns anew from the next answer on. A question that was not certified only changes its reference."""
        change = partial(_voided, cause=cause, version=version)
        live.row = await self._change(live, change) or change(live.row, live.row.since)
        self._end(live)
        return live

    async def _change(
        self, live: LiveQuestion, change: Callable[[QuestionRow, int], QuestionRow]
    ) -> QuestionRow | None:
        """The question as it is from now on. None: it was changed meanwhile, and the next request reads it again."""
        was_certified = live.row.state == "certified"
        row = await self._write(partial(tables.change_question, seen=live.row, change=change))
        if row is not None and row.state == "void" and was_certified:
            log.warning("the certificate of decision %s is void: %s", row.question, row.cause)
        return row

    def _end(self, live: LiveQuestion) -> None:
        live.ladder = None
        self._live.pop((live.row.tenant, live.row.project, live.row.question), None)

    async def _reload(self, key: tuple[str, str, str], live: LiveQuestion | None) -> LiveQuestion | None:
        """A certificate whose ladder cannot be built again is void from here on."""
        found = await self._in_thread(self._read_again, key, live)
        if found is None:
            self._live.pop(key, None)
            return None
        if found.row.state == "certified" and found.ladder is None:
            return await self._void(found, NOT_REBUILT, found.row.version)
        self._live[key] = found
        return found

    def _read_again(self, key: tuple[str, str, str], live: LiveQuestion | None) -> LiveQuestion | None:
        tenant, project, id = key
        row, epoch = self._read(lambda c: tables.find_question(c, tenant, project, id)), self._epoch()
        if row is None:
            return None
        same = live is not None and live.row.changed == row.changed and live.epoch == epoch
        ladder = live.ladder if same and live is not None else self._ladder(row)
        return LiveQuestion(row, ladder, time.monotonic(), epoch)

    def _ladder(self, row: QuestionRow) -> ReadyLadder | None:
        """The certified ladder, built again from the answers: the same, unless some were erased. None where nothing is
        certified of what is left.
        """
        if row.state != "certified":
            return None
        proof = _proof(row)
        found = self._build(row, row.until, proof.look, _candidate(proof))
        if found is None or found.certificate.threshold is None:
            return None
        # On more inputs it would be another test, for which no error was spent.
        return found if found.certificate.certified_on <= proof.certified_on else None

    def _build(self, row: QuestionRow, until: int, look: int, model: str | None = None) -> ReadyLadder | None:
        """`model`: the small one that is tried, empty: none; None: the one that was asked last."""
        import numpy as np

        from sizewise.decisions.certification import SmallModel, build_ladder

        found = self._learned(row, until)
        width = len(found[-1][1].vector) if found else 0  # of today's embedding model
        kept = [pair for pair in found if len(pair[1].vector) == width]
        if model is None:
            model = _last_asked([learned for _, learned in kept])
        if model:
            # Whether it was asked tells nothing of an input, so those of which it was not are left out.
            kept = [pair for pair in kept if pair[1].said_by(model, look) is not None]
        if not kept:
            return None
        small, said = None, [each for _, learned in kept if (each := learned.said_by(model, look)) is not None]
        if said:
            shares = np.stack([np.frombuffer(each.shares, "<f4") for each in said]).astype(np.float64)
            seen = np.array([each.is_seen for each in said], bool)
            small = SmallModel(said[-1].rung, model, shares, seen)
        return build_ladder(
            [each[0] for each, _ in kept],
            [learned.digest for _, learned in kept],
            np.stack([np.frombuffer(learned.vector, "<f4") for _, learned in kept]),
            np.array([each[2] for each, _ in kept]),
            row.options,
            GUARANTEE,
            look,
            small,
        )

    def _certify(self, row: QuestionRow, until: int | None) -> tuple[QuestionRow, ReadyLadder | None]:
        """The question as it is from now on, and its new ladder; None: it has no new one."""
        last = self._read(tables.last_number) if until is None else until
        ladder = self._build(row, last, row.looks)
        if ladder is None:
            few = self._read(lambda c: tables.count_answers(c, row)) < LOOKS[0]
            return row if few else replace(row, cause=ALL_EQUAL, looks=row.looks + 1, changed=_now()), None
        proof = ladder.certificate
        row = replace(row, looks=row.looks + 1, changed=_now())
        if proof.threshold is None:
            return row if row.state == "certified" else replace(row, certificate=_json(proof)), None
        return replace(row, state="certified", cause="", until=last, certificate=_json(proof)), ladder

    def _require(self, key: tuple[str, str, str]) -> QuestionRow:
        row = self._read(lambda c: tables.find_question(c, *key))
        if row is None:
            raise PathNotFound(f"there is no decision {key[2][:100]!r}", "it is known from its first learned answer on")
        return row

    def _list(
        self, tenant: str, project: str | None, beginning: str, skip: int, most: int | None
    ) -> Sequence[tuple[QuestionRow, QuestionText, int]]:
        rows = self._read(lambda c: tables.list_questions(c, tenant, project, beginning, skip, most))
        counts = self._read(lambda c: [tables.count_answers(c, row) for row in rows])
        texts = [self._text_of(row) for row in rows]
        return list(zip(rows, texts, counts, strict=True))

    def _text_of(self, row: QuestionRow) -> QuestionText:
        return self._open(row.sealed, QuestionText, row.tenant, QUESTIONS_TABLE, f"{row.project}/{row.question}")

    def _seal(self, plain: Struct, tenant: str, table: str, row: str) -> bytes:
        return self._encryption.encrypt(msgspec.msgpack.encode(plain), tenant, table, row)

    def _open(self, sealed: bytes, kind: type[T], tenant: str, table: str, row: str) -> T:
        return msgspec.msgpack.decode(self._encryption.decrypt(sealed, tenant, table, row), type=kind)

    async def _in_thread(self, work: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, partial(work, *args))


def pack_floats(vector: Sequence[float]) -> bytes:
    return array("f", vector).tobytes()


def _last_asked(inputs: Sequence[LearnedInput]) -> str:
    """The small model that was asked last, of those that were asked of enough inputs; empty: none."""
    for said in reversed(inputs[-1].asked if inputs else ()):
        count = sum(each.said_by(said.model) is not None for each in inputs)
        if count >= max(LOOKS[0], LEAST_ASKED * len(inputs)):
            return said.model
    return ""


def _candidate(proof: LadderCertificate) -> str:
    """The small model that was tried in it; certificates of older versions name only one that is asked."""
    return proof.candidate or proof.model


def _proof(row: QuestionRow) -> LadderCertificate:
    return msgspec.json.decode(row.certificate, type=LadderCertificate)


def _voided(row: QuestionRow, last: int, *, cause: str, version: str) -> QuestionRow:
    """It learns from what comes after answer number `last`."""
    was_certified = row.state == "certified"
    return replace(
        row,
        state="void" if was_certified else row.state,
        cause=cause if was_certified else row.cause,
        version=version,
        since=last,
        looks=0,
        samples=0,
        wealths=_json(DriftState().bet_wealths),
        changed=_now(),
    )


def _with_sample(row: QuestionRow, last: int, *, disagreed: bool) -> QuestionRow:
    before = DriftState(row.samples, msgspec.json.decode(row.wealths, type=tuple[float, ...]))
    drift = update_drift(before, float(disagreed), 1.0 - GUARANTEE.quality)
    if is_alarm(drift, GUARANTEE.confidence):
        return _voided(row, last, cause=DRIFT, version=row.version)
    return replace(row, samples=drift.sample_count, wealths=_json(drift.bet_wealths))


def _json(value: LadderCertificate | tuple[float, ...]) -> str:
    return msgspec.json.encode(value).decode()


def _now() -> int:
    """Unix ms."""
    return time.time_ns() // 1_000_000
