#!/bin/sh
# share.sh BUILD - --share-arena: models that run in turn in one arena give
# the bytes that they give alone, and keep their states.
suite=share
. "$(dirname "$0")/lib.sh"
vit=examples/vit-mnist/vit_mnist.onnx

for m in count sums; do
    op=$([ $m = count ] && echo Add || echo Sub)
    cat >"$out/$m.mcu" <<EOF
<ir_version: 10, opset_import: ["" : 21]>
$m (float[8] x, float[8] h) => (float[8] y, float[8] g) {
  g = $op(h, x)
  y = Mul(g, x)
}
EOF
done

# a model's part of the program: it runs in both arenas
part()          # prefix, input, its bytes, output, its bytes
{
    cat <<EOF
static void ${1}_turn(all_arena *a, alone_${1}_arena *b, unsigned r)
{
    fill($1_input_$2(a), $3, r);
    fill(alone_$1_input_$2(b), $3, r);
    if ($1_run(a) || alone_$1_run(b))
        exit(2);
    if (memcmp($1_output_$4(a), alone_$1_output_$4(b), $5)) {
        printf("$1: turn %u differs\n", r);
        exit(1);
    }
}
static alone_${1}_arena only_$1;
EOF
}

program()       # models...
{
    cat <<'EOF'
#include <stdio.h>
#include <stdlib.h>
#include "all.c"
EOF
    for m; do echo "#include \"alone_$m.c\""; done
    cat <<'EOF'
static void fill(void *p, size_t n, unsigned r)
{
    size_t i;
    for (i = 0; i < n / 4; i++) {
        float x;
        r = r * 1664525u + 1013904223u;
        x = (float)(r >> 16) / 65536.0f;
        memcpy((char *)p + 4 * i, &x, 4);
    }
}
EOF
    for m; do
        case $m in
        vit_mnist) part $m image 3136 logits 40 ;;
        *) part $m x 32 y 32 ;;
        esac
    done
    echo 'static all_arena arena; int main(void) { unsigned r;'
    echo 'memset(&arena, 0xa5, sizeof arena);'
    for m; do echo "${m}_reset(&arena); alone_${m}_reset(&only_$m);"; done
    echo 'for (r = 0; r < 6; r++) {'
    for m; do echo "${m}_turn(&arena, &only_$m, r);"; done
    # twice one behind the other, and in another order
    echo "sums_turn(&arena, &only_sums, r + 99);"
    echo '}'
    # one model's reset leaves the other states alone
    echo 'sums_reset(&arena); alone_sums_reset(&only_sums);'
    for m; do echo "${m}_turn(&arena, &only_$m, 7);"; done
    echo 'return 0; }'
}

states="--state count:h=g --state sums:h=g"
# shellcheck disable=SC2086
check "three models" 0 '' "$mcufc" -q $vit "$out/count.mcu" "$out/sums.mcu" \
    --share-arena $states --name all -o "$out/all.c" --header "$out/all.h" \
    --report="$out/all.json"
for m in vit_mnist count sums; do
    file=$([ $m = vit_mnist ] && echo $vit || echo "$out/$m.mcu")
    state=$([ $m = vit_mnist ] || echo --state h=g)
    # shellcheck disable=SC2086
    check "$m alone" 0 '' "$mcufc" -q "$file" $state --name alone_$m \
        -o "$out/alone_$m.c"
    check "$m: plan" 0 valid "$mcufc" -q --check-plan "$out/all.json" "$file"
done
program vit_mnist count sums >"$out/main.c"
for flags in "-O2" "-O1 -g -fsanitize=address,undefined"; do
    # shellcheck disable=SC2086
    check "builds $flags" 0 '' gcc -std=c99 -w $flags -o "$out/main" \
        "$out/main.c" -lm
    check "runs $flags" 0 '' "$out/main"
done
# shellcheck disable=SC2086
check "no warning" 0 '' gcc $strict -c -o "$out/all.o" "$out/all.c"
check "header alone" 0 '' gcc -std=c99 -Wall -Wextra -Werror -fsyntax-only \
    -x c "$out/all.h"
bytes() { grep -oE "$1_ARENA_BYTES [0-9]+" "$2" | head -1 | cut -d' ' -f2; }
most=$(bytes ALONE_VIT_MNIST "$out/alone_vit_mnist.c")
check "size is the largest and the states" 0 '' \
    [ "$(bytes ALL "$out/all.c")" = $((most + 64)) ]
check "kernels stand once" 0 '' sh -c \
    "[ \$(grep -c 'vit_mnist_[a-z_]*_f32(' '$out/all.c') = 0 ]"
check "same file again" 0 '' "$mcufc" -q $vit "$out/count.mcu" \
    "$out/sums.mcu" --share-arena --state count:h=g --state sums:h=g \
    --name all -o "$out/again.c"
check "same bytes" 0 '' cmp "$out/all.c" "$out/again.c"
sed 's/"offset": 0, "bytes": 32/"offset": 32, "bytes": 32/' "$out/all.json" \
    >"$out/bad.json"
check "another model's state" 1 "state" "$mcufc" -q \
    --check-plan "$out/bad.json" "$out/count.mcu"
check "html" 0 '' "$mcufc" -q $vit "$out/sums.mcu" --share-arena \
    --report="$out/all.html" --name all

story=$shared/models/05_stories260K_step_kv256.onnx
kws=$shared/models/07_marp_kws_dscnn_int8_qoperator.onnx
if [ -f "$story" ] && [ -f "$kws" ]; then
    check "language model and keyword" 0 '' "$mcufc" -q "$story" "$kws" \
        --share-arena --name two -o "$out/two.c" \
        --state _05_stories260K_step_kv256:auto --report="$out/two.json"
    check "no warning" 0 '' gcc -std=c99 -Wall -Wextra -Wpedantic \
        -Wconversion -Wsign-conversion -Wshadow -Werror -c \
        -o "$out/two.o" "$out/two.c"
    for f in "$story" "$kws"; do
        check "$f: plan" 0 valid "$mcufc" -q --check-plan \
            "$out/two.json" "$f"
    done
else
    skipped=$((skipped + 1))
    echo "SKIP the shared models are not here"
fi

check "two models need the option" 2 'one model at a time' \
    "$mcufc" $vit "$out/sums.mcu" -o "$out/x.c"
check "the option needs two" 2 'two models or more' \
    "$mcufc" $vit --share-arena -o "$out/x.c"
check "clash with the arena" 2 "'vit_mnist' and the model's 'vit_mnist'" \
    "$mcufc" $vit "$out/sums.mcu" --share-arena -o "$out/vit_mnist.c"
check "twice the same" 2 'rename a file' "$mcufc" $vit $vit --share-arena \
    -o "$out/x.c"
check "with pools" 2 'does not go with --pool' "$mcufc" $vit \
    "$out/sums.mcu" --share-arena -o "$out/x.c" --pool a=1M
check "over the budget" 4 'more than --arena 4096' "$mcufc" -q $vit \
    "$out/sums.mcu" --share-arena -o "$out/no.c" --arena 4K \
    --report="$out/over.json"
check "a report then" 0 '' grep -q '"models"' "$out/over.json"
check "no C then" 1 '' test -e "$out/no.c"
check "a bad model" 1 'nothere' "$mcufc" $vit nothere.onnx --share-arena \
    -o "$out/no.c"
finish
