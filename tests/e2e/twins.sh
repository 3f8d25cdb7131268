#!/bin/sh
# twins.sh BUILD - mcufc built by clang writes the same bytes as mcufc built
# by gcc, and as itself a second time.
cd "$(dirname "$0")/../.." || exit 1
build=${1:-build}
shared=${MCUFC_SHARED:-../shared}
out=$build/twins
mkdir -p "$out"
passed=0 failed=0 skipped=0
if ! command -v clang >/dev/null 2>&1; then
    echo "SKIP twins: no clang"
    echo "twins: 0 passed, 0 failed, 1 skipped"
    exit 0
fi
make -s all BUILD="$build/clang" CC=clang >"$out/log" 2>&1 || {
    tail -5 "$out/log"
    echo "FAIL clang does not build mcufc"
    echo "twins: 0 passed, 1 failed"
    exit 1
}
for m in examples/*/*.onnx "$shared"/models/*.onnx \
         "$shared"/models/shapes/*.onnx; do
    if [ ! -f "$m" ]; then
        skipped=$((skipped + 1))
        echo "SKIP $m is not here"
        continue
    fi
    for who in "$build" "$build/clang"; do
        "$who/mcufc" -q "$m" -o "$out/$(echo "$who" | tr / _).c" --name m \
            --report="$out/$(echo "$who" | tr / _).json"
    done >"$out/log" 2>&1
    a=$out/$(echo "$build" | tr / _) b=$out/$(echo "$build/clang" | tr / _)
    if cmp "$a.c" "$b.c" && cmp "$a.json" "$b.json"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $m: gcc- and clang-built mcufc differ"
    fi
    rm -f "$a".* "$b".*
done
echo "twins: $passed passed, $failed failed, $skipped skipped"
