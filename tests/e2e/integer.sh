#!/bin/sh
# integer.sh BUILD - no floats in integer code: every golden model of integer
# ops, compiled for a Cortex-M0 and an M4 without FPU, names no function of
# soft floats, and none of libm's; and the cross compiler warns of nothing.
cd "$(dirname "$0")/../.." || exit 1
build=${1:-build}
cc=${ARM_CC:-arm-none-eabi-gcc}
out=$build/integer
strict="-std=c99 -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion
    -Wshadow -Wmissing-prototypes -Wdouble-promotion -Werror"
passed=0 failed=0 skipped=0
if ! command -v "$cc" >/dev/null; then
    echo "SKIP integer: no $cc"
    echo "integer: 0 passed, 0 failed, 1 skipped"
    exit 0
fi
rm -rf "$out" && mkdir -p "$out"
for m in tests/golden/qops/*.mcu tests/golden/qconv/*.mcu; do
    name=$(basename "$m" .mcu)
    # models of bad numbers have no C; those without inputs have no steps
    "$build/mcufc" "$m" -q -o "$out/$name.c" 2>/dev/null || continue
    grep -q '_step_[0-9]*(' "$out/$name.c" || continue
    for cpu in cortex-m0 cortex-m4; do
        # shellcheck disable=SC2086
        if ! "$cc" -mcpu=$cpu -mthumb -mfloat-abi=soft -O2 $strict \
                -c "$out/$name.c" -o "$out/$name.o" 2>"$out/err"; then
            echo "FAIL integer $name: $(head -1 "$out/err")"
            failed=$((failed + 1))
            continue
        fi
        bad=$(arm-none-eabi-nm -u "$out/$name.o" |
              grep -vE ' (memset|memcpy|memmove)$' |
              grep -vE ' __aeabi_(lmul|u?ldivmod|u?idiv(mod)?|l?lsl|llsr|lasr|memset4?|memcpy4?)$')
        if [ -n "$bad" ]; then
            echo "FAIL integer $name on $cpu:" $bad
            failed=$((failed + 1))
        else
            passed=$((passed + 1))
        fi
    done
done
echo "integer: $passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
