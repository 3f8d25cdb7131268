#!/bin/sh
# demo.sh [BUILD] - what `make demo-mcuformer` shows: a transformer of three
# trained factors per layer, as it was trained and with the factors folded.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${1:-$here/../../build}" && pwd)
out=$build/demo-mcuformer
mkdir -p "$out"
cd "$here"

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
case ${TERM:-dumb} in dumb) say() { printf '\n%s\n' "$*"; } ;; esac

# mean and standard deviation of the training images, in units of the byte
norm=125.307:122.961:113.8575,62.985:62.0925:66.708
camera="--input-norm $norm --input-layout nhwc"
int8="--quantize int8 --calib ../matvit/calib.npz"
say "\$ mcufc mcuformer.onnx -o factors.c --skip fold_products # as trained"
# shellcheck disable=SC2086
"$build/mcufc" -q mcuformer.onnx -o "$out/factors.c" $int8 $camera \
    --skip fold_products --report | sed -n '2,5p'

say "\$ mcufc mcuformer.onnx -o mcuformer.c $int8 $camera"
# shellcheck disable=SC2086
"$build/mcufc" -q mcuformer.onnx -o "$out/mcuformer.c" $int8 $camera \
    --header "$out/mcuformer.h" --report | sed -n '2,5p'

say "\$ cc -std=c99 -O2 main.c mcuformer.c -lm -o demo && ./demo"
${CC:-cc} -std=c99 -O2 -I"$out" -o "$out/demo" main.c "$out/mcuformer.c" -lm
"$out/demo"
