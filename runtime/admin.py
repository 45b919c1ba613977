"""The admin port: is it alive, is it ready, what does it count.

Promises: `/livez` answers 200 while the event loop turns; `/readyz` 200 when every check that decides is ok,
else 503, with each reason in the body; `/metrics` in Prometheus' text format. A check that hangs or fails is
not ok.
Refuses nothing and changes nothing; it binds where the settings say, by default to loopback.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest

log = structlog.get_logger()

Check = Callable[[], str | Awaitable[str | None] | None]
"""Says None when all is well, else the reason why not. May be sync or async."""

_CHECK_LIMIT_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Report:
    """What `/readyz` says. Only `checks` decide; `info` is for the reader."""

    checks: Mapping[str, str]
    info: Mapping[str, str]

    @property
    def ready(self) -> bool:
        """Whether every check that decides is ok."""
        return all(answer == "ok" for answer in self.checks.values())


class Readiness:
    """Named checks: those in `checks` decide, those in `info` are only told."""

    def __init__(self, *, checks: Mapping[str, Check], info: Mapping[str, Check] | None = None) -> None:
        self._checks = dict(checks)
        self._info = dict(info or {})

    async def report(self) -> Report:
        """Ask all of them side by side; takes a second at most."""
        everything = {**self._info, **self._checks}
        answers = await asyncio.gather(*(_ask(check) for check in everything.values()))
        told = dict(zip(everything, answers, strict=True))
        return Report(
            checks={name: told[name] for name in self._checks}, info={name: told[name] for name in self._info}
        )


async def _ask(check: Check) -> str:
    try:
        async with asyncio.timeout(_CHECK_LIMIT_S):
            answer = check()
            reason = await answer if inspect.isawaitable(answer) else answer
    except TimeoutError:
        return f"no answer within {_CHECK_LIMIT_S:g} s"
    except Exception as error:  # noqa: BLE001 - a broken check must not hide what the others say
        return f"the check failed: {type(error).__name__}"
    return reason or "ok"


@asynccontextmanager
async def serve_admin(
    host: str, port: int, readiness: Readiness, registry: CollectorRegistry = REGISTRY
) -> AsyncIterator[None]:
    """Serve while the body runs. Port 0 serves nothing. OSError when the port is taken."""
    if port == 0:
        yield
        return
    runner = web.AppRunner(admin_app(readiness, registry), access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        log.info("admin.listening", host=host, port=port)
        yield
    finally:
        await runner.cleanup()


def admin_app(readiness: Readiness, registry: CollectorRegistry) -> web.Application:
    """The three routes."""

    async def livez(_request: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def readyz(_request: web.Request) -> web.Response:
        report = await readiness.report()
        body = {"ready": report.ready, "checks": report.checks, "info": report.info}
        return web.json_response(body, status=200 if report.ready else 503)

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    return app
