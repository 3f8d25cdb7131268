#!/bin/sh
# check.sh BUILD [long] - every test suite, each a program that ends in a
# line `NAME: N passed, N failed, N skipped`; this adds them up. The last
# line is `N passed, N failed, N skipped`, the exit status 0 when none failed.
cd "$(dirname "$0")/.." || exit 1
build=${1:-build}
long=${2:-}
log=$build/check
mkdir -p "$log"
passed=0 failed=0 skipped=0

count()         # log file, suite name, exit status
{
    line=$(grep -E "^$2: [0-9]+ passed, [0-9]+ failed" "$1" | tail -1)
    if [ -z "$line" ]; then
        echo "$2: no result (exit status $3), see $1"
        failed=$((failed + 1))
        return
    fi
    echo "$line"
    set -- $(echo "${line#*: }" | tr -d ,) 0 skipped
    passed=$((passed + $1)) failed=$((failed + $3)) skipped=$((skipped + $5))
}

suite()         # name, command...
{
    name=$1
    shift
    "$@" >"$log/$name.log" 2>&1
    status=$?
    grep -E '^(FAIL|SKIP)' "$log/$name.log" | head -20
    count "$log/$name.log" "$name" $status
}

[ -n "$long" ] && ORDER_ROUNDS=1000 && export ORDER_ROUNDS
# random layers of every integer kernel
[ -n "$long" ] && MCUFC_LAYERS=10000 && export MCUFC_LAYERS
suite layers tests/suite_layers.sh
suite unit tests/suite_unit.sh "$build"
suite golden make -s golden BUILD="$build"
suite law tests/law.sh "$build"
suite skip tests/skip.sh "$build" ${long:+long}
suite cli tests/e2e/cli.sh "$build"
suite models tests/e2e/models.sh "$build"
suite plan tests/e2e/plan.sh "$build"
suite twins tests/e2e/twins.sh "$build"
suite quantized tests/e2e/quantized.sh "$build" ${long:+long}
suite stack tests/e2e/stack.sh "$build"
suite poison tests/e2e/poison.sh "$build"
suite corrupt python3 tests/e2e/corrupt.py "$build" \
    ${long:+--rounds 10000}
suite pools tests/e2e/pools.sh "$build"
suite share tests/e2e/share.sh "$build"
suite html tests/e2e/html.sh "$build"
suite arena tests/e2e/arena.sh "$build"
suite stream tests/e2e/stream.sh "$build" ${long:+long}
suite elastic tests/e2e/elastic.sh "$build"
suite widths tests/e2e/widths.sh "$build"
suite boards tests/e2e/boards.sh "$build" ${long:+long}
suite integer tests/e2e/integer.sh "$build"
suite ops tests/e2e/ops.sh "$build" ${long:+long}
suite quantize python3 tests/e2e/quantize.py "$build"
suite windows python3 tests/e2e/windows.py "$build" --rounds ${long:+4}4
suite malformed tests/fuzz/malformed.sh "$build" ${long:+long}
if [ -n "$long" ]; then
    suite demos tests/e2e/demos.sh "$build"
    suite conformance tests/e2e/conformance.sh "$build"
    [ -x tests/fuzz/text.sh ] && suite text tests/fuzz/text.sh "$build"
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
