"""`python -m benchmarks.spool`: the ingress while its broker hangs, and after it.

Webhooks come at 500 a second, for 10 s while all is well, to know the machine, and for 60 s while a real RabbitMQ is
stopped: it keeps its connections and answers nothing. Then it goes on. Prints the times of the answers, how soon the
spool was empty, and what arrived: everything, in order for each room, and how many copies.
QUICK=1 in the environment, or `--quick`: 3 s and 10 s, of which the first moment of the outage is a larger share.
The exit code is 1 when an event was lost or overtaken, or the measurement failed; a target that was missed is said.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import aio_pika

from benchmarks.calls import API_KEY, API_SECRET
from benchmarks.children import BenchFailed, Child
from benchmarks.figures import percentile
from benchmarks.load.outage import ROOMS
from benchmarks.vhosts import PARTITION_QUEUES
from deploy.servers import InstallError, ServerError, free_port, rabbitmq

RATE: Final = 500
P99_MS: Final = 25.0
_FULL_S: Final = (10, 60)
_QUICK_S: Final = (3, 10)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spool", description=__doc__)
    parser.add_argument("--quick", action="store_true", default=os.environ.get("QUICK", "") not in {"", "0"})
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    arguments = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="june-spool-bench-") as folder:
            found = measure(*(_QUICK_S if arguments.quick else _FULL_S), Path(folder))
    except (BenchFailed, InstallError, ServerError) as error:
        print(error, file=sys.stderr)
        return 1
    lines = [json.dumps(found)] if arguments.json else [f"{name:24} {value}" for name, value in found.items()]
    print("\n".join(lines))
    return 1 if found["lost"] or found["overtaken"] else 0


def measure(well_s: int, seconds: int, folder: Path) -> dict[str, Any]:
    """So long without an outage, and so long with one."""
    port, admin_port = free_port(), free_port()
    with rabbitmq(own=True, progress=_say) as broker:
        url = broker.new_vhost()
        ingress = Child(
            "ingress", "webhook_ingress", folder=folder, env=_settings(url, folder, port, admin_port)
        )
        try:
            ingress.wait_for("ingress.ready")
            well = Child("well", "benchmarks.load.outage", port, well_s, RATE, 0, folder=folder)
            idle_s = ingress.cpu_s()
            before = well.result(timedelta(seconds=well_s + 60))
            well_cpu_s = ingress.cpu_s() - idle_s
            load = Child(
                "outage", "benchmarks.load.outage", port, seconds, RATE, well_s * RATE, folder=folder
            )
            load.wait_for("begun")
            broker.pause()
            try:
                report = load.result(timedelta(seconds=seconds + 60))
                outage_cpu_s = ingress.cpu_s() - idle_s - well_cpu_s
                depth = _figure(admin_port, "june_ingress_spool_records")
                resident_mb = ingress.resident_mb()
            finally:
                broker.resume()
            back_s = time.monotonic()
            ingress.wait_until(
                lambda: _figure(admin_port, "june_ingress_spool_records") == 0, "an empty spool"
            )
            empty_after_s = time.monotonic() - back_s
        finally:
            ingress.stop()
        arrived = asyncio.run(asyncio.wait_for(_arrived(url), 120))
    return {
        "well: p50, p99 ms": ", ".join(f"{percentile(before['answers_ms'], p):.2f}" for p in (0.5, 0.99)),
        **_answers(report),
        "CPU ms an event, well": round(well_cpu_s * 1000 / (well_s * RATE), 2),
        "CPU ms an event, away": round(outage_cpu_s * 1000 / (seconds * RATE), 2),
        "depth": int(depth),
        "empty after s": round(empty_after_s, 2),
        "delivered per s": round(depth / empty_after_s),
        "resident MB": round(resident_mb, 1),
        **_order(arrived, (well_s + seconds) * RATE),
    }


def _settings(url: str, folder: Path, port: int, admin_port: int) -> Mapping[str, str]:
    return {
        "LIVEKIT_API_KEY": API_KEY,
        "LIVEKIT_API_SECRET": API_SECRET,
        "JUNE_AMQP_URL": url,
        "JUNE_INGRESS_PORT": str(port),
        "JUNE_ADMIN_PORT": str(admin_port),
        "JUNE_SPOOL_DIR": str(folder / "spool"),
    }


def _answers(report: Mapping[str, Any]) -> dict[str, Any]:
    times = report["answers_ms"]
    p99 = percentile(times, 0.99)
    # Answers are in the order of their coming: these are after the moment in which the outage was noticed.
    later = times[RATE:]
    return {
        "answers": report["answers"],
        "p50 ms": round(percentile(times, 0.5), 2),
        "p99 ms": round(p99, 2),
        "p99 ms after 1 s": round(percentile(later, 0.99), 2),
        "p99.9 ms": round(percentile(times, 0.999), 2),
        "worst ms": round(max(times), 1),
        "target": f"p99 ≤ {P99_MS:g} ms: {'met' if p99 <= P99_MS else 'NOT MET'}",
        "generator late ms": round(report["late_ms"], 1),
    }


def _order(ids: Sequence[str], posted: int) -> dict[str, int]:
    """What is missing, what came after a later one of its room, and what came again."""
    seen: set[int] = set()
    last: dict[int, int] = {}
    overtaken = 0
    for number in (int(event_id.removeprefix("EV_")) for event_id in ids):
        if number not in seen:
            overtaken += number < last.get(number % ROOMS, -1)
            last[number % ROOMS] = number
            seen.add(number)
    return {"lost": posted - len(seen), "overtaken": overtaken, "copies": len(ids) - len(seen)}


async def _arrived(url: str) -> list[str]:
    """The ids in all partitions; each room is in one, so that its order is kept."""
    ids: list[str] = []
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=1000)
        for name in PARTITION_QUEUES:
            queue = await channel.get_queue(name)
            left = queue.declaration_result.message_count or 0
            if left:
                async with queue.iterator(no_ack=True, timeout=10) as messages:
                    async for message in messages:
                        ids.append(message.message_id or "")
                        left -= 1
                        if left == 0:
                            break
    return ids


def _figure(admin_port: int, name: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{admin_port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


def _say(line: str) -> None:
    """Not on standard output, which is the report's."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
