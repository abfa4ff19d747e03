"""What each user may now, in the organisation and in each project; pure, and fail-closed where a role is unknown."""

from __future__ import annotations

from collections.abc import Mapping

from sizewise.auth.users.tables import People, User

Roles = Mapping[str, frozenset[str]]
"""Role -> actions: those of actions.py and those of the settings."""
NONE: frozenset[str] = frozenset()


class Standing:
    """Of everybody, as of one moment."""

    def __init__(self, people: People, roles: Roles) -> None:
        self.roles = roles
        self.users: Mapping[str, User] = {user.id: user for user in people.users}
        self._projects: dict[str, dict[str, str]] = {}
        for each in people.memberships:
            if each.user in self.users and self.users[each.user].tenant == each.tenant:
                self._projects.setdefault(each.user, {})[each.project] = each.role

    def user(self, id: str, tenant: str) -> User | None:
        """None where there is no such user in `tenant`, or no longer."""
        found = self.users.get(id)
        return found if found is not None and found.tenant == tenant and found.disabled is None else None

    def projects(self, id: str) -> Mapping[str, str]:
        """Project -> role, of the projects where a user has one of its own."""
        return self._projects.get(id, {})

    def everywhere(self, user: User) -> frozenset[str]:
        """What a user may in the whole organisation."""
        return self.roles.get(user.role, NONE)

    def may(self, user: User, project: str) -> frozenset[str]:
        """What a user may in `project`."""
        return self.everywhere(user) | self.roles.get(self.projects(user.id).get(project, ""), NONE)

    def wide(self, user: User, project: str) -> bool:
        """Whether all that a user may in `project` holds in every other too."""
        return bool(user.role) and self.may(user, project) <= self.everywhere(user)

    def home(self, user: User, wanted: str = "") -> str | None:
        """The project in which a session of this user begins; None where there is none, or `wanted` is not open."""
        own = sorted(self.projects(user.id))
        if wanted:
            return wanted if user.role or wanted in own else None
        return "default" if user.role else next(iter(own), None)

    def most(self, user: User) -> frozenset[str]:
        """All that a user may anywhere."""
        return self.everywhere(user).union(*(self.roles.get(r, NONE) for r in self.projects(user.id).values()))
