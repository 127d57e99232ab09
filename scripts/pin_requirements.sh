#!/bin/sh
# Compiles requirements/*.in into pinned lists with hashes and without any registry's address.
set -eu
cd "$(dirname "$0")/.."
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
"${PYTHON:-python3}" -m venv "$tools"
"$tools/bin/python" -m pip install -q pip-tools
cd requirements
for list in runtime build dev; do
    "$tools/bin/pip-compile" -q --generate-hashes --strip-extras --no-header \
        --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
        -o "$list.txt" "$list.in"
done
