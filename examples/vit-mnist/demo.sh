#!/bin/sh
# demo.sh [BUILD] - what `make demo` shows: the bundled vision transformer,
# compiled under a RAM budget, built, run on images it has never seen; its
# memory plan; and what happens when the budget is too small.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${1:-$here/../../build}" && pwd)
out=$build/demo
budget=60K
small=40K
mkdir -p "$out"
cd "$here"

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
case ${TERM:-dumb} in dumb) say() { printf '\n%s\n' "$*"; } ;; esac

say "\$ mcufc vit_mnist.onnx -o vit_mnist.c --arena $budget --report"
"$build/mcufc" vit_mnist.onnx -o "$out/vit_mnist.c" \
    --header "$out/vit_mnist.h" --arena $budget --report

say "\$ cc -std=c99 -O2 main.c vit_mnist.c -lm -o demo && ./demo"
${CC:-cc} -std=c99 -O2 -I"$out" -I. -o "$out/demo" main.c \
    "$out/vit_mnist.c" -lm
"$out/demo"

say "\$ mcufc vit_mnist.onnx -o vit_mnist.c --arena $small   # too small"
status=0
"$build/mcufc" vit_mnist.onnx -o "$out/small.c" --arena $small || status=$?
echo "exit status $status: nothing was written"
[ $status = 4 ] && [ ! -e "$out/small.c" ]
