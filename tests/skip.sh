#!/bin/sh
# skip.sh BUILD [long] - no optional pass is needed: with each one skipped, and
# with all of them, every pass that is left keeps the interpreter's results
# (--prove) on every golden, example and, one by one only when long, real
# model.
cd "$(dirname "$0")/.." || exit 1
build=${1:-build}
long=$2
mcufc=$PWD/$build/mcufc
shared=${MCUFC_SHARED:-../shared}
optional=$("$mcufc" --list-passes | grep -v '(required)' | cut -d' ' -f1)
all=$(echo "$optional" | paste -sd, -)
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
passed=0 failed=0 skipped=0

prove()         # model, option
{
    if (cd "$tmp" && "$mcufc" "$1" -q --prove $2 >out 2>&1); then
        passed=$((passed + 1))
    else
        echo "FAIL skip $1 $2: $(grep error: "$tmp/out" | head -1)"
        failed=$((failed + 1))
    fi
}

model()         # file, each pass too?
{
    "$mcufc" "$1" -q -o "$tmp/x.c" >/dev/null 2>&1
    # refused, or it needs options; or it states places, which hold for the
    # passes that it was made with
    if [ $? = 1 ] || grep -qs '@at(' "$1"; then
        skipped=$((skipped + 1))
        return
    fi
    prove "$1" ""
    prove "$1" "--skip=$all"
    [ -n "$2" ] || return
    for p in $optional; do prove "$1" "--skip=$p"; done
}

for m in $(find "$PWD/tests/golden" "$PWD/examples" "$PWD/tests/data" \
                -name '*.mcu' -o -name '*.onnx' | grep -v /bad/ | sort); do
    case $m in
    */vit_mnist.onnx) model "$m" "$long" ;;
    *) model "$m" each ;;
    esac
done
if [ -d "$shared/models" ]; then
    for m in "$(cd "$shared" && pwd)"/models/*.onnx; do
        model "$m" "$long"
    done
else
    echo "SKIP skip of real models: no $shared/models"
    skipped=$((skipped + 1))
fi
echo "skip: $passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
