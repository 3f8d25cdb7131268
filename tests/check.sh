#!/bin/sh
# check.sh BUILD [long] - every test suite, each a program that ends in a
# line `NAME: N passed, N failed, N skipped`; this adds them up. As many run
# at a time as there are processors. The last line is `N passed, N failed,
# N skipped`, the exit status 0 when none failed.
cd "$(dirname "$0")/.." || exit 1
build=${1:-build}
long=${2:-}
log=$build/check
mkdir -p "$log"

# name, command; those that take longest first
suites()
{
    cat <<END
ops tests/e2e/ops.sh $build $long
models tests/e2e/models.sh $build
law tests/law.sh $build
skip tests/skip.sh $build $long
malformed tests/fuzz/malformed.sh $build $long
poison tests/e2e/poison.sh $build
twins tests/e2e/twins.sh $build
stack tests/e2e/stack.sh $build
quantized tests/e2e/quantized.sh $build $long
corrupt python3 tests/e2e/corrupt.py $build ${long:+--rounds 10000}
widths tests/e2e/widths.sh $build
boards tests/e2e/boards.sh $build $long
golden make -s golden BUILD=$build
unit tests/suite_unit.sh $build
layers tests/suite_layers.sh
cli tests/e2e/cli.sh $build
plan tests/e2e/plan.sh $build
pools tests/e2e/pools.sh $build
share tests/e2e/share.sh $build
html tests/e2e/html.sh $build
arena tests/e2e/arena.sh $build
stream tests/e2e/stream.sh $build $long
chains python3 tests/e2e/chains.py $build --rounds ${long:+20}8
elastic tests/e2e/elastic.sh $build
integer tests/e2e/integer.sh $build
quantize python3 tests/e2e/quantize.py $build
windows python3 tests/e2e/windows.py $build --rounds ${long:+4}4
bands python3 tests/e2e/bands.py $build --rounds ${long:+10}10
nets python3 tests/e2e/nets.py $build --rounds ${long:+4}25
END
    [ -n "$long" ] || return
    cat <<END
demos tests/e2e/demos.sh $build
conformance tests/e2e/conformance.sh $build
text tests/fuzz/text.sh $build
END
}

if [ -n "$long" ]; then         # random orders, layers of integer kernels
    export ORDER_ROUNDS=1000 MCUFC_LAYERS=10000
fi
rm -f "$log"/*.result
list=$(suites | sed 's/ *$//')  # a blank at the end would join two lines
echo "$list" | xargs -P "$(nproc)" -L 1 tests/suite.sh "$log"
echo "$list" | while read -r name rest; do
    cat "$log/$name.result" 2>/dev/null || echo "$name 0 1 0"
done | awk '{ passed += $2; failed += $3; skipped += $4 }
    END {
        printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
        exit failed > 0
    }'
