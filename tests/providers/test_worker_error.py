"""Errors of a llama.cpp worker as clients read them: its reason, and no secret or traceback."""

from __future__ import annotations

import json

import pytest

from sizewise.errors import ContextLengthExceeded, UpstreamError, UpstreamRejected
from sizewise.providers.local.llamacpp import worker_error
from sizewise.providers.local.llamacpp_worker import load_failure

SECRET = "sk-proj-" + "aB3dE5gH7jK9mN1pQ3sT5"
TRACEBACK = 'Traceback (most recent call last):\n  File "/srv/app/serve.py", line 7, in run\n    go(weights)'


def failed(**error: object) -> bytes:
    return json.dumps({"error": error}).encode()


@pytest.mark.parametrize(("code", "kind"), [(400, UpstreamRejected), (500, UpstreamError), (None, UpstreamError)])
def test_a_reason_is_shown_without_its_secrets(code: int | None, kind: type[UpstreamError]) -> None:
    error = worker_error("local/m", failed(code=code, message=f"bad grammar, key {SECRET}\n{TRACEBACK}"))
    assert type(error) is kind and error.message.startswith("'local/m' returned an error: bad grammar, key ***")
    assert SECRET not in error.message and "serve.py" not in error.message


@pytest.mark.parametrize("message", ["x" * 100_000, "word " * 50_000, SECRET * 2_000, "", None, ["list"], {"a": 1}, 7])
def test_any_message_is_short_and_safe(message: object) -> None:
    error = worker_error("local/m", failed(code=400, message=message))
    assert len(error.message) < 400 and SECRET not in error.message


@pytest.mark.parametrize("payload", [b"{}", b"[]", b"null", b'"text"', b'{"error": null}', b'{"error": "text"}'])
def test_an_error_of_another_shape_is_still_one(payload: bytes) -> None:
    assert type(worker_error("local/m", payload)) is UpstreamError


def test_a_prompt_that_is_too_long_has_its_numbers() -> None:
    error = worker_error("local/m", failed(type="exceed_context_size_error", n_prompt_tokens=900, n_ctx=512))
    assert type(error) is ContextLengthExceeded and "900 tokens" in error.message and "512" in error.message


def test_a_shared_library_that_the_system_lacks_is_named_with_the_command_that_brings_it() -> None:
    missing = "libgomp.so.1: cannot open shared object file: No such file or directory"
    assert load_failure(ImportError(missing)) == (
        "this system has no libgomp.so.1, which llama.cpp needs; install it (Debian, Ubuntu: apt-get install libgomp1) "
        "and restart"
    )
    assert load_failure(RuntimeError("not a GGUF file")) == "not a GGUF file"
