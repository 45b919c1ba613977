"""`python -m deploy.servers exec -- COMMAND …` runs a command with servers for tests beside it, handed over
by URL.

`python -m deploy.servers prepare` only installs what is missing. The servers are the run's: both versions of
RabbitMQ (or those that JUNE_TEST_RABBITMQ names) and PostgreSQL; livekit-server is made ready, and started by
the tests, since it must be told where to post. The exit code is the command's; 1 when a server cannot be had,
with the reason; 130 after Ctrl-C.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from deploy.servers import inventory, postgres_server, rabbitmq_server
from deploy.servers.install import InstallError
from deploy.servers.processes import ServerError
from deploy.servers.progress import step

ALL = {"rabbitmq", "postgres", "livekit"}


def main() -> int:
    arguments = _arguments()
    versions = rabbitmq_server.chosen_versions()
    print("\n".join(inventory.describe(versions)), flush=True)
    try:
        inventory.prepare(ALL, versions, _say)
        if arguments.action == "prepare":
            return 0
        with _servers(versions) as handed_over:
            return _run(arguments.command, {**os.environ, **handed_over})
    except (InstallError, ServerError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "\nInterrupted: what was started has ended; what is half made is made anew next time.",
            file=sys.stderr,
        )
        return 130


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.servers", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("prepare", help="install what is missing")
    run = actions.add_parser("exec", help="run a command with servers beside it")
    run.add_argument("command", nargs="+", help="after --")
    return parser.parse_args()


@contextlib.contextmanager
def _servers(versions: tuple[rabbitmq_server.Version, ...]) -> Iterator[dict[str, str]]:
    """All at once, since most of a start is waiting. Yields the environment that hands them over."""
    with contextlib.ExitStack() as stack, ThreadPoolExecutor() as pool, step("all servers", _say):
        brokers = [
            pool.submit(stack.enter_context, rabbitmq_server.rabbitmq(version, progress=_say))
            for version in versions
        ]
        postgres = pool.submit(stack.enter_context, postgres_server.postgres(progress=_say))
        handed_over = postgres_server.handed_over(postgres.result())
        for version, broker in zip(versions, brokers, strict=True):
            handed_over |= rabbitmq_server.handed_over(broker.result(), version)
        everything = stack.pop_all()
    with everything:
        yield handed_over


def _run(command: list[str], environment: dict[str, str]) -> int:
    """Ctrl-C reaches the command by the terminal; it ends by itself, and then we do. SIGTERM is passed on."""
    with subprocess.Popen(command, env=environment) as child:
        signal.signal(signal.SIGINT, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: child.terminate())
        code = child.wait()
    return code if code >= 0 else 128 - code


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
