"""What is left of an upstream's error text for clients and the log: what helps, and nothing that must not be read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from sizewise.guardrails.upstream_error_text import MAX_SCANNED_CHARS, MAX_SHOWN_CHARS, client_text, log_text
from sizewise.messages import ChatRequest, Message

KEY = "sk-proj-" + "aB3dE5gH7jK9mN1pQ3sT5"
LINK = "https://admin:hunter2Xq9@db.internal/x"
PROMPT = "Where did Wilhelmina hide the violet lantern?"


def chat(words: str) -> ChatRequest:
    raw = Raw(b'[{"role":"user","content":"%b"}]' % words.encode())
    return ChatRequest(model="m", messages=[Message("user", words)], fields={"messages": raw})


@pytest.mark.parametrize("secret", [KEY, "hunter2Xq9"])
@given(before=st.integers(0, MAX_SCANNED_CHARS + 200))
def test_no_part_of_a_secret_is_shown_wherever_the_text_is_cut(secret: str, before: int) -> None:
    said = LINK if secret in LINK else secret
    shown = client_text("x " * (before // 2) + "y" * (before % 2) + f" {said} is refused")
    assert not any(secret[at : at + 6] in shown for at in range(2, len(secret) - 5))
    assert len(shown) <= MAX_SHOWN_CHARS


@pytest.mark.parametrize(
    "trace",
    [
        'Traceback (most recent call last):\n  File "/srv/app.py", line 3, in f\nKeyError',
        '  File "/srv/app.py", line 3, in f',
        "\n\tat com.example.srv.Handler.run(Handler.java:31)\n\tat com.example.srv.Main.main(Main.java:7)",
        "\n    at Object.<anonymous> (/srv/app.js:3:9)",
        "\n    at file:///srv/app.mjs:3:9",
        "\n   at Srv.Api.Run(String x) in C:\\srv\\Api.cs:line 31",
        "goroutine 7 [running]:\nmain.run(0x1)\n\t/srv/main.go:3",
        "thread 'main' panicked at /srv/main.rs:3:5",
    ],
)
def test_tracebacks_are_removed_and_the_words_before_them_stay(trace: str) -> None:
    shown = client_text(f"no such field: {trace}")
    assert "srv" not in shown and "Srv" not in shown
    assert shown == "no such field: [traceback removed]"


@pytest.mark.parametrize(
    "said",
    [
        "`temperature` must be at most 2",
        "This model's maximum context length is 4096 tokens. You requested 5000 tokens (4900 in the messages).",
        "Unsupported value: 'messages[0].role' does not support 'developer' with this model.",
        "Invalid 'tools[0].function.name': string does not match pattern '^[a-zA-Z0-9_-]+$'.",
        "The model `gpt-x` does not exist at https://api.example.com/v1/models.",
        "1 validation error for ChatCompletionRequest\nmessages\n  Field required [type=missing, input_type=dict]",
    ],
)
def test_ordinary_errors_of_clients_stay_as_they_are(said: str) -> None:
    assert client_text(said) == said


@pytest.mark.parametrize(
    "said",
    [
        f"cannot read {PROMPT!r}",
        "bad input: DID wilhelmina\\nhide a thing",
        "bad input: did wilhelm\\u0069na hide",
        "input_value=[{'content': 'the violet lantern'}]",
    ],
)
def test_a_text_that_repeats_the_prompt_is_not_logged(said: str) -> None:
    assert log_text(said, chat(PROMPT)) == "[not logged: it repeats the prompt]"


def test_a_short_prompt_is_recognized_and_chance_words_are_not() -> None:
    assert "repeats" in log_text("cannot tokenize 'Wilhelmina' here", chat("Wilhelmina"))
    assert log_text(f"the violet\nworker hid {KEY}", chat(PROMPT)) == "the violet worker hid ***"


def test_what_cannot_be_compared_is_not_logged() -> None:
    assert "too long" in log_text("shard lost", chat("x " * 200_000))
    assert log_text("", chat(PROMPT)) == ""
