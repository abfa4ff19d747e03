"""The store of decisions: what is asked of a small model, what joins a ladder, and when a certificate ends."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
import pytest
from sqlalchemy import Connection, delete

from sizewise.app.tuned_measurement import measure_tuned
from sizewise.decisions import tables
from sizewise.decisions.certificate import LOOKS, LadderCertificate
from sizewise.decisions.decision_store import DecisionStore, LearnedInput, pack_floats
from sizewise.decisions.head import Doubles, Floats, Integers
from sizewise.decisions.question import ClosedQuestion
from sizewise.errors import ModelUnavailable
from sizewise.handler import Request, Send
from sizewise.messages import ChatRequest, Reply, Usage
from sizewise.principal import Principal
from sizewise.providers.wires.openai.decision_upstream import OptionAnswer, carried_question, option_reply
from sizewise.storage.database import Database, open_database, sqlite_url
from sizewise.storage.encryption import EnvelopeEncryption
from sizewise.storage.keys import tables as key_tables
from sizewise.storage.keys.tables import DataKeyStore
from sizewise.tuning.run_store import RunStore
from tests.decisions.test_ladder import OPTIONS, stream
from tests.decisions.test_model_rung import HARD, shares
from tests.tuning.runs import planned

T = TypeVar("T")
QUESTION = ClosedQuestion("i", tuple(f'"{option}"' for option in range(OPTIONS)), "large", "i")
MODEL = "local/tuned"
PRINCIPAL = Principal(key_id="k", tenant="t", project="p")
COUNT = 260
VECTORS, TRUTH = stream(5, COUNT, noise=HARD)
SHARES = shares(5, TRUTH, 0.95)
GUESSES = np.full(SHARES.shape, 1 / OPTIONS)
EASY, EASY_TRUTH = stream(0, LOOKS[0])
"""Certified with the head alone."""


class Tuned:
    """A handler in place of all layers: the tuned model's probabilities; stops at `fails_at`."""

    def __init__(self, fails_at: int = -1) -> None:
        self.asked = list[int]()
        self.fails_at = fails_at

    async def __call__(self, request: Request, send: Send) -> Reply:
        chat = request.payload
        assert isinstance(chat, ChatRequest) and chat.model == MODEL and request.endpoint == "shadow"
        question, at = carried_question(chat), int(chat.messages[-1].text.removeprefix("text "))
        assert question is not None and chat.messages[0].text == "Which?"
        if at == self.fails_at:
            raise ModelUnavailable(f"{MODEL} is away", "start it")
        self.asked.append(at)
        found = OptionAnswer(int(SHARES[at].argmax()), tuple(SHARES[at].tolist()), "tuned")
        return option_reply(question, found, Usage(), MODEL)


def database_of(home: Path) -> Database:
    return open_database(sqlite_url(str(home / "sizewise.db")), [key_tables.SCHEMA, tables.SCHEMA])


@asynccontextmanager
async def opened(home: Path) -> AsyncIterator[DecisionStore]:
    database = database_of(home)

    def read(work: Callable[[Connection], T]) -> T:
        with database.read() as connection:
            return work(connection)

    def write(work: Callable[[Connection], T]) -> T:
        with database.write() as connection:
            return work(connection)

    async def write_soon(work: Callable[[Connection], T]) -> T:
        return write(work)

    with ThreadPoolExecutor(4) as executor:
        yield DecisionStore(
            encryption=EnvelopeEncryption(home, DataKeyStore(read, write)),
            read=read,
            write=write_soon,
            executor=executor,
            epoch=lambda: 0,
            hash_end_user=lambda tenant, name: name,
        )
    database.close()


def request() -> Request:
    return Request(ChatRequest("large", [], {}), PRINCIPAL, "0" * 32, time.perf_counter())


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the reference's answers, and a promoted run whose model learned from none of them."""
    home = tmp_path_factory.mktemp("learned")
    RunStore(home).save(planned(state="promoted", model=MODEL))
    asyncio.run(_learn(home))
    return home


async def _learn(home: Path) -> None:
    async with opened(home) as store:
        await learn(store, VECTORS, TRUTH)


async def learn(store: DecisionStore, vectors: Floats, truth: Integers) -> None:
    for at, option in enumerate(truth.tolist()):
        learned = LearnedInput(f"digest {at}", pack_floats(vectors[at].tolist()), f"text {at}")
        await store.learn(request(), QUESTION, "v", learned, option, "Which?")


async def measure(store: DecisionStore, model: str, found: Doubles, most: int = COUNT, id: str = QUESTION.id) -> None:
    """Keeps what `model` says of the newest inputs."""
    left = await store.unmeasured("t", "p", id, model, most)
    said = [(each, found[int(each.learned.text.removeprefix("text "))].tolist(), False) for each in left.inputs]
    await store.keep_shares("t", "p", id, model, said)


async def stored(store: DecisionStore) -> LadderCertificate:
    row = (await store.list("t", "p"))[0][0]
    assert row.state == "certified"
    return msgspec.json.decode(row.certificate, type=LadderCertificate)


async def in_use(store: DecisionStore) -> LadderCertificate:
    live = await store.find(request(), QUESTION, "v")
    assert live is not None and live.ladder is not None
    return live.ladder.certificate


async def row_of(store: DecisionStore) -> tables.QuestionRow:
    ((row, _, count),) = await store.list("t", "p")
    assert count == COUNT
    return row


async def measure_all(store: DecisionStore, home: Path, tuned: Tuned) -> None:
    row, left = await row_of(store), 1
    while left:
        done = await measure_tuned(tuned, store, home, PRINCIPAL, "0" * 32, row, MODEL)
        left = done.left


async def test_a_tuned_model_is_asked_about_each_kept_input_once_and_joins_the_ladder(
    home: Path, tmp_path: Path
) -> None:
    shutil.copytree(home, tmp_path / "home")

    async with opened(tmp_path / "home") as store:
        before = (await row_of(store)).looks
        failing, rest = Tuned(fails_at=200), Tuned()
        with pytest.raises(ModelUnavailable):
            await measure_all(store, home, failing)
        await measure_all(store, home, rest)
        assert failing.asked and sorted([*failing.asked, *rest.asked]) == list(range(COUNT)), "each once"
        await measure_all(store, home, Tuned(fails_at=0))  # asks nothing
        row = await store.certify("t", "p", QUESTION.id)
        proof = msgspec.json.decode(row.certificate, type=LadderCertificate)
        assert row.looks == before + 1 and row.state == "certified"
        assert proof.model == MODEL and proof.rungs["tuned"] > 40 and proof.certified_on > 150
        live = await store.find(request(), QUESTION, "v")
        assert live is not None and live.ladder is not None and live.ladder.asks == MODEL
    async with opened(tmp_path / "home") as store:  # after a restart
        found = await asyncio.gather(*(store.find(request(), QUESTION, "v") for _ in range(5)))
        assert all(each is found[0] for each in found), "it is built once for all that wait"
        assert found[0] is not None and found[0].ladder is not None and found[0].ladder.certificate == proof


async def test_another_reference_ends_the_certificate_and_it_learns_anew(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path / "home")

    async with opened(tmp_path / "home") as store:
        await measure_all(store, home, Tuned())
        assert (await store.certify("t", "p", QUESTION.id)).state == "certified"
        live = await store.find(request(), QUESTION, "another model")
        assert live is not None and live.ladder is None
        row = (await store.list("t", "p"))[0][0]
        assert row.state == "void" and row.cause.startswith("the reference changed") and row.looks == 0
        again = await store.certify("t", "p", QUESTION.id)
        assert again.state == "void", "what the reference before answered teaches nothing"
        back = await store.find(request(), QUESTION, "v")
        assert back is not None and back.ladder is None, "the old certificate does not come back either"


async def test_a_model_that_is_measured_later_changes_nothing_of_the_certificate_in_force(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await learn(store, EASY, EASY_TRUTH)
        proof = await stored(store)
        assert proof.model == proof.candidate == ""
        await measure(store, MODEL, GUESSES)
    async with opened(tmp_path) as store:  # after a restart
        assert await in_use(store) == proof == await stored(store)
        tried = await store.certify("t", "p", QUESTION.id)
        assert tried.looks == 2 and await in_use(store) == await stored(store), "also after a try in vain"


async def test_a_certificate_is_tested_again_with_what_its_own_model_said_at_the_time(
    home: Path, tmp_path: Path
) -> None:
    shutil.copytree(home, tmp_path / "home")

    async with opened(tmp_path / "home") as store:
        await measure(store, MODEL, SHARES, COUNT - 10)
        await store.certify("t", "p", QUESTION.id)
        proof = await stored(store)
        assert proof.model == proof.candidate == MODEL
        await measure(store, MODEL, SHARES)
        for other in ("local/second", "local/third", "local/fourth"):
            await measure(store, other, GUESSES)
    async with opened(tmp_path / "home") as store:
        assert await in_use(store) == proof == await stored(store)


async def test_a_certificate_is_void_where_too_few_of_its_answers_are_left(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await learn(store, EASY, EASY_TRUTH)
        assert (await stored(store)).threshold is not None
    with closing(sqlite3.connect(tmp_path / "sizewise.db")) as database, database:
        database.execute("DELETE FROM decision_answers WHERE number > 40")
    async with opened(tmp_path) as store:
        live = await store.find(request(), QUESTION, "v")
        assert live is not None and live.ladder is None
        row = (await store.list("t", "p"))[0][0]
        assert row == live.row and row.state == "void" and row.cause.startswith("it could not be built again")


async def test_each_sample_counts_whichever_server_compared_it_and_however_long_that_took(tmp_path: Path) -> None:
    async with opened(tmp_path) as one, opened(tmp_path) as other:
        await learn(one, EASY, EASY_TRUTH)
        first, second = [await server.find(request(), QUESTION, "v") for server in (one, other)]
        assert first is not None and second is not None
        for server, live in ((one, first), (other, second), (one, first)):
            await server.record_sample(live, disagreed=False)
        assert (await one.list("t", "p"))[0][0].samples == 3
        while first.ladder is not None:
            await one.record_sample(first, disagreed=True)
        await other.record_sample(second, disagreed=True)
        row = (await one.list("t", "p"))[0][0]
        assert (row.state, row.samples) == ("void", 0), "what a ladder of before said counts for no other"
        again = await one.find(request(), QUESTION, "v")
        assert again is not None and again.row == row


async def test_a_question_whose_answers_have_expired_is_deleted_with_its_instructions(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await learn(store, EASY[:2], EASY_TRUTH[:2])
        with closing(database_of(tmp_path)) as database:
            for expired, left in ((1, 1), (2, 0)):
                with database.write() as connection:
                    connection.execute(delete(tables.ANSWERS).where(tables.ANSWERS.c.number == expired))
                    assert not tables.delete_unanswered(connection)
                assert len(await store.list("t", "p")) == left
