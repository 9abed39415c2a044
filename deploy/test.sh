#!/bin/sh
# All tests, in three processes at a time: faults and other tests with a broker or the engine wait most of their time, the
# rest only computes, with what they leave of the processor. Arguments: folders or files of tests.
set -u
cd "$(dirname "$0")/.." || exit 1

said=$(mktemp -d) || exit 1
beside=
trap '[ -z "$beside" ] || kill $beside 2>/dev/null; rm -rf "$said"' EXIT
servers="kafka or clickhouse"

pytest=".venv/bin/python -m pytest --durations=10"
# 5: there are none of this kind.
verdict() { [ "$1" -eq 0 ] || [ "$1" -eq 5 ]; }

$pytest -p no:cacheprovider -m faults "$@" >"$said/faults" 2>&1 &
faults=$!
nice -n 5 $pytest -p no:cacheprovider -m "not ($servers or faults)" "$@" >"$said/rest" 2>&1 &
rest=$!
beside="$faults $rest"
echo "tests: with a broker or the engine (the others run beside them)"
$pytest -m "($servers) and not faults" "$@"
first=$?
wait "$faults"
second=$?
wait "$rest"
third=$?
beside=
echo "tests: faults"
cat "$said/faults"
echo "tests: without a broker and the engine"
cat "$said/rest"
[ "$first$second$third" != 555 ] || echo "tests: there are none in $*" >&2
[ "$first$second$third" != 555 ] && verdict "$first" && verdict "$second" && verdict "$third"
