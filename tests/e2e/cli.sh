#!/bin/sh
# cli.sh BUILD - the command line as a user meets it: exit codes, messages,
# files that are written or are not.
suite=cli
. "$(dirname "$0")/lib.sh"
model=examples/vit-mnist/vit_mnist.onnx

check "no model" 2 'no model given' "$mcufc"
check "unknown option" 2 "unknown option '--frobnicate'" \
    "$mcufc" $model --frobnicate
check "bad target" 2 "--target 'z80' is not known" "$mcufc" $model --target z80
check "unknown suffix" 2 "none of .c" "$mcufc" $model -o "$out/x.docx"
check "bad size" 2 'takes a size' "$mcufc" $model --arena lots
check "bad name" 2 'not a C identifier' "$mcufc" $model --name 1x
check "bad pass" 2 "no pass 'bogus'" "$mcufc" $model --skip bogus
check "no file" 1 'nothere.onnx' "$mcufc" nothere.onnx -o "$out/x.c"
check "help" 0 'usage: mcufc' "$mcufc" --help
check "version" 0 '^mcufc [0-9]' "$mcufc" --version
check "targets" 0 '^c99' "$mcufc" --list-targets
check "passes" 0 '^plan' "$mcufc" --list-passes
check "info" 0 'input +image: float\[batch,1,28,28\]' "$mcufc" $model --info
check "compiles" 0 'batch. is taken as 1' \
    "$mcufc" $model -o "$out/m.c" --header "$out/m.h" --report="$out/r.json"
check "plan" 0 'r.json: valid: .* buffers in' \
    "$mcufc" --check-plan "$out/r.json" $model
at=$(sed -n 's/.*"name": "\/embed\/Conv_output_0", "offset": \([0-9]*\),.*/\1/p' \
    "$out/r.json")
sed "/\"name\": \"image\"/s/\"offset\": [0-9]*/\"offset\": $at/" \
    "$out/r.json" >"$out/bad.json"
check "edited plan" 1 "line [0-9]+: byte $at is in '.*they collide in step" \
    "$mcufc" --check-plan "$out/bad.json" $model
echo '{' >"$out/broken.json"
check "no plan" 1 'broken.json.*line 2: a string is missing' \
    "$mcufc" --check-plan "$out/broken.json" $model
check "no plan file" 1 'nothere.json' \
    "$mcufc" --check-plan nothere.json $model
check "plan of another model" 1 'no step of the model makes' \
    "$mcufc" --check-plan "$out/r.json" tests/golden/dce/inputs-stay.mcu
truth "C file" [ -s "$out/m.c" ]
truth "header" grep -q M_ARENA_BYTES "$out/m.h"
truth "report" grep -q '"arena"' "$out/r.json"
truth "no temporary left" [ -z "$(ls "$out" | grep tmp)" ]
check "over the budget" 4 'more than --arena 1024' \
    "$mcufc" $model -o "$out/no.c" --arena 1K
truth "nothing written" [ ! -e "$out/no.c" ]
check "over the flash" 4 'more than --flash' \
    "$mcufc" $model -o "$out/no.c" --flash 1K
check "budget is met" 0 '' "$mcufc" -q $model -o "$out/y.c" --arena 1M
check "unwritable" 1 'cannot write' "$mcufc" -q $model -o /nonexistent/x.c
check "unknown dim" 1 'batsch' "$mcufc" $model -o "$out/x.c" --dim batsch=2
check "bad dim" 2 '--dim takes' "$mcufc" $model -o "$out/x.c" --dim batch
check "batch of 2" 0 '' "$mcufc" -q $model -o "$out/b2.c" --dim batch=2
check "unknown output" 1 'nothing' "$mcufc" $model --outputs nothing
check "run" 0 '^logits:' "$mcufc" -q $model --run examples/vit-mnist/images.npz
"$mcufc" -q $model --run examples/vit-mnist/images.npz -o "$out/l.npz"
check "a lone array must have the name" 1 "no array is named 'image'" \
    "$mcufc" -q $model --run "$out/l.npz"
check "an array needs --run" 2 "needs --run" "$mcufc" $model -o "$out/x.npy"
check "run writes arrays" 2 "writes .npy or .npz" \
    "$mcufc" $model --run examples/vit-mnist/images.npz -o "$out/x.c"
check "to a device" 0 "" "$mcufc" -q $model -o /dev/null
truth "device is still there" [ -c /dev/null ]
check "norm wants numbers" 1 'takes MEAN,STD' \
    "$mcufc" -q $model -o "$out/x.c" --input-norm abc
check "input-norm" 0 '' "$mcufc" -q $model -o "$out/n.c" --input-norm 0,255
truth "input is uint8" grep -q 'uint8_t \*n_input_image' "$out/n.c"
check "verify" 0 ' 0 differ' "$mcufc" $model \
    --verify=examples/vit-mnist/expected.npz
check "verify, a file behind it" 0 ' 0 differ' "$mcufc" $model \
    --verify examples/vit-mnist/expected.npz
check "verify, other arrays" 1 'hint: .* s0_in__INPUT' "$mcufc" $model \
    --verify=examples/vit-mnist/calib.npz
check "an argument without =" 2 'takes .=.: --report=plan.html' \
    "$mcufc" $model --report plan.html
check "an argument without =, in front" 2 'takes .=.: --stream-input=image' \
    "$mcufc" --stream-input image $model
check "bytes for floats" 1 'hint: --input-norm' "$mcufc" -q \
    examples/matvit/matvit.onnx --run examples/matvit/calib.npz
for spec in auto rank=2; do
    check "no floats to split, $spec" 1 'this model is quantized' "$mcufc" \
        -q examples/text/int8-mlp.mcu --low-rank $spec
done
check "verify, norm" 0 ' 0 differ' "$mcufc" $model --verify \
    --input-norm 0,255
check "verify, batch 2" 0 ' 0 differ' "$mcufc" $model --verify --dim batch=2
check "verify per node" 0 'steps agree' "$mcufc" $model --verify --per-node
check "verify, weights file" 0 ' 0 differ' "$mcufc" $model --verify \
    --weights-file "$out/w.bin"
check "verify, list constants" 0 ' 0 differ' "$mcufc" $model --verify \
    --constants list
check "verify, no passes" 0 ' 0 differ' "$mcufc" $model --verify --bisect 0
check "verify, keep inputs" 0 ' 0 differ' "$mcufc" $model --verify \
    --keep-inputs
check "verify, no reuse" 0 ' 0 differ' "$mcufc" $model --verify --no-reuse
"$mcufc" -q $model -o "$out/st.c" --selftest --name st
cat >"$out/st_main.c" <<'END'
#include <stdio.h>
#include "st.c"
static st_arena a;
int main(void) { return st_selftest(&a); }
END
truth "selftest builds" gcc -std=c99 -O1 -DST_SELFTEST -o "$out/st" \
    "$out/st_main.c" -lm
truth "selftest passes" "$out/st"
build_ops() { "$mcufc" --ops | cmp -s - doc/ops.md; }
truth "doc/ops.md is current (make doc/ops.md)" build_ops
"$mcufc" -q $model -o "$out/l.c" --constants list --selftest --name l \
    --header "$out/l.h"
if command -v g++ >/dev/null 2>&1; then
    for std in c++11 c++17; do
        truth "list constants as $std" g++ -std=$std -Wall -Wextra -Werror \
            -DL_SELFTEST -x c++ -c -o "$out/l.o" "$out/l.c"
        truth "header as $std" g++ -std=$std -Wall -Wextra -Werror \
            -fsyntax-only -x c++ -include "$out/l.h" /dev/null
    done
fi
finish
