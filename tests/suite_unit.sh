#!/bin/sh
# suite_unit.sh BUILD - builds and runs every tests/unit/*_test.c; each is a
# Check program that prints `P%: Checks: N, Failures: N, Errors: N`.
cd "$(dirname "$0")/.." || exit 1
build=${1:-build}
passed=0 failed=0
for src in tests/unit/*_test.c; do
    prog=$build/${src%.c}
    if ! make -s "$prog" BUILD="$build"; then
        echo "FAIL $src does not build"
        failed=$((failed + 1))
        continue
    fi
    "$prog" >"$prog.log" 2>&1
    status=$?
    cat "$prog.log"
    set -- $(sed -n 's/.*Checks: \([0-9]*\), Failures: \([0-9]*\), Errors: \([0-9]*\).*/\1 \2 \3/p' "$prog.log" |
             awk '{c += $1; f += $2 + $3} END {print c + 0, f + 0}')
    if [ "$1" = 0 ] || { [ $status != 0 ] && [ "$2" = 0 ]; }; then
        echo "FAIL $src: exit status $status"
        failed=$((failed + 1))
        continue
    fi
    [ "$2" = 0 ] || echo "FAIL $src: $2 checks"
    passed=$((passed + $1 - $2)) failed=$((failed + $2))
done
echo "unit: $passed passed, $failed failed"
