"""What the server of the studio's tests has: settings, a flow that waits for a person, requests of all kinds."""

from __future__ import annotations

from pathlib import Path

from tests.running_server import Served

SETTINGS = """
[server]
embedded = false
discover = false
[records]
contents = true
[providers.echo]
wire = "echo"
place = "process"
models = ["small", "large"]
[models."echo/small"]
parameters = 135_000_000
logprobs = true
price = { input = "0.02", output = "0.06" }
[models."echo/large"]
parameters = 32_000_000_000
logprobs = true
price = { input = "0.40", output = "1.20" }
[providers.near]
wire = "echo"
place = "process"
models = ["vectors"]
[models."near/vectors"]
task = "embed"
[policies.default]
threshold = 0.5
[alerts.many_requests]
metric = "requests"
window = "5m"
alert = 1000
"""
KEPT = (
    "What is the capital of Italy? [[say The capital of Italy is Rome.]]",
    "Translate 'good morning' to French. [[say Bonjour.]]",
    "Is 17 a prime number? [[say Yes, 17 is prime: only 1 and 17 divide it.]]",
    "Summarize: the meeting moves to Tuesday. [[say The meeting is on Tuesday.]]",
)
ESCALATED = (
    "Why is the sky blue? [[echo/small: say Because of the ocean]] [[echo/small: logprob -3]]"
    " [[echo/large: say Air scatters blue light more than red light, so the sky looks blue.]]",
    "Which contract clause limits liability? [[echo/small: logprob -2]] [[echo/large: say Clause 9.2 caps it at the"
    " fees of the last twelve months.]]",
)
FAILING = ("Hello [[fail refused]]", "Hello [[fail]]")


RUN = 'mutation($mail: JSON) { startFlowRun(flow: "refund", inputs: { mail: $mail }) { id } }'


def fill(server: Served, rounds: int = 4) -> None:
    for number in range(rounds):
        for words in KEPT:
            server.chat("auto", words)
        for words in ESCALATED:
            server.chat("auto", words)
        server.ask("/graphql", {"query": RUN, "variables": {"mail": f"My parcel {number} is broken."}})
        if number % 2 == 0:
            server.chat("echo/small", FAILING[number // 2 % 2])


FLOW = """name: refund
description: Drafts an answer about a refund, and waits for a person before it is sent.
inputs:
  mail: text
nodes:
  draft:
    kind: ask
    model: echo/small
    prompt: "{{ inputs.mail }}"
  check:
    kind: approve
    question: "Send this answer?"
    show: "{{ draft.text }}"
outputs:
  answer: "{{ draft.text }}"
"""


def write_flow(home: Path) -> None:
    (home / "flows").mkdir(parents=True, exist_ok=True)
    (home / "flows" / "refund.yaml").write_text(FLOW)
