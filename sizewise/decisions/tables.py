"""Tables of decisions: the state of each question, and the answers that it learns from; inputs are encrypted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict, replace
from sqlalchemy import (
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.schema import CreateIndex, CreateTable

from sizewise.storage.database import overwriting_deleted
from sizewise.storage.erasure import Caller, PersonalTable, caller_columns, caller_index
from sizewise.storage.keys.tables import EncryptedTable
from sizewise.storage.migrations import BIG_INTEGER, Migrations
from sizewise.storage.upsert import insert_if_absent

MOST_IDS = 500
"""In one query."""
META = MetaData()
QUESTIONS = Table(
    "decision_questions",
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("question", Text, nullable=False),
    Column("family", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("options", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("since", BIG_INTEGER, nullable=False),
    Column("until", BIG_INTEGER, nullable=False),
    Column("looks", Integer, nullable=False),
    Column("certificate", Text, nullable=False),
    Column("samples", Integer, nullable=False),
    Column("wealths", Text, nullable=False),
    Column("created", BIG_INTEGER, nullable=False),
    Column("changed", BIG_INTEGER, nullable=False),
    Column("bytes", BIG_INTEGER, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
BY_QUESTION = Index("decision_questions_id", QUESTIONS.c.tenant, QUESTIONS.c.project, QUESTIONS.c.question, unique=True)
ANSWERS = Table(
    "decision_answers",
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("question", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("option", Integer, nullable=False),
    Column("created", BIG_INTEGER, nullable=False),
    Column("session", Text),
    Column("end_user", Text),
    Column("bytes", BIG_INTEGER, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    *caller_columns(),
)
ANSWERS_OF = Index(
    "decision_answers_question", ANSWERS.c.tenant, ANSWERS.c.project, ANSWERS.c.question, ANSWERS.c.number
)
ANSWERS_BY_AGE = Index("decision_answers_age", ANSWERS.c.created, ANSWERS.c.bytes)
SCHEMA = Migrations(
    "decisions",
    (
        (
            *(CreateTable(table) for table in (QUESTIONS, ANSWERS)),
            *(CreateIndex(index) for index in (BY_QUESTION, ANSWERS_OF, ANSWERS_BY_AGE, caller_index(ANSWERS))),
        ),
    ),
)
SEALED = (EncryptedTable(QUESTIONS, ("project", "question")), EncryptedTable(ANSWERS, ("project", "id")))
OF_QUESTION = (
    (ANSWERS.c.tenant == QUESTIONS.c.tenant)
    & (ANSWERS.c.project == QUESTIONS.c.project)
    & (ANSWERS.c.question == QUESTIONS.c.question)
)


def delete_without_others(connection: Connection, numbers: Sequence[int]) -> None:
    """Deletes the questions that have no other answers than these: what was said before an input may be personal."""
    touched = select(QUESTIONS.c.number).distinct().join(ANSWERS, OF_QUESTION).where(ANSWERS.c.number.in_(numbers))
    ids = connection.scalars(touched).all()
    others = select(ANSWERS.c.number).where(OF_QUESTION, ANSWERS.c.number.not_in(numbers)).correlate(QUESTIONS)
    connection.execute(delete(QUESTIONS).where(QUESTIONS.c.number.in_(ids), ~others.exists()))


def delete_unanswered(connection: Connection) -> bool:
    """Deletes one batch of questions whose answers are all gone; True if more is left."""
    answers = select(ANSWERS.c.number).where(OF_QUESTION).correlate(QUESTIONS)
    ids = connection.scalars(select(QUESTIONS.c.number).where(~answers.exists()).limit(MOST_IDS)).all()
    connection.execute(delete(QUESTIONS).where(QUESTIONS.c.number.in_(ids), ~answers.exists()))
    return len(ids) == MOST_IDS


PERSONAL = PersonalTable(
    "learned decisions",
    ANSWERS,
    ANSWERS.c.number,
    conversation=ANSWERS.c.session,
    end_user=ANSWERS.c.end_user,
    before_delete=delete_without_others,
)


class QuestionRow(Struct, frozen=True):
    """The state of a question. `state`: learning, certified or void, with its `cause`. It learns from the answers with
    numbers above `since`; the certificate is on those up to `until`. `looks`: certifications that were tried.
    """

    tenant: str
    project: str
    question: str
    family: str
    route: str
    version: str  # fingerprint of the model or policy that is the reference
    options: int
    state: str
    cause: str
    since: int
    until: int
    looks: int
    certificate: str
    samples: int
    wealths: str
    created: int  # unix ms
    changed: int
    sealed: bytes


class AnswerRow(Struct, frozen=True):
    """One answer of the reference. `sealed`: a LearnedInput."""

    tenant: str
    project: str
    question: str
    id: str
    option: int
    created: int  # unix ms
    session: str | None
    end_user: str | None
    sealed: bytes


QUESTION_COLUMNS: Sequence[Column[Any]] = tuple(QUESTIONS.c[name] for name in QuestionRow.__struct_fields__)
CERTIFICATION_COLUMNS = ("state", "cause", "until", "looks", "certificate", "changed")
STATE_COLUMNS = (*CERTIFICATION_COLUMNS, "version", "since", "samples", "wealths")


def find_question(connection: Connection, tenant: str, project: str, question: str) -> QuestionRow | None:
    row = connection.execute(select(*QUESTION_COLUMNS).where(_is(tenant, project, question))).one_or_none()
    return None if row is None else QuestionRow(*row)


def list_questions(
    connection: Connection,
    tenant: str,
    project: str | None,
    beginning: str = "",
    skip: int = 0,
    most: int | None = None,
) -> list[QuestionRow]:
    """Of one project, or of all; those that changed last first. `beginning`: of their ids."""
    its = QUESTIONS.c
    query = select(*QUESTION_COLUMNS).where(its.tenant == tenant)
    if project is not None:
        query = query.where(its.project == project)
    if beginning:
        query = query.where(func.substr(its.question, 1, len(beginning)) == beginning)
    query = query.order_by(its.changed.desc(), its.number).offset(skip).limit(most)
    return [QuestionRow(*row) for row in connection.execute(query)]


def save_certification(connection: Connection, row: QuestionRow, before: QuestionRow) -> bool:
    """Saves what a certification has changed, unless another server has changed the question since `before` was read;
    whether it did. Samples that were drawn meanwhile stay.
    """
    same = _is(row.tenant, row.project, row.question) & (QUESTIONS.c.changed == before.changed)
    values = {name: getattr(row, name) for name in CERTIFICATION_COLUMNS}
    return bool(connection.execute(update(QUESTIONS).where(same).values(values)).rowcount)


def change_question(
    connection: Connection, seen: QuestionRow, change: Callable[[QuestionRow, int], QuestionRow]
) -> QuestionRow | None:
    """Saves `change` of the question as it is now, given it and the number of the last answer. None: it is gone, or it
    learns for another reference, from other answers or by another certificate than `seen`.
    """
    its, mine = QUESTIONS.c, _is(seen.tenant, seen.project, seen.question)
    same = (its.version == seen.version) & (its.since == seen.since) & (its.state == seen.state)
    same &= its.certificate == seen.certificate
    found = connection.execute(select(*QUESTION_COLUMNS).where(mine & same).with_for_update()).one_or_none()
    if found is None:
        return None
    row = change(QuestionRow(*found), last_number(connection))
    values = {name: getattr(row, name) for name in STATE_COLUMNS}
    connection.execute(update(QUESTIONS).where(mine).values(values))
    return row


def void_family(connection: Connection, row: QuestionRow, cause: str, now: int) -> None:
    """Makes the certificates of the other questions of its family void: those that differ in their options alone."""
    its = QUESTIONS.c
    others = (its.tenant == row.tenant) & (its.project == row.project) & (its.family == row.family)
    others &= (its.question != row.question) & (its.state == "certified")
    connection.execute(update(QUESTIONS).where(others).values(state="void", cause=cause, changed=now))


def add_answer(
    connection: Connection, row: AnswerRow, caller: Caller, fresh: QuestionRow, cause: str
) -> tuple[int, QuestionRow, int]:
    """Number of the answer, the state of its question, and the answers from which that learns. `fresh`: the state of a
    new question, which makes the certificates of others with the same instructions void, for this cause.
    """
    state = find_question(connection, row.tenant, row.project, row.question)
    if state is None:
        state = replace(fresh, since=last_number(connection))
        if insert_if_absent(connection, QUESTIONS, {**asdict(state), "bytes": len(state.sealed)}):
            void_family(connection, state, cause, state.changed)
        else:
            state = find_question(connection, row.tenant, row.project, row.question) or state
    values = {**asdict(row), **caller.values, "bytes": len(row.sealed)}
    number = connection.execute(insert(ANSWERS).values(values).returning(ANSWERS.c.number)).scalar_one()
    return int(number), state, count_answers(connection, state)


def count_answers(connection: Connection, row: QuestionRow) -> int:
    """Answers from which the question learns."""
    its = ANSWERS.c
    mine = _answers_of(row) & (its.number > row.since)
    return int(connection.scalar(select(func.count()).select_from(ANSWERS).where(mine)) or 0)


def learned_answers(
    connection: Connection, row: QuestionRow, until: int, limit: int
) -> list[tuple[int, str, int, bytes]]:
    """Number, id, option and sealed input of the newest `limit` up to number `until`, the oldest first."""
    its = ANSWERS.c
    mine = _answers_of(row) & (its.number > row.since) & (its.number <= until)
    newest = select(its.number, its.id, its.option, its.sealed).where(mine).order_by(its.number.desc()).limit(limit)
    return [(row.number, row.id, row.option, row.sealed) for row in reversed(connection.execute(newest).all())]


def count_ids(connection: Connection, ids: Sequence[str]) -> int:
    """Answers with these ids."""
    found = 0
    for start in range(0, len(ids), MOST_IDS):
        mine = ANSWERS.c.id.in_(ids[start : start + MOST_IDS])
        found += int(connection.scalar(select(func.count()).select_from(ANSWERS).where(mine)) or 0)
    return found


def replace_inputs(connection: Connection, row: QuestionRow, sealed: Mapping[str, bytes]) -> None:
    """Replaces the sealed inputs of answers, by their ids."""
    for id, each in sealed.items():
        mine = _answers_of(row) & (ANSWERS.c.id == id)
        connection.execute(update(ANSWERS).where(mine).values(sealed=each, bytes=len(each)))


def delete_question(connection: Connection, tenant: str, project: str, question: str) -> int:
    """Deletes a question and overwrites its answers; the number of answers."""
    its = ANSWERS.c
    with overwriting_deleted(connection):
        mine = (its.tenant == tenant) & (its.project == project) & (its.question == question)
        gone = connection.execute(delete(ANSWERS).where(mine)).rowcount
        connection.execute(delete(QUESTIONS).where(_is(tenant, project, question)))
    return gone


def last_number(connection: Connection) -> int:
    return int(connection.scalar(select(func.max(ANSWERS.c.number))) or 0)


def _answers_of(row: QuestionRow) -> Any:
    its = ANSWERS.c
    return (its.tenant == row.tenant) & (its.project == row.project) & (its.question == row.question)


def _is(tenant: str, project: str, question: str) -> Any:
    its = QUESTIONS.c
    return (its.tenant == tenant) & (its.project == project) & (its.question == question)
