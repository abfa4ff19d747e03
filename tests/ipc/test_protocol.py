"""The contract of the store protocol: each message arrives as it was sent, a batch a frame; nothing else is read."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from sizewise.errors import ModelUnavailable
from sizewise.ipc import messages
from sizewise.ipc.channel import Channel
from sizewise.ipc.messages import (
    TO_STORE,
    TO_WORKER,
    Answered,
    ApplyReload,
    CountMetrics,
    Flush,
    GrantSlots,
    Hello,
    Message,
    ModelFailed,
    ModelOpened,
    OpenModel,
    PrepareReload,
    RecallSlots,
    RefreshKeys,
    ReportImpaired,
    ReturnSlots,
    WantSlots,
    encode_frame,
)
from sizewise.ipc.store_client import StoreClient
from sizewise.ipc.store_server import StoreServer
from tests.running_server import until

SENT: tuple[Message, ...] = (
    Hello(2, 4711, "digest", {"up/model": 3}),
    WantSlots("up/model", 8, 5),
    ReturnSlots("up/model", 2),
    OpenModel(7, "/models/it.gguf", {"slots": 4}),
    Answered(9, "no", "do that", b"\x00data"),
    Flush(1),
    CountMetrics(2),
    PrepareReload(3, b"[server]\n"),
    ApplyReload(apply=True),
    RefreshKeys(4, clears_cache=True),
    GrantSlots("up/model", 1),
    RecallSlots("up/model", 0),
    ReportImpaired(["the OTLP collector does not answer"]),
    ModelOpened(7, "/run/model.sock"),
    ModelFailed(8, "too large", "use a smaller one"),
)


def test_each_message_is_in_the_contract_once() -> None:
    assert {type(each) for each in SENT} == {*get_args(messages.ToStore), *get_args(messages.ToWorker)}


@pytest.mark.parametrize("message", SENT, ids=lambda each: type(each).__name__)
def test_a_message_arrives_as_it_was_sent(message: Message) -> None:
    decoder = TO_STORE if isinstance(message, get_args(messages.ToStore)) else TO_WORKER
    frame = encode_frame([message, message])
    assert decoder.decode(frame[messages.FRAME_HEADER.size :]) == [message, message]
    other = TO_WORKER if decoder is TO_STORE else TO_STORE
    with pytest.raises(msgspec.ValidationError):
        other.decode(frame[messages.FRAME_HEADER.size :])


async def connected() -> tuple[Channel[messages.ToStore], asyncio.StreamReader, asyncio.StreamWriter]:
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    far_reader, far_writer = await asyncio.open_unix_connection(sock=theirs)
    return Channel(reader, writer, TO_STORE), far_reader, far_writer


async def test_what_is_sent_at_once_is_one_frame() -> None:
    channel, far, writer = await connected()
    for number in range(100):
        channel.send(Flush(number))
    (length,) = messages.FRAME_HEADER.unpack(await far.readexactly(4))
    assert TO_WORKER.decode(await far.readexactly(length)) == [Flush(number) for number in range(100)]
    channel.close()
    writer.close()


@pytest.mark.parametrize(
    "sent",
    [b"GET / HTTP/1.1\r\n\r\n", b"\xff\xff\xff\xff", encode_frame([Flush(1)]), b"\x00\x00\x00\x02\x91", b""],
    ids=["http", "too long", "for the other side", "half a frame", "nothing"],
)
async def test_what_is_no_message_ends_the_connection(sent: bytes) -> None:
    channel, _, writer = await connected()
    writer.write(encode_frame([WantSlots("a", 1, 1)]) + sent)
    writer.close()
    found = [each async for each in channel.messages()]
    channel.close()
    assert found == [WantSlots("a", 1, 1)]


def listening(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.listen()
    sock.setblocking(False)
    return sock


async def eventually(what: object) -> None:
    await asyncio.to_thread(until, what)


async def test_a_worker_connects_again_and_says_what_it_holds(tmp_path: Path) -> None:
    sock, joined = listening(tmp_path / "it"), list[Hello]()
    client = StoreClient(tmp_path / "it", lambda: Hello(1, 1, "", {"up/model": 2}))
    running = asyncio.create_task(client.run())
    for _ in range(2):  # the second store process inherits the same socket
        server = StoreServer(sock, 1)
        server.on_join = joined.append
        serving = asyncio.create_task(server.serve())
        before = len(joined)
        await eventually(lambda before=before: len(joined) > before)
        with pytest.raises(ModelUnavailable):  # it runs none
            await client.open_model(tmp_path, {})
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
    running.cancel()
    sock.close()
    assert [each.slots for each in joined] == [{"up/model": 2}] * 2


def counting_client(path: Path, number: int) -> StoreClient:
    client = StoreClient(path, lambda: Hello(number, 1, "", {}))
    client.on(CountMetrics, lambda asked: client.send(Answered(asked.number, data=b"3")))
    return client


async def test_a_question_is_answered_by_every_worker_that_is_there(tmp_path: Path) -> None:
    sock = listening(tmp_path / "it")
    server = StoreServer(sock, 2)
    tasks = [asyncio.create_task(server.serve())]
    tasks += [asyncio.create_task(counting_client(tmp_path / "it", number).run()) for number in (1, 2)]
    await eventually(lambda: server.workers == {1, 2})
    found = await server.ask(CountMetrics, 60)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    sock.close()
    assert {worker: each.data for worker, each in found.items()} == {1: b"3", 2: b"3"}
