#!/bin/sh
# demos.sh BUILD - the programs of examples/ say themselves whether the model
# works: they end with 0 only when most images are right.
cd "$(dirname "$0")/../.." || exit 1
build=${1:-build}
passed=0 failed=0
for demo in examples/*/demo.sh; do
    if TERM=dumb sh "$demo" "$build" >"$build/demo.log" 2>&1
    then passed=$((passed + 1))
    else failed=$((failed + 1)); echo "FAIL $demo"; tail -3 "$build/demo.log"
    fi
done
echo "demos: $passed passed, $failed failed, 0 skipped"
