#!/bin/sh
# elastic.sh BUILD - --elastic against models that were cut by hand, bit for
# bit; and every feed-forward layer of the real transformers.
suite=elastic
. "$(dirname "$0")/lib.sh"

# A model of two layers of E = 4 features; the first layer is an MLP of $1
# hidden neurons, the second a gated one of $2.
model()
{
    awk -v h1="$1" -v h2="$2" "$awk_weights"'
        BEGIN {
            print "<ir_version: 10, opset_import: [\"\" : 21]>"
            print "m (float[3,4] x) => (float[3,4] y) <"
            print matrix("u1", 1, 4, h1) ", " vector("b1", 2, h1) ","
            print matrix("d1", 3, h1, 4) ", " vector("c1", 4, 4) ","
            print matrix("g2", 5, 4, h2) ", " matrix("u2", 6, 4, h2) ","
            print matrix("d2", 7, h2, 4) "> {"
            print "a = MatMul(x, u1) b = Add(a, b1) c = Gelu(b)"
            print "d = MatMul(c, d1) e = Add(d, c1) r = Add(x, e)"
            print "f = MatMul(r, g2) g = Sigmoid(f) s = Mul(f, g)"
            print "u = MatMul(r, u2) v = Mul(s, u) z = MatMul(v, d2)"
            print "y = Add(r, z) }"
        }'
}

# Both run the same inputs in the interpreter and in C; outputs are bytes.
full=$out/full.mcu
same()          # name of hand-cut model, options for $full...
{
    hand=$1
    shift
    "$build/mcufc" -q "$hand" -o "$out/hand.c" --name m --selftest &&
    "$build/mcufc" -q "$full" "$@" -o "$out/cut.c" --name m \
        --selftest || return 1
    for f in hand cut; do       # without file name, hash, copies' names
        sed -e '1,/\*\//d' -e 's/\([bcdgu][12]\)\(_[0-9][0-9]*\)*/\1/g' \
            -e 's/\([ow]\|w[012]\|sh\|sp\|back\)\(_[0-9][0-9]*\)*\([. ]\)/\1\3/g' \
            "$out/$f.c" >"$out/$f.body"
    done
    "$build/mcufc" -q "$hand" --verify || return 1
    "$build/mcufc" -q "$full" "$@" --verify || return 1
    cmp "$out/hand.body" "$out/cut.body"
}

model 8 6 >"$out/full.mcu"
model 4 3 >"$out/half.mcu"
model 2 6 >"$out/first.mcu"
truth "half of each layer" same "$out/half.mcu" --elastic ffn=0.5
truth "ratios per layer" same "$out/first.mcu" --elastic list=0.5,1.5
printf '%s\n' 'name,# Layers,FFN Hidden Dims,Layers Skipped' \
    'big,2,"[8, 6]",' 'small,2,"[2 * 2, 3]",[]' 'one,1,"[8, 6]","[1]"' \
    >"$out/slices.csv"
truth "a row of a CSV file" same "$out/half.mcu" \
    --elastic "csv=$out/slices.csv:small"
truth "all of a CSV row" same "$out/full.mcu" \
    --elastic "csv=$out/slices.csv:big"
truth "a layer left out" "$build/mcufc" -q "$out/full.mcu" --verify \
    --elastic "csv=$out/slices.csv:one"

refused()       # what, message, options...
{
    what=$1 message=$2
    shift 2
    if "$build/mcufc" -q "$@" -o "$out/no.c" >"$out/log" 2>&1
    then failed=$((failed + 1)); echo "FAIL $what: accepted"
    elif grep -q "$message" "$out/log"; then passed=$((passed + 1))
    else failed=$((failed + 1)); echo "FAIL $what:"; head -2 "$out/log"; fi
}
f=$out/full.mcu
refused "too wide" 'asks for 32 hidden neurons in layer 0, which has 8' \
    "$f" --elastic list=8,1
refused "list of another length" 'has 3 entries' "$f" --elastic list=1,1,1
refused "no such row" 'no such row' "$f" --elastic "csv=$out/slices.csv:huge"
printf 'name,FFN Hidden Dims\nx,"[8]"\n' >"$out/short.csv"
refused "a CSV with wrong layers" 'has 1 entries, the model has 2' "$f" \
    --elastic "csv=$out/short.csv:x"
refused "a CSV without columns" 'no columns' "$f" --elastic "csv=$f:x"
refused "no such layer" 'no layer 2' "$f" --elastic skip=2
refused "no share" 'share above 0' "$f" --elastic ffn=0
refused "two choices" 'one of them' "$f" --elastic ffn=0.5 --elastic list=1,1
refused "budget too small" 'needs .* MACs' "$f" --elastic mixnmatch=10
refused "no layers" 'no feed-forward layer' tests/golden/low_rank/list.mcu \
    --elastic ffn=0.5

# Attention of $1 heads of 4 in 12 features; $2 is how queries, keys and
# values are made: three products, or one; rows of heads from $3 on are 0 in
# the last product, so that those heads do not count.
attention()
{
    awk -v heads="$1" -v form="$2" -v live="$3" '
        function w(k, i, j) { return sin(k * 7.1 + i * 3.3 + j * 1.7) }
        function entry(k, i, j) {
            if (k == 9)
                return i < 4 * live ? w(k, i, j) : 0
            if (k == 8)         # parts of 12 columns each, whatever heads
                return w(int(j / all), i, j % all)
            return w(k, i, j)
        }
        function matrix(name, k, rows, cols,    i, j, s) {
            s = sprintf("float[%d,%d] %s = {", rows, cols, name)
            for (i = 0; i < rows; i++) for (j = 0; j < cols; j++)
                s = s sprintf("%s%.6f", i + j ? ", " : "", entry(k, i, j))
            return s "}"
        }
        function part(name, i) {
            print name "h = Reshape(" name ", sh)"
            print name "t = Transpose <perm = [" \
                (i == 1 ? "0, 2, 3, 1" : "0, 2, 1, 3") "]> (" name "h)"
        }
        BEGIN {
            all = 4 * heads
            print "<ir_version: 10, opset_import: [\"\" : 21]>"
            print "m (float[1,7,12] x) => (float[1,7,12] y) <"
            if (form == "one") {
                print matrix("w", 8, 12, 3 * all) ", "
                print "int64[5] sh = {1, 7, 3, " heads ", 4},"
                for (i = 0; i < 3; i++)
                    print "int64 i" i " = {" i "}, "
            } else if (form == "split") {
                print matrix("w", 8, 12, 3 * all) ", "
                print "int64[3] sp = {" all ", " all ", " all "},"
            } else {
                for (i = 0; i < 3; i++)
                    print matrix("w" i, i, 12, all) ", "
            }
            if (form != "one")
                print "int64[4] sh = {1, 7, " heads ", 4},"
            print matrix("o", 9, all, 12) ", int64[3] back = {1, 7, " all "}"
            print ", float f = {0.5}> {"
            if (form == "one") {
                print "a = MatMul(x, w) b = Reshape(a, sh)"
                print "c = Transpose <perm = [2, 0, 3, 1, 4]> (b)"
                print "qt = Gather(c, i0) kg = Gather(c, i1)"
                print "vt = Gather(c, i2)"
                print "kt = Transpose <perm = [0, 1, 3, 2]> (kg)"
            } else {
                if (form == "split") {
                    print "a = MatMul(x, w)"
                    print "q, k, v = Split <axis = 2> (a, sp)"
                } else {
                    print "q = MatMul(x, w0) k = MatMul(x, w1)"
                    print "v = MatMul(x, w2)"
                }
                part("q", 0); part("k", 1); part("v", 2)
            }
            print "s = MatMul(qt, kt) sf = Mul(s, f) p = Softmax(sf)"
            print "r = MatMul(p, vt)"
            print "rt = Transpose <perm = [0, 2, 1, 3]> (r)"
            print "rr = Reshape(rt, back) e = MatMul(rr, o)"
            print "y = Add(x, e) }"
        }'
}

bytes_of()      # model, options: what the interpreter makes of in.npy
{
    "$build/mcufc" -q "$@" --run "$out/in.npy" -o "$out/o.npy" &&
        od -An -tx1 "$out/o.npy" | sed 1,8d
}

alike()         # model, and the same with options: equal outputs
{
    m=$1
    shift
    bytes_of "$m" >"$out/a.hex" && bytes_of "$m" "$@" >"$out/b.hex" &&
        cmp "$out/a.hex" "$out/b.hex"
}

python3 - "$out/in.npy" "$out/calib.npy" <<'END' || exit 1
import math, struct, sys
for name, n in ((sys.argv[1], 4), (sys.argv[2], 40)):
    head = "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, 7, 12), }"
    head = head % n + ' ' * 40
    head += ' ' * (63 - (10 + len(head)) % 64) + '\n'
    with open(name, 'wb') as f:
        f.write(b'\x93NUMPY\x01\x00' + struct.pack('<H', len(head)))
        f.write(head.encode())
        f.write(b''.join(struct.pack('<f', 2 * math.sin(i * i * 0.37 + i))
                         for i in range(n * 84)))
END
full=$out/three.mcu
for form in three one split; do
    attention 3 $form 3 >"$out/three.mcu"
    attention 2 $form 2 >"$out/heads.mcu"
    truth "two of three heads, $form" same "$out/heads.mcu" --elastic heads=2
    attention 1 $form 1 >"$out/heads.mcu"
    truth "one of three heads, $form" "$build/mcufc" -q "$full" \
        --elastic heads=1 --verify
    attention 3 $form 2 >"$out/live.mcu"
    truth "heads of no effect, $form" alike "$out/live.mcu" \
        --elastic heads=2
    "$build/mcufc" -q "$out/live.mcu" --quantize int8 \
        --calib "$out/calib.npy" -o "$out/live.onnx"
    truth "the same as codes, $form" alike "$out/live.onnx" \
        --elastic heads=2
    truth "codes in C, $form" "$build/mcufc" -q "$out/live.onnx" \
        --elastic heads=2 --verify
done
refused "more heads than there are" 'asks for 4 heads in attention layer 0' \
    "$full" --elastic heads=4
refused "heads of other layers" 'has 2 entries, the model has 1 attention' \
    "$full" --elastic heads=1,2
refused "no number of heads" 'from 1' "$full" --elastic heads=0
refused "no heads" 'no attention' "$out/full.mcu" --elastic heads=1

layers()        # model, layers it has
{
    [ -f "$1" ] || { skip "$1 is not here"; return; }
    truth "$1: $2 layers" sh -c "'$build/mcufc' -q '$1' --elastic ffn=0.5 \
        --report -o '$out/m.c' | grep -c '^  layer' | grep -qx $2"
}
layers examples/vit-mnist/vit_mnist.onnx 4
layers "$shared/models/01_vit-mnist.onnx" 4
layers "$shared/models/02_vit_cifar10_pgd_2_3_16.onnx" 2
layers "$shared/models/03_cct_xs_v1_global.onnx" 4
layers "$shared/models/04_kwt1_speechcommands12_wav16k_fp32.onnx" 12
layers "$shared/models/05_stories260K_step_kv256.onnx" 5
layers "$shared/models/shapes/deit_tiny.onnx" 12
finish
