#!/bin/sh
# malformed.sh BUILD [long] - files that no exporter wrote: models that break
# one rule each, models cut short at every percent, 10,000 (long: 100,000)
# copies with changed bytes, and bombs. Each ends with a message and exit
# code 1 (or 0, when the damage does not matter) within 1 s and 512 MiB.
cd "$(dirname "$0")/../.." || exit 1
build=${1:-build}
flips=10000
[ -n "$2" ] && flips=100000
make -s "$build/tests/fuzz/fuzz" BUILD="$build" || exit 1
log=$build/malformed.log

tests/fuzz/bad.sh "$build/mcufc" >"$log"
cat "$log"
bad=$(awk '/bad models/ {print $1}' "$log")
wrong=$(awk '/bad models/ {print $4}' "$log")
"$build/tests/fuzz/fuzz" -n $flips tests/data/*.onnx -- \
    "$build/mcufc" {} -q -o "$build/tests/fuzz/out.c" >"$log" 2>&1
cat "$log"
runs=$(awk '/ runs, / {print $1}' "$log")
broke=$(awk '/broke the rules/ {for (i = 1; i < NF; i++)
                                if ($(i + 1) == "broke") print $i}' "$log")
[ "${broke:-1}" = 0 ] || echo "FAIL malformed: ${broke:-all} files"
echo "malformed: $((bad - wrong + runs - broke)) passed," \
     "$((wrong + broke)) failed"
