"""Outcomes of a policy on recorded answers: whom it would have let answer each prompt; asks no model."""

from __future__ import annotations

from pathlib import Path

from sizewise.cli.replay import certified_names, named_policy, no_judge, recorded_cards
from sizewise.evals.dataset_files import read_dataset
from sizewise.evals.outcomes import OutcomeDataset, RecordedOutcome
from sizewise.evals.policy_loader import certificate_models
from sizewise.evals.replay import replay_cases, replay_prompts
from sizewise.routing.policies.certified import CertifiedPolicy
from sizewise.routing.policy import Policy


def replayed_outcomes(name: str, folder: Path) -> list[RecordedOutcome]:
    """Raises BadRequest for a policy that is not in the settings, or that a record cannot answer."""
    return policy_outcomes(name, named_policy(name), read_dataset(folder))


def policy_outcomes(name: str, policy: Policy, dataset: OutcomeDataset) -> list[RecordedOutcome]:
    """Of the prompts that all its models answered. Models that answered for a policy when recorded are left out."""
    named = certified_names(policy, dataset)
    models = ",".join(named or [each for each in dataset.columns if not each.startswith("auto")])
    cards = recorded_cards(dataset, models, {}, named)
    known = certificate_models(policy, cards, no_judge) if isinstance(policy, CertifiedPolicy) else None
    cases = replay_cases(
        dataset, cards, None if known is None else known.prediction, None if known is None else known.judge
    )
    found = list[RecordedOutcome]()
    for case, each in zip(cases, replay_prompts(policy, cases, dataset, cards), strict=True):
        answer = dataset.columns[each.answered_by].answer[case.row] if each.answered_by in dataset.columns else None
        found.append(
            RecordedOutcome(
                prompt_id=dataset.ids[case.row],
                model=name,
                score=each.score,
                answer=answer,
                answered_by=each.answered_by or None,
            )
        )
    return found
