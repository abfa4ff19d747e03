"""Policy loader: builds policies from settings with their trained predictors and certificates. Calls no model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from sizewise.errors import BadRequest, ConfigError, did_you_mean
from sizewise.model_card import ModelCard
from sizewise.plugins import PluginRegistry
from sizewise.routing.guarantees import certificate
from sizewise.routing.learned_judge import CertificateModels, LearnedJudge
from sizewise.routing.policies.cascade import CascadePolicy
from sizewise.routing.policies.certified import CertifiedPolicy
from sizewise.routing.policy import Judge, Policy
from sizewise.routing.quality import answer_prior, predictor
from sizewise.routing.quality.shipped_prior import SHIPPED_PRIOR
from sizewise.routing.quality_prediction import QualityPrediction
from sizewise.settings.routing import PolicySettings

T = TypeVar("T")


def load_prediction(path: Path | None, cards: tuple[ModelCard, ...]) -> QualityPrediction | None:
    """Raises ConfigError for a file that cannot be read, was not written by `route train`, or has other models."""
    return (
        None if path is None else QualityPrediction(_read("router.predictor", path, predictor.decode_predictor), cards)
    )


def load_policy(name: str, wanted: PolicySettings, plugins: PluginRegistry) -> Policy:
    """The policy of a [policies.<name>] table; the class of its kind validates the options. Raises ConfigError."""
    kind = plugins("policies", wanted.kind)
    known = [option.name for option in fields(kind)]
    strange = next((option for option in wanted.options if option not in known), None)
    if strange is not None:
        hint = did_you_mean(strange, known) or f"known: {', '.join(known)}"
        raise ConfigError(f"policies.{name}: a {wanted.kind} has no option {strange!r}", hint)
    options = load_options(name, wanted.options)
    if kind is CascadePolicy and not {"threshold", "certificate", "prior"} & options.keys():
        options["prior"] = SHIPPED_PRIOR
    try:
        made: Policy = msgspec.convert(options, kind)
    except BadRequest as error:
        raise ConfigError(f"policies.{name}: {error.message}", error.hint) from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"policies.{name}: {error}", "see the options in docs/explanation/policies.md") from error
    return made


def load_options(name: str, configured: Mapping[str, object]) -> dict[str, object]:
    """A policy's options, with the paths of a `certificate` and a `prior` replaced by these. Raises ConfigError."""
    options = dict(configured)
    if isinstance(path := configured.get("certificate"), str):
        options["certificate"] = _read(f"policies.{name}.certificate", Path(path), certificate.decode_certificate)
    if isinstance(path := configured.get("prior"), str):
        options["prior"] = _read(f"policies.{name}.prior", Path(path), answer_prior.decode_prior)
    return options


def load_certificate_models(
    policies: Mapping[str, Policy],
    cards: tuple[ModelCard, ...],
    veto_judge: Judge,
) -> dict[str, CertificateModels]:
    """Predictor and judge of each certified policy, by name. Raises ConfigError if its models are not configured."""
    return {
        name: certificate_models(its, cards, veto_judge)
        for name, its in policies.items()
        if isinstance(its, CertifiedPolicy)
    }


def certificate_models(policy: CertifiedPolicy, cards: tuple[ModelCard, ...], veto_judge: Judge) -> CertificateModels:
    its = policy.certificate
    heads = {name: its.predictor.heads[known] for name, known in zip(policy.models, its.models, strict=True)}
    return CertificateModels(
        QualityPrediction(replace(its.predictor, heads=heads), cards),
        LearnedJudge(its, policy.models, veto_judge),
    )


def _read(setting: str, path: Path, read: Callable[[bytes], T]) -> T:
    try:
        return read(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{setting}: cannot read {str(path)!r}: {error.strerror}", "check the path") from error
    except BadRequest as error:
        raise ConfigError(f"{setting}: {str(path)!r}: {error.message}", error.hint) from error
