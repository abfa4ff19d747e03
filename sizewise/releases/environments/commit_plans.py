"""Plans of commits: what a commit became, planned for each environment that may receive any release; applies none."""

from __future__ import annotations

from sizewise.principal import Principal
from sizewise.releases.environments.environment_store import EnvironmentStore
from sizewise.releases.environments.plan_store import PlanStore
from sizewise.settings.environments import ANY, Environments, source_of


class CommitPlans:
    def __init__(self, environments: Environments, live: EnvironmentStore, plans: PlanStore) -> None:
        self._environments, self._live, self._plans = environments, live, plans

    async def create(self, principal: Principal, release: str) -> tuple[str, ...]:
        """Their ids; of a plan that is there already, its own. None where the release is live. Raises StorageError."""
        made = list[str]()
        for name in self._environments:
            if source_of(self._environments, name) != ANY:
                continue
            place = principal.tenant, principal.project, name
            live = await self._live.find(place)
            base = "" if live is None else live.release
            if base == release:
                continue
            known = await self._plans.find_open(place, release, base)
            plan = known or await self._plans.create(principal, place, source="", release=release, base=base)
            made.append(plan.id)
        return tuple(made)
