"""What people do on the live page."""

from __future__ import annotations

from playwright.async_api import Page, expect


async def enter_key(page: Page, key: str) -> None:
    """As it is asked for at first."""
    await page.get_by_label("API key").fill(key)
    await page.keyboard.press("Enter")


async def invited(page: Page, name: str) -> str:
    """A guest of this name is invited; the link. Its dialog stays open."""
    await page.get_by_role("button", name="Invite a guest").click()
    await page.get_by_role("dialog").get_by_label("Guest's name").fill(name)
    await page.get_by_role("button", name="Make the link").click()
    shown = page.get_by_label("Link", exact=True)
    await expect(shown).to_be_visible()
    return await shown.input_value()
