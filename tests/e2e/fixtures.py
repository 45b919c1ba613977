"""June as a client meets it: real processes before a real RabbitMQ.

`june` is one installation for a module: fast, and left as it was found. `install` makes one for a single test, to be
broken.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import pytest_asyncio

from deploy.servers import RabbitMQ
from tests.e2e.client import Client, Inbox
from tests.e2e.installation import JUNE_SENDS, Install, Installation, installed


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def june(
    rabbitmq_server: RabbitMQ, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Installation]:
    """An installation that the module's tests share: give every room, session and user a name of its own."""
    url = rabbitmq_server.new_vhost()
    async with installed(url, tmp_path_factory.mktemp("june")) as installation:
        yield installation
    rabbitmq_server.delete_vhost(url)


@pytest_asyncio.fixture(loop_scope="module")
async def client(june: Installation) -> AsyncIterator[Client]:
    """A client of the module's installation."""
    async with Client(june.amqp_url) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def inbox(client: Client) -> Inbox:
    """All that June publishes during the test."""
    return await client.subscribe(*JUNE_SENDS)


@pytest.fixture
def install(tmp_path: Path) -> Install:
    """Makes an installation for this test alone."""

    def make(
        amqp_url: str, *, workers: int = 1, **settings: str
    ) -> AbstractAsyncContextManager[Installation]:
        return installed(amqp_url, tmp_path, workers=workers, **settings)

    return make
