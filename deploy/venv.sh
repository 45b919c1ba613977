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
    if [ "$(id -u)" != 0 ]; then
        sudo=sudo
        if ! command -v sudo >/dev/null; then
            echo "This Python has no venv, and there is no sudo: let root do 'apt-get install python3-venv' once." >&2
            exit 1
        fi
    fi
    echo "installing python3-venv"
    $sudo apt-get -qq update
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install python3-venv >/dev/null
fi
echo "making .venv from requirements-dev.lock (a minute or two)"
"$python" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
# The command `june`, from this tree, which starts servers too; all that it needs is there.
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
    --config-settings editable_mode=compat --editable .
