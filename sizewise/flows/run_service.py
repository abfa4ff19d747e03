"""Run service: builds the parts that start, query, control, approve and recover flow runs on one store and one engine.

A caller takes the part it needs. A run belongs to the principal that starts it.
"""

from __future__ import annotations

from collections.abc import Callable

from sizewise.auth.authenticator import Authenticator
from sizewise.flows.active_runs import ActiveRuns
from sizewise.flows.approvers import Approvers
from sizewise.flows.engine import Engine, Runner
from sizewise.flows.engines.on_demand import OnDemandEngine
from sizewise.flows.run_access import RunPrincipals
from sizewise.flows.run_admission import CountRequest, RunAdmission
from sizewise.flows.run_approval import RunApproval
from sizewise.flows.run_completion import RunCompletion
from sizewise.flows.run_control import RunControl
from sizewise.flows.run_erasure import RunErasure
from sizewise.flows.run_limits import RunLimits
from sizewise.flows.run_queries import RunQueries
from sizewise.flows.run_recovery import RunRecovery
from sizewise.flows.run_release import RunReleases
from sizewise.flows.run_start import RunStarter
from sizewise.flows.run_worker import RunWorker
from sizewise.flows.step_store import StepStore
from sizewise.flows.trial_run import TrialRuns
from sizewise.flows.versions.store import FlowVersions
from sizewise.storage.database import PublishEvent, no_event


class RunService:
    """Outlives the application: a reload of the settings replaces only the worker's executor."""

    def __init__(
        self,
        *,
        store: StepStore,
        authenticator: Authenticator,
        versions: FlowVersions,
        build_engine: Callable[[Runner], Engine],
        count_request: CountRequest,
        limits: RunLimits,
        store_is_shared: bool,
        publish_event: PublishEvent = no_event,
    ) -> None:
        """`store_is_shared`: other servers use the same store. `publish_event` receives each run that ends."""
        principals = RunPrincipals(authenticator)
        self.active = ActiveRuns()
        self.limits = limits
        self.trials = TrialRuns(limits)
        self.queries = RunQueries(store, self.active)
        approvers = Approvers(authenticator, allow_self_approval=limits.settings.allow_self_approval)
        self.approval = RunApproval(store, self.active, self.queries, approvers)
        self.completion = RunCompletion(
            self.queries,
            self.active,
            store_is_shared=store_is_shared,
            publish_event=publish_event,
        )
        self.worker = RunWorker(
            store=store,
            active=self.active,
            principals=principals,
            completion=self.completion,
            limits=limits,
        )
        engine = OnDemandEngine(build_engine(self.worker.run))
        admission = RunAdmission(
            active=self.active,
            authenticator=authenticator,
            count_request=count_request,
            limits=limits,
        )
        self.control = RunControl(
            store=store,
            queries=self.queries,
            admission=admission,
            completion=self.completion,
            engine=engine,
        )
        self.erasure = RunErasure(store, self.control, engine)
        self.starter = RunStarter(
            store=store,
            versions=versions,
            active=self.active,
            principals=principals,
            admission=admission,
            queries=self.queries,
            completion=self.completion,
            control=self.control,
            engine=engine,
        )
        self.recovery = RunRecovery(
            store=store,
            versions=versions,
            active=self.active,
            authenticator=authenticator,
            principals=principals,
            engine=engine,
            store_is_shared=store_is_shared,
        )

    def use_releases(self, releases: RunReleases) -> None:
        """A run ends under the release under which it began."""
        self.starter.releases = releases
        self.worker.use_releases(releases.executor_of)
