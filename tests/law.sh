#!/bin/sh
# law.sh BUILD [model...] - the law of the text form, for every golden,
# example and real model and after every pass:
#   - what is printed, read and printed again is the same bytes
#   - it compiles to the same C file
# With -q only the text as loaded and after the last pass.
cd "$(dirname "$0")/.." || exit 1
quick=
[ "$1" = -q ] && quick=1 && shift
build=${1:-build}
[ $# -gt 0 ] && shift
mcufc=$PWD/$build/mcufc
shared=${MCUFC_SHARED:-../shared}
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
passed=0 failed=0 skipped=0
passes=$("$mcufc" --list-passes | cut -d' ' -f1)
last=$(echo "$passes" | tail -1)

fail() { echo "FAIL law $1"; failed=$((failed + 1)); }

# Options that a text's first RUN line gives to mcufc, as far as they matter.
wanted='state|dim|outputs|input-norm|keep-inputs|stream-input'
options()
{
    sed -n 's/^# RUN: mcufc %s//p' "$1" 2>/dev/null | head -1 |
        grep -oE -- "--($wanted)(=[^ ]+| [^ -][^ ]*)?" |
        tr '\n' ' '
}

# model, its options, what: "" as loaded or a pass; needs $tmp/want.c
one()
{
    what="$1${3:+ after $3}"
    # shellcheck disable=SC2086
    if ! "$mcufc" "$1" $2 -q -o "$tmp/a.mcu" ${3:+--dump-after=$3} \
            2>"$tmp/err"; then
        if [ -n "$3" ] && [ -f "$tmp/want.c" ]; then
            fail "$what: $(head -1 "$tmp/err")"
        else
            skipped=$((skipped + 1))
        fi
        return 1
    fi
    mkdir -p "$tmp/again"
    if ! "$mcufc" "$tmp/a.mcu" -q -o "$tmp/again/a.mcu" 2>"$tmp/err"; then
        fail "$what: cannot read it: $(head -1 "$tmp/err")"
        return 0
    fi
    if ! cmp -s "$tmp/a.mcu" "$tmp/again/a.mcu" ||
       { [ -f "$tmp/a.bin" ] && ! cmp -s "$tmp/a.bin" "$tmp/again/a.bin"; }
    then
        fail "$what: prints other text: $(diff "$tmp/a.mcu" \
            "$tmp/again/a.mcu" | head -4 | cut -c1-150)"
        return 0
    fi
    if [ -f "$tmp/want.c" ]; then
        keep=$(echo "$2" | grep -oE -- '--(keep-inputs|stream-input[^ ]*)')
        # shellcheck disable=SC2086
        if ! "$mcufc" "$tmp/a.mcu" -q --name m $keep -o "$tmp/got.c" \
                2>"$tmp/err"; then
            fail "$what: does not compile: $(head -1 "$tmp/err")"
            return 0
        fi
        if ! cmp -s "$tmp/want.c" "$tmp/got.c"; then
            fail "$what: other C: $(diff "$tmp/want.c" "$tmp/got.c" |
                head -4 | cut -c1-150)"
            return 0
        fi
    fi
    passed=$((passed + 1))
    rm -f "$tmp"/a.* "$tmp"/again/a.*
}

model()
{
    opts=$(options "$1")
    rm -f "$tmp"/*.c "$tmp"/a.* "$tmp"/again/*
    # shellcheck disable=SC2086
    "$mcufc" "$1" $opts -q --name m -o "$tmp/want.c" 2>/dev/null ||
        rm -f "$tmp/want.c"
    one "$1" "$opts" "" || return
    if [ -n "$quick" ]; then
        one "$1" "$opts" "$last"
        return
    fi
    for p in $passes; do
        one "$1" "$opts" "$p"
    done
}

if [ $# -gt 0 ]; then
    for m in "$@"; do model "$m"; done
else
    for m in $(find tests/golden examples tests/data -name '*.mcu' -o \
                    -name '*.onnx' 2>/dev/null | grep -v /bad/ | sort); do
        model "$m"
    done
    if [ -d "$shared/models" ]; then
        for m in "$shared"/models/*.onnx; do model "$m"; done
    else
        echo "SKIP law of real models: no $shared/models"
        skipped=$((skipped + 1))
    fi
fi
echo "law: $passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
