#!/bin/sh
# arena.sh BUILD - the arena of known networks, to the byte: without overlap
# the most bytes that any order has live, with overlap what the kernels' units
# allow; and on every model the plan equals its lower bound. These are classes
# of plans of whole tensors: --skip=stream; what loops need is less.
suite=arena
. "$(dirname "$0")/lib.sh"

# arena WHAT BYTES MODEL OPTION...: the plan is proved, and its bytes are -eq
# (all classes without a gap) or -le (with loops) so many
arena()
{
    relation=$1 bytes=$2
    shift 2
    [ -f "$1" ] || { skip "$1 is not here"; return; }
    "$mcufc" -q "$@" --require-gap 0 --report="$out/r.json" -o "$out/m.c" ||
        { bad "$*: not proved optimal"; return; }
    is=$(sed -n 's/.*"arena": {"bytes": \([0-9]*\).*/\1/p' "$out/r.json")
    [ "$is" "$relation" "$bytes" ] && ok ||
        bad "$*: $is bytes, not $relation $bytes"
}
exactly() { arena -eq "$@"; }
loops() { arena -le "$@"; }

m=$shared/models
q="--io quantized"
exactly 55296 "$m/08_mlperf_vww_mbv1_int8_qdq.onnx" \
    $q --skip=overlap,stream
exactly 36864 "$m/08_mlperf_vww_mbv1_int8_qdq.onnx" \
    $q --input-layout nhwc --skip=stream
exactly 49152 "$m/06_mlperf_ic_resnet8_int8_qdq.onnx" \
    $q --skip=overlap,stream
exactly 33296 "$m/06_mlperf_ic_resnet8_int8_qdq.onnx" $q --skip=stream
exactly 16000 tests/models/kws_dscnn.mcu --skip=overlap,stream
exactly 8384 tests/models/kws_dscnn.mcu --skip=stream
exactly 768 "$m/09_mlperf_ad_autoencoder_int8_qdq.onnx" \
    $q --skip=overlap,stream
exactly 640 "$m/09_mlperf_ad_autoencoder_int8_qdq.onnx" $q --skip=stream

loops 27744 "$m/08_mlperf_vww_mbv1_int8_qdq.onnx" $q --input-layout nhwc
loops 17536 "$m/06_mlperf_ic_resnet8_int8_qdq.onnx" $q
loops 15232 "$m/06_mlperf_ic_resnet8_int8_qdq.onnx" $q --max-macs 1.15
loops 17440 "$m/06_mlperf_ic_resnet8_int8_qdq.onnx" $q \
    --optimize ram --max-macs 1
loops 5240 tests/models/kws_dscnn.mcu
loops 640 "$m/09_mlperf_ad_autoencoder_int8_qdq.onnx" $q
# the image of 62208, 19200 and 92928 bytes counted
for net in mbv2:63984 vww:20968 320k:98992; do
    python3 bench/cnn.py "${net%:*}" --plain >"$out/cnn.mcu"
    loops "${net#*:}" "$out/cnn.mcu" --max-macs 1.15
done

for f in examples/*/*.onnx "$m"/*.onnx "$m"/shapes/*.onnx; do
    [ -f "$f" ] || { skip "$f is not here"; continue; }
    for skip in "" stream; do
        if "$build/mcufc" -q "$f" --require-gap 0 ${skip:+--skip=$skip} \
            -o "$out/m.c"; then ok
        else bad "$f ${skip:+--skip=$skip}: not proved optimal"; fi
    done
done
rm -f "$out/m.c"
finish
