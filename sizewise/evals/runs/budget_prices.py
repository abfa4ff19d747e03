"""Whether an eval's budget in dollars can be kept: models of unknown price cannot count against it; asks no model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from sizewise.errors import BadRequest
from sizewise.evals.runs.eval_spec import EvalSpec

AUTO, ROLES = "auto:", ("auto", "small", "large")


class ModelPrice(Struct, frozen=True):
    """`task`: as of a model card. `is_known`: of all kinds of token that a request has."""

    name: str
    task: str
    is_known: bool


def model_price(name: str, task: str, input: object, output: object) -> ModelPrice:
    """`input`, `output`: prices of tokens, None if unknown; only a chat has output."""
    return ModelPrice(name, task, input is not None and (output is not None or task != "chat"))


def check_prices(spec: EvalSpec, targets: Sequence[str], models: Iterable[ModelPrice], file: str) -> None:
    """Raises BadRequest for a budget in dollars and a target, judge or embedding model of unknown price, or `auto` and
    no model of known price. What else a name can be, such as a flow, is up to each request. `file`: of the eval.
    """
    if spec.budget.usd is None:
        return
    prices = {model.name: model for model in models}
    chats = [model for model in prices.values() if model.task == "chat"]
    for name in (*targets, *(each.model for each in spec.scorers.values() if each.model)):
        if name in ROLES or name.startswith(AUTO):
            if chats and not any(model.is_known for model in chats):
                raise _unknown([model.name for model in chats], file)
        elif (model := prices.get(name) or _by_short_name(name, prices.values())) is not None and not model.is_known:
            raise _unknown([model.name], file)


def _by_short_name(name: str, models: Iterable[ModelPrice]) -> ModelPrice | None:
    same = [each for each in models if each.name.partition("/")[2] == name]
    return same[0] if len(same) == 1 else None


def _unknown(names: Sequence[str], file: str) -> BadRequest:
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return BadRequest(
        f"no price is known for {shown}, so the eval's budget in dollars cannot be kept",
        f'set one in sizewise.toml: [models."{names[0]}"] price = {{input = "0.50", output = "1.50"}}, in dollars per'
        f" million tokens; or set no limit in {file}: budget: {{usd: none}}",
    )
