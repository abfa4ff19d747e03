"""Policies as the settings say, with the files that learning and calibrating wrote for them; asks nobody."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from sizewise.errors import BadRequest, ConfigError, nearest
from sizewise.model_card import Card
from sizewise.plugins import Once
from sizewise.routing.guarantees import certificate
from sizewise.routing.learned_judge import Mind, Weighed
from sizewise.routing.policies.certified import Promised
from sizewise.routing.policy import Judging, Policy
from sizewise.routing.quality import predictor
from sizewise.routing.quality_prediction import Foresight
from sizewise.settings.routing import Policy as Wanted

T = TypeVar("T")


def learned(path: Path | None, cards: tuple[Card, ...]) -> Foresight | None:
    """Raises ConfigError for a file that cannot be read, was not written by `route train`, or knows other models."""
    return None if path is None else Foresight(_read("router.predictor", path, predictor.read), cards)


def policy(name: str, wanted: Wanted, load: Once) -> Policy:
    """The policy of a [policies.<name>] table; its kind checks its own options."""
    kind = load("policies", wanted.kind)
    known = [option.name for option in fields(kind)]
    strange = next((option for option in wanted.options if option not in known), None)
    if strange is not None:
        hint = nearest(strange, known) or f"known: {', '.join(known)}"
        raise ConfigError(f"policies.{name}: a {wanted.kind} has no option {strange!r}", hint)
    try:
        made: Policy = msgspec.convert(options(name, wanted.options), kind)
    except BadRequest as error:
        raise ConfigError(f"policies.{name}: {error.message}", error.hint) from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"policies.{name}: {error}", "its options are in docs/concepts/policies.md") from error
    return made


def options(name: str, said: Mapping[str, object]) -> dict[str, object]:
    """A policy's options with the certificate that one of them may name as a file. Raises ConfigError."""
    path = said.get("certificate")
    if not isinstance(path, str):
        return dict(said)
    return {**said, "certificate": _read(f"policies.{name}.certificate", Path(path), certificate.read)}


def minds(policies: Mapping[str, Policy], cards: tuple[Card, ...], rules: Judging) -> dict[str, Mind]:
    """By policy what its proof knows. Raises ConfigError where its models are not configured."""
    return {name: mind(its, cards, rules) for name, its in policies.items() if isinstance(its, Promised)}


def mind(policy: Promised, cards: tuple[Card, ...], rules: Judging) -> Mind:
    its = policy.certificate
    heads = {name: its.predictor.heads[known] for name, known in zip(policy.models, its.models, strict=True)}
    return Mind(Foresight(replace(its.predictor, heads=heads), cards), Weighed(its, policy.models, rules))


def _read(setting: str, path: Path, read: Callable[[bytes], T]) -> T:
    try:
        return read(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{setting}: cannot read {str(path)!r}: {error.strerror}", "check its path") from error
    except BadRequest as error:
        raise ConfigError(f"{setting}: {str(path)!r}: {error.message}", error.hint) from error
