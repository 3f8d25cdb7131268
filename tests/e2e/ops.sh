#!/bin/sh
# ops.sh BUILD [long] - elementwise and movement ops against numpy, in the
# generated C (all warnings, sanitizers) and in the interpreter; long: in
# every type. Needs python3 with numpy and onnx.
cd "$(dirname "$0")" || exit 1
case $1 in
/*) build=$1 ;;
*) build=../../${1:-build} ;;
esac
python=python3
for p in python3 /usr/bin/python3; do
    if $p -c 'import numpy, onnx' 2>/dev/null; then
        python=$p
        break
    fi
    python=
done
if [ -z "$python" ]; then
    echo "SKIP ops: python3 has no numpy or onnx"
    echo "ops: 0 passed, 0 failed, 1 skipped"
    exit 0
fi
types='f32 f16 s8 u32 s64 b8 s4'
[ "$2" = long ] && types=
{
    $python ops_map.py "$build" $types
    $python ops_move.py "$build" $types
} 2>&1 | awk '
    /^ops_[a-z]*: / { p += $2; f += $4; n++; print; next }
    { print }
    END {
        if (n < 2)
            f++
        printf "ops: %d passed, %d failed\n", p, f
    }'
