#!/usr/bin/env python3
"""plot_planning.py FIGURES > planning.svg - time to plan against buffers.

FIGURES is what `build/tests/plan/orders --times` prints: kind, buffers,
milliseconds, gap. Both axes are logarithmic; the grey line is linear growth.
"""
import sys
from math import log10

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 640, 400, 66, 24, 20, 48
X = (8, 16000)
Y = (0.01, 10000)
COLOURS = {"Inception": "#0072b2", "attention": "#d55e00",
           "random": "#009e73"}


def at(value, span, from_, to):
    low, high = (log10(s) for s in span)
    return from_ + (to - from_) * (log10(value) - low) / (high - low)


def x_of(buffers):
    return at(buffers, X, LEFT, WIDTH - RIGHT)


def y_of(ms):
    return at(max(ms, Y[0]), Y, HEIGHT - BOTTOM, TOP)


def text(x, y, what, anchor="middle", more=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>'
            f'{what}</text>')


def grid():
    for n in (10, 100, 1000, 10000):
        yield (f'<path d="M{x_of(n):.1f} {TOP}V{HEIGHT - BOTTOM}" '
               'class="grid"/>')
        yield text(x_of(n), HEIGHT - BOTTOM + 18, f"{n:,}")
    for ms, name in ((0.01, "10 µs"), (0.1, "0.1 ms"), (1, "1 ms"),
                     (10, "10 ms"), (100, "0.1 s"), (1000, "1 s"),
                     (10000, "10 s")):
        yield (f'<path d="M{LEFT} {y_of(ms):.1f}H{WIDTH - RIGHT}" '
               'class="grid"/>')
        yield text(LEFT - 8, y_of(ms) + 4, name, "end")
    yield (f'<path d="M{x_of(10):.1f} {y_of(0.05):.1f}L{x_of(10000):.1f} '
           f'{y_of(50):.1f}" class="linear"/>')
    yield text(x_of(6500), y_of(22), "linear", "middle", 'fill="#888"')
    yield text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, "buffers")


def line(kind, points):
    colour = COLOURS[kind]
    path = "L".join(f"{x_of(n):.1f} {y_of(ms):.1f}" for n, ms, _ in points)
    yield f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for n, ms, gap in points:
        fill = colour if gap == 0 else "#fff"
        yield (f'<circle cx="{x_of(n):.1f}" cy="{y_of(ms):.1f}" r="4" '
               f'fill="{fill}" stroke="{colour}" stroke-width="2"/>')


def legend():
    for i, (kind, colour) in enumerate(COLOURS.items()):
        y = TOP + 16 + 18 * i
        yield (f'<circle cx="{LEFT + 16}" cy="{y - 4}" r="4" '
               f'fill="{colour}" stroke="{colour}"/>')
        yield text(LEFT + 28, y, kind, "start")
    yield text(LEFT + 10, TOP + 16 + 18 * len(COLOURS),
               "hollow: not proved optimal", "start")


def main():
    rows = {}
    with open(sys.argv[1], encoding="utf-8") as f:
        for row in f.read().split("\n")[1:]:
            if row:
                kind, n, ms, gap = row.split()
                rows.setdefault(kind, []).append(
                    (int(n), float(ms), float(gap)))
    print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" '
          f'height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
          'font-family="sans-serif" font-size="12">')
    print("<title>Time to plan against the number of buffers</title>")
    print("<style>.grid{stroke:#ddd}.linear{stroke:#aaa;"
          "stroke-dasharray:5 4}</style>")
    print(f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>')
    for part in grid():
        print(part)
    for kind, points in rows.items():
        for part in line(kind, [p for p in points
                                if X[0] <= p[0] <= X[1]]):
            print(part)
    for part in legend():
        print(part)
    print("</svg>")


main()
