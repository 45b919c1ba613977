"""The live page in a real Chromium, against an API that answers from memory: what it shows, and what it asks for."""

from __future__ import annotations

import time
from urllib.parse import urlencode

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import Visit
from tests.support import page_api
from tests.support.page_api import KEY, PageApi
from tests.support.page_steps import enter_key, invited
from tests.support.page_story import ANN, Story, dead_letter, guest_answer, person, token
from tests.support.polling import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><b>\u202e&amp;'\""


async def test_the_key_is_asked_for_and_sent_in_a_header_only(api: PageApi, visit: Visit) -> None:
    """Without a key nothing is shown; a wrong one is told; the right one opens the page, and no address holds it."""
    page = await visit(key=None)
    await enter_key(page, "wrong")
    await expect(page.get_by_role("alert").first).to_have_text("June does not know this key.")
    await enter_key(page, KEY)
    await expect(page.locator("#stream-words")).to_have_text("live")
    assert all(KEY not in str([one.path, one.query]) for one in api.requests)
    assert KEY not in page.url
    assert await page.evaluate("localStorage.length") == 0


async def test_what_is_told_is_shown(api: PageApi, visit: Visit) -> None:
    """People, who is listened to, words, answers, jobs with their attempt, and the end, each as the event comes."""
    page = await visit()
    story = Story(api, "s-1", room_name="Besprechung/ü 1").created()
    await page.get_by_role("link", name="Besprechung/ü 1").click()
    story.joined(ANN)
    story.published(ANN, "TR_1")
    row = page.locator("#people li")
    await expect(row).to_contain_text("microphone on")
    story.job(ANN, "waiting")
    await expect(row).to_contain_text("waiting for a listener")
    lease = page.locator("#jobs td:nth-child(5)")
    await expect(lease).to_contain_text("to be taken within 0:2")
    story.job(ANN, "running")
    await expect(row).to_contain_text("listened to")
    await expect(lease).to_have_text("held, 30 s each time")
    story.said(ANN, "1", "A table for two.")
    await expect(row).to_contain_text("speaking")
    story.answered("By the window?", spoken=False)
    lines = page.locator(".line")
    await expect(lines.nth(0)).to_contain_text("A table for two.")
    await expect(lines.nth(1)).to_contain_text("By the window?")
    await expect(lines.nth(1)).to_contain_text("Not spoken to the end")
    story.job(ANN, "waiting", attempt=2)
    await expect(page.locator("#jobs td:nth-child(3)")).to_have_text("2")
    story.left(ANN)
    await expect(page.locator("#people li")).to_have_count(0)
    story.ended("room_lost")
    await expect(page.locator("#session-status")).to_have_text("ended")
    await expect(page.get_by_role("button", name="Ended 1")).to_be_visible()
    await expect(page.get_by_role("button", name="Invite a guest")).to_be_hidden()


async def test_latencies_are_counted_from_junes_own_times(api: PageApi, visit: Visit) -> None:
    """One bar for a job that was taken, one for a turn that was answered, none for a turn without an answer."""
    page = await visit("#session=s-1")
    story = Story(api, "s-1").created()
    story.job(ANN, "waiting")
    story.job(ANN, "running")
    story.said(ANN, "1", "Hello")
    story.answered("Hello.")
    story.said(ANN, "2", "And?")
    story.answered("")
    chart = page.locator(".chart")
    await expect(chart.nth(0)).to_contain_text("1 in all")
    await expect(chart.nth(1)).to_contain_text("1 in all")
    await expect(page.locator(".line")).to_have_count(4)
    await expect(chart.nth(1)).to_contain_text("1 in all")


async def test_sessions_that_were_there_before_are_shown_with_their_people(
    api: PageApi, visit: Visit
) -> None:
    """The lists of June fill the page; June's own list says who is in a room; who left since stays gone."""
    Story(api, "s-1", room_name="before").listed()
    api.participants["s-1"] = [ANN | {"state": "active", "joined_at": page_api.now(), "tracks": []}]
    page = await visit()
    item = page.get_by_role("link", name="before")
    await expect(item.locator(".face")).to_have_count(1)
    Story(api, "s-1").left(ANN)
    await expect(item.locator(".face")).to_have_count(0)
    await item.click()
    await expect(page.get_by_text("Nobody is here.")).to_be_visible()


async def test_hostile_names_stay_names(api: PageApi, visit: Visit) -> None:
    """Markup in a room, a user, a name, a text and an error is shown letter by letter, and makes no element."""
    api.dead_letters = {"waiting": 1, "dead_letters": [dead_letter(reason=HOSTILE, error=HOSTILE)]}
    story = Story(api, "s-1", room_name=HOSTILE, user_id=HOSTILE).listed()
    page = await visit("#session=s-1")
    title = await page.title()
    evil = person("PA_9", HOSTILE, HOSTILE)
    story.joined(evil)
    story.job(evil, "running")
    story.said(evil, HOSTILE, HOSTILE)
    await expect(page.locator("#session-title")).to_have_text(HOSTILE)
    await expect(page.locator(".line-text")).to_have_text(HOSTILE)
    await expect(page.locator(".person-name")).to_have_text(HOSTILE)
    await expect(page.locator(".dead p").first).to_have_text(HOSTILE)
    assert await page.locator("main img, main b").count() == 0
    # A name within a line does not turn the words that follow it.
    assert "\u202e" not in await page.locator("#session-facts").inner_text()
    boxes = [await page.locator(f".person {one}").bounding_box() for one in (".person-name", "button")]
    assert all(boxes)
    name, remove = (box for box in boxes if box is not None)
    assert name["x"] + name["width"] <= remove["x"]
    assert await page.title() == title


async def test_a_lost_stream_goes_on_where_it_was(api: PageApi, visit: Visit) -> None:
    """What was told while the stream was away comes once, and what comes twice changes nothing."""
    page = await visit("#session=s-1")
    story = Story(api, "s-1").created()
    story.said(ANN, "1", "first", id_="same")
    await expect(page.locator(".line")).to_have_count(1)
    api.cut()
    story.said(ANN, "1", "first", id_="same")
    story.said(ANN, "2", "second")
    await expect(page.locator(".line")).to_have_count(2)
    await expect(page.locator("#stream-words")).to_have_text("live")
    resumed = [one.headers.get("Last-Event-ID") for one in api.asked("GET", "/api/events")]
    assert resumed[:2] == [None, "1"]


async def test_a_session_is_made_from_the_page(api: PageApi, visit: Visit) -> None:
    """The form's fields are the command's data, with a key that makes a repetition safe; the page goes to it."""
    page = await visit()
    await page.get_by_role("button", name="New").click()
    form = page.get_by_role("dialog")
    await form.get_by_label("User").fill("ann")
    await form.get_by_label("Room").fill("kitchen")
    await form.get_by_label("Aloud").uncheck()
    await form.get_by_label("Language").fill("de")
    await form.get_by_label("Join it").uncheck()
    await form.get_by_role("button", name="Create").click()
    await expect(page.locator("#session-title")).to_have_text("kitchen")
    (asked,) = api.asked("POST", "/api/sessions")
    assert asked.body == {
        "user_id": "ann",
        "room_name": "kitchen",
        "stt": {"enabled": True, "language": "de"},
        "ai": {"enabled": True, "speak": False},
    }
    assert len(asked.headers["Idempotency-Key"]) == 32


async def test_enter_in_a_field_does_what_the_dialog_is_for(api: PageApi, visit: Visit) -> None:
    """A session is made, and a guest invited, by the keyboard alone; Cancel does nothing."""
    api.guest = guest_answer(room="kitchen", name="Zoë")
    page = await visit()
    for done in ("Cancel", None):
        await page.get_by_role("button", name="New").click()
        form = page.get_by_role("dialog")
        await form.get_by_label("Join it").uncheck()
        await form.get_by_label("User").fill("ann")
        if done:
            await form.get_by_role("button", name=done).click()
        else:
            await form.get_by_label("User").press("Enter")
        await expect(form).to_be_hidden()
    await expect(page.locator("#session-title")).to_be_visible()
    assert len(api.asked("POST", "/api/sessions")) == 1
    await page.get_by_role("button", name="Invite a guest").click()
    await page.get_by_role("dialog").get_by_label("Guest's name").fill("Zoë")
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Link", exact=True)).to_be_visible()


async def test_a_dialog_that_is_dismissed_does_nothing(api: PageApi, visit: Visit) -> None:
    """Escape closes it, the focus goes back to its button, and June is asked for nothing."""
    page = await visit()
    button = page.get_by_role("button", name="New")
    await button.focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_be_hidden()
    await expect(button).to_be_focused()
    assert api.asked("POST", "/api/sessions") == []


async def test_a_guest_is_invited_by_a_link_that_no_server_sees(api: PageApi, visit: Visit) -> None:
    """The token is in the fragment; the guest's page takes it out of the address, and asks June's API for nothing."""
    Story(api, "s-1", room_name="kitchen").listed()
    api.guest = guest_answer(room="kitchen", name="Zoë")
    page = await visit("#session=s-1")
    address, fragment = (await invited(page, "Zoë")).split("#")
    assert address == api.url
    assert api.guest["access_token"] in fragment
    (asked,) = api.asked("POST", "/api/sessions/s-1/guest-token")
    assert asked.body == {"guest_name": "Zoë", "ttl_s": 900, "can_publish": True}
    guest = await visit(f"#{fragment}", key=None)
    await expect(guest.get_by_role("heading", name="kitchen")).to_be_visible()
    await expect(guest.locator("#guest-words")).to_contain_text("Zoë")
    await expect(guest.locator("#guest-words")).to_contain_text("livekit.example")
    assert "eyJ" not in guest.url
    assert (
        await guest.evaluate("performance.getEntriesByType('resource').some(e => e.name.includes('/api/'))")
        is False
    )
    await guest.reload()
    await expect(guest.get_by_role("heading", name="kitchen")).to_be_visible()


@pytest.mark.parametrize(
    ("fragment", "words"),
    [
        ({"guest": "no-token", "url": "wss://livekit.example"}, "not complete"),
        ({"guest": "TOKEN", "url": "javascript:alert(1)"}, "not complete"),
        ({"guest": "EXPIRED", "url": "wss://livekit.example"}, "run out"),
    ],
)
async def test_a_link_that_cannot_work_says_so(visit: Visit, fragment: dict[str, str], words: str) -> None:
    """Broken, run out, or leading elsewhere than to a LiveKit: nothing can be joined by it."""
    tokens = {"TOKEN": token(), "EXPIRED": token(exp=int(time.time()) - 1)}
    page = await visit(f"#{urlencode(fragment | {'guest': tokens.get(fragment['guest'], 'x')})}", key=None)
    await expect(page.locator("#guest-words")).to_contain_text(words)
    await expect(page.get_by_role("button", name="Join the conversation")).to_be_hidden()


async def test_removing_and_ending_are_asked_twice(api: PageApi, visit: Visit) -> None:
    """A person whose identity is two dots is removed by it; the session ends when that is confirmed, not before."""
    story = Story(api, "s-1").listed()
    page = await visit("#session=s-1")
    story.joined(person("PA_1", "..", "Dots"))
    await page.get_by_role("button", name="Remove Dots").click()
    await page.get_by_role("button", name="Remove", exact=True).click()
    await expect(page.get_by_role("dialog")).to_be_hidden()
    await until(lambda: api.asked("DELETE", "/api/sessions/s-1/participants"))
    assert api.asked("DELETE", "/api/sessions/s-1/participants")[0].query == {"identity": ".."}
    await page.get_by_role("button", name="End", exact=True).click()
    await page.get_by_role("button", name="Cancel").click()
    assert api.asked("DELETE", "/api/sessions/s-1") == []
    await page.get_by_role("button", name="End", exact=True).click()
    await page.get_by_role("button", name="End it").click()
    await expect(page.locator("#session-status")).to_have_text("ended")


async def test_without_livekits_client_all_else_works(api: PageApi, visit: Visit) -> None:
    """A page that was set up without it says what is missing when somebody joins, and shows what it showed."""
    Story(api, "s-1", user_id="ann").listed()
    api.token_of = lambda _session, identity: {"access_token": token(), "livekit_url": "ws://127.0.0.1:1"}
    page = await visit("#session=s-1")
    await page.route("**/vendor/*", lambda route: route.fulfill(status=404))
    await page.get_by_role("button", name="Join", exact=True).click()
    await page.get_by_role("dialog").get_by_role("button", name="Join").click()
    await expect(page.locator("#alerts")).to_contain_text("vendor.sh")
    Story(api, "s-1").said(ANN, "1", "still here")
    await expect(page.locator(".line-text")).to_have_text("still here")


async def test_the_system_is_seen(api: PageApi, visit: Visit) -> None:
    """Partitions that nobody holds, work that waits, services that are missing, and dead letters with their reason."""
    api.partitions = page_api.partitions(held=15)
    api.system = page_api.system(stt={"name": "stt", "waiting": 4, "consumers": 0})
    api.dead_letters = {"waiting": 1, "dead_letters": [dead_letter(reason="unreadable", error="not JSON")]}
    page = await visit()
    await expect(page.get_by_text("15 of 16 are held.")).to_be_visible()
    await expect(page.get_by_label("Partition 15: held by nobody, 0 waiting")).to_be_visible()
    await expect(page.locator("#health li", has_text="Speech to text")).to_contain_text("none, 4 waiting")
    await expect(page.locator("#dead li")).to_contain_text("unreadable")


async def test_a_key_that_may_read_sessions_alone_sees_them(api: PageApi, visit: Visit) -> None:
    """What it may not see is said, once each, and nothing else fails."""
    api.scopes = {"sessions:read"}
    Story(api, "s-1", room_name="kitchen").listed()
    page = await visit(key=None)
    await enter_key(page, KEY)
    await expect(page.get_by_role("link", name="kitchen")).to_be_visible()
    await expect(page.locator("#stream-words")).to_have_text("this key may not read events")
    await expect(page.locator("#system-none")).to_contain_text("system:read")
