"""Worker process of one llama.cpp model: frames in, frames out; does no routing and knows no principals.

`python -m sizewise.providers.local.llamacpp_worker FD` talks over the inherited socket FD and ends when that closes.
A crash of llama.cpp ends this process and nothing else. It opens no port: llama.cpp's own server, needed to count
tokens, listens on a socket file in a folder that only this user can enter. So does this process, if the parent says so,
for the other processes of the server: they send the same requests as the parent, and load and stop nothing.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from typing import Any, Protocol

from sizewise.parent_process import end_with_parent
from sizewise.providers.local.gpu_layers import Gpu, GpuLayers, ModelSize, offloaded_layers, placement_text
from sizewise.providers.local.worker_protocol import FRAME_HEADER, FrameKind, encode_frame

PROGRESS_MARKER = b',"prompt_progress":'  # cannot occur inside a JSON string, whose quotes would be escaped
COUNT_TIMEOUT_S = 30.0  # seconds

ENVIRONMENT: Mapping[str, str] = {
    # Read by libgomp when it loads. Spinning at barriers collapses when another process wants the core; sleeping at
    # once costs more than the work between two barriers. A short spin is best of both, in ms per token (135M): 11 on
    # idle cores (33 sleeping, 13 spinning), 29 next to a busy process (23 sleeping, 48 spinning).
    "OMP_WAIT_POLICY": "passive",
    "GOMP_SPINCOUNT": "1000",
    "GGML_NO_BACKTRACE": "1",  # would start a debugger on a failed assertion
}


DEBIAN_PACKAGES: Mapping[str, str] = {"libgomp.so.1": "libgomp1", "libstdc++.so.6": "libstdc++6"}
"""What xllamacpp's wheel takes from the system, beside the C library -> the Debian package that has it."""


class LlamaCppServer(Protocol):
    """The part of xllamacpp.Server that is used. `seen` gets each JSON text; returning True stops the request."""

    def handle_chat_completions(self, body: bytes, seen: object, /) -> None: ...
    def handle_completions(self, body: bytes, seen: object, /) -> None: ...


class LoadOptions:
    """The options in the parent's LOAD frame."""

    def __init__(self, payload: bytes) -> None:
        said = json.loads(payload)
        self.model: str = said["model"]
        self.name: str = said["name"]
        self.context: int = said["context"]  # tokens per slot
        self.slots: int = said["slots"]
        self.threads: int = said["threads"]
        self.batch: int = said["batch"]  # tokens
        self.gpu_batch: int = said["gpu_batch"]  # tokens, if all layers are on GPUs
        self.folder: str = said["folder"]
        self.gpu_layers: GpuLayers = said["gpu_layers"]
        self.size = ModelSize(*said["size"])
        self.listen: str = said.get("listen", "")  # path of a socket for other processes; empty: none
        self.adapters: list[str] = said.get("adapters", [])  # paths of LoRA files; a request names one by its place

    @property
    def address(self) -> str:
        return os.path.join(self.folder, f"{os.getpid()}.sock")


def load_server(options: LoadOptions) -> tuple[LlamaCppServer, str]:
    """Loads the model in llama.cpp; also where its layers run. Raises RuntimeError or ValueError if that fails."""
    os.environ.update(ENVIRONMENT)
    import xllamacpp  # after the environment is set, and only in this process

    kind = xllamacpp.ggml_backend_dev_type.GGML_BACKEND_DEVICE_TYPE_GPU
    gpus = [
        Gpu(each["name"], each["description"], each["memory_free"])
        for each in xllamacpp.get_device_info()
        if each["type"] == kind
    ]
    offloaded = offloaded_layers(options.gpu_layers, options.size, gpus)
    said = xllamacpp.CommonParams()
    said.n_gpu_layers = offloaded
    said.model.path = options.model
    said.model_alias = {options.name}  # the model's name in chunks; not its path
    said.n_ctx = options.context * options.slots  # llama.cpp divides it among the slots
    said.n_parallel = options.slots
    said.kv_unified = False  # a greedy answer must not depend on concurrent requests
    said.n_batch = said.n_ubatch = options.gpu_batch if offloaded == options.size.layers else options.batch
    said.cpuparams.n_threads = said.cpuparams_batch.n_threads = options.threads
    # Without the fused kernel a long context costs a third less, but sums depend on the other requests in the batch.
    # With it, greedy answers and their log-probabilities were bit-identical, alone and in a batch.
    said.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
    # Loaded, not mapped: llama.cpp rearranges weights, which would then be in memory twice (1.5B: 1.9 GB, not 1.2 GB).
    said.load_mode = xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_NONE
    said.cache_ram_mib = 0  # no second, growing prompt cache
    said.fit_params = False  # the parent has checked that it fits
    said.warmup = False
    said.verbosity = 2  # warnings
    said.ui = False
    said.endpoint_slots = False  # it would show prompts
    said.hostnames = [options.address]
    said.lora_adapters = [_adapter(xllamacpp.CommonAdapterLoraInfo(), path) for path in options.adapters]
    server: LlamaCppServer = xllamacpp.Server(said)
    return server, placement_text(options.name, offloaded, options.size.layers, gpus)


def load_failure(error: Exception) -> str:
    """Why a model was not loaded; where the system lacks a shared library, with the command that brings it."""
    found = re.match(r"(lib[^\s:]+): cannot open shared object file", str(error))
    if found is None:
        return str(error)
    library = found[1]
    how = f"apt-get install {DEBIAN_PACKAGES[library]}" if library in DEBIAN_PACKAGES else "its package"
    return f"this system has no {library}, which llama.cpp needs; install it (Debian, Ubuntu: {how}) and restart"


class WorkerRequest:
    """One chat or text completion. Forwards each JSON text from llama.cpp to the parent."""

    def __init__(self, number: int, client: RequestConnection) -> None:
        self.cancelled = False
        self._number = number
        self._client = client

    def on_chunk(self, text: bytes) -> bool:
        """True stops the request. Must not raise: llama.cpp would swallow the exception and continue."""
        if self.cancelled:
            return True
        if text.startswith(b'{"error":'):
            return self._client.send_frame(FrameKind.ERROR, self._number, text)
        if PROGRESS_MARKER in text:
            # Requested only to notice a cancel between two batches of the prompt. Dropping it loses nothing: the
            # chunk that names the role is repeated with the first token.
            return False
        return self._client.send_frame(FrameKind.CHUNK, self._number, text)


class RequestConnection:
    """A connection that sends requests: each runs in a thread, and all are cancelled when the connection closes."""

    def __init__(self, connection: socket.socket, process: ModelProcess) -> None:
        self.process = process
        self._socket = connection
        self._send_lock = threading.Lock()
        self._running: dict[int, WorkerRequest] = {}

    def send_frame(self, kind: FrameKind, request: int = 0, payload: bytes = b"") -> bool:
        """Sends a frame; True if the other side is gone."""
        try:
            with self._send_lock:
                self._socket.sendall(encode_frame(kind, request, payload))
        except OSError:
            return True
        return False

    @property
    def is_idle(self) -> bool:
        return not self._running

    def run(self) -> None:
        """Until the other side closes the socket."""
        try:
            while head := self._receive(FRAME_HEADER.size):
                length, number, kind = FRAME_HEADER.unpack(head)
                self.handle_frame(FrameKind(kind), number, self._receive(length))
        except OSError:
            pass  # the other side is gone
        for request in tuple(self._running.values()):
            request.cancelled = True
        self._socket.close()

    def handle_frame(self, kind: FrameKind, number: int, payload: bytes) -> None:
        if kind in (FrameKind.CHAT, FrameKind.COMPLETE):
            self._running[number] = request = WorkerRequest(number, self)
            _in_thread(self._answer, request, number, payload, kind)
        elif kind in (FrameKind.COUNT, FrameKind.TOKENIZE_PROMPT, FrameKind.TOKENIZE_TEXT):
            _in_thread(self._count, number, payload, kind)
        elif kind is FrameKind.CANCEL and (asked := self._running.get(number)):
            asked.cancelled = True

    def _answer(self, request: WorkerRequest, number: int, payload: bytes, kind: FrameKind) -> None:
        server = self.process.server
        try:
            assert server is not None  # clients wait for READY
            handle = server.handle_chat_completions if kind is FrameKind.CHAT else server.handle_completions
            adapters = len(self.process.options.adapters) if self.process.options is not None else 0
            handle(streaming_body(payload, adapters), request.on_chunk)
        except (RuntimeError, ValueError, TypeError) as error:
            self.send_frame(FrameKind.ERROR, number, error_payload(error))
        finally:
            del self._running[number]
            self.send_frame(FrameKind.END, number)
            self.process.exit_when_idle()

    def _count(self, number: int, payload: bytes, kind: FrameKind) -> None:
        options = self.process.options
        assert options is not None  # clients wait for READY
        path = "/v1/chat/completions/input_tokens" if kind is FrameKind.COUNT else "/tokenize"
        try:
            if kind is FrameKind.TOKENIZE_PROMPT:
                payload = _prompt_to_tokenize(options.address, payload)
            status, answer = post_over_socket(options.address, path, payload)
            answered = FrameKind.COUNTED if kind is FrameKind.COUNT else FrameKind.TOKENS
            self.send_frame(answered if status == 200 else FrameKind.ERROR, number, answer)
        except (OSError, http.client.HTTPException) as error:
            self.send_frame(FrameKind.ERROR, number, error_payload(error))
        finally:
            self.send_frame(FrameKind.END, number)

    def _receive(self, length: int) -> bytes:
        """`length` bytes; empty if the socket closed first."""
        taken = bytearray()
        while len(taken) < length and (more := self._socket.recv(length - len(taken))):
            taken += more
        return bytes(taken) if len(taken) == length else b""


class ParentConnection(RequestConnection):
    """The connection of the parent, which also loads and stops."""

    def handle_frame(self, kind: FrameKind, number: int, payload: bytes) -> None:
        if kind is FrameKind.LOAD:
            _in_thread(self._load, LoadOptions(payload))
        elif kind is FrameKind.STOP:
            self.process.is_stopping = True
            self.process.exit_when_idle()
        else:
            super().handle_frame(kind, number, payload)

    def _load(self, options: LoadOptions) -> None:
        # Not in the main thread, which keeps reading the parent's frames; some builds of llama.cpp install signal
        # handlers when loaded there.
        self.process.options = options
        try:
            self.process.server, placement = load_server(options)
            self.process.listen()
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            self.send_frame(FrameKind.FAILED, 0, load_failure(error).encode())
        else:
            self.send_frame(FrameKind.READY, 0, placement.encode())


class ModelProcess:
    """The loaded model and its connections. It ends when the parent closes its socket."""

    def __init__(self, parent: socket.socket) -> None:
        self.server: LlamaCppServer | None = None
        self.options: LoadOptions | None = None
        self.is_stopping = False
        self._parent = ParentConnection(parent, self)
        self._connections: set[RequestConnection] = {self._parent}

    def run(self) -> None:
        """Runs until the parent closes the socket, then exits without waiting for running requests."""
        self._parent.run()
        self._exit()

    def listen(self) -> None:
        """Accepts other processes of the server. Raises OSError."""
        if self.options is not None and self.options.listen:
            listening = socket.socket(socket.AF_UNIX)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.options.listen)  # of a process that crashed
            listening.bind(self.options.listen)
            listening.listen()
            _in_thread(self._accept, listening)

    def exit_when_idle(self) -> None:
        if self.is_stopping and all(each.is_idle for each in tuple(self._connections)):
            self._exit()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            connection, _ = listening.accept()
            client = RequestConnection(connection, self)
            self._connections.add(client)
            _in_thread(self._serve, client)

    def _serve(self, client: RequestConnection) -> None:
        client.run()
        self._connections.discard(client)

    def _exit(self) -> None:
        """Exits at once: llama.cpp's own shutdown waits for running requests."""
        if self.options is not None:
            shutil.rmtree(self.options.folder, ignore_errors=True)
            if self.options.listen:
                with contextlib.suppress(OSError):
                    os.unlink(self.options.listen)
        os._exit(0)


def streaming_body(payload: bytes, adapters: int = 0) -> bytes:
    """The body for llama.cpp: always a stream, with usage and progress reports.

    Each of `adapters` is named: after a request with one, llama.cpp would read a request that names none from the
    prompt cache of the other (seen with xllamacpp 2026.10).
    """
    body = json.loads(payload)
    if not isinstance(body, dict):
        raise ValueError("the request's body is not a JSON object")
    body.pop("id_slot", None)  # clients must not choose slots
    if adapters:
        chosen = {each["id"] for each in body.get("lora") or ()}
        body["lora"] = [{"id": at, "scale": 1.0 if at in chosen else 0.0} for at in range(adapters)]
    body |= {"stream": True, "return_progress": True, "stream_options": {"include_usage": True}}
    return json.dumps(body).encode()


def error_payload(error: Exception) -> bytes:
    code = 400 if isinstance(error, ValueError) else 500
    return json.dumps({"error": {"code": code, "message": str(error), "type": "invalid_request_error"}}).encode()


def post_over_socket(address: str, path: str, body: bytes) -> tuple[int, bytes]:
    """Status and body of a POST to llama.cpp's server on the socket file `address`."""
    connection = http.client.HTTPConnection("localhost", timeout=COUNT_TIMEOUT_S)
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.settimeout(COUNT_TIMEOUT_S)
        connection.sock.connect(address)
        connection.request("POST", path, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _prompt_to_tokenize(address: str, payload: bytes) -> bytes:
    """Raises OSError if the template refuses the messages."""
    status, answer = post_over_socket(address, "/apply-template", payload)
    if status != 200:
        raise OSError(f"the chat template refused the messages: {answer[:200]!r}")
    said = {"content": json.loads(answer)["prompt"], "add_special": True, "parse_special": True}
    return json.dumps(said).encode()


def _adapter(info: Any, path: str) -> Any:
    """`info`: an empty CommonAdapterLoraInfo of xllamacpp."""
    info.path, info.scale = path, 0.0  # a request without an adapter gets the model itself
    return info


def _in_thread(work: object, *given: object) -> None:
    threading.Thread(target=work, args=given, daemon=True).start()  # type: ignore[arg-type]  # any of our methods


def main() -> None:
    for ignored in (signal.SIGINT, signal.SIGTERM):  # the parent decides when to stop
        signal.signal(ignored, signal.SIG_IGN)
    end_with_parent()
    ModelProcess(socket.socket(fileno=int(sys.argv[1]))).run()


if __name__ == "__main__":
    main()
