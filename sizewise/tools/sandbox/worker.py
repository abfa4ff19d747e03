"""The sandbox worker: gives up files and network, then runs the code that it receives.

`python -m sizewise.tools.sandbox.worker FD` talks over the inherited socket FD and ends when it closes. Each run has
its own interpreter; the process serves one organization and ends after the first run that exceeds a limit.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
from collections.abc import Callable

import msgspec
from msgspec import Raw, Struct

from sizewise.parent_process import end_with_parent
from sizewise.tools.sandbox import seccomp
from sizewise.tools.sandbox.protocol import (
    FRAME_HEADER,
    MAX_ERROR_CHARS,
    MAX_INPUT_BYTES,
    MAX_OUTPUT_BYTES,
    MAX_STDOUT_CHARS,
    CodeLimits,
    CodeOutcome,
    CodeRequest,
    SandboxConfig,
    SandboxReady,
    encode_frame,
)

RunCode = Callable[[CodeRequest], CodeOutcome]

BASE_MEMORY = 192_000_000
"""Bytes of address space for the interpreter, in addition to the memory of the code."""
MAX_STACK = 1_048_576


class FramedSocket:
    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def send(self, message: Struct) -> None:
        self._socket.sendall(encode_frame(message))

    def receive(self) -> bytes:
        """The next message; empty when the socket has closed."""
        head = self._take(FRAME_HEADER.size)
        return self._take(FRAME_HEADER.unpack(head)[0]) if head else b""

    def _take(self, length: int) -> bytes:
        taken = bytearray()
        while len(taken) < length and (more := self._socket.recv(min(65_536, length - len(taken)))):
            taken += more
        return bytes(taken) if len(taken) == length else b""


def _used() -> int:
    """Bytes of address space in use; 0 if unknown."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def javascript_runner(limits: CodeLimits) -> RunCode:
    import _quickjs  # its wrapper `quickjs` starts a thread

    seccomp.limit_resources(_used() + limits.memory + BASE_MEMORY)
    if not seccomp.confine_to_compute() and limits.require_confinement:
        raise PermissionError("this system cannot restrict a process's files and network")

    def run(order: CodeRequest) -> CodeOutcome:
        context = _quickjs.Context()
        context.set_max_stack_size(MAX_STACK)
        context.set_memory_limit(limits.memory)
        context.set_time_limit(limits.time_s)
        inputs = "{" + ",".join(f"{_text(k)}:{bytes(v).decode()}" for k, v in order.inputs.items()) + "}"
        try:
            part = context.eval(PRELUDE)
            part("given")(inputs)
            try:
                value = context.eval(order.code)
            except _quickjs.JSException as error:
                if not str(error).startswith("SyntaxError"):
                    raise
                value = part("within")(order.code)  # it uses top-level `return` or `await`
            part("finish")(value)
            while context.execute_pending_job():
                pass
            ended, value, printed = (part("held")(name) for name in ("value", "json", "printed"))
        except _quickjs.StackOverflow:
            return CodeOutcome("failed", error="RangeError: Maximum call stack size exceeded")
        except _quickjs.JSException as error:
            return _scripted(str(error))
        if ended == "failed":
            return _scripted(str(value), str(printed))
        if not isinstance(value, str):
            return CodeOutcome("failed", stdout=str(printed), error="the code's result is not JSON")
        if len(value.encode("utf-8", "replace")) > MAX_OUTPUT_BYTES:
            return CodeOutcome("large", stdout=str(printed))
        return CodeOutcome("done", Raw(msgspec.json.encode(msgspec.json.decode(value))), str(printed))

    return run


def _text(name: str) -> str:
    return msgspec.json.encode(name).decode()


def _scripted(words: str, printed: str = "") -> CodeOutcome:
    first = words[:MAX_ERROR_CHARS].strip()
    if "interrupted" in first and "InternalError" in first:
        return CodeOutcome("time", stdout=printed)
    if "out of memory" in first or "string too long" in first or first == "null":  # "null": no memory for the error
        return CodeOutcome("memory", stdout=printed)
    return CodeOutcome("failed", stdout=printed, error=first)


PRELUDE = """
(() => {
  const parse = JSON.parse, stringify = JSON.stringify, text = String, resolve = Promise.resolve.bind(Promise);
  const make = Object.getPrototypeOf(async function () {}).constructor;
  const chain = Function.prototype.call.bind(Promise.prototype.then);
  const kept = {value: "pending", json: undefined, printed: ""};
  const log = (...words) => {
    for (let i = 0; i < words.length; i++) {
      const said = typeof words[i] === "string" ? words[i] : (stringify(words[i]) ?? text(words[i]));
      if (kept.printed.length < MOST) kept.printed += (i ? " " : "") + said;
    }
    kept.printed = (kept.printed + "\\n").substring(0, MOST);
  };
  globalThis.console = {log, info: log, warn: log, error: log, debug: log};
  const fail = (error) => {
    kept.value = "failed";
    try { kept.json = text(error); } catch { kept.json = "an error that cannot be said"; }
  };
  const parts = {
    given: (inputs) => {
      const all = parse(inputs);
      for (const name of Object.keys(all)) globalThis[name] = all[name];
    },
    within: (code) => make(code + "\\n;return typeof output === 'undefined' ? undefined : output")(),
    finish: (value) => {
      chain(resolve(value), (last) => {
        try {
          const given = typeof output === "undefined" ? last : output;
          kept.json = given === undefined ? "null" : stringify(given);
          kept.value = "done";
        } catch (error) { fail(error); }
      }, fail);
    },
    held: (name) => kept[name],
  };
  return (name) => parts[name];
})()
""".replace("MOST", str(MAX_STDOUT_CHARS)).strip()
"""Gives the code its inputs and a console. The functions that read its outcome are saved first, so the code may
overwrite any global."""


def python_runner(bounds: CodeLimits) -> RunCode:
    import pydantic_monty
    from pydantic_monty._binary import find_monty_binary

    program = os.path.realpath(find_monty_binary())
    seccomp.limit_resources(_used() + bounds.memory + BASE_MEMORY)
    if not seccomp.confine_to_programs((program, sys.prefix)) and bounds.require_confinement:
        raise PermissionError("this system cannot restrict a process's files and network")
    pool = pydantic_monty.Monty(
        binary_path=program,
        min_processes=1,
        max_processes=1,
        max_checkouts_per_worker=200,
        request_timeout=60,
    )
    pool.__enter__()
    limits: pydantic_monty.ResourceLimits = {
        "max_feed_duration_secs": bounds.time_s,
        "max_memory": bounds.memory,
        "max_suspensions": 1,
        "max_total_sleep_secs": 0,
        "max_recursion_depth": 400,
    }

    def run(order: CodeRequest) -> CodeOutcome:
        printed = pydantic_monty.CollectString(4 * MAX_STDOUT_CHARS)
        inputs = {name: msgspec.json.decode(value) for name, value in order.inputs.items()}
        try:
            with pool.checkout(limits=limits) as session:
                value = session.feed_run(order.code, inputs=inputs, print_callback=printed)
                if value is None:
                    value = session.feed_run(OUTPUT_OF, print_callback=printed)
        except pydantic_monty.MontyCrashedError as error:
            return CodeOutcome("time" if error.timed_out else "memory")
        except pydantic_monty.MontySyntaxError as error:
            return CodeOutcome("failed", error=f"SyntaxError: {error}"[:MAX_ERROR_CHARS])
        except pydantic_monty.MontyError as error:
            return _pythonic(error, printed.output[:MAX_STDOUT_CHARS])
        try:
            data = msgspec.json.encode(value)
        except (TypeError, ValueError, RecursionError, OverflowError):
            return CodeOutcome(
                "failed",
                stdout=printed.output[:MAX_STDOUT_CHARS],
                error="the code's result is not JSON",
            )
        if len(data) > MAX_OUTPUT_BYTES:
            return CodeOutcome("large", stdout=printed.output[:MAX_STDOUT_CHARS])
        return CodeOutcome("done", Raw(data), printed.output[:MAX_STDOUT_CHARS])

    return run


OUTPUT_OF = "try:\n    __output = output\nexcept NameError:\n    __output = None\n__output"


def _pythonic(error: Exception, printed: str) -> CodeOutcome:
    words = str(error)[:MAX_ERROR_CHARS]
    if words.startswith("TimeoutError: feed time limit"):
        return CodeOutcome("time", stdout=printed)
    if words.startswith("MemoryError"):
        return CodeOutcome("memory", stdout=printed)
    return CodeOutcome("failed", stdout=printed, error=words)


def main() -> None:
    for ignored in (signal.SIGINT, signal.SIGTERM):  # the parent decides when it ends
        signal.signal(ignored, signal.SIG_IGN)
    end_with_parent()
    os.chdir("/")
    line = FramedSocket(socket.socket(fileno=int(sys.argv[1])))
    given = msgspec.json.decode(line.receive(), type=SandboxConfig)
    try:
        run = (javascript_runner if given.language == "javascript" else python_runner)(given.limits)
    except (ImportError, OSError, RuntimeError) as error:
        line.send(SandboxReady(f"{type(error).__name__}: {error}"[:MAX_ERROR_CHARS]))
        os._exit(1)
    line.send(SandboxReady())
    while said := line.receive():
        if len(said) > MAX_INPUT_BYTES + 1_000_000:
            break
        try:
            outcome = run(msgspec.json.decode(said, type=CodeRequest))
        except MemoryError:
            outcome = CodeOutcome("memory")
        line.send(outcome)
        if outcome.reason in ("time", "memory"):
            break
    os._exit(0)


if __name__ == "__main__":
    main()
