"""Settings of web search: the search engine, and the sites whose pages may be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sizewise.data_class import Place
from sizewise.settings.toml_reader import setting
from sizewise.settings.validators import auth, reference
from sizewise.settings.validators import url as base_url  # `url` is a field below

WebSearchGrant = Literal["deny", "ask", "allow"]
"""Of a project. ask: for requests with the tool. allow: also for questions about a time after the model's knowledge."""


@dataclass(frozen=True, slots=True)
class WebSearchSettings:
    """The search engine of the tool `web_search`. A project uses it only with `web_search` in [projects.NAME]."""

    engine: Literal["searxng", "brave"] = setting(
        "searxng", "API of the engine: `searxng` (with `json` among its formats), or `brave`."
    )
    url: str = setting(
        "",
        "Base URL of the engine, as 'http://127.0.0.1:8888' or 'https://api.search.brave.com'; empty: no web search.",
        validator=base_url,
    )
    place: Place = setting(
        "anyone", "Where the engine runs. You declare it; egress must allow the question's data class there."
    )
    key: str = setting(
        "", "API key by reference, `env:NAME`, `file:PATH` or `exec:COMMAND`.", validator=reference, secret=True
    )
    auth: str = setting(
        "bearer",
        "How `searxng` gets the key: `bearer`, or the name of a header. `brave` has its own header.",
        validator=auth,
    )
    max_results: int = setting(5, "Results of one search that the model gets.", minimum=1, maximum=20)
    timeout_s: float = setting(10.0, "Timeout of one search, or one page, in seconds.", minimum=0.1, maximum=120)
    fetch_urls: tuple[str, ...] = setting(
        (),
        "Sites whose pages are read when they are among the results, as 'https://en.wikipedia.org/wiki'; of all others "
        "the model gets the engine's excerpt. They count as place `anyone`.",
        validator=base_url,
    )
    max_pages: int = setting(2, "Pages of these sites that are read for one search.", minimum=1, maximum=10)
