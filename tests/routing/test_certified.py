"""A promise kept live: small where the proof lets it, large where it does not, or where it cannot tell."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from sizewise.data_class import Place
from sizewise.errors import ConfigError, UpstreamUnreachable
from sizewise.evals.calibration import calibrate
from sizewise.evals.outcomes import OutcomeDataset
from sizewise.evals.policy_loader import certificate_models, load_options
from sizewise.handler import RequestOptions
from sizewise.messages import Reply
from sizewise.model_card import ModelCard
from sizewise.providers.echo import EchoModel, echo_card
from sizewise.routing.data_policy import DataPolicy
from sizewise.routing.explain import explain
from sizewise.routing.guarantees.bounds import QualityGuarantee
from sizewise.routing.guarantees.certificate import Certificate, encode_certificate
from sizewise.routing.judges.rules import rules
from sizewise.routing.model_aliases import ModelAliases
from sizewise.routing.policies.certified import CertifiedPolicy
from sizewise.routing.router import Router, always_healthy
from tests.evals.test_calibrate import recorded
from tests.routing.router_harness import JUDGES, Client, asking, chat

ASK = "question number 7 of the red book"
NAMED = ("echo/small", "echo/other", "echo/large")


def outcomes() -> OutcomeDataset:
    return recorded(1_200, seed=5)


@pytest.fixture(scope="module")
def proof() -> Certificate:
    """Of two small models that are right where they agree; asks the first, then the second."""
    found = calibrate(outcomes(), ("small", "other"), "large", QualityGuarantee(0.95), costs=(0.02, 0.02, 1.0))
    assert found.certificate is not None
    return found.certificate


class PolicyHarness:
    """A policy, its mind, and echo models with standing cues."""

    def __init__(
        self,
        proof: Certificate,
        *,
        other: str = "",
        small: str = "",
        large: str = "",
        place: Place = "process",
        logprobs: bool = True,
        **said: object,
    ) -> None:
        """`place`: where the large one lives."""
        cues = {"echo/small": small, "echo/other": other, "echo/large": large}
        sizes = {"echo/small": 10**8, "echo/other": 2 * 10**8, "echo/large": 7 * 10**10}
        self.cards: tuple[ModelCard, ...] = tuple(
            echo_card(
                name,
                cues=cues[name],
                parameters=size,
                logprobs=logprobs,
                place=place if name == "echo/large" else "process",
            )
            for name, size in sizes.items()
        )
        policy = CertifiedPolicy(proof, QualityGuarantee(0.95), NAMED, **said)  # type: ignore[arg-type]  # options by name
        self.names = ModelAliases(self.cards, {"default": policy})
        self.minds = {"default": certificate_models(policy, self.cards, rules)}
        models = {card.name: EchoModel(card, None) for card in self.cards}
        self.routed = Router(
            plan=self.names,
            connect=lambda card: models[card.name],
            judge=JUDGES,
            health_check=always_healthy,
            certificate_models=self.minds,
        )
        self.client = Client()

    def ask(self, words: str = ASK, options: RequestOptions = RequestOptions()) -> Reply:  # frozen
        self.client = Client()
        return asyncio.run(self.routed(asking(chat(words), options), self.client.send))


def test_two_that_agree_are_believed(proof: Certificate) -> None:
    app = PolicyHarness(proof)
    app.ask()
    assert app.client.results == [("echo/small", "answered"), ("echo/other", "distrusted")]
    average = "certified 0.95 of echo/large's quality with confidence 0.95, on average over requests"
    assert app.client.chosen.reason.startswith(f"{average}; this answer: quality 0.9")
    assert app.client.text == ASK


def test_two_that_differ_are_not_and_their_words_are_never_seen(proof: Certificate) -> None:
    app = PolicyHarness(proof, other="[[say quite another thing]]", large="[[say the large one's words]]")
    app.ask()
    assert [model for model, _ in app.client.results] == ["echo/small", "echo/other", "echo/large"]
    assert app.client.chosen.model == "echo/large" and "was not trusted" in app.client.chosen.reason
    assert app.client.text == "the large one's words"


def test_all_that_was_asked_is_paid_and_has_its_score(proof: Certificate) -> None:
    app = PolicyHarness(proof, other="[[say quite another thing]]")
    app.ask()
    tried = app.client.tried
    assert all(each.cost for each in tried)
    assert tried[0].score is not None and tried[1].score is not None and tried[2].score is None


def test_an_answer_that_a_rule_objects_to_is_none(proof: Certificate) -> None:
    app = PolicyHarness(proof, small="[[say I cannot help with that.]]", other="[[say I cannot help with that.]]")
    app.ask()
    assert app.client.chosen.model == "echo/large"


def test_where_a_small_one_fails_the_large_one_answers(proof: Certificate) -> None:
    for who, app in (
        ("small", PolicyHarness(proof, small="[[fail]]")),
        ("other", PolicyHarness(proof, other="[[fail]]")),
    ):
        app.ask()
        assert app.client.chosen.model == "echo/large" and f"echo/{who} failed" in app.client.chosen.reason


def test_where_the_large_one_fails_no_weaker_one_steps_in(proof: Certificate) -> None:
    app = PolicyHarness(proof, large="[[fail]]", retries=0)
    with pytest.raises(UpstreamUnreachable):
        app.ask("Warum ist der Himmel über dem Meer so blau?")
    assert app.client.results == [("echo/large", "failed")]


def test_what_came_without_log_probabilities_is_not_judged_as_if_it_had_them() -> None:
    known = recorded(1_200, seed=5, sure=True)
    found = calibrate(known, ("small", "other"), "large", QualityGuarantee(0.95), costs=(0.02, 0.02, 1.0))
    assert found.certificate is not None
    with_them, without = PolicyHarness(found.certificate), PolicyHarness(found.certificate, logprobs=False)
    with_them.ask()
    without.ask()
    assert with_them.client.chosen.model == "echo/small" and without.client.chosen.model == "echo/large"
    assert "no log-probabilities, but the calibration used them" in without.client.chosen.reason


async def test_conversations_were_not_calibrated(proof: Certificate) -> None:
    turns = [{"role": role, "content": ASK} for role in ("user", "assistant", "user")]
    app = PolicyHarness(proof)
    await app.routed(asking(chat(messages=turns)), app.client.send)
    assert app.client.results == [("echo/large", "answered")]
    assert "single questions were calibrated" in app.client.chosen.reason


def test_where_the_large_one_fails_the_held_answer_is_shown_only_if_that_was_wanted(proof: Certificate) -> None:
    other, large = "[[say quite another thing]]", "[[fail]]"
    with pytest.raises(UpstreamUnreachable):
        PolicyHarness(proof, other=other, large=large, retries=0).ask()
    app = PolicyHarness(proof, other=other, large=large, retries=0, when_exhausted="show_marked")
    assert "echo/large failed" in app.ask().degraded


def test_what_is_unlike_all_that_taught_goes_to_the_large_one(proof: Certificate) -> None:
    app = PolicyHarness(proof)
    for strange in ("mitochondria ferment glucose anaerobically", "Warum ist der Himmel über dem Meer so blau?"):
        app.ask(strange)
        assert app.client.results == [("echo/large", "answered")]


async def test_what_no_calibration_saw_goes_to_the_large_one(proof: Certificate) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    for body in ({"n": 2}, {"response_format": schema}, {"tools": tools, "tool_choice": "none"}):
        app = PolicyHarness(proof)
        await app.routed(asking(chat(ASK, **body)), app.client.send)
        assert [model for model, _ in app.client.results] == ["echo/large"]
        assert "were not calibrated" in app.client.chosen.reason


def test_a_request_may_wish_for_another_quality(proof: Certificate) -> None:
    app = PolicyHarness(proof)
    app.ask(options=RequestOptions(min_quality=0.8))
    assert "certified 0.8 of echo/large" in app.client.chosen.reason
    app.ask(options=RequestOptions(min_quality=0.999))
    assert app.client.chosen.model == "echo/large"
    assert app.client.chosen.reason == "best effort: 0.999 of echo/large is not certified"


def test_where_the_large_one_may_not_answer_nothing_is_promised(proof: Certificate) -> None:
    app = PolicyHarness(proof, place="anyone")
    app.ask(options=RequestOptions(online="deny"))
    assert app.client.chosen.model == "echo/other" and "no target applies" in app.client.chosen.reason


def test_the_explanation_shows_every_stage(proof: Certificate) -> None:
    app = PolicyHarness(proof)
    told = explain(asking(chat(ASK)), app.names, always_healthy, DataPolicy(), certificate_models=app.minds)
    assert told.steps[0].models == ("echo/small",) and told.steps[-1].models == ("echo/large",)
    assert "certified 0.95 of echo/large" in told.why


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"target": QualityGuarantee(0.999)}, "guarantees at most 0.95"),
        ({"target": QualityGuarantee(0.95, 0.99)}, "confidence 0.95, not 0.99"),
        ({"target": QualityGuarantee(0.95, 0.95, "other")}, "to 'other'"),
        ({"models": ("echo/small", "echo/large")}, "but the certificate is for others"),
        ({"models": ("echo/large", "echo/other", "echo/small")}, "but the certificate is for others"),
        ({"models": ("echo/small", "echo/small", "echo/large")}, "but the certificate is for others"),
        ({"retries": 9}, "retries"),
    ],
)
def test_what_the_proof_does_not_hold_is_refused(proof: Certificate, said: dict[str, object], words: str) -> None:
    kept = replace(proof, guarantees=tuple(each for each in proof.guarantees if each.quality <= 0.95))
    with pytest.raises(ConfigError, match=words):
        CertifiedPolicy(kept, **{"target": QualityGuarantee(0.95), **said})  # type: ignore[arg-type]  # options by name


def test_a_proof_is_a_file_and_one_that_cannot_be_read_is_named(proof: Certificate, tmp_path: Path) -> None:
    file = tmp_path / "mine.certificate.json"
    file.write_bytes(encode_certificate(proof))
    assert load_options("mine", {"certificate": str(file)})["certificate"] == proof
    file.write_bytes(encode_certificate(proof)[:-20])
    for path, words in ((file, "not a valid certificate"), (tmp_path / "none.json", "cannot read")):
        with pytest.raises(ConfigError, match=words) as refused:
            load_options("mine", {"certificate": str(path)})
        assert "policies.mine.certificate" in refused.value.message
