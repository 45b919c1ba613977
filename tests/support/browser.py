"""A real Chromium for tests of the live page: with a microphone and a camera that are not real, and axe to judge it.

Promises: what is missing is got before the tests, or the test fails and says so: Debian's `chromium` by apt, `axe-core`
and LiveKit's client by npm, checked by their hashes. Nothing of it stays in the project.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright

from deploy.servers import install
from deploy.servers.progress import Progress

ROOT = Path(__file__).parents[2]
AXE_VERSION = "4.14.1"
AXE_SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
NPM_WITHIN_S = 120
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    # Without it two tabs on one machine that has no other network find no way to each other.
    "--allow-loopback-in-peer-connection",
)

_JUDGE = """async (tags) => {
    const found = await axe.run(document, {runOnly: tags});
    const where = one => one.nodes.map(node => `${node.target} ${node.failureSummary}`).join("; ");
    return found.violations.map(one => `${one.id}: ${one.help}: ${where(one)}`);
}"""
_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def prepare(progress: Progress) -> None:
    """Gets what is missing; raises `InstallError`, or `CalledProcessError` of npm."""
    install.debian_packages(("chromium",), _chromium, progress)
    axe()
    subprocess.run(
        [ROOT / "session_api" / "vendor.sh"], check=True, timeout=NPM_WITHIN_S, capture_output=True
    )


@cache
def axe() -> str:
    """The source of axe-core."""
    kept = install.cache_dir() / f"axe-core-{AXE_VERSION}.js"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
            command = ["npm", "pack", "--silent", f"axe-core@{AXE_VERSION}"]
            subprocess.run(command, cwd=scratch, check=True, timeout=NPM_WITHIN_S, capture_output=True)
            with tarfile.open(Path(scratch, f"axe-core-{AXE_VERSION}.tgz")) as package:
                package.extract("package/axe.min.js", scratch, filter="data")
            Path(scratch, "package", "axe.min.js").replace(kept)
    source = kept.read_bytes()
    assert hashlib.sha256(source).hexdigest() == AXE_SHA256, f"{kept} is not the file that it was: remove it"
    return source.decode()


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser, for the time of the block."""
    path = _chromium()
    assert path is not None, "there is no chromium: apt-get install chromium"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            await browser.close()


async def violations(page: Page) -> list[str]:
    """What axe finds wrong with the page as it is now, by WCAG 2.2 AA and its own best practice."""
    # By the debugger, so that the page's own policy need not allow it.
    await page.evaluate(axe())
    found: list[str] = await page.evaluate(_JUDGE, _TAGS)
    return found


async def heap_bytes(page: Page) -> int:
    """What the page's JavaScript holds, once what nobody holds is collected."""
    session = await page.context.new_cdp_session(page)
    await session.send("HeapProfiler.collectGarbage")
    usage: dict[str, Any] = await session.send("Runtime.getHeapUsage")
    await session.detach()
    return int(usage["usedSize"])


def _chromium() -> Path | None:
    found = shutil.which("chromium") or shutil.which("google-chrome")
    return Path(found) if found else None
