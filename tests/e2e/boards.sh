#!/bin/sh
# boards.sh BUILD [long] - generated C on Cortex-M boards under QEMU, inside
# an STM32F746's 320 KiB of RAM: the same results as the interpreter's.
suite=boards
. "$(dirname "$0")/lib.sh"

for tool in arm-none-eabi-gcc qemu-system-arm; do
    command -v $tool >/dev/null 2>&1 || { skip "no $tool here"; finish; }
done

runs()          # name, target, model and options...
{
    name=$1 target=$2
    shift 2
    if ! "$build/mcufc" -q "$@" --target "$target" --verify >"$out/log" 2>&1
    then bad "$name on $target: $(tail -1 "$out/log")"
    elif ! grep -q 'instructions per run (exact' "$out/log"
    then bad "$name on $target: not counted"
    else
        ok
        sed -n "s/^\($target: .*instr\)/$name on \1/p" "$out/log"
    fi
}

refused()       # what, pattern of the message, options...
{
    what=$1 message=$2
    shift 2
    if "$build/mcufc" -q "$@" >"$out/log" 2>&1; then bad "$what: accepted"
    elif grep -q "$message" "$out/log"; then ok
    else bad "$what: $(tail -1 "$out/log")"; fi
}

vit=examples/vit-mnist/vit_mnist.onnx
for t in ${2:+cortex-m0 cortex-m3 cortex-m7} cortex-m4 cortex-m55; do
    runs vit $t $vit
done
for t in ${2:+cortex-m0} cortex-m3 cortex-m4 cortex-m7 cortex-m55; do
    runs "int8 vit" $t $vit --quantize int8 --calib \
        examples/vit-mnist/calib.npz
    grep -q 'same output bytes as on the host' "$out/log" ||
        bad "int8 vit on $t: other bytes than on the host"
done
runs "vit, weights in a file" cortex-m4 $vit --weights-file "$out/w.bin"
runs "vit, node by node" cortex-m7 $vit --per-node
cat >"$out/big.mcu" <<'END'
<ir_version: 10, opset_import: ["" : 21]>
big (float[50000] x) => (float[50000] y) { y = Softmax(x) }
END
refused "400 kB of arena" 'overflowed\|too little' "$out/big.mcu" \
    --target cortex-m7 --verify --no-reuse
refused "no board" 'no board' $vit --target cortex-m33 --verify
refused "unknown target" 'list-targets' $vit --target cortex-m9

for m in 06_mlperf_ic_resnet8_int8_qdq ${2:+07_marp_kws_dscnn_int8_qoperator}
do
    f=$shared/models/$m.onnx
    [ -f "$f" ] || { skip "$m is not here"; continue; }
    for t in cortex-m3 cortex-m4 cortex-m7 cortex-m55; do
        runs $m $t "$f" --io quantized
        grep -q 'same output bytes as on the host' "$out/log" ||
            bad "$m on $t: other bytes than on the host"
    done
done
finish
