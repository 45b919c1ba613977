"""What `june doctor` says about policies on June's queues."""

from __future__ import annotations

from typing import Any

import pytest

from cli.checks.finding import Verdict
from cli.checks.policies import judged, policies


def queue(name: str, definition: Any, **more: Any) -> dict[str, Any]:
    """As RabbitMQ's management API tells of it."""
    return {"name": name, "effective_policy_definition": definition, **more}


def test_a_policy_that_throws_messages_away_is_bad() -> None:
    """Named with its queue and limit, a policy of the operator's too; a few are told of many."""
    names = [f"june.rooms.v1.p{number:02d}" for number in range(16)]
    found = judged([queue(name, {"max-length": 10}, operator_policy="short") for name in names])
    assert found.verdict is Verdict.BAD
    assert "june.rooms.v1.p00 has max-length 10 of the policy short" in found.text
    assert "13 more" in found.text
    assert found.mend


@pytest.mark.parametrize(
    "queues",
    [
        [],
        [queue("somebody.elses", {"message-ttl": 1}, policy="theirs")],
        [queue("june.dead.v1", {"queue-leader-locator": "balanced"}, policy="ha")],
        [queue("june.dead.v1", []), None, {"name": "june.dead.v1"}],
    ],
    ids=["none", "of others", "harmless", "as an older RabbitMQ tells"],
)
def test_other_policies_are_well(queues: list[Any]) -> None:
    """What does not lose a message of June's is nobody's business."""
    assert judged(queues).verdict is Verdict.OK


async def test_where_nobody_can_tell_nothing_is_claimed() -> None:
    """Skipped without the management API's address, a warning where nothing answers there."""
    assert (await policies({})).verdict is Verdict.SKIPPED
    away = await policies({"JUNE_RABBITMQ_MANAGEMENT_URL": "http://127.0.0.1:1"})
    assert (away.verdict, bool(away.mend)) == (Verdict.WARNING, True)
