#!/bin/sh
# text.sh BUILD [COUNT] - changed texts (default 1,000,000) through parser,
# builder and printer under the sanitizers, then one more change at a time is
# said with its number: build/asan/tests/fuzz/text -i N TEXTS...
cd "$(dirname "$0")/../.." || exit 1
build=${1:-build}/asan
count=${2:-1000000}
log=${1:-build}/text.log
# what the compiler prints is read without upgrades and folding: seeds as well
printed=$build/seeds
mkdir -p "$printed"
for f in tests/golden/*/*.mcu; do
    "${1:-build}/mcufc" "$f" -q --inline-weights --dump-after=plan \
        -o "$printed/$(basename "$f")" 2>/dev/null
done
seeds=$(ls "$printed"/*.mcu tests/golden/*/*.mcu examples/*/*.mcu 2>/dev/null |
        grep -v repeat-bounds)
make -s "$build/tests/fuzz/text" BUILD="$build" \
    CFLAGS="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all" ||
    exit 1
# shellcheck disable=SC2086
ASAN_OPTIONS=abort_on_error=1 UBSAN_OPTIONS=abort_on_error=1 \
    "$build/tests/fuzz/text" -n "$count" $seeds >"$log" 2>&1
grep -E '^FAIL|refused' "$log"
broken=$(awk '/ broken$/ {print $(NF - 1)}' "$log")
if [ -z "$broken" ]; then       # it did not get to the end
    tail -20 "$log"
    echo "text: 0 passed, 1 failed"
    exit 1
fi
echo "text: $((count - broken)) passed, $broken failed"
[ "$broken" = 0 ]
