"""A page in headless Chromium: what it shows, what it complains about, what it asks of a network.

    with browser.started() as chromium, browser.opened(chromium, file, width=400) as visit:
        assert visit.complaints == [] and visit.requests == []
        visit.page.click("summary")

Tests skip where there is no Chromium or no playwright, and say which.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@dataclass
class Visit:
    """One page. complaints: errors and warnings of its console, and exceptions; requests: all but the file's own."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @property
    def overflow(self) -> int:
        """Pixels by which the page is wider than its window: what a reader would have to scroll sideways."""
        pixels: int = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        return pixels


@contextmanager
def started() -> Iterator[Browser]:
    """A browser with a profile of its own, gone afterwards."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no Chromium here: none of {', '.join(NAMES)}")
    with api.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=program, args=ARGUMENTS)
        try:
            yield chromium
        finally:
            chromium.close()


@contextmanager
def opened(
    chromium: Browser,
    file: Path,
    *,
    width: int = 1280,
    height: int = 900,
    scheme: Literal["light", "dark"] = "light",
    scripts: bool = True,
    media: Literal["screen", "print"] = "screen",
) -> Iterator[Visit]:
    """A file as a person would open it from disk. `scripts=False` is a reader who allows none."""
    context = chromium.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, java_script_enabled=scripts
    )
    page = context.new_page()
    page.emulate_media(media=media, color_scheme=scheme)
    visit = Visit(page)
    address = file.resolve().as_uri()

    def asked(request: Request) -> None:
        if request.url != address:
            visit.requests.append(request.url)

    page.on("console", lambda said: visit.complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    page.on("request", asked)
    try:
        page.goto(address, wait_until="load")
        yield visit
    finally:
        context.close()
