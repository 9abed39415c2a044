#!/bin/sh
# All tests, in two processes at a time: those that need a broker or the engine wait most of their time, the others only
# compute. Arguments: folders or files of tests.
set -u
cd "$(dirname "$0")/.." || exit 1

said=$(mktemp) || exit 1
trap '[ -z "$alone" ] || kill "$alone" 2>/dev/null; rm -f "$said"' EXIT
alone=
servers="kafka or clickhouse or faults"

pytest() { .venv/bin/python -m pytest --durations=10 "$@"; }
# 5: there are none of this kind.
verdict() { [ "$1" -eq 0 ] || [ "$1" -eq 5 ]; }

pytest -p no:cacheprovider -m "not ($servers)" "$@" >"$said" 2>&1 &
alone=$!
echo "tests: with a broker or the engine (those without run beside them)"
pytest -m "$servers" "$@"
first=$?
wait "$alone"
second=$?
alone=
echo "tests: without a broker and the engine"
cat "$said"
[ "$first$second" != 55 ] || echo "tests: there are none in $*" >&2
[ "$first$second" != 55 ] && verdict "$first" && verdict "$second"
