"""`python -m benchmarks`: measures June against its yardsticks, and prints a table, or JSON.

Targets that are not met are said and change nothing: the exit code is 0 when everything could be measured, else 1.
QUICK=1 in the environment, or `--quick`: fewer and shorter rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import plan as plans
from benchmarks.children import BenchFailed
from benchmarks.figures import Figure, machine, table
from benchmarks.measures import Rounds, sessions_cost
from benchmarks.results import Collected, figures
from benchmarks.stage import Stage, set_up
from deploy.servers import InstallError, ServerError, rabbitmq
from runtime import logs


def main() -> int:
    arguments = _arguments()
    plan = plans.QUICK if arguments.quick else plans.FULL
    logs.configure("benchmarks", level="warning")
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="june-bench-") as folder:
            found, broker = measure(plan, Path(folder))
    except (BenchFailed, InstallError, ServerError) as error:
        print(error, file=sys.stderr)
        return 1
    about = {**machine(), "broker": f"RabbitMQ {broker}", "rounds": str(plan.rounds)}
    if arguments.json:
        print(json.dumps({"about": about, "figures": [figure.as_json() for figure in found]}, indent=2))
    else:
        print(f"\n{', '.join(f'{name} {value}' for name, value in about.items())}\n\n{table(found)}")
    _say(f"measured in {time.monotonic() - began:.0f} s")
    return 0


def measure(plan: plans.Plan, folder: Path) -> tuple[list[Figure], str]:
    """Everything, and the version of the broker that it was measured on."""
    collected = Collected()
    with rabbitmq(progress=_say) as broker, set_up(broker, plan, folder) as stage:
        collected.memory["idle"] = _memory(stage)
        rounds = Rounds(stage, plan)
        for number in range(plan.rounds):
            _say(f"round {number + 1} of {plan.rounds}")
            collected.http.append(rounds.http(number))
            collected.backlog.append(rounds.backlog(number))
            collected.latency.append(rounds.latency(number))
        collected.memory["after load"] = _memory(stage)
        version = broker.version
    _say(f"{plans.FEW_SESSIONS} and {plans.MANY_SESSIONS:,} live sessions")
    collected.cost = sessions_cost(plan, folder)
    return figures(collected), version


def _memory(stage: Stage) -> tuple[float, float]:
    return stage.alone.process.resident_mb(), stage.worker.process.resident_mb()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", default=os.environ.get("QUICK", "") not in {"", "0"})
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser.parse_args()


def _say(line: str) -> None:
    """Not on standard output, which is the report's."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
