"""Real servers for the tests that ask for them by fixture. One that is missing is a failure, never a skip.

`python -m deploy.servers exec -- pytest …` starts them once for all workers of pytest-xdist; without it each
process starts those that its tests need. JUNE_TEST_FAST=1 leaves out every test that needs one.
"""

import contextlib
import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import hypothesis
import pytest

from deploy import servers
from deploy.servers import LiveKit, Postgres, Progress, RabbitMQ, RabbitMQVersion, inventory
from deploy.servers.rabbitmq_server import chosen_versions
from tests.support import servers as support

WEBHOOK_PATH = "/api/livekit-webhooks"
HERE = Path(__file__).parent
LEFT_OUT = (HERE / "e2e", HERE / "contract/livekit/test_participant.py")
"""What the fast run leaves out as a whole."""


# What is imported and collected stays to the end: to look through it for garbage is a fifth of the collection's time.
gc.disable()


class StartLiveKit(Protocol):
    """Starts a livekit-server that posts to these URLs."""

    def __call__(self, *webhook_urls: str) -> LiveKit: ...


# How long an example takes is a matter of what else the machine does.
hypothesis.settings.register_profile(
    "june", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile("fast", hypothesis.settings.get_profile("june"), max_examples=25)
hypothesis.settings.load_profile("fast" if support.fast() else "june")


def pytest_report_header() -> list[str]:
    if support.fast():
        return ["servers: none, and no test that takes seconds (JUNE_TEST_FAST)"]
    return [f"server: {line}" for line in inventory.describe(chosen_versions())]


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """To import it takes seconds."""
    return True if support.fast() and collection_path in LEFT_OUT else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    support.mark(items)
    if not support.fast():
        return
    config.hook.pytest_deselected(items=[item for item in items if not support.is_fast(item)])
    items[:] = filter(support.is_fast, items)


def pytest_collection_finish(session: pytest.Session) -> None:
    """An installation takes minutes: before the tests, outside of their time limits."""
    gc.freeze()
    gc.enable()
    if session.config.option.collectonly:
        return
    names = {name for item in session.items for name in support.needed(item)}
    inventory.prepare(names, chosen_versions(), on_terminal(session.config))


def on_terminal(config: pytest.Config) -> Progress:
    """Lines that reach the terminal, whatever pytest captures."""

    def say(line: str) -> None:
        capture = config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
            print(f"\n{line}", flush=True)

    return say


@pytest.fixture(scope="session")
def progress(pytestconfig: pytest.Config) -> Progress:
    """Says something on the terminal while a test waits for a server."""
    return on_terminal(pytestconfig)


@pytest.fixture(scope="session", params=chosen_versions(), ids=lambda version: f"rabbitmq-{version}")
def rabbitmq_version(request: pytest.FixtureRequest) -> RabbitMQVersion:
    """Every test of RabbitMQ runs once for each."""
    version: RabbitMQVersion = request.param
    return version


@pytest.fixture(scope="session")
def rabbitmq_server(rabbitmq_version: RabbitMQVersion, progress: Progress) -> Iterator[RabbitMQ]:
    """A broker that tests share: leave it running. See `amqp_url`, and `own_rabbitmq` for outages."""
    with servers.rabbitmq(rabbitmq_version, progress=progress) as server:
        yield server


@pytest.fixture
def amqp_url(rabbitmq_server: RabbitMQ) -> Iterator[str]:
    """A vhost for this test alone, deleted afterwards."""
    url = rabbitmq_server.new_vhost()
    yield url
    rabbitmq_server.delete_vhost(url)


@pytest.fixture(scope="module")
def module_amqp_url(rabbitmq_server: RabbitMQ) -> Iterator[str]:
    """A vhost that the tests of a module share, deleted afterwards."""
    url = rabbitmq_server.new_vhost()
    yield url
    rabbitmq_server.delete_vhost(url)


@pytest.fixture(scope="module")
def own_rabbitmq(rabbitmq_version: RabbitMQVersion, progress: Progress) -> Iterator[RabbitMQ]:
    """A broker for this module alone, to be killed, paused and started again. Leave it running."""
    with servers.rabbitmq(rabbitmq_version, own=True, progress=progress) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server(progress: Progress) -> Iterator[Postgres]:
    """A PostgreSQL that tests share: leave it running. See `postgres_url`, and `own_postgres` for outages."""
    with servers.postgres(progress=progress) as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> Iterator[str]:
    """An empty database for this test alone, dropped afterwards."""
    url = postgres_server.new_database()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture(scope="module")
def own_postgres(progress: Progress) -> Iterator[Postgres]:
    """A PostgreSQL for this module alone, to be killed, paused and started again. Leave it running."""
    with servers.postgres(own=True, progress=progress) as server:
        yield server


@pytest.fixture(scope="session")
def webhook_port() -> int:
    """Where `livekit_server` posts its webhooks: listen on 127.0.0.1 at `/api/livekit-webhooks`."""
    return servers.free_port()


@pytest.fixture(scope="session")
def livekit_server(webhook_port: int, progress: Progress) -> Iterator[LiveKit]:
    """A livekit-server that tests share: leave it running, and use room names of your own."""
    url = f"http://127.0.0.1:{webhook_port}{WEBHOOK_PATH}"
    with servers.livekit(webhook_urls=[url], own=True, progress=progress) as server:
        yield server


@pytest.fixture
def livekit(livekit_server: LiveKit) -> LiveKit:
    """The shared livekit-server."""
    return livekit_server


@pytest.fixture
def start_livekit(progress: Progress) -> Iterator[StartLiveKit]:
    """Starts livekit-servers for this test alone, with webhook URLs of its choice."""
    with contextlib.ExitStack() as stack:

        def start(*webhook_urls: str) -> LiveKit:
            return stack.enter_context(
                servers.livekit(webhook_urls=webhook_urls, own=True, progress=progress)
            )

        yield start


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Gives ports that nothing listens on."""
    return servers.free_port
