"""Whether a project may search the web, and why a search was not done for a request; searches nothing."""

from __future__ import annotations

from sizewise.app.application import Application
from sizewise.errors import Forbidden, NotTranslatable, SizewiseError
from sizewise.principal import Principal
from sizewise.settings.web_search import WebSearchGrant


def searches_unasked(app: Application, principal: Principal) -> bool:
    """Whether the project's grant is `allow`; takes under 1 us."""
    return grant_of(app, principal) == "allow"


def grant_of(app: Application, principal: Principal) -> WebSearchGrant:
    """Of the caller's project; `deny` also without a search engine. Takes under 1 us."""
    project = app.settings.projects.get(principal.project)
    return project.web_search if project is not None and app.settings.web_search.url else "deny"


def search_refusal(app: Application, principal: Principal, param: str) -> SizewiseError:
    """Why no search was done here for a model whose API has none. `param`: the field that asks for it."""
    if not app.settings.web_search.url:
        hint = "name a search engine in [web_search] of sizewise.toml, use a model whose API searches, or name the tool"
        return NotTranslatable(
            "the model cannot search the web, and this server has no search engine",
            f"{hint} in `drop_params` of [providers.NAME]",
            param=param,
        )
    hint = f'set web_search = "ask" in [projects.{principal.project}] of sizewise.toml'
    return Forbidden(f"the project {principal.project!r} may not search the web", hint, param=param)
