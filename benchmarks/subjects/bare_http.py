"""The ingress's yardstick: a bare aiohttp application that reads a POST and answers 200, on Python's own event loop."""

from __future__ import annotations

import sys

from aiohttp import web

from benchmarks.calls import PATH


async def take(request: web.Request) -> web.Response:
    await request.read()
    return web.Response()


def main() -> None:
    application = web.Application()
    application.router.add_post(PATH, take)
    web.run_app(application, host="127.0.0.1", port=int(sys.argv[1]), access_log=None)


if __name__ == "__main__":
    main()
