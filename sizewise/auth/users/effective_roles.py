"""Effective roles of each user in the organization and in each project; pure, denies unknown roles."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from sizewise.auth.users.tables import Session, User, UserSnapshot

RoleActions = Mapping[str, frozenset[str]]
"""Role -> actions, for the built-in roles (permissions.py) and those of the settings."""
NO_ACTIONS: frozenset[str] = frozenset()
LOCAL_METHODS = ("password", "invitation")
"""Ways to sign in that a second factor protects."""


class SecondFactorRule(Struct, frozen=True):
    """Whose second factor is required: of everyone, or of those with one of `roles` anywhere. `can_enroll`: of all."""

    can_enroll: bool = True
    of_everyone: bool = False
    roles: frozenset[str] = frozenset()


NO_RULE = SecondFactorRule()


class EffectiveRoles:
    """Roles of all users in one snapshot."""

    def __init__(self, users: UserSnapshot, roles: RoleActions, second_factor: SecondFactorRule = NO_RULE) -> None:
        self.roles = roles
        self.second_factor = second_factor
        self.enrolled = users.enrolled
        self.users: Mapping[str, User] = {user.id: user for user in users.users}
        self._project_roles: dict[str, dict[str, str]] = {}
        for each in users.memberships:
            if each.user in self.users and self.users[each.user].tenant == each.tenant:
                self._project_roles.setdefault(each.user, {})[each.project] = each.role

    def active_user(self, id: str, tenant: str) -> User | None:
        """None if `tenant` has no such user, or the user is disabled."""
        found = self.users.get(id)
        return found if found is not None and found.tenant == tenant and found.disabled is None else None

    def project_roles(self, id: str) -> Mapping[str, str]:
        """Project -> role, for the projects in which the user is a member."""
        return self._project_roles.get(id, {})

    def organization_actions(self, user: User) -> frozenset[str]:
        """Actions allowed in the whole organization."""
        return self.roles.get(user.role, NO_ACTIONS)

    def project_actions(self, user: User, project: str) -> frozenset[str]:
        """Actions allowed in `project`, including those of the organization."""
        return self.organization_actions(user) | self.roles.get(
            self.project_roles(user.id).get(project, ""),
            NO_ACTIONS,
        )

    def covers_all_projects(self, user: User, project: str) -> bool:
        """Whether the user has the permissions of `project` in all other projects too."""
        return bool(user.role) and self.project_actions(user, project) <= self.organization_actions(user)

    def initial_project(self, user: User, preferred: str = "") -> str | None:
        """The project of a new session; None if the user has none, or may not use `preferred`."""
        own = sorted(self.project_roles(user.id))
        if preferred:
            return preferred if user.role or preferred in own else None
        return "default" if user.role else next(iter(own), None)

    def must_enroll(self, session: Session) -> bool:
        """Whether the user has to add a second factor before this session can do anything else."""
        user, rule = self.users.get(session.user), self.second_factor
        if user is None or session.method not in LOCAL_METHODS or user.id in self.enrolled:
            return False
        return rule.of_everyone or not rule.roles.isdisjoint((user.role, *self.project_roles(user.id).values()))

    def all_actions(self, user: User) -> frozenset[str]:
        """Actions allowed in any project."""
        return self.organization_actions(user).union(
            *(self.roles.get(r, NO_ACTIONS) for r in self.project_roles(user.id).values()),
        )
