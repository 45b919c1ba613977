"""`python -m cli.docs` prints docs/cli.md, made from the help itself so that neither can lie about the other."""

import re
import sys

from cli.main import build
from cli.world import World

_HEAD = """\
# The command line

`june` comes with the package; in the source tree it is `python -m cli`. This page is made by `python -m cli.docs`.

- On a terminal there are tables and colour. In a pipe a line is one thing, with tabs between its values.
- `--json` gives JSON lines.
- Results go to standard output, everything else to standard error.
- Settings are [environment variables](settings.md): `JUNE_AMQP_URL` for most commands.
- `june --install-completion` sets up completion for your shell.

| exit code | |
|---|---|
| 0 | done |
| 1 | refused: by June, with its error code and each field that is wrong; or something was found to be wrong |
| 2 | the command line or the settings are wrong; nothing was begun |
| 3 | something did not answer; the same again is right |
| 130 | Ctrl-C, where that is not how the command ends |

"""


def render() -> str:
    """The whole page, ending in a newline."""
    pages = build(World()).generate_docs()
    commands = pages[re.search(r"^## ", pages, re.MULTILINE).start() :]  # type: ignore[union-attr] # there are commands
    contents = re.search(r"^## Table of Contents\n.*?(?=^\*\*|^## )", commands, re.MULTILINE | re.DOTALL)
    if contents is not None:
        commands = commands.replace(contents[0], "")
    # Where the program was started by `-m`, the usage would say so.
    commands = re.sub(r"^(june .*?) -m [\w.]+", r"\1", commands, flags=re.MULTILINE)
    return _HEAD + re.sub(r"[ \t]+$", "", commands, flags=re.MULTILINE).rstrip() + "\n"


if __name__ == "__main__":
    sys.stdout.write(render())
