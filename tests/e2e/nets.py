#!/usr/bin/env python3
"""nets.py BUILD [--rounds N] [--seed S] [--keep DIR] [--reduce SHARE]

Loops against none.

Random networks (random_net.py) are compiled with random options that decide
over loops: --optimize, --max-macs, --arena between the least and that of
whole tensors, --keep-inputs, --pool, --stream-input, --state, --io,
--input-layout, --elastic, --low-rank. --reduce: the share of networks that
are full of sums and means. Then
- the C with loops and the C with --skip=stream run on the same inputs, one
  after the other, in arenas of which every dead byte is filled after each
  step; integers must be the same bytes, floats within 1e-4;
- nothing outside the arena is touched, and all of it but the last few bytes
  is; report and macro agree on its size;
- --verify (the interpreter), --check-plan; now and then --prove, the law of
  the text form, sanitizers, another compiler;
- each run of mcufc is over within 20 seconds, and where a network is
  refused, no message speaks of the compiler's insides.
"""
import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import random_net                                           # noqa: E402

STRICT = ("-std=c99 -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion "
          "-Wshadow -Wmissing-prototypes -Wdouble-promotion -Werror").split()
SANE = ("-O1 -g -fsanitize=address,undefined "
        "-fno-sanitize-recover=all").split()
CLANG = "clang" if shutil.which("clang") else "gcc"
SLOW = 20


class Wrong(Exception):
    pass


def run(args, limit=120, **env):
    begin = time.time()
    try:
        p = subprocess.run(args, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, timeout=limit,
                           env=dict(os.environ, **env))
    except subprocess.TimeoutExpired:
        raise Wrong("%s: more than %d s" % (" ".join(args), limit))
    said = p.stdout.decode(errors="replace")
    if "mcufc" in args[0] and "--verify" not in args and \
            time.time() - begin > SLOW:
        raise Wrong("%s: %.0f s" % (" ".join(args), time.time() - begin))
    return p.returncode, said


def good(*args, **env):
    rc, said = run(args, **env)
    if rc:
        raise Wrong("%s: exit %d: %s" % (" ".join(args[1:]), rc, said))
    return said


def choose(net, rng, outs):
    """options; those that --check-plan takes from the report are not apart"""
    options = rng.choice([[], [], ["--optimize", "ram"], ["--optimize", "ram"],
                          ["--optimize", "ram"], ["--optimize", "speed"]])
    options = list(options)
    if rng.random() < 0.35:
        options += ["--max-macs", rng.choice(["1", "1.05", "1.2", "2", "5"])]
    if rng.random() < 0.25:
        options.append("--keep-inputs")
    if net.codes:
        options += rng.choice([[], ["--io", "quantized"], ["--io", "float"]])
    if net.inputs[0].count(",") >= 3 and \
            re.search(r"\[\d+,\d+,\d+,\d+\]", net.inputs[0]) and \
            rng.random() < 0.3:
        options += ["--input-layout", "x=nhwc"]
    if "state" in net.flags and rng.random() < 0.8 and \
            "float" not in options:
        options += ["--state", "past_c=" + net.cache]
    if rng.random() < 0.1 and "--keep-inputs" not in options:
        options.append("--stream-input=x")
    if net.kind == "tokens" and rng.random() < 0.3:
        options.append("--elastic=" + rng.choice(
            ["runtime=0.25,0.5,1", "runtime=0.5,1", "ffn=0.5", "heads=1"]))
    elif not net.codes and rng.random() < 0.08:
        options.append("--low-rank=" + rng.choice(["energy=0.9", "rank=2"]))
    if rng.random() < 0.06:
        options += ["--skip", rng.choice(["overlap", "lean", "schedule",
                                          "fuse_act", "fuse_attention"])]
    return options


def limits(report, rng, mcufc, path, options):
    """--arena or --pool between the least and what whole tensors take"""
    whole = report["decisions"].get("whole_arena") or \
        report["arena"]["bytes"]
    rc, _ = run([mcufc, path, "-q", "--report=" + path + ".json"] +
                [o for o in options if o not in ("balanced", "speed",
                                                 "--optimize", "ram")] +
                ["--optimize", "ram"])
    least = report["arena"]["bytes"]
    if not rc:
        least = min(least, json.load(open(path + ".json"))["arena"]["bytes"])
    n = rng.randint(min(least, whole), max(least, whole)) // 8 * 8 + 8
    if rng.random() < 0.25 and "--stream-input=x" not in options:
        fast = rng.randint(1, n)
        return ["--pool", "fast=%d" % (fast + 8),
                "--pool", "slow=%d" % (n - fast + rng.choice([64, 512, 4096]))]
    return ["--arena", str(n)]


PROGRAM = """
#include <stdio.h>
#include <stdlib.h>
#include <math.h>
static void poison(unsigned char *p, long step);
#define M_STEP_END(i) poison(a->bytes, i)
#include "m.c"
#include "s.c"
typedef struct Buffer { long at, bytes, first, last, store, carried; } Buffer;
static const Buffer buffers[] = { %(buffers)s { 0, 0, 0, 0, 0, 0 } };
static const long loops[] = { %(loops)s -1 };
enum { NBUF = sizeof buffers / sizeof buffers[0] - 1, RUNS = 3 };
static union { unsigned char bytes[64 + sizeof(m_arena) + 64];
               uint64_t align; } around;
static m_arena *const arena = (m_arena *)(void *)(around.bytes + 64);
static s_arena whole;
static unsigned char dead[sizeof(m_arena)];
static long highest;
static unsigned seed;

static int lives(const Buffer *b, long step)
{
    long ends = step >= 0 && (b->carried || loops[step] != b->store)
                ? b->last + 1 : b->last;

    return b->first <= step && step < ends;
}

static void poison(unsigned char *p, long step)
{
    size_t i;

    memset(dead, 1, sizeof dead);
    memset(dead, 0, M_STATE_BYTES);
    for (i = 0; i < NBUF; i++)
        if (lives(&buffers[i], step))
            memset(dead + buffers[i].at, 0, (size_t)buffers[i].bytes);
    for (i = 0; i < sizeof dead; i++) {
        if (p[i] != 0xa5 && (long)i > highest)
            highest = (long)i;
        if (dead[i])
            p[i] = 0xa5;
    }
}

static void fill(unsigned char *p, long bytes, int real)
{
    long i;

    for (i = 0; i < bytes; i++) {
        seed = seed * 1664525u + 1013904223u;
        if (real && i %% 4 == 0) {
            float x = (float)(seed >> 16) / 32768.0f - 1.0f;
            memcpy(p + i, &x, 4);
        } else if (!real)
            p[i] = (unsigned char)(seed >> 24);
    }
}

static double most, apart;

static int same(const void *m, const void *s, long bytes, int real)
{
    const unsigned char *p = m, *q = s;
    long i;
    double big = 1;

    if (!real) {
        int off = 0;
        for (i = 0; i < bytes; i++)
            if (abs((signed char)p[i] - (signed char)q[i]) > off)
                off = abs((signed char)p[i] - (signed char)q[i]);
        return off <= %(islands)d;
    }
    for (i = 0; i < bytes; i += 4) {
        float y;
        memcpy(&y, q + i, 4);
        if (fabsf(y) > (float)big)
            big = (double)fabsf(y);
    }
    for (i = 0; i < bytes; i += 4) {
        float x, y;
        memcpy(&x, p + i, 4);
        memcpy(&y, q + i, 4);
        if (!(fabs((double)x - (double)y) <= %(bound)s * big) &&
                memcmp(p + i, q + i, 4)) {
            most = (double)x;
            apart = (double)y;
            return 0;
        }
    }
    return 1;
}

int main(void)
{
    long r, i;

    memset(around.bytes, 0xa5, sizeof around);
    %(reset)s
    for (r = 0; r < RUNS; r++) {
        seed = (unsigned)r + 7u;
        %(feed)s
        if (m_run(arena) || s_run(&whole))
            return 2;
        %(compare)s
    }
    for (i = 0; i < 64; i++)
        if (around.bytes[i] != 0xa5 ||
                around.bytes[64 + sizeof(m_arena) + (size_t)i] != 0xa5) {
            puts("bytes around the arena have changed");
            return 1;
        }
    for (i = 0; i < (long)sizeof(m_arena); i++)     /* without any step */
        if (around.bytes[64 + i] != 0xa5 && i > highest)
            highest = i;
    printf("%%ld of %%ld bytes\\n", highest + 1, (long)sizeof(m_arena));
    return 0;
}
"""


def c_name(accessor, what):
    return accessor.split(what, 1)[1].upper()


def feed(i, s):
    """C that fills an input of both; `s`: of the whole one"""
    real = int(i["dtype"] == "float")
    if "band" not in i:
        return ("fill((unsigned char *)%s(arena), %d, %d); memcpy(%s(&whole),"
                " %s(arena), %d);\n" % (i["accessor"], i["bytes"], real,
                                        s["accessor"], i["accessor"],
                                        i["bytes"]))
    n = "M" + c_name(i["accessor"], "m_band")
    return """{
    long b, p, q, planes = %(n)s_BAND_PLANES, rows = %(n)s_BAND_ROWS;
    long row = %(n)s_BAND_ROW_BYTES, all = %(all)d / planes / row;
    unsigned char *image = (unsigned char *)%(whole)s(&whole);
    fill(image, %(all)d, %(real)d);
    poison(arena->bytes, -1);
    for (b = 0; b < %(n)s_BANDS; b++) {
        unsigned char *to = (unsigned char *)%(band)s(arena);
        for (p = 0; p < planes; p++)
            for (q = 0; q < rows && b * rows + q < all; q++)
                memcpy(to + (p * rows + q) * row,
                       image + (p * all + b * rows + q) * row, (size_t)row);
        if (%(push)s(arena))
            return 3;
    }
}
""" % {"n": n, "all": s["bytes"], "real": real, "whole": s["accessor"],
       "band": i["accessor"],
       "push": i["accessor"].replace("m_band", "m_push", 1)}


def program(m, s):
    islands = any(x.get("float_island") for x in m["steps"]) and \
        any(i["dtype"] != "float" for i in m["inputs"] + m["outputs"])
    quantized = any("Quantize" in x["op"] or x["op"].startswith("mcufc.Q")
                    for x in m["steps"])
    feeds = [feed(i, j) for i, j in zip(m["inputs"], s["inputs"])
             if i["bytes"]]
    feeds.sort(key=lambda f: "band" in f)
    compare = "".join(
        "if (!same(%s(arena), %s(&whole), %d, %d)) { printf(\"%s of run %%ld:"
        " %%.9g, without loops %%.9g\\n\", r, most, apart); return 1; }\n"
        % (o["accessor"], p["accessor"], o["bytes"],
           o["dtype"] == "float", o["name"])
        for o, p in zip(m["outputs"], s["outputs"]) if o["bytes"])
    return PROGRAM % {
        "buffers": "".join("{ %d, %d, %d, %d, %d, %d },\n" % (
            b["offset"], b["bytes"], b["first_step"], b["last_step"],
            -1 if b.get("store") is None else b["store"],
            int(bool(b.get("carried")))) for b in m["buffers"]),
        "loops": "".join("%d, " % (-1 if x["region"] is None else x["region"])
                         for x in m["steps"]),
        "feed": "".join(feeds), "compare": compare,
        "islands": 3 if islands else 0,
        "bound": "2e-2" if quantized else "1e-4",
        "reset": "m_reset(arena); s_reset(&whole);"
                 if m["arena"]["state_bytes"] or
                 any("band" in i for i in m["inputs"]) else ""}


def side_by_side(mcufc, d, path, options, rng, stats):
    """C with loops against C without"""
    m = json.load(open(d + "/m.json"))
    plain = [o for o in options if not o.startswith("--stream-input")]
    for o in ("--arena", "--optimize", "--max-macs"):
        if o in plain:
            i = plain.index(o)
            plain[i:i + 2] = []
    if "--skip" in plain:
        plain[plain.index("--skip") + 1] += ",stream"
    else:
        plain += ["--skip", "stream"]
    good(mcufc, path, "-q", "--name", "s", "-o", d + "/s.c",
         "--report=" + d + "/s.json", *plain)
    s = json.load(open(d + "/s.json"))
    source = open(d + "/m.c").read()
    size = int(re.search(r"#define M_ARENA_BYTES (\d+)u", source).group(1))
    if size != m["arena"]["bytes"]:
        raise Wrong("report %d, macro %d" % (m["arena"]["bytes"], size))
    if "--arena" in options and \
            size > int(options[options.index("--arena") + 1]):
        raise Wrong("arena %d is over the budget" % size)
    if m["stack_bytes"] > 2048:
        raise Wrong("stack %d" % m["stack_bytes"])
    open(d + "/main.c", "w").write(program(m, s))
    cc = rng.choice(["gcc", "gcc", CLANG])
    flags = rng.choice([["-O0"]] * 5 + [["-O1"], ["-O2"], ["-O3"], SANE])
    if rng.random() < 0.2:
        good(cc, *STRICT, "-c", "-o", d + "/m.o", *flags, d + "/m.c")
    good(cc, "-std=c99", "-w", *flags, "-o", d + "/main", d + "/main.c",
         "-lm")
    said = good(d + "/main")
    used, of = re.match(r"(\d+) of (\d+)", said).groups()
    stats["regions"] += bool(m["regions"])
    stats["macs"] += bool(m["macs_added"])
    if int(of) - int(used) > 64 + int(of) // 20:
        raise Wrong("only %s of %s bytes are used" % (used, of))


def verify(mcufc, path, options, rng):
    """against the interpreter; what cancels out may differ by little"""
    words = [mcufc, path, "-q", "--verify"] + options
    rc, said = run(words, CFLAGS=rng.choice(["-O0", "-O0", "-O0", "-O3"]),
                   CC=rng.choice(["gcc", CLANG]))
    off = [float(x) for x in re.findall(r"DIFFER.*max abs ([^,]*),", said)]
    if rc and not (rc == 5 and off and max(off) < 1e-6):
        raise Wrong("%s: exit %d: %s" % (" ".join(words[1:]), rc, said))


def one(mcufc, seed, d, stats):
    """None, or why it was refused"""
    rng = random.Random(seed)
    net, outs = random_net.random_net(rng, stats["reduce"])
    options = choose(net, rng, outs)
    path = d + "/net.mcu"
    open(path, "w").write("# seed %d\n# %s\n%s" % (seed, " ".join(options),
                                                   net.text(outs)))
    words = [mcufc, path, "-q", "--name", "m", "-o", d + "/m.c",
             "--report=" + d + "/m.json"]
    rc, said = run(words + options, MCUFC_CHECK="1")
    if rc == 1 and ("--elastic" in said or "--low-rank" in said):
        options = [o for o in options if o[:9] not in ("--elastic",
                                                       "--low-ran")]
        rc, said = run(words + options, MCUFC_CHECK="1")
    if rc == 0 and rng.random() < 0.45:
        options += limits(json.load(open(d + "/m.json")), rng, mcufc, path,
                          options)
        rc, said = run(words + options, MCUFC_CHECK="1")
    open(path, "w").write("# seed %d\n# %s\n%s" % (seed, " ".join(options),
                                                   net.text(outs)))
    if rc in (1, 2, 4) and not re.search(r"plan:|region|internal|bug", said):
        return said
    if rc:
        raise Wrong("exit %d: %s" % (rc, said))
    good(mcufc, path, "-q", "--check-plan", d + "/m.json")
    loops = bool(json.load(open(d + "/m.json"))["regions"])
    alone = "--pool" in options or rng.random() < (0.2 if loops else 0.7)
    if not alone:
        side_by_side(mcufc, d, path, options, rng, stats)
    if alone or rng.random() < 0.3:
        verify(mcufc, path, options, rng)
    if rng.random() < 0.05:
        good(mcufc, path, "-q", "--prove", *options)
    if rng.random() < 0.1:
        law(mcufc, d, path, options, rng)
    return None


def law(mcufc, d, path, options, rng):
    after = rng.choice(["stream", "plan"])
    good(mcufc, path, "-q", "--dump-after", after, "-o", d + "/t.mcu",
         *options)
    again, skip = [], False
    for o in options:                   # those that shaped the graph
        if skip or o.startswith("--stream-input"):
            skip = False
        elif o in ("--input-layout", "--state", "--io"):
            skip = True
        elif o.startswith(("--elastic", "--low-rank")):
            continue
        else:
            again.append(o)
    good(mcufc, d + "/t.mcu", "-q", "--name", "m", "-o", d + "/t.c", *again)
    a, b = (open(d + f).read().split("_EINVAL", 1)[1]
            for f in ("/m.c", "/t.c"))
    if a != b:
        raise Wrong("the text after `%s` gives other C" % after)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("build")
    p.add_argument("--rounds", type=int, default=30)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--keep")
    p.add_argument("--reduce", type=float, default=0.15)
    a = p.parse_args()
    mcufc = os.path.abspath(a.build) + "/mcufc"
    passed = failed = refused = 0
    stats = {"regions": 0, "macs": 0, "reduce": a.reduce}
    with tempfile.TemporaryDirectory() as d:
        for seed in range(a.seed, a.seed + a.rounds):
            if a.keep:
                with open(a.keep + "/now", "w") as f:
                    f.write("%d %d %d\n" % (seed, passed, refused))
            try:
                why = one(mcufc, seed, d, stats)
                passed += not why
                refused += bool(why)
                if why and a.keep:
                    with open(a.keep + "/refused.txt", "a") as f:
                        f.write("%d %s" % (seed, why))
            except Wrong as x:
                print("FAIL nets: seed %d: %s" % (seed, str(x)[:1500]),
                      flush=True)
                failed += 1
                if a.keep:
                    os.system("cp %s/net.mcu %s/%d.mcu" % (d, a.keep, seed))
    if refused * 4 > a.rounds:
        print("FAIL nets: %d of %d refused" % (refused, a.rounds))
        failed += 1
    if a.keep:
        print(refused, "refused", stats)
    print("nets: %d passed, %d failed, 0 skipped" % (passed, failed))
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
