"""The embedded runtime on the real 135M model: real processes, real signals, real memory."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from sizewise.errors import Busy, ContextLengthExceeded, ModelUnavailable, UpstreamRejected
from sizewise.providers.local.llamacpp import LlamaCppModel
from sizewise.providers.local.runtime import LocalRuntime
from tests.timeouts import until

SMALL = LocalRuntime(context=1024, slots=2)
TICK_MS = 1000 // os.sysconf("SC_CLK_TCK")

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def asking(text: str, **more: Any) -> bytes:
    return json.dumps(
        {"messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 16} | more,
    ).encode()


STORY = asking("Tell a long story about a fox.", max_tokens=2000, ignore_eos=True)


@asynccontextmanager
async def running(file: Path, runtime: LocalRuntime = SMALL) -> AsyncIterator[LlamaCppModel]:
    llama = LlamaCppModel("local/small", file, runtime)
    await llama.start()
    try:
        yield llama
    finally:
        await llama.stop()


async def chunks(llama: LlamaCppModel, body: bytes) -> list[Any]:
    seen: list[Any] = []

    async def keep(chunk: bytes) -> None:
        seen.append(json.loads(chunk))

    await llama.chat(body, keep)
    return seen


async def answer(llama: LlamaCppModel, body: bytes) -> str:
    seen = await chunks(llama, body)
    return "".join(choice["delta"].get("content") or "" for chunk in seen for choice in chunk["choices"])


async def begun(llama: LlamaCppModel, body: bytes = STORY) -> asyncio.Task[None]:
    """A chat whose first chunk has come."""
    first = asyncio.Event()

    async def note(chunk: bytes) -> None:
        first.set()

    task = asyncio.create_task(llama.chat(body, note))
    waiting = asyncio.create_task(first.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    return task


def worker(llama: LlamaCppModel) -> int:
    pid = llama.health().pid
    assert pid is not None
    return pid


def used_ms(pid: int) -> int:
    """CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_MS


async def used_when_idle_ms(pid: int) -> int:
    """CPU time once the process has come to rest."""
    while True:
        before = used_ms(pid)
        await asyncio.sleep(0.3)
        if used_ms(pid) == before:
            return before


def gone(pid: int) -> bool:
    """True also of a zombie that somebody else should have waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.long
async def test_an_answer_is_a_stream_of_openai_chunks_with_usage_at_the_end(smollm_gguf: Path) -> None:
    async with running(smollm_gguf) as llama:
        seen = await chunks(llama, asking("What is the capital of France?", max_tokens=5))
    assert {chunk["object"] for chunk in seen} == {"chat.completion.chunk"}
    assert {chunk["model"] for chunk in seen} == {"local/small"}
    assert [chunk["choices"][0]["delta"].get("role") for chunk in seen[:-1]].count("assistant") == 1
    assert seen[0]["choices"][0]["delta"]["role"] == "assistant"
    assert seen[-2]["choices"][0]["finish_reason"] == "length"
    assert seen[-1]["choices"] == [] and seen[-1]["usage"]["completion_tokens"] == 5
    assert not any("prompt_progress" in chunk for chunk in seen)


@pytest.mark.long
async def test_log_probabilities_come_with_every_token(smollm_gguf: Path) -> None:
    async with running(smollm_gguf) as llama:
        seen = await chunks(llama, asking("Count to three.", max_tokens=4, logprobs=True, top_logprobs=3))
    said = [chunk["choices"][0]["logprobs"]["content"] for chunk in seen if "logprobs" in str(chunk)]
    assert len(said) == 4
    for (token,) in said:
        assert token["logprob"] <= 0 and len(token["top_logprobs"]) == 3
        assert token["top_logprobs"][0]["token"] == token["token"]  # greedy


@pytest.mark.long
async def test_stop_words_seeds_and_schemas_are_obeyed(smollm_gguf: Path) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "number", "schema": schema}}
    wild = {"temperature": 1.5, "top_p": 0.9, "max_tokens": 12}

    async with running(smollm_gguf) as llama:
        stopped, formed, seven, again, eight = (
            await answer(llama, asking("Repeat: one two three", stop=["e"], max_tokens=40)),
            await answer(llama, asking("How many legs has a fox?", response_format=form, max_tokens=60)),
            await answer(llama, asking("Invent a name.", seed=7, **wild)),
            await answer(llama, asking("Invent a name.", seed=7, **wild)),
            await answer(llama, asking("Invent a name.", seed=8, **wild)),
        )
    assert "e" not in stopped
    assert isinstance(json.loads(formed)["n"], int)
    assert seven == again != eight


@pytest.mark.long
async def test_greedy_answers_are_the_same_alone_and_side_by_side(smollm_gguf: Path) -> None:
    questions = [asking(f"Write one sentence about {thing}.", max_tokens=12) for thing in ("rain", "iron", "bread")]

    async with running(smollm_gguf, LocalRuntime(context=1024, slots=3)) as llama:
        alone = [await answer(llama, question) for question in questions]
        again = [await answer(llama, question) for question in questions]
        together = await asyncio.gather(*(answer(llama, question) for question in questions))
    assert alone == again == list(together)


@pytest.mark.long
async def test_requests_run_side_by_side(smollm_gguf: Path) -> None:
    order: list[str] = []

    async def ask(llama: LlamaCppModel, name: str) -> None:
        async def note(chunk: bytes) -> None:
            order.append(name)

        await llama.chat(asking("Tell a story.", max_tokens=90, ignore_eos=True), note)

    async with running(smollm_gguf) as llama:
        await asyncio.gather(ask(llama, "a"), ask(llama, "b"))
    changes = sum(a != b for a, b in pairwise(order))
    assert changes > len(order) / 3


@pytest.mark.long
async def test_the_line_for_a_slot_is_bounded_and_can_be_left(smollm_gguf: Path) -> None:
    async with running(smollm_gguf, LocalRuntime(context=1024, slots=1, max_waiting=1)) as llama:
        first = await begun(llama)
        second = asyncio.create_task(answer(llama, asking("Hello")))
        await until(lambda: llama.health().waiting == 1)
        with pytest.raises(Busy) as refused:
            await answer(llama, asking("Hello"))
        assert refused.value.retry_after
        second.cancel()
        await asyncio.wait([second])
        assert (llama.health().waiting, llama.health().busy) == (0, 1)
        third = asyncio.create_task(answer(llama, asking("Hello")))
        await until(lambda: llama.health().waiting == 1)
        first.cancel()
        assert await third
        await until(lambda: llama.health().busy == 0)


@pytest.mark.long
@linux
@pytest.mark.parametrize("words", [4000, 5], ids=["in the prompt", "in the answer"])
async def test_a_client_that_leaves_stops_the_work_within_300_ms_of_cpu_time(smollm_gguf: Path, words: int) -> None:
    async with running(smollm_gguf, LocalRuntime(context=8192, slots=1)) as llama:
        pid = worker(llama)
        before = used_ms(pid)
        task = asyncio.create_task(answer(llama, asking("word " * words, max_tokens=8000, ignore_eos=True)))
        await until(lambda: used_ms(pid) - before > 2000)
        task.cancel()
        left = used_ms(pid)
        await asyncio.wait([task])
        after = await used_when_idle_ms(pid)
        await until(lambda: llama.health().busy == 0)
        assert after - left <= 300


@pytest.mark.long
@linux
async def test_a_killed_worker_fails_its_requests_and_is_started_again(smollm_gguf: Path) -> None:
    async with running(smollm_gguf) as llama:
        first = worker(llama)
        task = await begun(llama)
        os.kill(first, signal.SIGKILL)
        with pytest.raises(ModelUnavailable, match="SIGKILL"):
            await task
        assert await answer(llama, asking("Hello"))
        assert worker(llama) != first and llama.health().restarts == 1
        assert not Path(f"/proc/{first}").exists()  # no zombie either


@pytest.mark.long
@linux
async def test_a_worker_that_keeps_dying_is_restarted_ever_more_slowly_and_says_why(smollm_gguf: Path) -> None:
    async with running(smollm_gguf) as llama:
        for _ in range(2):
            await until(lambda: llama.health().state == "ready")
            os.kill(worker(llama), signal.SIGKILL)
            await until(lambda: llama.health().state != "ready")
        await until(lambda: llama.health().state == "failed")
        assert "SIGKILL" in llama.health().reason
        with pytest.raises(ModelUnavailable):
            await answer(llama, asking("Hello"))
        await until(lambda: llama.health().state == "ready")
        assert await answer(llama, asking("Hello"))


@linux
async def test_a_worker_does_not_outlive_its_parent(smollm_gguf: Path) -> None:
    script = f"""
import asyncio, pathlib
from sizewise.providers.local.llamacpp import LlamaCppModel
from sizewise.providers.local.runtime import LocalRuntime
async def main():
    llama = LlamaCppModel("x", pathlib.Path({str(smollm_gguf)!r}), LocalRuntime(context=256, slots=1))
    await llama.start()
    print(llama.health().pid, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not gone(pid)
        parent.kill()
    await until(lambda: gone(pid))


@pytest.mark.long
@linux
async def test_interrupts_and_terminations_are_the_parents_business(smollm_gguf: Path) -> None:
    async with running(smollm_gguf) as llama:
        for sign in (signal.SIGINT, signal.SIGTERM):
            os.kill(worker(llama), sign)
        assert await answer(llama, asking("Hello"))
        assert llama.health().restarts == 0


@pytest.mark.long
async def test_stopping_lets_running_answers_finish_and_takes_no_new_ones(smollm_gguf: Path) -> None:
    llama = LlamaCppModel("local/small", smollm_gguf, SMALL)
    await llama.start()
    task = await begun(llama, asking("Tell a story.", max_tokens=40, ignore_eos=True))
    stopping = asyncio.create_task(llama.stop(drain_s=30))
    await until(lambda: llama.health().state == "stopped")
    with pytest.raises(ModelUnavailable, match="stopped"):
        await answer(llama, asking("Hello"))
    await task
    await stopping


@pytest.mark.long
@linux
def test_a_stopped_model_leaves_no_file_descriptor_process_or_folder(smollm_gguf: Path) -> None:
    async def story() -> None:
        async with running(smollm_gguf) as llama:
            pid = worker(llama)
            sockets = [
                Path(name) for name in re.findall(r"\S+/sizewise-\w+/\d+\.sock", Path("/proc/net/unix").read_text())
            ]
            ours = [name for name in sockets if name.name == f"{pid}.sock"]
            assert ours and ours[0].parent.stat().st_mode & 0o077 == 0
            await answer(llama, asking("Hello"))
        assert gone(pid) and not ours[0].parent.exists()

    asyncio.run(story())  # whatever the loop itself opens once is open now
    before = len(os.listdir("/proc/self/fd"))
    asyncio.run(story())
    assert len(os.listdir("/proc/self/fd")) == before


@linux
async def test_the_worker_listens_on_no_port(smollm_gguf: Path) -> None:
    async with running(smollm_gguf) as llama:
        held = Path(f"/proc/{worker(llama)}/fd")
        mine = {os.readlink(fd) for fd in held.iterdir()}
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                assert f"socket:[{line.split()[9]}]" not in mine


@pytest.mark.long
async def test_a_prompt_beyond_the_window_is_refused_with_both_numbers(smollm_gguf: Path) -> None:
    async with running(smollm_gguf) as llama:
        body = asking("word " * 3000)
        tokens = await llama.count_tokens(body)
        with pytest.raises(ContextLengthExceeded, match=f"{tokens}.*1024"):
            await answer(llama, body)
        assert await answer(llama, asking("Hello"))


@pytest.mark.long
async def test_every_slot_has_the_whole_window(smollm_gguf: Path) -> None:
    async with running(smollm_gguf, LocalRuntime(context=256, slots=2)) as llama:
        body = asking("word " * 150, max_tokens=2)
        both = await asyncio.gather(chunks(llama, body), chunks(llama, body))
        counted = await llama.count_tokens(body)
        assert [seen[-1]["usage"]["prompt_tokens"] for seen in both] == [counted, counted] and counted > 150


@pytest.mark.long
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"messages": 3}',
        b'{"messages": [{"role": "user", "content": "x"}], "temperature": "hot"}',
        b"\xff",
    ],
)
async def test_a_bad_body_is_refused_and_the_model_stays(smollm_gguf: Path, body: bytes) -> None:
    async with running(smollm_gguf, LocalRuntime(context=256, slots=1)) as llama:
        with pytest.raises(UpstreamRejected) as refused:
            await answer(llama, body)
        assert refused.value.status == 400
        assert llama.health().restarts == 0 and llama.health().busy == 0


@pytest.mark.long
async def test_a_failing_listener_stops_the_model_and_keeps_its_error(smollm_gguf: Path) -> None:
    async def fail(chunk: bytes) -> None:
        raise ConnectionResetError("the client is gone")

    async with running(smollm_gguf) as llama:
        with pytest.raises(ConnectionResetError):
            await llama.chat(STORY, fail)
        await until(lambda: llama.health().busy == 0)


async def test_what_does_not_fit_is_refused_before_loading_with_the_numbers(smollm_gguf: Path) -> None:
    llama = LlamaCppModel("local/small", smollm_gguf, LocalRuntime(slots=1_000_000))
    with pytest.raises(ModelUnavailable, match=r"does not fit.* GB.*cache.*available") as refused:
        await llama.start()
    assert "slots = 1" in refused.value.hint
    assert llama.health().state == "failed" and llama.health().pid is None


@pytest.mark.long
@linux
@pytest.mark.parametrize("context", [512, 4096])
async def test_the_estimate_of_memory_is_within_a_tenth_of_what_is_taken(smollm_gguf: Path, context: int) -> None:
    async with running(smollm_gguf, LocalRuntime(context=context, slots=2)) as llama:
        await answer(llama, asking("word " * 200))
        health = llama.health()
        assert health.memory is not None
        assert 0.9 < health.memory_estimate / health.memory < 1.1


@pytest.mark.long
async def test_a_file_that_llama_cpp_cannot_load_is_refused_with_its_words(smollm_gguf: Path, tmp_path: Path) -> None:
    spoilt = tmp_path / "spoilt.gguf"
    spoilt.write_bytes(smollm_gguf.read_bytes().replace(b"blk.0.attn_q.weight", b"blk.0.attn_x.weight", 1))

    llama = LlamaCppModel("local/spoilt", spoilt, SMALL)
    with pytest.raises(ModelUnavailable, match="cannot load 'local/spoilt'"):
        await llama.start()
    assert llama.health().state == "failed"
    await llama.stop()
