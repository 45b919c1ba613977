"""Policies that an operator has put on June's queues: some let RabbitMQ throw away what it had confirmed."""

from collections.abc import Iterator, Mapping
from typing import Any

from cli.checks.finding import Finding, bad, ok, skipped, warning
from runtime.settings import AmqpSettings, ApiSettings, SettingsInvalid
from runtime.settings.loading import load_one
from schemas.topology import TOPOLOGY
from session_api.management import Management, ManagementUnavailable

WEAKENING = (
    "message-ttl",
    "max-length",
    "max-length-bytes",
    "expires",
    "overflow",
    "delivery-limit",
    "max-age",
)
"""Limits of which RabbitMQ takes the smaller one: the queue's own, or the policy's."""
_SETTING = "JUNE_RABBITMQ_MANAGEMENT_URL"


async def policies(env: Mapping[str, str]) -> Finding:
    """What they make of June's queues."""
    try:
        url = load_one(ApiSettings, "management_url", env)
        amqp_url = load_one(AmqpSettings, "amqp_url", env).get_secret_value()
    except SettingsInvalid as invalid:
        return bad("policies", "; ".join(invalid.problems), mend=f"set {_SETTING}")
    if url is None:
        return skipped("policies", f"{_SETTING} is not set, and AMQP does not tell them")
    try:
        queues = await Management(url.get_secret_value(), amqp_url).listed("queues")
    except ManagementUnavailable as error:
        return warning(
            "policies", f"RabbitMQ's management API: {error}", mend=f"set {_SETTING} to where it is"
        )
    return judged(queues)


def judged(queues: list[Any]) -> Finding:
    """By the queues as the management API lists them."""
    if weak := list(_weakened(queues)):
        some = "; ".join(weak[:3]) + (f"; and {len(weak) - 3} more" if len(weak) > 3 else "")
        mend = "end the policy, or let its pattern leave out `june.`: `rabbitmqctl list_policies`"
        return bad("policies", f"may lose messages: {some}", mend=mend)
    return ok("policies", "none weakens a queue of June's")


def _weakened(queues: list[Any]) -> Iterator[str]:
    ours = {queue.name for queue in TOPOLOGY.queues}
    for queue in queues:
        match queue:
            case {"name": str(name), "effective_policy_definition": dict(definition)} if name in ours:
                limits = [f"{key} {definition[key]}" for key in WEAKENING if key in definition]
                policy = queue.get("policy") or queue.get("operator_policy") or "?"
                if limits:
                    yield f"{name} has {', '.join(limits)} of the policy {policy}"
            case _:
                pass
