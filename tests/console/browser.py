"""A real Chromium, Debian's, and a page in it that must have nothing to complain about."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests.real.fetched import require_programs

SCREENSHOTS: Final = Path(__file__).parents[2] / "build" / "screenshots"
DESK: Final = {"width": 1440, "height": 900}
PHONE: Final = {"width": 360, "height": 740}

Open = Callable[..., "Console"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, until the block ends."""
    # The typeface that the console asks for first, so that pictures look as on a machine that has one made for screens.
    require_programs(["chromium"], ["chromium", "fonts-inter"])
    with sync_playwright() as playwright:
        # As root, which a container's tests run as, Chromium's own sandbox does not start.
        options = ["--no-sandbox", "--disable-dev-shm-usage", "--font-render-hinting=none"]
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=options)
        yield browser
        browser.close()


class Console:
    """The console in a browser's tab. complaints: of the browser: errors, warnings, refusals by the page's policy."""

    def __init__(self, browser: Browser, url: str, viewport: dict[str, int], scheme: str) -> None:
        self.context = browser.new_context(
            viewport=viewport,
            color_scheme=scheme,
            reduced_motion="reduce",
            device_scale_factor=1 if viewport is DESK else 2,
            has_touch=viewport is PHONE,
        )
        self.context.set_default_timeout(20_000)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.allowed: tuple[str, ...] = ()
        self.hosts: set[str] = set()
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))
        self.page.goto(url)
        self.page.wait_for_selector("#connection[data-state=live]")

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(text in message.text for text in self.allowed):
            self.complaints.append(f"{message.type}: {message.text}")

    def sign_in(self, key: dict[str, Any]) -> None:
        page = self.page
        page.click("#account-button")
        page.fill("#api-key", key["api_key"])
        page.fill("#secret-key", key["secret_key"])
        page.keyboard.press("Enter")
        page.wait_for_selector("#sign-in", state="hidden")

    def fill_ticket(self, side: str, price: str, quantity: str) -> None:
        """As somebody with a mouse does."""
        self.page.click(f"label.side.{side.lower()}")
        self.page.fill("#price", price)
        self.page.fill("#quantity", quantity)

    def toast(self, title: str) -> str:
        """Wait for a message with this title; its text."""
        box = self.page.locator(".toast", has=self.page.locator("strong", has_text=title)).last
        box.wait_for()
        return box.inner_text()

    def rows(self, pane: str) -> list[str]:
        """The text of each row of a pane, its cells joined by one space."""
        return [" ".join(row.split()) for row in self.page.locator(f"#pane-{pane} tbody tr").all_inner_texts()]

    def picture(self, name: str) -> Path:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        self.page.screenshot(path=path)
        return path

    def close(self) -> None:
        """Raises AssertionError when the browser had complaints, or was sent elsewhere."""
        self.context.close()
        assert self.complaints == []
        assert len(self.hosts) == 1, f"the page has asked others: {self.hosts}"
