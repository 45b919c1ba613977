"""June as a client meets it: real processes before a real RabbitMQ.

`june` is one installation for a module: fast, and left as it was found. `install` makes one for a single test, to be
broken.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.calls import Call
from tests.e2e.client import Client, Inbox
from tests.e2e.http_api import Http, api_of
from tests.e2e.installation import JUNE_SENDS, Install, Installation, installed


@pytest.fixture(scope="module")
def settings() -> Mapping[str, str]:
    """What the module's installation is told beyond the usual: for modules to override."""
    return {}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(
    module_amqp_url: str, settings: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Installation]:
    """An installation that the module's tests share: give every room, session and user a name of its own."""
    async with installed(
        module_amqp_url, tmp_path_factory.mktemp("june"), workers=1, **settings
    ) as installation:
        yield installation


@pytest.fixture(scope="module")
def june(installation: Installation) -> Installation:
    """The same, as most stories call it; those of the command line give the name to that."""
    return installation


@pytest_asyncio.fixture(loop_scope="module")
async def client(installation: Installation) -> AsyncIterator[Client]:
    """A client of the module's installation."""
    async with Client(installation.amqp_url) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def inbox(client: Client) -> Inbox:
    """All that June publishes during the test."""
    return await client.subscribe(*JUNE_SENDS)


@pytest.fixture
def call(installation: Installation, client: Client, inbox: Inbox) -> Call:
    """A room of the test's own."""
    return Call(installation, client, inbox)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(installation: Installation) -> AsyncIterator[Http]:
    """The HTTP API of the module's installation."""
    async with api_of(installation.parts) as (http, _):
        yield http


@pytest.fixture
def install(tmp_path: Path) -> Install:
    """Makes an installation for this test alone."""

    def make(
        amqp_url: str, *, workers: int = 1, **settings: str
    ) -> AbstractAsyncContextManager[Installation]:
        return installed(amqp_url, tmp_path, workers=workers, **settings)

    return make
