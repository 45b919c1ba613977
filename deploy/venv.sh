#!/bin/sh
# Makes .venv from the hashed lock, with the Python named in $1. Installs Debian's python3-venv where it is missing.
set -eu
python=$1

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "Python 3.11 or later is needed; '$python' is not. Name another: make PYTHON=python3.12 ..." >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    if ! command -v apt-get >/dev/null; then
        echo "This Python has no venv: install it by your system's own means." >&2
        exit 1
    fi
    sudo=
    [ "$(id -u)" = 0 ] || sudo=sudo
    echo "installing python3-venv"
    $sudo apt-get -qq update
    DEBIAN_FRONTEND=noninteractive $sudo apt-get -qq -y --no-install-recommends install python3-venv >/dev/null
fi
echo "making .venv from requirements-dev.lock (a minute or two)"
"$python" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
# The command `june`, from this tree, which starts servers too; all that it needs is there.
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
    --config-settings editable_mode=compat --editable .
