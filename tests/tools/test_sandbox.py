"""Code that came as data: it computes, and reaches nothing else, however hard it tries."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sizewise.errors import CodeFailed, Forbidden
from sizewise.settings.tools import SandboxSettings
from sizewise.tools.sandbox.process_pool import CodeResult, Sandbox
from sizewise.tools.sandbox.protocol import Language
from tests.running_server import until

BOTH: tuple[Language, Language] = ("python", "javascript")


@asynccontextmanager
async def running_sandbox(settings: SandboxSettings | None = None) -> AsyncIterator[Sandbox]:
    sandbox = Sandbox(settings or SandboxSettings(timeout_s=30, max_memory_bytes=48_000_000))
    try:
        yield sandbox
    finally:
        await sandbox.close()


@pytest.mark.parametrize(
    ("language", "code", "value"),
    [
        ("python", "output = {'n': n + 1, 'each': [x * 2 for x in xs]}", {"n": 2, "each": [2, 4]}),
        ("python", "sum(xs)", 3),
        ("python", "def f(x):\n    return x + 'é'\noutput = f('a')", "aé"),
        ("python", "pass", None),
        ("javascript", "output = {n: n + 1, each: xs.map(x => x * 2)}", {"n": 2, "each": [2, 4]}),
        ("javascript", "const output = [n]", [1]),
        ("javascript", "xs.reduce((a, b) => a + b)", 3),
        ("javascript", "const x = await Promise.resolve(5); return x + n", 6),
        ("javascript", "let output = 'é'; null", "é"),
        ("javascript", "undefined", None),
    ],
)
async def test_code_gives_its_output_or_its_last_value(language: Language, code: str, value: object) -> None:
    async with running_sandbox() as sandbox:
        assert (await sandbox.run(language, code, {"n": 1, "xs": [1, 2]}, "acme")).data == value


async def test_what_it_prints_is_kept_and_bounded() -> None:
    async with running_sandbox() as sandbox:
        assert (await sandbox.run("python", "print('hi', 1)", {}, "acme")).stdout == "hi 1\n"
        assert (await sandbox.run("javascript", "console.log('hi', {a: 1})", {}, "acme")).stdout == 'hi {"a":1}\n'
        flood = await sandbox.run(
            "javascript",
            "for (let i = 0; i < 2000; i++) console.log('x'.repeat(1000))",
            {},
            "acme",
        )
        assert len(flood.stdout) == 65_536


FAILS = [
    ("python", "1/0", "ZeroDivisionError"),
    ("python", "output = (", "SyntaxError"),
    ("python", "def f(): return f()\nf()", "RecursionError"),
    ("javascript", "null.x", "TypeError"),
    ("javascript", "throw new Error('mine')", "mine"),
    ("javascript", "await Promise.reject(new Error('later'))", "later"),
    ("javascript", "let let", "SyntaxError"),
    ("javascript", "function f() { return f() } f()", "call stack"),
    ("javascript", "const a = {}; a.a = a; a", "circular"),
    ("javascript", "await new Promise(() => {})", "not JSON"),
]


@pytest.mark.parametrize(("language", "code", "words"), FAILS)
async def test_an_error_of_the_code_is_told_in_its_words(language: Language, code: str, words: str) -> None:
    async with running_sandbox() as sandbox:
        with pytest.raises(CodeFailed, match=words):
            await sandbox.run(language, code, {"secret": "hunter2"}, "acme")


BOUNDS = [
    ("python", "while True: pass", "longer than"),
    ("python", "sum(range(10**12))", "longer than"),
    ("python", "x = []\nwhile True: x.append('a' * 1000)", "more than 48 MB"),
    ("python", "'a' * 10**10", "more than 48 MB"),
    ("python", "output = 'x' * 5_000_000", "larger than 4194304 bytes"),
    ("javascript", "while (true);", "longer than"),
    ("javascript", "/(a+)+$/.test('a'.repeat(40) + 'b')", "longer than"),
    ("javascript", "const a = []; while (true) a.push('x'.repeat(1000))", "more than 48 MB"),
    ("javascript", "new ArrayBuffer(1e9)", "more than 48 MB"),
    ("javascript", "[].concat(...Array(2000).fill(Array(100000)))", "was stopped"),
    ("javascript", "(async () => { while (true) await null })()", "longer than"),
    ("javascript", "output = 'x'.repeat(5000000)", "larger than 4194304 bytes"),
]


@pytest.mark.long
async def test_code_that_loops_for_ever_or_eats_memory_is_stopped_and_that_is_said() -> None:
    async with running_sandbox() as sandbox:
        for language, code, words in BOUNDS:
            time_s = 0.4 if words in ("longer than", "was stopped") else None
            with pytest.raises(CodeFailed, match=words):
                await sandbox.run(language, code, {}, "acme", time_s=time_s)  # type: ignore[arg-type]  # of BOTH
            assert (await sandbox.run(language, "1 + 1", {}, "acme")).data == 2  # type: ignore[arg-type]  # of BOTH


ESCAPES = [
    ("python", "open('/etc/passwd').read()"),
    ("python", "import os\nos.environ['PATH']"),
    ("python", "import os\nos.system('id')"),
    ("python", "import subprocess\nsubprocess.run(['id'])"),
    ("python", "import socket\nsocket.create_connection(('127.0.0.1', 80))"),
    ("python", "import urllib.request\nurllib.request.urlopen('http://127.0.0.1')"),
    ("python", "import ctypes\nctypes.CDLL(None)"),
    ("python", "import pathlib\npathlib.Path('/etc/passwd').read_text()"),
    ("python", "import pathlib\nlist(pathlib.Path('/').iterdir())"),
    ("python", "__import__('os').getcwd() + open('/proc/self/environ').read()"),
    ("python", "().__class__.__bases__[0].__subclasses__()"),
    ("python", "(lambda: 0).__globals__['__builtins__']"),
    ("python", "eval(\"__import__('os').environ['HOME']\")"),
    ("python", "import importlib\nimportlib.import_module('posix')"),
    ("python", "import time\ntime.sleep(60)"),
    ("javascript", "require('fs').readFileSync('/etc/passwd')"),
    ("javascript", "process.env.PATH"),
    ("javascript", "std.open('/etc/passwd', 'r').readAsString()"),
    ("javascript", "os.readdir('/')"),
    ("javascript", "fetch('http://127.0.0.1/')"),
    ("javascript", "const fs = await import('fs'); return fs.readFileSync('/etc/passwd')"),
    ("javascript", "const m = await import('/etc/passwd'); return m"),
    ("javascript", "const m = await import('os'); return m"),
    ("javascript", "(() => {}).constructor('return this.process.env')()"),
    ("javascript", "new Worker('x')"),
    ("javascript", "Atomics.wait(new Int32Array(new SharedArrayBuffer(8)), 0, 0, 60000)"),
    ("javascript", "WebAssembly.compile(new Uint8Array(8))"),
]


async def test_no_code_gets_out() -> None:
    """Each of these fails; and where the interpreter would let one through, the kernel is asked in the next test."""

    async with running_sandbox() as sandbox:
        for language, code in ESCAPES:
            try:
                ran = await sandbox.run(language, code, {}, "acme", time_s=1)  # type: ignore[arg-type]  # of BOTH
            except CodeFailed as error:
                assert "root:" not in str(error), code
            else:
                assert code.endswith(("getcwd()",)) or ran.data is None or not str(ran.data).strip(), (code, ran.data)


async def test_what_the_code_breaks_of_its_own_language_breaks_nothing_of_ours() -> None:
    async with running_sandbox() as sandbox:
        hostile = """
            JSON.stringify = () => '"forged"'; JSON.parse = () => { throw 1 }; Promise.prototype.then = () => 7;
            Function.prototype.call = () => 8; Object.keys = () => []; globalThis.console = null; String = null;
            output = 'mine'
        """
        assert (await sandbox.run("javascript", hostile, {}, "acme")).data == "mine"
        with pytest.raises(CodeFailed):
            await sandbox.run("javascript", "({toJSON() { throw {toString() { throw 1 }} }})", {}, "acme")
        assert (await sandbox.run("javascript", "JSON.stringify([1])", {}, "acme")).data == "[1]"


async def test_nothing_is_kept_from_one_run_to_the_next() -> None:
    async with running_sandbox() as sandbox:
        await sandbox.run("javascript", "globalThis.kept = 1; Array.prototype.kept = 1", {}, "acme")
        assert (await sandbox.run("javascript", "[typeof kept, typeof [].kept]", {}, "acme")).data == ["undefined"] * 2
        await sandbox.run("python", "kept = 1", {}, "acme")
        with pytest.raises(CodeFailed, match="NameError"):
            await sandbox.run("python", "kept", {}, "acme")


async def test_organizations_never_share_a_process_and_runs_at_once_are_bounded() -> None:
    async with running_sandbox() as sandbox:

        async def one(number: int) -> CodeResult:
            return await sandbox.run("javascript", "output = n", {"n": number}, f"org{number % 3}")

        ran = await asyncio.gather(*map(one, range(12)))
        assert [each.data for each in ran] == list(range(12))
        assert len(sandbox.idle_processes()) <= 2
        (whose,) = {whose for whose, _ in sandbox.idle_processes() if whose == "org0"} or {"org0"}
        assert whose == "org0"


async def test_a_process_has_no_environment_no_file_and_dies_with_all_it_started() -> None:
    found: list[int] = []

    os.environ["SIZEWISE_TEST_CANARY"] = "hunter2"
    try:
        async with running_sandbox() as sandbox:
            for language in BOTH:
                await sandbox.run(language, "1", {}, "acme")
            for _, pid in sandbox.idle_processes():
                for each in (pid, *_children(pid)):
                    found.append(each)
                    assert Path(f"/proc/{each}/environ").read_bytes() == b""
                    status = Path(f"/proc/{each}/status").read_text()
                    assert "Seccomp:\t2" in status and "NoNewPrivs:\t1" in status
            assert len(found) == 3  # two of ours, and the interpreter that one of them started
    finally:
        del os.environ["SIZEWISE_TEST_CANARY"]
    until(lambda: not any(_alive(pid) for pid in found))


def _alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def _children(pid: int) -> list[int]:
    return [
        int(each) for task in Path(f"/proc/{pid}/task").iterdir() for each in (task / "children").read_text().split()
    ]


async def test_a_run_that_is_cancelled_takes_its_process_with_it() -> None:
    async with running_sandbox(SandboxSettings(timeout_s=60)) as sandbox:
        await sandbox.run("python", "1", {}, "acme")
        running = asyncio.create_task(sandbox.run("python", "while True: pass", {}, "acme"))
        await asyncio.sleep(0.05)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert sandbox.idle_processes() == []


async def test_code_is_refused_where_it_is_turned_off_or_too_long_or_given_what_it_cannot_name() -> None:
    async with running_sandbox(SandboxSettings(enabled=False)) as sandbox:
        with pytest.raises(Forbidden, match="is disabled"):
            await sandbox.run("python", "1", {}, "acme")
    async with running_sandbox() as sandbox:
        with pytest.raises(CodeFailed, match="longer than"):
            await sandbox.run("python", "#" * 140_000, {}, "acme")
        with pytest.raises(CodeFailed, match="not a valid name of an input"):
            await sandbox.run("javascript", "1", {"a b": 1}, "acme")
        with pytest.raises(CodeFailed, match="larger than"):
            await sandbox.run("javascript", "1", {"a": "x" * 9_000_000}, "acme")


def test_the_kernel_refuses_what_an_interpreter_would_let_through() -> None:
    """What would be left to somebody who broke out of the interpreter, asked in a process that gave it up."""
    tries = """
import ctypes, mmap, os, socket, sys
from sizewise.tools.sandbox import seccomp
assert getattr(seccomp, sys.argv[1])(*eval(sys.argv[2]))
def none(): return ctypes.CDLL(None, use_errno=True)
for name, work in {
    "open": lambda: os.open("/etc/passwd", os.O_RDONLY), "write": lambda: os.open("/tmp/x", os.O_WRONLY | os.O_CREAT),
    "list": lambda: os.listdir("/etc"), "socket": lambda: socket.socket(), "kill": lambda: os.kill(os.getppid(), 0),
    "environ": lambda: os.open(f"/proc/{os.getppid()}/environ", os.O_RDONLY), "remove": lambda: os.unlink("/tmp/x"),
}.items():
    try:
        work()
    except OSError:
        continue
    print("open:", name)
if sys.argv[1] == "confine_to_compute":
    for name, work in {
        "fork": os.fork, "exec": lambda: os.execv("/bin/true", ["true"]),
        "code": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC),
    }.items():
        try:
            work()
        except OSError:
            continue
        print("open:", name)
print("asked")
"""
    for which, given in (("confine_to_compute", "()"), ("confine_to_programs", "(('/bin/true',),)")):
        done = subprocess.run([sys.executable, "-c", tries, which, given], capture_output=True, text=True)
        assert done.stdout == "asked\n", (which, done.stdout, done.stderr)
