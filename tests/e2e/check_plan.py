#!/usr/bin/env python3
"""Check a plan of mcufc-plan: PLAN.csv [INPUT.csv] [--capacity N].

Knows the problem only from the CSV files and shares no code with the
solver: sweeps over time, keeps the live buffers sorted by offset, and looks
at the two neighbours of each buffer that starts. Prints the height."""
import bisect
import csv
import sys


def fail(text):
    sys.exit("check_plan: " + text)


def read(path):
    with open(path, newline="") as f:
        rows = list(csv.DictReader(f, skipinitialspace=True))
    table = {}
    for r in rows:
        if r["id"] in table:
            fail(f"{path}: id {r['id']} twice")
        table[r["id"]] = {k: int(v) for k, v in r.items() if k != "id"}
    return table


def same_buffers(plan, given):
    if list(plan) != list(given):
        fail("not the buffers of the input, or not in its order")
    for i, b in plan.items():
        for key in ("lower", "upper", "size"):
            if b[key] != given[i][key]:
                fail(f"buffer {i}: {key} {b[key]}, given {given[i][key]}")
        if b.get("alignment", 1) != given[i].get("alignment", 1):
            fail(f"buffer {i}: not the given alignment")


def no_overlap(plan):
    events = []
    for i, b in plan.items():
        if b["size"]:
            events.append((b["upper"], 0, b["offset"], b["size"], i))
            events.append((b["lower"], 1, b["offset"], b["size"], i))
    live = []
    for time, start, offset, size, i in sorted(events):
        entry = (offset, size, i)
        k = bisect.bisect_left(live, entry)
        if not start:
            live.pop(k)
            continue
        if k > 0 and live[k - 1][0] + live[k - 1][1] > offset:
            fail(f"time {time}: {live[k - 1][2]} and {i} overlap")
        if k < len(live) and offset + size > live[k][0]:
            fail(f"time {time}: {i} and {live[k][2]} overlap")
        live.insert(k, entry)


def main(args):
    capacity = None
    if "--capacity" in args:
        k = args.index("--capacity")
        capacity = int(args[k + 1])
        del args[k:k + 2]
    plan = read(args[0])
    if len(args) > 1:
        same_buffers(plan, read(args[1]))
    for i, b in plan.items():
        if b["offset"] < 0 or b["offset"] % b.get("alignment", 1):
            fail(f"buffer {i}: offset {b['offset']}")
        if b["lower"] >= b["upper"] or b["size"] < 0:
            fail(f"buffer {i}: lifetime or size")
    no_overlap(plan)
    height = max((b["offset"] + b["size"] for b in plan.values() if b["size"]),
                 default=0)
    if capacity is not None and height > capacity:
        fail(f"height {height} is above {capacity}")
    print(height)


main(sys.argv[1:])
