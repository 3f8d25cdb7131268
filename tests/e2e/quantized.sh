#!/bin/sh
# quantized.sh BUILD [long] - models that come quantized, with codes at their
# boundary: they agree with the interpreter in every bit and with the stored
# outputs, no step is left in floats, a core without FPU needs no function of
# soft floats, and the arena without overlaps is what it has to be. Then
# quantized.py, where a Python with onnxruntime is ($MCUFC_PYTHON).
cd "$(dirname "$0")/../.." || exit 1
build=${1:-build}
long=${2:-}
mcufc=$build/mcufc
shared=${MCUFC_SHARED:-../shared}
python=${MCUFC_PYTHON:-python3}
cc=${ARM_CC:-arm-none-eabi-gcc}
out=$build/quantized
mkdir -p "$out"
passed=0 failed=0 skipped=0

check()         # what, command...
{
    what=$1
    shift
    if "$@" >"$out/log" 2>&1; then
        passed=$((passed + 1))
    else
        echo "FAIL quantized $what: $(tail -1 "$out/log")"
        failed=$((failed + 1))
    fi
}

no_islands()
{
    ! grep -n '"float_island": "' "$1"
}

no_soft_floats()
{
    "$cc" -mcpu=cortex-m0 -mthumb -mfloat-abi=soft -Os -std=c99 -c "$1" \
        -o "$out/m.o" || return 1
    ! arm-none-eabi-nm -u "$out/m.o" | grep -E '__aeabi_[fd]|expf|sqrt'
}

arena_is()      # report, bytes: proved
{
    grep -E "\"arena\": \{\"bytes\": $2, .*\"lower_bound\": $2," "$1" && return
    grep '"arena"' "$1" | cut -c1-100
    return 1
}

model()         # name, arena without overlaps, stored outputs too?
{
    m=$shared/models/$1.onnx
    check "$1 compiles" "$mcufc" "$m" -q --io quantized --skip=overlap,stream \
        -o "$out/m.c" "--report=$out/m.json"
    check "$1 in integers" no_islands "$out/m.json"
    check "$1 arena" arena_is "$out/m.json" "$2"
    if command -v "$cc" >/dev/null; then
        check "$1 without soft floats" no_soft_floats "$out/m.c"
    else
        skipped=$((skipped + 1))
    fi
    check "$1 bits" "$mcufc" "$m" -q --io quantized --verify
    if [ -n "$3" ]; then
        check "$1 outputs" "$mcufc" "$m" -q --io quantized \
            "--verify=$shared/models/golden/$1.npz"
    fi
}

if [ -d "$shared/models" ]; then
    model 06_mlperf_ic_resnet8_int8_qdq 49152 y
    model 07_marp_kws_dscnn_int8_qoperator 10240 y
    model 08_mlperf_vww_mbv1_int8_qdq 55296 y
    model 09_mlperf_ad_autoencoder_int8_qdq 768 y
    # its outputs are chaotic: doc/quantized-models.md
    model 10_mobilenetv2-12_int8_qoperator 1505280 ""
    model mnist_tiny_int8 7840 ""
else
    echo "SKIP quantized models: no $shared/models"
    skipped=$((skipped + 1))
fi

"$python" tests/e2e/quantized.py "$build" $long >"$out/py.log" 2>&1
grep -E '^(FAIL|SKIP)' "$out/py.log"
line=$(grep -E '^layers: [0-9]+ passed' "$out/py.log" | tail -1)
if [ -n "$line" ]; then
    set -- $(echo "${line#*: }" | tr -d ,)
    passed=$((passed + $1)) failed=$((failed + $3))
    skipped=$((skipped + $5))
else
    echo "FAIL quantized.py: $(tail -1 "$out/py.log")"
    failed=$((failed + 1))
fi
echo "quantized: $passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
