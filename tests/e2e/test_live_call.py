"""The live page with everything behind it: real servers, June's parts, sample services, two browsers that talk."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from deploy.servers import Progress, free_port
from deploy.servers.rabbitmq_server import chosen_versions
from examples.stage import Stage, set_up
from tests.e2e.processes import Parts
from tests.support.browser import violations
from tests.support.page_steps import enter_key, invited

KEY = "the-key-of-an-operator"
SCOPES = "sessions:read,sessions:write,events:read,system:read"
SOON_MS = 30_000

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.livekit,
    # What a browser sees does not depend on the broker's version.
    pytest.mark.parametrize("rabbitmq_version", chosen_versions()[-1:], scope="session"),
]

LOUDNESS = """async () => {
    const context = new AudioContext();
    const analysers = [...document.querySelectorAll("audio")].filter((one) => one.srcObject).map((one) => {
        const analyser = context.createAnalyser();
        context.createMediaStreamSource(one.srcObject).connect(analyser);
        return analyser;
    });
    let loudest = 0;
    for (let look = 0; look < 20; look += 1) {
        await new Promise((done) => setTimeout(done, 100));
        for (const analyser of analysers) {
            const samples = new Float32Array(analyser.fftSize);
            analyser.getFloatTimeDomainData(samples);
            loudest = Math.max(loudest, Math.sqrt(samples.reduce((sum, one) => sum + one * one, 0) / samples.length));
        }
    }
    await context.close();
    return loudest;
}"""


@pytest.fixture(scope="module")
def stage(
    module_amqp_url: str, tmp_path_factory: pytest.TempPathFactory, progress: Progress
) -> Iterator[Stage]:
    """Everything but the HTTP API."""
    with set_up(module_amqp_url, tmp_path_factory.mktemp("stage"), progress=progress) as stage:
        yield stage


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def url(stage: Stage) -> AsyncIterator[str]:
    """Where the page is."""
    port = str(free_port())
    key = f"operator {hashlib.sha256(KEY.encode()).hexdigest()} {SCOPES}"
    parts = Parts(env={"JUNE_AMQP_URL": stage.amqp_url}, directory=stage.folder)
    await parts.start("session_api", JUNE_API_PORT=port, JUNE_API_KEYS=key)
    yield f"http://127.0.0.1:{port}/"
    await parts.stop()


async def test_two_people_talk_in_their_browsers(url: str, browser: Browser, tmp_path: Path) -> None:
    """One makes a session and joins it, a guest joins by a link, they hear each other and June, and are seen to be
    listened to; the guest is removed, and the session ends for all."""
    owner = await opened(browser, url)
    await create(owner)
    await expect(owner.locator(".tile")).to_have_count(1, timeout=SOON_MS)
    mine = owner.locator("#people li", has_text="Ann")
    await expect(mine).to_contain_text("listened to", timeout=SOON_MS)
    await expect(owner.locator(".line.assistant")).not_to_have_count(0, timeout=SOON_MS)

    guest = await browser.new_page()
    await guest.goto(await invited(owner, "Zoë"))
    await owner.get_by_role("button", name="Done").click()
    await guest.get_by_role("button", name="Join the conversation").click()
    await expect(guest.locator('.tile[data-identity="ann"]')).to_be_visible(timeout=SOON_MS)
    await expect(owner.locator("#people li", has_text="Zoë")).to_contain_text("listened to", timeout=SOON_MS)
    await expect(owner.locator(".tile video")).not_to_have_count(0, timeout=SOON_MS)
    assert await guest.evaluate(LOUDNESS) > 0.02
    assert await owner.evaluate(LOUDNESS) > 0.02
    await expect(owner.get_by_text("16 of 16 are held.")).to_be_visible()
    for page, name in ((owner, "owner"), (guest, "guest")):
        await page.screenshot(path=tmp_path / f"{name}.png", full_page=True)
    assert await violations(owner) == []
    assert await violations(guest) == []

    await owner.get_by_role("button", name="Remove Zoë").click()
    await owner.get_by_role("button", name="Remove", exact=True).click()
    await expect(guest.get_by_text("You were removed from the conversation.")).to_be_visible(timeout=SOON_MS)
    await expect(owner.locator("#people li")).to_have_count(1, timeout=SOON_MS)

    await owner.get_by_role("button", name="End", exact=True).click()
    await owner.get_by_role("button", name="End it").click()
    await expect(owner.locator("#session-status")).to_have_text("ended", timeout=SOON_MS)
    await expect(owner.locator(".call")).to_have_count(0, timeout=SOON_MS)
    await expect(owner.locator("#people li")).to_have_count(0)
    await guest.close()
    await owner.close()


async def test_who_opens_the_page_later_sees_who_is_there(url: str, browser: Browser) -> None:
    """A session from before is in the list with its people; reloading the page ends the call and loses no session."""
    owner = await opened(browser, url)
    await create(owner, room="earlier")
    await expect(owner.locator(".tile")).to_have_count(1, timeout=SOON_MS)
    later = await opened(browser, url)
    await later.get_by_role("link", name="earlier").click()
    await expect(later.locator("#people li")).to_have_count(1, timeout=SOON_MS)
    await owner.reload()
    await expect(owner.locator("#session-title")).to_have_text("earlier")
    await expect(owner.locator(".call")).to_have_count(0)
    await expect(later.locator("#people li")).to_have_count(0, timeout=SOON_MS)
    await owner.close()
    await later.close()


async def opened(browser: Browser, url: str) -> Page:
    """A window of an operator, who typed the key."""
    context = await browser.new_context(viewport={"width": 1440, "height": 1000})
    page = await context.new_page()
    await page.goto(url)
    await enter_key(page, KEY)
    await expect(page.locator("#stream-words")).to_have_text("live", timeout=SOON_MS)
    return page


async def create(page: Page, room: str = "") -> None:
    """Make a session for Ann, and join it with microphone and camera."""
    await page.get_by_role("button", name="New").click()
    form = page.get_by_role("dialog")
    await form.get_by_label("User").fill("ann")
    await form.get_by_label("Name to show").fill("Ann")
    await form.get_by_label("Room").fill(room)
    await form.get_by_label("and with my camera").check()
    await form.get_by_role("button", name="Create").click()
