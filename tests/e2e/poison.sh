#!/bin/sh
# poison.sh BUILD [NAME...] - after each step every byte that the report calls
# dead is filled with 0xa5: outputs and state must be the same bytes as
# without, in three runs on one arena. Live ranges come from the report's
# buffers, so this checks plan, report and kernels against each other.
cd "$(dirname "$0")/../.." || exit 1
build=${1:-build}
[ $# -gt 0 ] && shift
shared=${MCUFC_SHARED:-../shared}
out=$build/poison
mkdir -p "$out"
passed=0 failed=0 skipped=0

# rows of one list of the report: fields "offset", "bytes" and what follows
rows()          # list, fields... -> { a, b, ... }, per element
{
    list=$1
    shift
    sed -n "/^  \"$list\": \[/,/^  \]/p" "$out/m.json" | awk -v want="$*" '
        /"offset"/ || /"index"/ {
            n = split(want, key, " "); s = "{"
            for (i = 1; i <= n; i++) {
                v = $0
                if (!match(v, "\"" key[i] "\": [^,}]*")) continue
                v = substr(v, RSTART, RLENGTH); sub(/.*: /, "", v)
                sub(/null/, "-1", v); sub(/true/, "1", v); sub(/false/, "0", v)
                s = s " " v ","
            }
            print s " },"
        }'
}

program()
{
    cat <<'END'
#include <stdio.h>
#include <stdlib.h>
static void poison(unsigned char *p, long step);
#define M_STEP_END(i) poison(a->bytes, i)
#include "m.c"
typedef struct Buffer { long at, bytes, first, last, store, carried; } Buffer;
typedef struct Io { long at, bytes; const char *type; } Io;
typedef struct Band { long bands; } Band;       /* bytes of Io: of one */
END
    push=$(sed -n 's/.*"accessor": "\(m_band_[^"]*\)".*/\1/p' "$out/m.json" |
        sed 's/^m_band/m_push/')
    echo "#define PUSH(a) ${push:-0 * sizeof }(a)"
    echo 'static const Buffer buffers[] = {'
    rows buffers offset bytes first_step last_step store carried
    echo '{ 0, 0, 0, 0, 0, 0 } }; static const struct { long loop; } steps[] = {'
    rows steps region
    echo '{ -1 } }; static const Io ins[] = {'
    rows inputs offset bytes dtype
    echo '{ 0, 0, "" } }; static const Band bands[] = {'
    sed -n '/^  "inputs": \[/,/^  \]/p' "$out/m.json" | awk '/"offset"/ {
        n = 0
        if (match($0, /"bands": [0-9]*/))
            n = substr($0, RSTART + 9, RLENGTH - 9)
        print "{ " n " }," }'
    echo '{ 0 } }; static const Io outs[] = {'
    rows outputs offset bytes dtype
    cat <<'END'
{ 0, 0, "" } };
enum { NBUF = sizeof buffers / sizeof buffers[0] - 1,
       NIN = sizeof ins / sizeof ins[0] - 1,
       NOUT = sizeof outs / sizeof outs[0] - 1, RUNS = 3 };
static m_arena arena;
static unsigned char dead[sizeof arena];
static int on;

/* In a loop inside that of its turns, or inside one where it is stored whole,
 * a buffer may be read in the next turn too; and what is left to that. */
static int lives(const Buffer *b, long step)
{
    long ends = step >= 0 && (b->carried || steps[step].loop != b->store)
                ? b->last + 1 : b->last;

    return b->first <= step && step < ends;
}

static void poison(unsigned char *p, long step)
{
    size_t i;

    if (!on)
        return;
    memset(dead, 1, sizeof dead);
    memset(dead, 0, M_STATE_BYTES);
    for (i = 0; i < NBUF; i++)
        if (lives(&buffers[i], step))
            memset(dead + buffers[i].at, 0, (size_t)buffers[i].bytes);
    for (i = 0; i < sizeof dead; i++)
        if (dead[i])
            p[i] = 0xa5;
}

static unsigned seed;

static void fill(long k)
{
    long i;

    for (i = 0; i < ins[k].bytes; i++) {
        unsigned char *p = arena.bytes + ins[k].at;
        seed = seed * 1664525u + 1013904223u;
        if (!strcmp(ins[k].type, "float") && i % 4 == 0) {
            float x = (float)(seed >> 16) / 32768.0f - 1.0f;
            memcpy(p + i, &x, 4);
        } else if (strcmp(ins[k].type, "float")) {
            p[i] = !strcmp(ins[k].type, "uint8") ||
                   !strcmp(ins[k].type, "int8")
                   ? (unsigned char)(seed >> 24) : 0;
        }
    }
}

/* Whole inputs, then those in bands. */
static int hand_over(void)
{
    long k, b;

    for (k = 0; k < NIN; k++)
        if (!bands[k].bands)
            fill(k);
    poison(arena.bytes, -1);
    for (k = 0; k < NIN; k++)
        for (b = 0; b < bands[k].bands; b++) {
            fill(k);
            if (PUSH(&arena))
                return 1;
        }
    return 0;
}

int main(void)
{
    static unsigned char want[RUNS][sizeof arena + 1];
    long r, k;

    for (on = 0; on < 2; on++) {
        memset(&arena, on ? 0xa5 : 0, sizeof arena);
        m_reset(&arena);
        for (r = 0; r < RUNS; r++) {
            seed = (unsigned)r;
            if (hand_over() || m_run(&arena))
                return 2;
            for (k = 0; k < NOUT; k++)
                if (!on)
                    memcpy(want[r] + outs[k].at, arena.bytes + outs[k].at,
                           (size_t)outs[k].bytes);
                else if (memcmp(want[r] + outs[k].at,
                                arena.bytes + outs[k].at,
                                (size_t)outs[k].bytes)) {
                    printf("output %ld of run %ld differs\n", k, r);
                    return 1;
                }
        }
    }
    return 0;
}
END
}

poisoned()      # model, options...
{
    if ! "$build/mcufc" -q "$@" --name m -o "$out/m.c" \
            --report="$out/m.json"; then
        failed=$((failed + 1))
        echo "FAIL $* does not compile"
        return
    fi
    program >"$out/main.c"
    if gcc -std=c99 -O1 -w -o "$out/main" "$out/main.c" -lm &&
            "$out/main"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $*"
    fi
}

wanted()        # file, names...
{
    [ $# = 1 ] && return 0
    file=$1
    shift
    for w; do case $file in *"$w"*) return 0 ;; esac; done
    return 1
}

for m in examples/*/*.onnx tests/data/*.onnx "$shared"/models/*.onnx \
         "$shared"/models/shapes/*.onnx; do
    if [ ! -f "$m" ]; then
        skipped=$((skipped + 1))
        echo "SKIP $m is not here"
        continue
    fi
    wanted "$m" "$@" || continue
    poisoned "$m"
    poisoned "$m" --keep-inputs
    poisoned "$m" --bisect 0
    # where the input can come in bands
    "$build/mcufc" -q "$m" --stream-input -o "$out/m.c" 2>/dev/null &&
        poisoned "$m" --stream-input
    case $m in
    *stories*) poisoned "$m" --state auto ;;
    *dtln*) poisoned "$m" --state input_3=tf_op_layer_stack_2 ;;
    esac
done
for m in tests/golden/stream/patches.mcu; do
    wanted "$m" "$@" || continue
    poisoned "$m" --io quantized --optimize ram
    poisoned "$m" --io quantized --optimize ram --max-macs 1
done
echo "poison: $passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
