#!/usr/bin/env python3
"""bench.py - speed of the generated C beside ONNX Runtime.

usage: bench.py BUILD MODEL.onnx... [--cc gcc] [--cflags "-O3 -march=native"]
                [--seconds S] [--core N] [--flags "options of mcufc"] [--steps]
                [--int8 | --int4]

One thread, one core, both in one process: the two run in turn and the least
processor time of each counts, also on a busy machine. Prints
milliseconds, billion float operations per second and the ratio of times
(below 1: the generated C is faster), and the largest difference of the
outputs. Without ONNX Runtime it prints the generated C's own times and says
so. --steps also times each step of the model (least of all runs). --int8
compares the model, quantized with random samples, with its float form instead
of ONNX Runtime; --int4 does with int4 weights.
"""
import argparse
import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

try:
    import onnxruntime
except ImportError:
    onnxruntime = None

TYPES = {'float': np.float32, 'double': np.float64, 'bool': np.bool_}

# what MODEL_STEP_BEGIN and _END become with --steps: least time of each
STEPS = '''
#include <time.h>
double bench_step[%d];
static double bench_begin;
static double bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
#define M_STEP_BEGIN(i) (bench_begin = bench_now())
#define M_STEP_END(i) bench_end(i)
static void bench_end(int i)
{
    double t = bench_now() - bench_begin;
    if (bench_step[i] == 0 || t < bench_step[i])
        bench_step[i] = t;
}
#include "m.c"
'''


def command(args, cwd):
    r = subprocess.run(args, cwd=cwd, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT)
    if r.returncode:
        sys.exit('bench: %s\n%s' % (' '.join(args), r.stdout.decode()))


class Compiled:
    """the generated C as a shared object, its arena filled with inputs"""

    def __init__(self, model, a, d, extra=[]):
        command([os.path.abspath(a.build) + '/mcufc',
                 os.path.abspath(model), '-o', 'm.c', '--name', 'm',
                 '--report=r.json', '-q'] + a.flags.split() + extra, d)
        self.report = json.load(open(d + '/r.json'))
        source = 'm.c'
        self.nsteps = len(self.report['steps'])
        if a.steps:
            source = 'steps.c'
            open(d + '/steps.c', 'w').write(STEPS % (self.nsteps + 1))
        begin = time.time()
        command([a.cc] + a.cflags.split() +
                ['-shared', '-fPIC', source, '-o', 'm.so', '-lm'], d)
        self.cc_seconds = time.time() - begin
        self.lib = ctypes.CDLL(d + '/m.so')
        size = self.report['arena']['bytes']
        raw = np.zeros(size + 64, np.uint8)
        skip = -raw.ctypes.data % 64
        self.arena = raw[skip:skip + size]
        self.address = ctypes.c_void_p(self.arena.ctypes.data)
        self.run_c = self.lib.m_run
        self.run_c.argtypes = [ctypes.c_void_p]

    def view(self, t):
        dt = np.dtype(TYPES.get(t['dtype'], t['dtype']))
        a = self.arena[t['offset']:t['offset'] + t['bytes']]
        return a.view(dt).reshape(t['shape'])

    def run(self, feed):
        for t in self.report['inputs']:
            self.view(t)[...] = feed[t['name']]
        begin = time.thread_time()
        status = self.run_c(self.address)
        end = time.thread_time()
        if status:
            sys.exit('bench: the model returned %d' % status)
        return end - begin

    def outputs(self):
        return {t['name']: self.view(t).copy()
                for t in self.report['outputs']}


def random_feed(report):
    rng = np.random.RandomState(1)
    feed = {}
    for t in report['inputs']:
        dt = np.dtype(TYPES.get(t['dtype'], t['dtype']))
        x = rng.rand(*t['shape'])
        feed[t['name']] = (x if dt.kind == 'f' else x * 2).astype(dt)
    return feed


def session(model):
    so = onnxruntime.SessionOptions()
    so.intra_op_num_threads = so.inter_op_num_threads = 1
    so.log_severity_level = 3
    return onnxruntime.InferenceSession(
        model, so, providers=['CPUExecutionProvider'])


def difference(got, want):
    worst = 0.0
    for name, w in want.items():
        d = np.abs(got[name].astype(np.float64) - w.astype(np.float64))
        worst = max(worst, float(d.max()) if d.size else 0.0)
    return worst


def print_steps(c):
    times = (ctypes.c_double * (c.nsteps + 1)).in_dll(c.lib, 'bench_step')
    for s in c.report['steps']:
        t = times[s['index']]
        rate = 2e-9 * s['macs'] / t if t else 0
        print('    %4d %-22s %9.1f us %7.1f GF/s  %s' %
              (s['index'], s['op'], 1e6 * t, rate, s['node']))


def bench(model, a):
    with tempfile.TemporaryDirectory() as d:
        c = Compiled(model, a, d)
        feed = random_feed(c.report)
        ort = session(model) if onnxruntime else None
        ours = theirs = 1e9
        names = [o['name'] for o in c.report['outputs']]
        want = dict(zip(names, ort.run(names, feed))) if ort else {}
        c.run(feed)
        wrong = difference(c.outputs(), want)
        end = time.time() + a.seconds
        while time.time() < end:
            ours = min(ours, c.run(feed))
            if ort:
                begin = time.thread_time()
                ort.run(names, feed)
                theirs = min(theirs, time.thread_time() - begin)
        flops = 2e-9 * sum(s['macs'] for s in c.report['steps'])
        line = '%-24s %9.3f ms %6.1f GF/s' % (
            os.path.basename(model)[:-5], 1e3 * ours, flops / ours)
        if ort:
            line += '  ONNX Runtime %9.3f ms %6.1f GF/s  ratio %5.2f' \
                    '  difference %.1e' % (1e3 * theirs, flops / theirs,
                                           ours / theirs, wrong)
        print(line + '  (%s took %.1f s)' % (a.cc, c.cc_seconds), flush=True)
        if a.steps:
            print_steps(c)


def bench_int8(model, a):
    """the quantized model and the float one in turn"""
    with tempfile.TemporaryDirectory() as df, \
            tempfile.TemporaryDirectory() as dq:
        real = Compiled(model, a, df)
        feed = random_feed(real.report)
        rng = np.random.RandomState(2)
        np.savez(dq + '/calib.npz', **{
            n: np.concatenate([rng.randn(*x.shape).astype(x.dtype)
                               for _ in range(4)]) for n, x in feed.items()})
        code = Compiled(model, a, dq,
                        ['--quantize', 'int8', '--calib', 'calib.npz',
                         '--weights', 'int4' if a.int4 else 'int8'])
        codes = {t['name']: feed[t['name']] if t['dtype'] in TYPES else
                 rng.randint(0, 100, t['shape']).astype(t['dtype'])
                 for t in code.report['inputs']}
        best = [1e9, 1e9]
        end = time.time() + a.seconds
        while time.time() < end:
            best[0] = min(best[0], code.run(codes))
            best[1] = min(best[1], real.run(feed))
        flops = 2e-9 * sum(s['macs'] for s in code.report['steps'])
        islands = sum(bool(s['float_island']) for s in code.report['steps'])
        print('%-24s %s %9.3f ms %6.1f Gop/s  float %9.3f ms %6.1f GF/s  '
              'ratio %5.2f  (%d float islands)' %
              (os.path.basename(model)[:-5], 'int4' if a.int4 else 'int8',
               1e3 * best[0], flops / best[0],
               1e3 * best[1], flops / best[1], best[0] / best[1], islands),
              flush=True)
        if a.steps:
            print_steps(code)


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument('build')
    p.add_argument('model', nargs='+')
    p.add_argument('--cc', default='gcc')
    p.add_argument('--cflags', default='-O3 -march=native')
    p.add_argument('--flags', default='')
    p.add_argument('--seconds', type=float, default=3)
    p.add_argument('--core', type=int)
    p.add_argument('--steps', action='store_true')
    p.add_argument('--int8', action='store_true')
    p.add_argument('--int4', action='store_true')
    a = p.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1] if a.core is None else a.core})
    print('%s %s, one thread%s' % (a.cc, a.cflags,
          '' if onnxruntime or a.int8 or a.int4
          else '; no ONNX Runtime here to compare with'))
    for m in a.model:
        (bench_int8 if a.int8 or a.int4 else bench)(m, a)


main()
