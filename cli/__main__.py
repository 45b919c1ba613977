"""`python -m cli` is `june`. A Ctrl-C while it is still being loaded is as quiet as a later one."""

import sys


def main() -> None:
    """The console script. Never returns."""
    try:
        from cli.main import main as run  # noqa: PLC0415 - what takes its time is loaded in here
    except KeyboardInterrupt:
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
