#!/bin/sh
# stream.sh BUILD [long] - the memory floor: models of the shapes that
# bench/vit.py makes, quantized, compiled under an arena of the size that
# their streaming must reach, run, and compared with the interpreter; what the
# report says is what the C file says. `long` adds the larger models, and runs
# them on the boards with 320 KiB of RAM.
suite=stream
. "$(dirname "$0")/lib.sh"
long=${2:-}

# name of a shape, further words for vit.py -> $out/NAME.onnx, int8
quantized()
{
    shape=$1 name=$2
    shift 2
    [ -f "$out/$name.onnx" ] && return
    python3 bench/vit.py "$shape" "$@" -o "$out/$name.mcu" &&
        python3 bench/vit.py "$shape" --images 1 -o "$out/$name.npy" &&
        "$build/mcufc" -q "$out/$name.mcu" --quantize int8 --residual int8 \
            --calib "$out/$name.npy" -o "$out/$name.onnx"
}

# fits BYTES MODEL OPTION...: under --arena; report = macro; stack; output
fits()
{
    bytes=$1 model=$2
    shift 2
    "$build/mcufc" -q "$model" --name m --arena "$bytes" "$@" \
        -o "$out/m.c" --report="$out/m.json" ||
        { bad "$model $*: not in $bytes bytes"; return; }
    is=$(sed -n 's/.*"arena": {"bytes": \([0-9]*\).*/\1/p' "$out/m.json")
    stack=$(sed -n 's/.*"stack_bytes": \([0-9]*\).*/\1/p' "$out/m.json")
    grep -q "^#define M_ARENA_BYTES ${is}u" "$out/m.c" && ok ||
        bad "$model $*: the report says $is, the C file does not"
    [ "$stack" -le 2048 ] && ok || bad "$model $*: stack $stack"
    "$build/mcufc" -q "$model" --arena "$bytes" "$@" --check-plan \
        "$out/m.json" >/dev/null && ok || bad "$model $*: plan not valid"
}

verified()      # MODEL OPTION...: integers are compared bit by bit
{
    "$build/mcufc" -q "$@" --verify >"$out/verify.log" 2>&1 && ok ||
        bad "$*: $(tail -1 "$out/verify.log")"
}

python3 -c "" 2>/dev/null || {
    skip "python3 is not here"
    finish
    exit
}
quantized tiny tiny || bad "DeiT-Tiny is not quantized"
fits 155648 "$out/tiny.onnx" --io quantized
verified "$out/tiny.onnx" --io quantized --arena 155648
verified "$out/tiny.onnx" --io quantized --skip=stream

# float: four times as much
fits 622592 "$out/tiny.mcu"

# the image in bands; outputs are those of the interpreter, bit by bit
fits 94208 "$out/tiny.onnx" --io quantized --stream-input
verified "$out/tiny.onnx" --io quantized --stream-input --arena 92K
for net in mbv2:26112 vww:16896; do
    python3 bench/cnn.py "${net%:*}" >"$out/cnn.mcu"
    fits "${net#*:}" "$out/cnn.mcu" --stream-input
    verified "$out/cnn.mcu" --stream-input --arena "${net#*:}"
done

# fed by its own test, in an arena that nobody has cleared
net=tests/golden/bands/windows.mcu
cat >"$out/self.c" <<'END'
#define M_SELFTEST
#include "bands.c"
static m_arena arena;
int main(void)
{
    memset(&arena, 0x5a, sizeof arena);
    if (m_run(&arena) != M_EINVAL || m_push_x(&arena))
        return 1;
    return m_selftest(&arena) || m_selftest(&arena);
}
END
for cc in gcc clang; do
    command -v $cc >/dev/null || { skip "$cc is not here"; continue; }
    truth "$cc: the test of an input in bands" sh -c "$mcufc -q $net --name m \
        --stream-input --selftest -o $out/bands.c && $cc $(echo $strict) -O1 \
        -fsanitize=address,undefined -o $out/self $out/self.c -lm &&
        $out/self"
done

# a decoder's step, 512 tokens: the caches and 8 KiB
sed 's/const T = 256/const T = 512/; s/256\.0/512.0/g' \
    examples/text/llama.mcu >"$out/llama.mcu"
fits 663552 "$out/llama.mcu" --state auto
verified "$out/llama.mcu" --state auto --arena 663552

# network of bench/cnn.py, options for that, BYTES besides the image, F: with
# at most F times the products
patches()
{
    network=$1 plain=$2 bytes=$3 times=$4
    shift 4
    model=$out/$network.mcu
    python3 bench/cnn.py "$network" $plain >"$model"
    "$build/mcufc" -q "$model" --io quantized --optimize ram --max-macs \
        "$times" "$@" -o "$out/m.c" --report="$out/m.json" ||
        { bad "$network: does not compile"; return; }
    python3 - "$out/m.json" "$bytes" "$times" <<'END' && ok ||
import json, sys
plan = json.load(open(sys.argv[1]))
image = sum(x["bytes"] for x in plan["inputs"])
once = plan["macs"] - plan["macs_added"]
bytes = plan["arena"]["bytes"] - image
print(bytes, plan["macs"] / once)
sys.exit(bytes > int(sys.argv[2]) or
         plan["macs"] > once * float(sys.argv[3]))
END
        bad "$network $*: more than $bytes bytes or $times times the work"
    "$build/mcufc" -q "$model" --io quantized --optimize ram --max-macs \
        "$times" "$@" --check-plan "$out/m.json" >/dev/null && ok ||
        bad "$network $*: plan not valid"
    verified "$model" --io quantized --optimize ram --max-macs "$times" "$@"
}
patches vww "" 11712 1
patches vww "" 1768 1.15
patches vww "" 13344 1.05 --keep-inputs

if [ -n "$long" ]; then
    patches mbv2 "" 9080 1
    patches mbv2 "" 1144 1.68
    patches mbv2 "" 19416 1.05 --keep-inputs
    patches 320k --plain 22000 1
    patches 320k --plain 4872 1.37
    patches 320k --plain 59216 1 --keep-inputs
    patches 320k --plain 45136 1.15 --keep-inputs
    quantized tiny joint --joint || bad "joint products are not quantized"
    fits 155648 "$out/joint.onnx" --io quantized
    verified "$out/joint.onnx" --io quantized --arena 155648
    verified "$out/joint.onnx" --io quantized --skip=split_products
    verified "$out/tiny.mcu" --arena 622592
    quantized small small || bad "DeiT-Small is not quantized"
    fits 180224 "$out/small.onnx" --io quantized
    fits 172032 "$out/small.onnx" --io quantized --input-layout nhwc
    fits 720896 "$out/small.mcu"
    fits 688128 "$out/small.mcu" --input-layout nhwc
    quantized base base || bad "DeiT-Base is not quantized"
    fits 319488 "$out/base.onnx" --io quantized
    fits 1277952 "$out/base.mcu"
    quantized mcuformer mcuformer || bad "MCUFormer is not quantized"
    fits 180224 "$out/mcuformer.onnx" --io quantized
    fits 86016 "$out/mcuformer.onnx" --io quantized --stream-input
    verified "$out/mcuformer.onnx" --io quantized --stream-input --arena 84K
    if command -v qemu-system-arm >/dev/null; then
        verified "$out/tiny.onnx" --io quantized --arena 152K \
            --target cortex-m7
        verified "$out/tiny.onnx" --io quantized --stream-input --arena 92K \
            --target cortex-m7
        verified "$out/small.onnx" --io quantized --arena 176K \
            --target cortex-m55
        verified "$out/base.onnx" --io quantized --arena 312K \
            --target cortex-m55
    else
        skip "qemu-system-arm is not here"
    fi
fi
rm -f "$out"/m*.c "$out"/m.json
finish
