"""The live page in a browser, for the tests that ask for it by fixture.

What they need is got before the first test, outside of the tests' time limits.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.conftest import on_terminal
from tests.e2e.fixtures import call, client, http, inbox, install, installation, june, settings
from tests.support.browser import chromium, prepare
from tests.support.page_api import KEY, PageApi, serving

# Fixtures of processes, for all tests of this folder.
__all__ = ["call", "client", "http", "inbox", "install", "installation", "june", "settings"]

Visit = Callable[..., Awaitable[Page]]


def pytest_collection_finish(session: pytest.Session) -> None:
    if session.config.option.collectonly:
        return
    if any("browser" in getattr(item, "fixturenames", ()) for item in session.items):
        prepare(on_terminal(session.config))


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium for the tests of a module; each opens windows of its own."""
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def api() -> AsyncIterator[PageApi]:
    """The page, and an API that answers from memory."""
    async with serving(PageApi()) as api:
        yield api


@pytest_asyncio.fixture(loop_scope="module")
async def visit(browser: Browser, api: PageApi) -> AsyncIterator[Visit]:
    """Opens the page in a window of its own, with the key given. No window may see an error or a policy broken."""
    contexts, wrong = [], []

    async def visit(path: str = "", *, key: str | None = KEY, **options: Any) -> Page:
        context = await browser.new_context(**({"viewport": {"width": 1440, "height": 900}} | options))
        contexts.append(context)
        page = await context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if "Content Security" in said.text else None)
        if key is not None:
            await page.add_init_script(f"sessionStorage.setItem('june-api-key', {json.dumps(key)})")
        await page.goto(api.url + path)
        if key == KEY and "guest" not in path:
            await expect(page.locator("#stream-words")).to_have_text("live")
        return page

    yield visit
    for context in contexts:
        await context.close()
    assert wrong == []
