#!/bin/sh
# stack.sh BUILD - the reported stack_bytes is at most 2 KiB and not below
# what the compiler says it uses: run + the largest step + the two largest
# kernels below it (kernels call each other at most two deep), at -O2 and -Os.
cd "$(dirname "$0")/../.." || exit 1
build=${1:-build}
shared=${MCUFC_SHARED:-../shared}
out=$build/stack
mkdir -p "$out"
passed=0 failed=0 skipped=0

used()          # .su file -> bytes
{
    awk -F'\t' '{ n = split($1, p, ":"); f = p[n]
        if (f ~ /_run$/) run = $2
        else if (f ~ /_step_[0-9]+$/) { if ($2 > step) step = $2 }
        else if ($2 > first) { second = first; first = $2 }
        else if ($2 > second) second = $2 }
        END { print run + step + first + second }' "$1"
}

for m in examples/*/*.onnx "$shared"/models/*.onnx \
         "$shared"/models/shapes/*.onnx; do
    if [ ! -f "$m" ]; then
        skipped=$((skipped + 1))
        echo "SKIP $m is not here"
        continue
    fi
    "$build/mcufc" -q "$m" -o "$out/m.c" --report="$out/m.json" || {
        failed=$((failed + 1))
        continue
    }
    said=$(sed -n 's/.*"stack_bytes": \([0-9]*\).*/\1/p' "$out/m.json")
    for o in -O2 -Os; do
        gcc -std=c99 $o -fstack-usage -c -o "$out/m.o" "$out/m.c" 2>/dev/null
        is=$(used "$out/m.su")
        if [ "$is" -le "$said" ] && [ "$said" -le 2048 ]; then
            passed=$((passed + 1))
        else
            failed=$((failed + 1))
            echo "FAIL $m $o: uses $is bytes of stack, said $said"
        fi
    done
done
rm -f "$out"/m.*
echo "stack: $passed passed, $failed failed, $skipped skipped"
