#!/bin/sh
# pools.sh BUILD - several memories: right results with one C object per pool,
# often-used bytes in the fast one, every plan accepted by --check-plan, exit
# 4 with advice when a pool is too small.
suite=pools
. "$(dirname "$0")/lib.sh"
vit=examples/vit-mnist/vit_mnist.onnx

# compiled, verified, checked, and no warning
model()         # file, options...
{
    file=$1
    shift
    if [ ! -f "$file" ]; then
        skipped=$((skipped + 1))
        echo "SKIP $file is not here"
        return
    fi
    check "$file $*: verify" 0 ' 0 differ' "$mcufc" -q "$file" "$@" \
        --verify --report="$out/p.json"
    check "$file $*: plan" 0 'valid' "$mcufc" -q "$file" \
        --check-plan "$out/p.json"
    check "$file $*: writes C" 0 '' "$mcufc" -q "$file" "$@" --name m \
        -o "$out/m.c" --header "$out/m.h"
    # shellcheck disable=SC2086
    check "$file $*: no warning" 0 '' gcc $strict -c -o "$out/m.o" \
        "$out/m.c"
}

model $vit --pool dtcm=16K --pool sram=64K
model $vit --pool a=1K --pool b=20K --pool c=1M --keep-inputs
model $vit --pool dtcm=64K --pool sram=64K --no-reuse --pool ext=4M
model $vit --pool dtcm=16K --pool sram=64K --weights-file "$out/w.bin"
# too small for whole tensors: loops
model $vit --pool dtcm=8K --pool sram=20K
model $vit --pool dtcm=16K --pool sram=20K --optimize speed
for m in 06_mlperf_ic_resnet8_int8_qdq 08_mlperf_vww_mbv1_int8_qdq; do
    model "$shared/models/$m.onnx" --io quantized --pool dtcm=20K \
        --pool sram=64K
done
model "$shared/models/05_stories260K_step_kv256.onnx" --state auto \
    --pool dtcm=64K --pool sram=512K
model "$shared/models/05_stories260K_step_kv256.onnx" --state auto \
    --pool dtcm=512K --pool sram=512K
model "$shared/models/06_mlperf_ic_resnet8_int8_qdq.onnx" \
    --pool dtcm=32K --pool sram=256K
check "per node" 0 'steps agree' "$mcufc" -q $vit --pool dtcm=16K \
    --pool sram=64K --verify --per-node

# The address sanitizer sees a read beyond a pool: each is its own object.
"$mcufc" -q $vit --pool dtcm=16K --pool sram=64K --name m -o "$out/m.c" \
    --selftest
cat >"$out/main.c" <<'EOF'
#include "m.c"
static m_pool_dtcm dtcm;
static m_pool_sram sram;
int main(void)
{
    m_arena a = { &dtcm, &sram }, none = { &dtcm, 0 };

    if (m_run(&none) != M_EINVAL || m_run(0) != M_EINVAL)
        return 9;
    if (sizeof dtcm + sizeof sram != M_ARENA_BYTES)
        return 8;
    if (M_POOL_DTCM_BYTES > 16 * 1024 || M_POOL_SRAM_BYTES > 64 * 1024)
        return 7;
    return m_selftest(&a);
}
EOF
check "sanitized build" 0 '' gcc -std=c99 -g -O1 -DM_SELFTEST \
    -fsanitize=address,undefined -o "$out/main" "$out/main.c" -lm
check "sanitized run" 0 '' "$out/main"

# what is read 64 times goes to the fast pool, what is read once does not
cat >"$out/hot.mcu" <<'EOF'
<ir_version: 10, opset_import: ["" : 21]>
hot (float[64,64] cold, float[1,64] x) => (float[64] y, float[1,64] z)
<float[64,64] w = @random(1)>
{
  hot = Tanh(x)
  z = MatMul(hot, w)
  y = ReduceSum <keepdims = 0> (cold, i)
  i = Constant <value = int64[1] {1}> ()
}
EOF
sed -i '/^  i = /d; s/^  hot = Tanh/  i = Constant <value = int64[1] {1}> ()\n  hot = Tanh/' \
    "$out/hot.mcu"
check "hot.mcu" 0 '' "$mcufc" -q "$out/hot.mcu" --pool fast=1K \
    --pool slow=64K --report="$out/hot.json"
check "hot bytes are fast" 0 '' sh -c "grep '\"name\": \"x\"' '$out/hot.json' |
    grep -q '\"pool\": \"fast\"'"
check "cold bytes are slow" 0 '' sh -c "grep '\"name\": \"cold\"' \
    '$out/hot.json' | grep -q '\"pool\": \"slow\"'"

check "too small" 4 'pool b needs [0-9]+ B, [0-9]+ B more than 8192' \
    "$mcufc" -q $vit --pool a=4K --pool b=8K -o "$out/no.c" \
    --report="$out/over.json"
check "no C then" 1 '' test -e "$out/no.c"
check "but a report" 0 '' grep -q '"saves"' "$out/over.json"
check "advice" 4 'hint: --pool b=[0-9]+ is enough' \
    "$mcufc" -q $vit --pool a=4K --pool b=8K -o "$out/no.c"
check "loops where whole tensors do not fit" 0 'rows$' "$mcufc" -q $vit \
    --pool dtcm=8K --pool sram=20K --report
"$mcufc" -q $vit --pool dtcm=16K --pool sram=64K --report >"$out/whole"
check "no loops where they do" 1 '' grep '^ loop' "$out/whole"
check "arena over pools" 4 'more than --arena 1024' "$mcufc" -q $vit \
    --pool a=16K --pool b=64K --arena 1K
check "loops for the sum of the pools" 0 'rows$' "$mcufc" -q $vit \
    --pool a=64K --arena 40K --report
check "loops for a pool, whatever the sum" 0 'rows$' "$mcufc" -q $vit \
    --pool a=30K --arena 100K --report
check "no size" 2 'NAME=SIZE' "$mcufc" -q $vit --pool a
check "bad size" 2 'NAME=SIZE' "$mcufc" -q $vit --pool a=x
check "no name in C" 2 'cannot be a name' "$mcufc" -q $vit --pool int=1K
check "one name" 2 'are one name' "$mcufc" -q $vit --pool a=1K --pool A=1K
finish
