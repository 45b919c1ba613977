"""An installation of June as clients meet it: parts, their settings, and a LiveKit that does what a test says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import jwt

from deploy.servers import free_port
from tests.e2e.processes import Part, Parts
from tests.e2e.webhooks import LiveKitPost
from tests.support.fake_livekit import FakeLiveKit

JUNE_SENDS = (("june.events", "#"), ("june.pipeline", "#"))


@dataclass(kw_only=True)
class Installation:
    """A broker's vhost, a database, an ingress, workers, and a LiveKit behind them."""

    amqp_url: str
    parts: Parts
    livekit: FakeLiveKit
    webhook: LiveKitPost
    ingress: Part
    workers: list[Part]

    def claims(self, token: str) -> dict[str, Any]:
        """What a token says, once its signature is verified."""
        found: dict[str, Any] = jwt.decode(token, self.livekit.api_secret, algorithms=["HS256"])
        return found


class Install(Protocol):
    """An installation in this vhost for the time of the block, drained at its end."""

    def __call__(
        self, amqp_url: str, *, workers: int = 1, **settings: str
    ) -> AbstractAsyncContextManager[Installation]: ...


@asynccontextmanager
async def installed(
    amqp_url: str, directory: Path, *, workers: int = 1, **settings: str
) -> AsyncIterator[Installation]:
    """Parts started, and stopped by SIGTERM: whoever does not drain fails the test."""
    port = int(settings.get("JUNE_INGRESS_PORT") or free_port())
    url = f"http://127.0.0.1:{port}/api/livekit-webhooks"
    async with FakeLiveKit(webhook_urls=[url], pace=0.1) as livekit, aiohttp.ClientSession() as session:
        env = {
            "LIVEKIT_API_KEY": livekit.api_key,
            "LIVEKIT_API_SECRET": livekit.api_secret,
            "LIVEKIT_WS_URL": livekit.ws_url,
            "JUNE_LIVEKIT_PUBLIC_URL": "wss://livekit.example.org",
            "JUNE_AMQP_URL": amqp_url,
            "JUNE_DATABASE_URL": f"sqlite:///{directory}/june.db",
            "JUNE_SPOOL_DIR": str(directory / "spool"),
            "JUNE_INGRESS_PORT": str(port),
            # Webhooks of rooms that are in no LiveKit are posted here: nobody is to look there in the meantime.
            "JUNE_RECONCILE_INTERVAL_S": "3600",
            "JUNE_JOB_LEASE_S": "600",
            **settings,
        }
        parts = Parts(env=env, directory=directory)
        post = LiveKitPost(url, key=livekit.api_key, secret=livekit.api_secret, session=session)
        try:
            started = [await parts.start("worker") for _ in range(workers)]
            ingress = await parts.start("webhook_ingress")
            yield Installation(
                amqp_url=amqp_url,
                parts=parts,
                livekit=livekit,
                webhook=post,
                ingress=ingress,
                workers=started,
            )
            await parts.stop()
        finally:
            parts.kill()
