#!/bin/sh
# widths.sh BUILD - --elastic runtime=: every width of one file against the
# build that is cut to it, byte for byte, in C and in the interpreter; mixed
# widths; weights stored once; two arenas; misuse.
suite=widths
. "$(dirname "$0")/lib.sh"

# Two layers of 12 features: an MLP of $1 hidden neurons, a gated one of $2.
model()
{
    awk -v h1="$1" -v h2="$2" "$awk_weights"'
        BEGIN {
            print "<ir_version: 10, opset_import: [\"\" : 21]>"
            print "m (float[9,12] x) => (float[9,12] y) <"
            print matrix("u1", 1, 12, h1) ", " vector("b1", 2, h1) ","
            print matrix("d1", 3, h1, 12) ", " vector("c1", 4, 12) ","
            print vector("s", 8, 12) ", " vector("o", 9, 12) ","
            print matrix("g2", 5, 12, h2) ", " matrix("u2", 6, 12, h2) ","
            print matrix("d2", 7, h2, 12) "> {"
            print "n = LayerNormalization(x, s, o)"
            print "a = MatMul(n, u1) b = Add(a, b1) c = Gelu(b)"
            print "d = MatMul(c, d1) e = Add(d, c1) r = Add(x, e)"
            print "t = LayerNormalization(r, s, o)"
            print "f = MatMul(t, g2) g = Sigmoid(f) z = Mul(f, g)"
            print "u = MatMul(t, u2) v = Mul(z, u) k = MatMul(v, d2)"
            print "y = Add(r, k) }"
        }'
}

# Prints the bytes of the outputs of eight inputs; with WIDTHS after each
# list of levels, in two arenas of which the other has another width.
cat >"$out/main.c" <<'END'
#include <stdio.h>
#include "model.c"

static m_arena arena;
#ifdef WIDTHS
static m_arena other;
static const uint8_t widths[][M_WIDTH_LAYERS] = { WIDTHS };
#endif

static void fill(unsigned char *p, size_t n, unsigned *seed)
{
    size_t i;

    for (i = 0; i < n; i++) {
        *seed = *seed * 1664525u + 1013904223u;
        if (sizeof(*m_input_x(&arena)) == 1) {
            p[i] = (unsigned char)(*seed >> 24);
        } else if (i % 4 == 0) {
            const float v = (float)(*seed >> 16) / 16384.0f - 2.0f;
            memcpy(p + i, &v, 4);
        }
    }
}

static int run(m_arena *a, unsigned seed)
{
    fill((unsigned char *)m_input_x(a), M_INPUT_X_BYTES, &seed);
    return m_run(a);
}

static void print(const m_arena *a)
{
    const unsigned char *p = (const unsigned char *)m_output_y(a);
    size_t i;

    for (i = 0; i < M_OUTPUT_Y_BYTES; i++)
        printf("%02x", p[i]);
    printf("\n");
}

int main(void)
{
    unsigned seed;
#ifdef WIDTHS
    size_t k;

    m_reset(&other);
    if (m_set_width(&other, M_WIDTH_LEVELS) != M_EINVAL ||
        m_set_width(&other, -1) != M_EINVAL ||
        m_set_widths(&other, NULL) != M_EINVAL)
        return 1;
    for (k = 0; k < sizeof widths / sizeof *widths; k++) {
        if (m_set_widths(&arena, widths[k]) ||
            m_set_width(&other, (int)k % M_WIDTH_LEVELS))
            return 1;
        for (seed = 1; seed <= 8; seed++) {
            if (run(&other, seed + 5) || run(&arena, seed))
                return 1;
            print(&arena);
        }
    }
    memset(&other, 0xff, sizeof other);
    if (m_run(&other) != M_EINVAL)
        return 1;
    m_reset(&other);
    return m_run(&other);
#else
    for (seed = 1; seed <= 8; seed++) {
        if (run(&arena, seed))
            return 1;
        print(&arena);
    }
    return 0;
#endif
}
END

run_c()         # source, result, flags...: builds and runs it
{
    src=$1 res=$2
    shift 2
    cp "$src" "$out/model.c" && cp "$src" "$out/compiled.c" &&
    ${CC:-cc} -O2 -I"$out" "$@" "$out/main.c" -o "$out/prog" -lm &&
    "$out/prog" >"$res"
}

# model, levels, shares of the first layer's hidden neurons by mixed setting:
# the file with all widths against one cut build per setting
widths_equal()  # model, h1, h2, shares, extra options...
{
    m=$1 h1=$2 h2=$3 shares=$4
    shift 4
    "$mcufc" -q "$m" --elastic runtime="$shares" "$@" -o "$out/all.c" \
        --name m || return 1
    # shellcheck disable=SC2086
    ${CC:-cc} $strict -O2 -c "$out/all.c" -o "$out/all.o" || return 1
    n=$(echo "$shares" | tr , '\n' | wc -l)
    : >"$out/want"
    settings=
    for setting in $(seq 0 $((n - 1)) | sed 's/.*/&,&/') \
        0,$((n - 1)) $((n - 1)),0 1,0; do
        settings="$settings{ $setting },"
        list=$(echo "$shares" | awk -F, -v s="$setting" -v a="$h1" \
            -v b="$h2" '{ split(s, l, ",")
              h[1] = a; h[2] = b
              for (i = 1; i <= 2; i++)
                  printf("%s%.17g", (i > 1 ? "," : ""),
                         int($(l[i] + 1) / $NF * h[i] + 0.5) / 12) }')
        "$mcufc" -q "$m" --elastic list="$list" "$@" -o "$out/one.c" \
            --name m && run_c "$out/one.c" "$out/res" || return 1
        cat "$out/res" >>"$out/want"
    done
    run_c "$out/all.c" "$out/got" "-DWIDTHS=$settings" &&
        cmp "$out/got" "$out/want" || return 1
    [ "$(sort -u "$out/want" | wc -l)" = "$(wc -l <"$out/want")" ]
}

same_flash()    # model, shares, options...: bytes of weights as the widest
{
    m=$1 shares=$2
    shift 2
    a=$("$mcufc" -q "$m" "$@" --elastic runtime="$shares" --report \
        -o "$out/m.c" | sed -n 's/^flash *\([0-9]*\).*/\1/p')
    b=$("$mcufc" -q "$m" "$@" --report -o "$out/m.c" |
        sed -n 's/^flash *\([0-9]*\).*/\1/p')
    [ "$a" -le $((b + ${extra:-0})) ] || { echo "$a against $b"; return 1; }
}

python3 - "$out/calib.npy" <<'END' || exit 1
import math, struct, sys
n = 64 * 9 * 12
head = "{'descr': '<f4', 'fortran_order': False, 'shape': (64, 9, 12), }"
head += ' ' * (63 - (10 + len(head)) % 64) + '\n'
with open(sys.argv[1], 'wb') as f:
    f.write(b'\x93NUMPY\x01\x00' + struct.pack('<H', len(head)))
    f.write(head.encode())
    f.write(b''.join(struct.pack('<f', 2 * math.sin(i * i * 0.37 + i))
                     for i in range(n)))
END
calib="--quantize int8 --calib $out/calib.npy"

for sizes in "48 36" "100 71" "8 160"; do
    h1=${sizes% *} h2=${sizes#* }
    f=$out/full_$h1.mcu
    model "$h1" "$h2" >"$f"
    truth "float $sizes" widths_equal "$f" "$h1" "$h2" 0.125,0.25,0.5,1
    truth "float $sizes, odd" widths_equal "$f" "$h1" "$h2" 0.31,0.77,1
    truth "float $sizes, flash" same_flash "$f" 0.125,0.25,0.5,1
    # tables of numbers, and biases with zero points in them, are per width
    extra=1024
    # shellcheck disable=SC2086
    truth "int8 $sizes, flash" same_flash "$f" 0.125,0.25,0.5,1 $calib
    extra=0
    # calibrated at every width: the graph of codes, to be cut afterwards
    # shellcheck disable=SC2086
    "$mcufc" -q "$f" $calib --elastic runtime=0.125,0.25,0.5,1 \
        -o "$out/codes.onnx"
    truth "int8 $sizes" widths_equal "$out/codes.onnx" "$h1" "$h2" \
        0.125,0.25,0.5,1 --io quantized
    truth "int8 $sizes, odd" widths_equal "$out/codes.onnx" "$h1" "$h2" \
        0.31,0.77,1 --io quantized
    # shellcheck disable=SC2086
    "$mcufc" -q "$f" $calib --elastic runtime=0.125,0.25,0.5,1 \
        -o "$out/b.c" --name m
    "$mcufc" -q "$out/codes.onnx" --elastic runtime=0.125,0.25,0.5,1 \
        --io quantized -o "$out/a.c" --name m
    for s in a b; do sed '1,/\*\//d' "$out/$s.c" >"$out/$s.body"; done
    truth "int8 $sizes, either order" cmp "$out/a.body" "$out/b.body"
    truth "verify int8 $sizes" "$mcufc" -q "$out/codes.onnx" --verify \
        --elastic runtime=0.125,0.25,0.5,1
    truth "verify $sizes" "$mcufc" -q "$f" --verify \
        --elastic runtime=0.125,0.25,0.5,1
    truth "verify $sizes, mixed" "$mcufc" -q "$f" --verify --width 2,0 \
        --elastic runtime=0.125,0.25,0.5,1
    "$mcufc" -q "$f" --elastic runtime=0.125,0.5,1 --inline-weights \
        -o "$out/text.mcu"
    truth "text $sizes" "$mcufc" -q "$out/text.mcu" -o "$out/b.c" --name m
    "$mcufc" -q "$f" --elastic runtime=0.125,0.5,1 -o "$out/a.c" --name m
    for s in a b; do sed '1,/\*\//d' "$out/$s.c" >"$out/$s.body"; done
    truth "the text's C $sizes" cmp "$out/a.body" "$out/b.body"
done
# What is printed after each pass gives the same C.
law()           # model, options...
{
    m=$1
    shift
    "$mcufc" -q "$m" "$@" --elastic runtime=0.125,0.5,1 -o "$out/a.c" \
        --name m
    sed '1,/\*\//d' "$out/a.c" >"$out/a.body"
    for pass in $("$mcufc" --list-passes | awk '{ print $1 }'); do
        "$mcufc" -q "$m" "$@" --elastic runtime=0.125,0.5,1 \
            --dump-after "$pass" --inline-weights -o "$out/text.mcu" &&
            "$mcufc" -q "$out/text.mcu" "$@" -o "$out/b.c" --name m
        sed '1,/\*\//d' "$out/b.c" >"$out/b.body"
        truth "the text after $pass, $m" cmp "$out/a.body" "$out/b.body"
        "$mcufc" -q "$out/text.mcu" --inline-weights -o "$out/again.mcu"
        truth "printed again after $pass" cmp "$out/text.mcu" "$out/again.mcu"
    done
}
model 100 71 >"$out/full.mcu"
# the widest may be a part itself, and layers may be left out
truth "up to a half" "$mcufc" -q "$out/full.mcu" --verify \
    --elastic runtime=0.125,0.25,0.5
half=$("$mcufc" -q "$out/full.mcu" --elastic ffn=0.5 --report \
    -o "$out/m.c" | grep '^flash' | cut -d, -f1)
truth "flash up to a half" sh -c "'$mcufc' -q '$out/full.mcu' --report \
    --elastic runtime=0.125,0.25,0.5 -o '$out/m.c' | grep -q '^$half'"
truth "without a layer" "$mcufc" -q "$out/full.mcu" --verify \
    --elastic runtime=0.125,0.5,1 --elastic skip=0
sane()
{
    "$mcufc" -q "$out/full.mcu" --elastic runtime=0.31,0.77,1 \
        -o "$out/all.c" --name m &&
        run_c "$out/all.c" "$out/a.txt" "-DWIDTHS={0,0},{1,2},{2,1}" &&
        run_c "$out/all.c" "$out/b.txt" "-DWIDTHS={0,0},{1,2},{2,1}" \
            -fsanitize=address,undefined -fno-sanitize-recover=all -g &&
        cmp "$out/a.txt" "$out/b.txt"
}
truth "sanitizers" sane
# one width of a model that was calibrated at all
fixed()         # levels, options...
{
    levels=$1
    shift
    "$mcufc" -q "$out/full.mcu" --elastic runtime=0.25,0.6,1 "$@" \
        -o "$out/all.c" --name m &&
        run_c "$out/all.c" "$out/a.txt" "-DWIDTHS={$levels}" &&
        "$mcufc" -q "$out/full.mcu" --elastic runtime=0.25,0.6,1 "$@" \
            --width "$levels" -o "$out/one.c" --name m &&
        ! grep -q set_width "$out/one.c" &&
        run_c "$out/one.c" "$out/b.txt" && cmp "$out/a.txt" "$out/b.txt"
}
for levels in 0,0 1,1 0,2 2,1; do
    truth "fixed at $levels" fixed $levels
    # shellcheck disable=SC2086
    truth "fixed at $levels, int8" fixed $levels $calib
done
truth "weights in a file" "$mcufc" -q "$out/full.mcu" --verify \
    --elastic runtime=0.125,0.5,1 --weights-file "$out/w.bin"
truth "constants as lists" "$mcufc" -q "$out/full.mcu" --verify \
    --elastic runtime=0.125,0.5,1 --constants list
truth "in pools" "$mcufc" -q "$out/full.mcu" --verify \
    --elastic runtime=0.125,0.5,1 --pool a=512 --pool b=64K
truth "every buffer apart" "$mcufc" -q "$out/full.mcu" --verify \
    --elastic runtime=0.125,0.5,1 --no-reuse
truth "no passes" "$mcufc" -q "$out/full.mcu" --verify --passes dce \
    --elastic runtime=0.125,0.5,1
"$mcufc" -q "$out/full.mcu" --elastic runtime=0.125,0.5,1 \
    --report="$out/plan.json" -o "$out/m.c"
truth "the plan" "$mcufc" -q "$out/full.mcu" \
    --elastic runtime=0.125,0.5,1 --check-plan "$out/plan.json"
truth "proved" "$mcufc" -q "$out/full.mcu" --prove \
    --elastic runtime=0.125,0.5,1
# three trained factors: fewer weights, also as codes
factors()
{
    for s in "" "--skip fold_products"; do
        # shellcheck disable=SC2086
        "$mcufc" -q examples/mcuformer/mcuformer.onnx --quantize int8 $s \
            --input-norm 125.3:123:113.9,63:62.1:66.7 --input-layout nhwc \
            --calib examples/matvit/calib.npz -o "$out/m.c" --report |
            sed -n 's/^flash *\([0-9]*\).*/\1/p'
    done | { read -r a && read -r b && [ $((a + 50000)) -lt "$b" ]; }
}
truth "factors fold before quantization" factors
law "$out/full.mcu"
law "$out/codes.onnx" --io quantized

refused()       # what, message, options...
{
    what=$1 message=$2
    shift 2
    if "$mcufc" -q "$@" -o "$out/no.c" >"$out/log" 2>&1
    then failed=$((failed + 1)); echo "FAIL $what: accepted"
    elif grep -q -e "$message" "$out/log"; then passed=$((passed + 1))
    else failed=$((failed + 1)); echo "FAIL $what:"; head -2 "$out/log"; fi
}
f=$out/full_8.mcu
refused "none of a layer" 'layer 0 is none' "$f" --elastic runtime=0.01,1
refused "two equal widths" 'both 8 of the 8' "$f" --elastic runtime=0.99,1
refused "not ascending" 'larger than the one before' "$f" \
    --elastic runtime=0.5,0.25,1
refused "twice the same" 'larger than the one before' "$f" --elastic runtime=1,1
refused "above 1" 'up to 1' "$f" --elastic runtime=0.5,2
refused "zero" 'above 0' "$f" --elastic runtime=0,1
refused "one width" 'one is ffn=' "$f" --elastic runtime=1
refused "no number" 'commas' "$f" --elastic runtime=a,1
refused "with a list" 'one of them' "$f" --elastic runtime=0.5,1 \
    --elastic list=1,1
refused "with low rank" 'low-rank' "$f" --elastic runtime=0.5,1 \
    --low-rank rank=2
refused "no layers" 'no feed-forward layer' tests/golden/low_rank/list.mcu \
    --elastic runtime=0.5,1
refused "a text that has them" 'already' "$out/text.mcu" --elastic runtime=0.5,1
refused "a level without levels" 'no widths' "$f" --width 1 --verify
refused "no such level" 'levels from 0 to 1' "$f" --width 2 --verify \
    --elastic runtime=0.5,1
refused "levels of other layers" 'has 3 levels' "$f" --width 1,1,1 --verify \
    --elastic runtime=0.5,1

real()          # model, layers
{
    [ -f "$1" ] || { skip "$1 is not here"; return; }
    truth "verify $1" "$mcufc" -q "$1" --verify \
        --elastic runtime=0.125,0.25,0.5,1
    truth "flash of $1" same_flash "$1" 0.125,0.25,0.5,1
}
extra=64
real "$shared/models/01_vit-mnist.onnx"
real "$shared/models/03_cct_xs_v1_global.onnx"
real "$shared/models/05_stories260K_step_kv256.onnx"
finish
