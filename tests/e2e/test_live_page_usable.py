"""The live page for everybody, and for a long time: axe, the keyboard, narrow windows, and thousands of events."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.async_api import Page, expect

from tests.e2e.conftest import Visit
from tests.support import page_api
from tests.support.browser import heap_bytes, violations
from tests.support.page_api import PageApi
from tests.support.page_story import BOB, Story, dead_letter, person, tell_a_conversation, token

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 800, 390])
async def test_everybody_can_use_it(
    api: PageApi, visit: Visit, scheme: str, width: int, tmp_path: Path
) -> None:
    """axe finds nothing wrong, in light and dark, wide and narrow, on each view, in each dialog; nothing is cut off."""
    api.dead_letters = {"waiting": 1, "dead_letters": [dead_letter(reason="unreadable", error="not JSON")]}
    api.partitions = page_api.partitions(held=15)
    story = Story(api, "s-1", room_name="Besprechung/ü 1").listed()
    story_two = Story(api, "s-2", room_name="Kitchen table", user_id=None).listed()
    page = await visit("#session=s-1", color_scheme=scheme, viewport={"width": width, "height": 844})
    tell_a_conversation(story)
    story_two.joined(BOB)
    await expect(page.locator(".line")).to_have_count(4)
    for view in ("#sessions", "#session=s-1", "#system"):
        await page.evaluate("hash => { location.hash = hash }", view)
        assert await violations(page) == [], view
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        await page.screenshot(path=tmp_path / f"{scheme}-{width}-{view.strip('#').split('=')[0]}.png")
    await page.evaluate("location.hash = '#session=s-1'")
    title = page.locator("#session-title")
    await expect(title).to_be_visible()
    assert await title.evaluate("title => title.scrollHeight <= title.clientHeight + 1")
    for button in ("Join", "Invite a guest", "End"):
        await page.locator("#session-actions").get_by_role("button", name=button).click()
        await expect(page.get_by_role("dialog")).to_be_visible()
        assert await violations(page) == [], button
        await page.keyboard.press("Escape")


async def test_the_first_page_can_be_used_by_everybody(visit: Visit) -> None:
    """axe finds nothing wrong with the form for the key, nor with a guest's invitation."""
    assert await violations(await visit(key=None)) == []
    invited = urlencode({"guest": token(), "url": "wss://livekit.example"})
    assert await violations(await visit(f"#{invited}", key=None)) == []


async def test_the_keyboard_is_enough(api: PageApi, visit: Visit) -> None:
    """Tab and Enter alone choose a session and open its invitation."""
    Story(api, "s-1", room_name="kitchen").listed()
    page = await visit()
    await expect(page.get_by_role("link", name="kitchen")).to_be_visible()
    await tab_to(page, "kitchen")
    await page.keyboard.press("Enter")
    await expect(page.locator("#session-title")).to_have_text("kitchen")
    await tab_to(page, "Invite a guest")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog", name="Invite a guest")).to_be_visible()


async def test_thousands_of_events_leave_it_fluent_and_its_memory_flat(api: PageApi, visit: Visit) -> None:
    """Ten minutes of 50 events a second, as fast as they go: no frame waits long, and the heap stays where it was."""
    page = await visit("#session=s-0")
    stories = [Story(api, f"s-{at}").created() for at in range(20)]
    await page.evaluate(_WATCH_FRAMES)
    await play(page, api, stories, range(10_000))
    before = await heap_bytes(page)
    await play(page, api, stories, range(10_000, 30_000))
    grown = await heap_bytes(page) - before
    nodes = await page.evaluate("document.querySelectorAll('*').length")
    longest_ms = await page.evaluate("window.longest")
    print(
        f"heap {before / 1e6:.1f} MB, grown {grown / 1e6:.2f} MB; {nodes} elements; longest frame {longest_ms:.0f} ms"
    )
    assert grown < 2_000_000
    assert nodes < 6_000
    assert longest_ms < 1_000


_WATCH_FRAMES = """() => {
    window.longest = 0;
    let last = performance.now();
    const look = (now) => {
        window.longest = Math.max(window.longest, now - last);
        last = now;
        requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
}"""


async def play(page: Page, api: PageApi, stories: list[Story], events: range) -> None:
    """Twenty sessions whose people come, speak and go; returns when all of it is shown."""
    for number in events:
        story = stories[number % len(stories)]
        who = person(f"PA_{number // 400}_{story.id}", f"user-{number // 400}")
        match number // len(stories) % 20:
            case 0:
                story.said(who, str(number), f"came {number} " + "words " * 12)
                story.joined(who)
            case 1:
                story.job(who, "waiting")
            case 2:
                story.job(who, "running")
            case 18:
                story.job(who, "ended", reason="participant_left")
            case 19:
                story.left(who)
            case even if even % 2 == 0:
                story.said(who, str(number), f"said {number} " + "words " * 12)
            case _:
                story.answered(f"answer {number} " + "words " * 12)
        if number % 100 == 0:
            await asyncio.sleep(0)
    stories[0].said(BOB, f"end-{events.stop}", f"the end of {events.stop}")
    await expect(page.locator(".line-text").last).to_have_text(f"the end of {events.stop}", timeout=60_000)


async def tab_to(page: Page, name: str, most: int = 40) -> None:
    """Press Tab until what has the focus says this."""
    for _ in range(most):
        await page.keyboard.press("Tab")
        if name in await page.evaluate("document.activeElement.textContent"):
            return
    raise AssertionError(f"Tab does not lead to {name!r}")
