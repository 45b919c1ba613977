"""The ports that June's parts listen on: which of them something else has already, and others in their place."""

import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from cli.failures import CommandFailed, usage
from runtime.settings import ApiSettings, IngressSettings, SettingsInvalid
from runtime.settings.loading import load_one

ADMIN = "JUNE_ADMIN_PORT"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """So many ports from `first` on, at `host`; the first is set by `variable`."""

    variable: str
    host: str
    first: int
    count: int = 1

    def taken(self) -> list[int]:
        """Those that something listens on."""
        return [port for port in range(self.first, self.first + self.count) if not _is_free(self.host, port)]


def wanted(env: Mapping[str, str], *, parts: int) -> Iterator[Wanted]:
    """Those of all parts. A setting that cannot be read is left out: it is told of elsewhere."""
    for variable, settings, host, port in (
        ("JUNE_INGRESS_PORT", IngressSettings, "ingress_host", "ingress_port"),
        ("JUNE_API_PORT", ApiSettings, "api_host", "api_port"),
        (ADMIN, IngressSettings, "admin_host", "admin_port"),
    ):
        try:
            first, at = load_one(settings, port, env), load_one(settings, host, env)
        except SettingsInvalid:
            continue
        if first:
            yield Wanted(variable=variable, host=at, first=first, count=parts if variable == ADMIN else 1)


def others(
    env: Mapping[str, str], *, parts: int, free: Callable[[int], int], say: Callable[[str], None]
) -> dict[str, str]:
    """Other ports for those that are taken and that nobody has set. `free` gives the first of so many in a row."""
    given: dict[str, str] = {}
    for one in wanted(env, parts=parts):
        set_already = env.get(one.variable) or env.get(f"{one.variable}_FILE")
        if (taken := one.taken()) and not set_already:
            given[one.variable] = str(free(one.count))
            say(f"Port {taken[0]} is taken: {one.variable} is {given[one.variable]} here.")
    return given


def refusal(env: Mapping[str, str], *, parts: int) -> CommandFailed | None:
    """Why the parts cannot listen; None when they can."""
    for one in wanted(env, parts=parts):
        if taken := one.taken():
            return usage(
                f"port {taken[0]} at {one.host} is taken",
                hint=f"end what has it (another `june up`?), or set {one.variable} to another",
            )
    return None


def _is_free(host: str, port: int) -> bool:
    """Whether somebody could listen there, as far as this machine can tell."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        return True  # a host of another kind of trouble
    for family, kind, proto, _, address in found:
        with socket.socket(family, kind, proto) as candidate:
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                candidate.bind(address)
                candidate.listen(1)
            except OSError:
                return False
    return True
