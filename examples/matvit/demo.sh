#!/bin/sh
# demo.sh [BUILD] - what `make demo-matvit` shows: one file with four widths,
# quantized, built, run; and the same weights cut to one width.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${1:-$here/../../build}" && pwd)
out=$build/demo-matvit
mkdir -p "$out"
cd "$here"

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
case ${TERM:-dumb} in dumb) say() { printf '\n%s\n' "$*"; } ;; esac

# mean and standard deviation of the training images, in units of the byte
norm=125.307:122.961:113.8575,62.985:62.0925:66.708
camera="--input-norm $norm --input-layout nhwc"
int8="--quantize int8 --calib calib.npz"
widths=runtime=0.125,0.25,0.5,1
say "\$ mcufc matvit.onnx -o matvit.c --elastic $widths $int8 $camera"
# shellcheck disable=SC2086
"$build/mcufc" -q matvit.onnx -o "$out/matvit.c" --header "$out/matvit.h" \
    --elastic $widths $int8 $camera --report | sed -n '1,6p;/^elastic/,/^$/p'

say "\$ cc -std=c99 -O2 main.c matvit.c -lm -o demo && ./demo"
${CC:-cc} -std=c99 -O2 -I"$out" -I. -o "$out/demo" main.c "$out/matvit.c" -lm
"$out/demo"

say "\$ mcufc matvit.onnx -o half.c --elastic ffn=0.5 $int8 $camera"
# shellcheck disable=SC2086
"$build/mcufc" -q matvit.onnx -o "$out/half.c" --elastic ffn=0.5 $int8 \
    $camera --report | sed -n '1,6p'
