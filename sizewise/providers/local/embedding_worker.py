"""Worker process of a local embedding model (ONNX): texts in, unit vectors out.

`python -m sizewise.providers.local.embedding_worker FD` talks over the inherited socket FD and ends when that closes.
It handles one request at a time; send few texts per request for low latency.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
from typing import Any

from sizewise.providers.local.wordpiece_tokenizer import BEGIN, END, WordPieceTokenizer
from sizewise.providers.local.worker_protocol import FRAME_HEADER, FrameKind, encode_frame

BATCH_SIZE = 16
"""Texts per run, of similar length: shorter texts are padded to the longest."""
VECTORS_HEADER = struct.Struct("<III")


class OnnxEmbeddingModel:
    """An ONNX model of the BERT family, with mean pooling of token vectors. Raises RuntimeError, ImportError."""

    def __init__(self, file: str, threads: int, max_tokens: int) -> None:
        import numpy
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as state

        wanted = onnxruntime.SessionOptions()
        wanted.intra_op_num_threads = threads
        wanted.inter_op_num_threads = 1
        wanted.enable_cpu_mem_arena = False  # after long texts 290 MB instead of 924 MB, at the same speed
        wanted.add_session_config_entry("session.intra_op.allow_spinning", "0")  # leaves the cores to other models
        try:
            self._session = onnxruntime.InferenceSession(file, wanted, providers=["CPUExecutionProvider"])
        except (
            state.Fail,
            state.InvalidArgument,
            state.InvalidGraph,
            state.InvalidProtobuf,
            state.NoSuchFile,
        ) as error:
            raise RuntimeError(
                f"the file is not a model that ONNX Runtime can load ({type(error).__name__})"
            ) from error
        self._numpy = numpy
        self._tokenizer = WordPieceTokenizer()
        self._max_tokens = max_tokens
        self._inputs = {each.name for each in self._session.get_inputs()}

    def embed(self, texts: list[str] | list[list[int]]) -> bytes:
        """The payload of a VECTORS frame. Raises OverflowError(index of the text, its tokens) if a text is too long."""
        numpy = self._numpy
        rows = [self._token_row(each) for each in texts]
        for place, row in enumerate(rows):
            if len(row) > self._max_tokens:
                raise OverflowError(place, len(row))
        order = sorted(range(len(rows)), key=lambda at: len(rows[at]))
        found: Any = None
        for start in range(0, len(order), BATCH_SIZE):
            some = order[start : start + BATCH_SIZE]
            wide = max(len(rows[at]) for at in some)
            ids = numpy.zeros((len(some), wide), dtype=numpy.int64)
            mask = numpy.zeros((len(some), wide), dtype=numpy.int64)
            for place, at in enumerate(some):
                ids[place, : len(rows[at])] = rows[at]
                mask[place, : len(rows[at])] = 1
            said = {"input_ids": ids, "attention_mask": mask, "token_type_ids": numpy.zeros_like(ids)}
            out = self._session.run(None, {name: said[name] for name in self._inputs})[0]
            if out.ndim == 3:
                weights = mask[:, :, None].astype(numpy.float32)
                out = (out * weights).sum(1) / weights.sum(1)
            out = out / numpy.maximum(numpy.linalg.norm(out, axis=1, keepdims=True), 1e-12)
            if found is None:
                found = numpy.zeros((len(rows), out.shape[1]), dtype="<f4")
            found[some] = out
        shape = (0, 0) if found is None else found.shape
        return VECTORS_HEADER.pack(*shape, sum(map(len, rows))) + (b"" if found is None else found.tobytes())

    def _token_row(self, text: str | list[int]) -> list[int]:
        tokens = self._tokenizer.encode(text) if isinstance(text, str) else text
        return [BEGIN, *tokens, END]


class EmbeddingWorker:
    """Handles the parent's frames one by one, until the socket closes."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._model: OnnxEmbeddingModel | None = None

    def run(self) -> None:
        try:
            while head := self._receive(FRAME_HEADER.size):
                length, number, kind = FRAME_HEADER.unpack(head)
                payload = self._receive(length)
                if kind == FrameKind.STOP:
                    return
                self._handle_frame(FrameKind(kind), number, payload)
        except OSError:
            pass  # the parent is gone

    def _handle_frame(self, kind: FrameKind, number: int, payload: bytes) -> None:
        said = json.loads(payload)
        if kind is FrameKind.LOAD:
            try:
                self._model = OnnxEmbeddingModel(said["model"], said["threads"], said["longest"])
            except (ImportError, RuntimeError) as error:
                self._send_frame(FrameKind.FAILED, 0, str(error).encode())
            else:
                self._send_frame(FrameKind.READY)
        elif kind is FrameKind.EMBED:
            assert self._model is not None  # the parent waits for READY
            try:
                found = self._model.embed(said)
            except OverflowError as error:
                self._send_frame(FrameKind.ERROR, number, json.dumps(error.args).encode())
                return
            self._send_frame(FrameKind.VECTORS, number, found)

    def _send_frame(self, kind: FrameKind, number: int = 0, payload: bytes = b"") -> None:
        self._socket.sendall(encode_frame(kind, number, payload))

    def _receive(self, length: int) -> bytes:
        """`length` bytes; empty if the socket closed first."""
        taken = bytearray()
        while len(taken) < length and (more := self._socket.recv(length - len(taken))):
            taken += more
        return bytes(taken) if len(taken) == length else b""


def main() -> None:
    with socket.socket(fileno=int(sys.argv[1])) as line:
        EmbeddingWorker(line).run()


if __name__ == "__main__":
    main()
