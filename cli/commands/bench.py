"""`june bench`: runs the benchmarks, which are part of the source tree and not of an installation."""

import subprocess
import sys
from importlib.util import find_spec
from typing import Annotated

from cyclopts import App, Parameter

from cli.failures import usage
from cli.help import RUNNING
from cli.world import World


def register(app: App, world: World) -> None:
    """Add `june bench`."""

    @app.command(group=RUNNING)
    def bench(
        *arguments: Annotated[str, Parameter(allow_leading_hyphen=True, help="For `python -m benchmarks`.")],
    ) -> int:
        """Measure June against its yardsticks, on servers of its own. Takes minutes.

        **Examples**

            june bench
            june bench --quick
        """
        if find_spec("benchmarks") is None:
            raise usage(
                "the benchmarks are not here",
                hint="run it from the source tree of June, as `make bench` does",
            )
        command = [sys.executable, "-m", "benchmarks", *arguments]
        return subprocess.run(command, env=dict(world.env), check=False).returncode  # noqa: S603 - our own
