"""What only the source tree has, with its `rtc` extra: the sample participant and the sample services."""

from importlib.util import find_spec

from cli.failures import usage

_NEEDED = ("livekit.rtc", "numpy", "examples")


def check_extra(command: str) -> None:
    """Raises CommandFailed where `command` cannot work for want of it."""
    if missing := [name for name in _NEEDED if not _is_here(name)]:
        raise usage(
            f"`{command}` needs what is not installed: {', '.join(missing)}",
            hint="in the source tree: pip install -e '.[rtc]'; any LiveKit client can use `june guest-token`, too",
        )


def _is_here(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
