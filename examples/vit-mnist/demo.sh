#!/bin/sh
# demo.sh [BUILD] - what `make demo` shows: the bundled vision transformer,
# quantized and compiled under a RAM budget, built, run on images it has never
# seen, beside the float model; its memory plan; and what happens when the
# budget is too small.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${1:-$here/../../build}" && pwd)
out=$build/demo
budget=8K
small=4K
mkdir -p "$out"
rm -f "$out/small.c"
cd "$here"

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
case ${TERM:-dumb} in dumb) say() { printf '\n%s\n' "$*"; } ;; esac

int8="--quantize int8 --calib calib.npz"
say "\$ mcufc vit_mnist.onnx -o vit_mnist.c $int8 --arena $budget --report"
"$build/mcufc" vit_mnist.onnx -o "$out/vit_mnist.c" $int8 \
    --header "$out/vit_mnist.h" --arena $budget --report

say "\$ mcufc vit_mnist.onnx -o vit_float.c       # the same in float"
"$build/mcufc" -q vit_mnist.onnx -o "$out/vit_float.c" \
    --header "$out/vit_float.h"

files="vit_mnist.c vit_float.c"
say "\$ cc -std=c99 -O2 -DWITH_FLOAT main.c $files -lm -o demo && ./demo"
${CC:-cc} -std=c99 -O2 -DWITH_FLOAT -I"$out" -I. -o "$out/demo" main.c \
    "$out/vit_mnist.c" "$out/vit_float.c" -lm
"$out/demo"

say "\$ mcufc vit_mnist.onnx -o vit_mnist.c $int8 --arena $small # too small"
status=0
"$build/mcufc" vit_mnist.onnx -o "$out/small.c" $int8 --arena $small ||
    status=$?
echo "exit status $status: nothing was written"
[ $status = 4 ] && [ ! -e "$out/small.c" ]
