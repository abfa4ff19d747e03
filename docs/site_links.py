"""Links of the site of these pages: those to files of the repository outside docs/ become text; reads no file."""

from __future__ import annotations

import re
from posixpath import dirname, join, normpath
from typing import Any

LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])+)\]\(([^)\s#]+)(#[^)\s]*)?\)")
PAGES = (".md", ".jpg", ".png", ".svg", ".json", ".html")


def on_page_markdown(markdown: str, page: Any, **_: object) -> str:
    """Called by MkDocs for each page."""
    folder = dirname(page.file.src_uri)

    def keep(found: re.Match[str]) -> str:
        words, target = found.group(1), found.group(2)
        if "://" in target or target.startswith("mailto:"):
            return found.group(0)
        place = normpath(join(folder, target))
        stays = not place.startswith("..") and place.endswith(PAGES)
        return found.group(0) if stays else words

    return LINK.sub(keep, markdown)
