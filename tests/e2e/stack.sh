#!/bin/sh
# stack.sh BUILD - the reported stack_bytes is at most 2 KiB and not below
# the deepest path through the compiler's own call graph, at -O2, -O3 and -Os.
cd "$(dirname "$0")/../.." || exit 1
build=${1:-build}
shared=${MCUFC_SHARED:-../shared}
out=$build/stack
mkdir -p "$out"
passed=0 failed=0 skipped=0

deepest()       # .ci file -> bytes below, and of, NAME_run
{
    awk -F'"' '
        /^node:/ { name = $2; label = $4
            if (match(label, /[0-9]+ bytes/))
                own[name] = substr(label, RSTART, RLENGTH) + 0
            if (label ~ /_run\\n/) run = name }
        /^edge:/ { callee[$2] = callee[$2] "\n" $4 }
        function depth(f,    list, n, i, d, most) {
            if (f in done) return done[f]
            n = split(substr(callee[f], 2), list, "\n")
            for (i = 1; i <= n; i++) {
                d = depth(list[i]); if (d > most) most = d }
            return done[f] = own[f] + most
        }
        END { print depth(run) + 0 }' "$1"
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
        echo "FAIL $m does not compile"
        continue
    }
    said=$(sed -n 's/.*"stack_bytes": \([0-9]*\).*/\1/p' "$out/m.json")
    for o in -O2 -O3 -Os; do
        gcc -std=c99 $o -fcallgraph-info=su -c -o "$out/m.o" "$out/m.c" \
            2>/dev/null
        is=$(deepest "$out/m.ci")
        if [ "$is" -gt 0 ] && [ "$is" -le "$said" ] && [ "$said" -le 2048 ]
        then
            passed=$((passed + 1))
        else
            failed=$((failed + 1))
            echo "FAIL $m $o: uses $is bytes of stack, said $said"
        fi
    done
done
rm -f "$out"/m.*
echo "stack: $passed passed, $failed failed, $skipped skipped"
