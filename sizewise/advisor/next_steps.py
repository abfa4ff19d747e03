"""The commands to type for a recommended option, where there are such; runs none of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sizewise.advisor.candidates import DeploymentCandidate
from sizewise.advisor.placements import Placement
from sizewise.catalog.model_info import ModelInfo


def next_steps(candidate: DeploymentCandidate, pullable: Collection[str]) -> tuple[str, ...]:
    """Lines to type or to write into a file, in order. `pullable`: names that `sizewise models pull` knows."""
    return tuple(_steps(candidate, pullable))


def _steps(candidate: DeploymentCandidate, pullable: Collection[str]) -> Iterator[str]:
    for part in candidate.placements:
        yield from _here(part, pullable) if part.is_local else _at_endpoint(part)
    if len(candidate.placements) > 1:
        yield "sizewise route calibrate --help"
    if any(part.fine_tuned or part.is_classifier for part in candidate.placements):
        yield "# Sizewise has no command to train it; check your examples first: sizewise scan FILE"


def _here(part: Placement, pullable: Collection[str]) -> Iterator[str]:
    if part.is_classifier:
        return
    model = part.model
    if (name := pull_name(model, pullable)) is not None:
        yield f"sizewise models pull {name}"
        return
    quantization = part.fit.quantization if part.fit is not None else "Q4_K_M"
    yield f"sizewise models add {model.name}.{quantization}.gguf  # a GGUF file of {model.title}"


def pull_name(model: ModelInfo, pullable: Collection[str]) -> str | None:
    """The name by which `sizewise models pull` fetches the model; None if it knows none."""
    return next((each for each in sorted({model.name, *model.aliases}) if each in pullable), None)


def _at_endpoint(part: Placement) -> Iterator[str]:
    endpoint, _, name = part.offer.partition("/")
    yield f'# in sizewise.toml: [providers.{endpoint}] with endpoint = "{endpoint}", models = ["{name}"]'
    if not part.fine_tuned:
        yield f'sizewise ask --model {part.offer} "Say hello."'
