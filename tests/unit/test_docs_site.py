"""The documentation site: it builds without a network, its links lead somewhere, its made pages are as their code.

Code in pages is included from files that other tests run (`tests/e2e/test_consumers.py`, `test_sample_services.py`,
`test_conversation.py`, `test_http_sample.py`); nothing is copied.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from deploy.docs.pages import PAGES
from schemas.registry import REGISTRY

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BUILT_WITHIN_S = 120
LOCAL = re.compile(r"(?!https?:|mailto:|//)")


@dataclass
class Html(HTMLParser):
    """The links, loaded resources and anchors of a page."""

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    resources: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = dict(attrs)
        self.ids.add(has.get("id") or "")
        if tag == "a" and (link := has.get("href")):
            self.links.append(link)
        if resource := has.get("src") or (tag == "link" and has.get("href")):
            self.resources.append(resource)


@dataclass(frozen=True)
class Site:
    """What was built."""

    folder: Path
    pages: dict[Path, Html]

    def text(self, name: str) -> str:
        """The source of a page."""
        return (self.folder / name).read_text("utf-8")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The site as `make docs` builds it, with a proxy that leads nowhere in the place of the network."""
    project = tmp_path_factory.mktemp("site")
    shutil.copytree(DOCS, project / "docs")
    for name in ("zensical.toml", "README.md"):
        shutil.copy(ROOT / name, project)
    (project / "examples").symlink_to(ROOT / "examples")
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    done = subprocess.run(
        (str(Path(sys.executable).parent / "zensical"), "build", "--strict"),
        cwd=project,
        env={**os.environ, **nowhere},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILT_WITHIN_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    folder = project / ".june" / "site"
    return Site(folder=folder, pages={path: _html(path) for path in folder.rglob("*.html")})


def _html(path: Path) -> Html:
    page = Html()
    page.feed(path.read_text("utf-8"))
    return page


@pytest.mark.slow
def test_the_site_builds_without_a_warning(site: Site) -> None:
    """The strict build passes, and each page of docs/ is there."""
    expected = {path.relative_to(DOCS).with_suffix(".html") for path in DOCS.rglob("*.md")}
    assert expected <= {path.relative_to(site.folder) for path in site.pages}


@pytest.mark.slow
def test_every_link_leads_somewhere(site: Site) -> None:
    """Pages and the places in them."""
    broken = [
        f"{path.relative_to(site.folder)}: {link}"
        for path, page in site.pages.items()
        for link in filter(LOCAL.match, page.links)
        if not _leads_somewhere(site, path, link)
    ]
    assert broken == []
    assert sum(len(page.links) for page in site.pages.values()) > 100


def _leads_somewhere(site: Site, path: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    base = site.folder if name.startswith("/") else path.parent
    target = Path(os.path.normpath(base / name.lstrip("/"))) if name else path
    if target.is_dir():
        target /= "index.html"
    if target not in site.pages:
        return target.is_file() and not anchor
    return not anchor or anchor in site.pages[target].ids


@pytest.mark.slow
def test_reading_needs_no_network(site: Site) -> None:
    """Fonts, scripts, styles and pictures are the site's own."""
    foreign = {
        resource for page in site.pages.values() for resource in page.resources if not LOCAL.match(resource)
    }
    styles = "".join(path.read_text("utf-8") for path in site.folder.rglob("*.css"))
    assert foreign == set()
    assert re.findall(r"url\(['\"]?(?:https?:)?//", styles) == []


@pytest.mark.slow
def test_code_of_the_samples_is_in_the_pages(site: Site) -> None:
    """Each how-to shows a whole service in three languages; no include is left as it was written."""
    for kind in ("stt", "ai", "tts"):
        text = site.text(f"howto/{kind}.html")
        for name in (
            f"examples/{kind}_service.py",
            f"examples/node/{kind}.mjs",
            f"examples/go/{kind}/main.go",
        ):
            assert name in text
    assert [path for path in site.pages if "--8&lt;--" in path.read_text("utf-8")] == []


def _includes() -> Iterator[tuple[Path, str]]:
    for page in DOCS.rglob("*.md"):
        for name in re.findall(r'^\s*--8<-- "([^"]+)"$', page.read_text("utf-8"), re.MULTILINE):
            yield page, name


def test_what_pages_include_is_there() -> None:
    """The file, and in it the part."""
    missing = []
    for page, name in _includes():
        path, _, part = name.partition(":")
        text = (ROOT / path).read_text("utf-8") if (ROOT / path).is_file() else ""
        if not text or (part and f"--8<-- [start:{part}]" not in text):
            missing.append(f"{page.name}: {name}")
    assert missing == []


@pytest.mark.parametrize("name", PAGES)
def test_a_made_page_is_as_its_code(name: str) -> None:
    """`make docs` was run after the last change."""
    assert (DOCS / name).read_text("utf-8") == PAGES[name]()


def test_every_message_has_its_place() -> None:
    """A heading for each type, with an example."""
    text = (DOCS / "messages.md").read_text("utf-8")
    assert set(re.findall(r"^### (june\..*)$", text, re.MULTILINE)) == set(REGISTRY)
    assert text.count('??? example "Example"') + text.count('??? example "Reply"') > len(REGISTRY)


def test_every_page_can_be_found() -> None:
    """Each file of docs/ is in the navigation."""
    config = tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert set(_leaves(config["project"]["nav"])) == pages


def _leaves(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    else:
        for entry in nav.values() if isinstance(nav, dict) else nav:
            yield from _leaves(entry)
