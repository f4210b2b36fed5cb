#!/usr/bin/env bash
# The cargo that builds what runs on the host. It is the user's own one, unless
# tools/setup.sh found that one missing or too old and chose another.
set -eu

HOST_BIN=
# shellcheck source=/dev/null # written by setup.sh
if [ -f "${0%/*}/../target/setup/env" ]; then . "${0%/*}/../target/setup/env"; fi
if [ -n "$HOST_BIN" ]; then export PATH="$HOST_BIN:$PATH"; fi
exec cargo "$@"
