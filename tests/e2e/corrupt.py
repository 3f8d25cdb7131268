#!/usr/bin/env python3
"""corrupt.py BUILD [--rounds N] - damaged plans against --check-plan.

Valid plans of several models are damaged in N seeded ways. Each result is
judged twice: by `mcufc --check-plan`, and here, by brute force over the bytes
of the arena, from facts of the undamaged report. A damaged plan must be
refused or be harmless; where everything that follows from the damage was
brought in line with it (an honest edit), both must agree exactly.
"""
import argparse
import copy
import glob
import json
import os
import random
import subprocess
import sys

ALIGN = 8
UNKNOWN = "results lie over operands as their ops may allow"

# ops whose kernels promise an order of reads and writes; that of QMatMul is
# known here, others are not judged where results lie over operands
UNITS = {"QConv", "QMaxPool", "QAveragePool", "QMatMul", "QAdd", "QMul",
         "QRequantize", "QLookup"}

# operands of the texts' Concats, which join whole rows: one that already is
# in its place need not be copied
JOINS = {"z": ("c", "f", "e"), "r": ("q", "p")}

# what loops write over what dies with them: how far ahead of what they read
# of `x` they are with `z`, in region/over-dying*, by (bytes of x, of z)
LEADS = {(6144, 8192): 1984, (1536, 2048): 496}

TEXTS = {
    "fork": """<ir_version: 10, opset_import: ["" : 21]>
fork (float[8] x) => (float[8] y, float[24] z) {
  a = Sin(x)
  b = Cos(x)
  c = Add(a, b)
  d = Tanh(c)
  e = Mul(d, a)
  f = Relu(e)
  z = Concat <axis = 0> (c, f, e)
  y = Sub(f, b)
}""",
    "mix": """<ir_version: 10, opset_import: ["" : 21]>
mix (float[4,6] x, float[6] w) => (float[4,6] y) {
  s = Softmax <axis = -1> (x)
  p, q = Split <axis = 0, num_outputs = 2> (s)
  r = Concat <axis = 0> (q, p)
  t = Transpose <perm = [1, 0]> (r)
  u = MatMul(r, t)
  v = MatMul(u, s)
  k = Add(v, w)
  l = LayerNormalization(k, w)
  y = Add(l, x)
}""",
    "rows": """<ir_version: 10, opset_import: ["" : 28, "mcufc" : 1]>
rows (int8[6,16] x) => (int8[6,4] y, int8[6,16] z)
<int8[12,16] w = @random(1), int8[24,12] v = @random(2),
 int8[4,24] u = @random(3), int8[16,12] k = @random(4), float s = {0.01}>
{
  a = mcufc.QMatMul <a_scale = 0.1, transB = 1, y_scale = 0.5> (x, w, s)
  b = mcufc.QMatMul <a_scale = 0.1, transB = 1, y_scale = 0.5> (a, v, s)
  y = mcufc.QMatMul <a_scale = 0.1, transB = 1, y_scale = 0.5> (b, u, s)
  z = mcufc.QMatMul <a_scale = 0.1, transB = 1, y_scale = 0.5> (a, k, s)
}""",
    "state": """<ir_version: 10, opset_import: ["" : 21]>
m (float[8] x, float[8] h) => (float[8] y, float[8] g) {
  a = Sub(x, h)
  g = Sin(a)
  b = Mul(h, x)
  y = Add(b, g)
}""",
}


class Truth:
    """What the model fixes, taken from a valid report."""

    def __init__(self, plan):
        self.n = len(plan["steps"])
        self.name = {}          # step: its first result, names the node
        self.value = {}         # name: bytes, def, readers, how, of, shift
        outputs = {o["name"] for o in plan["outputs"] if o["bytes"]}
        kept = "--keep-inputs" in plan["options"]
        maker = {o: s["index"] for s in plan["steps"] for o in s["outputs"]}
        for b in plan["buffers"]:
            for v in b["values"]:
                self.value[v["name"]] = dict(
                    bytes=v["bytes"], readers=set(v["read_by"]),
                    at=maker.get(v["name"], -1), how=v["how"], of=v.get("of"),
                    place=v["at"], keep=v["last_step"] == self.n or
                    kept and v["how"] == "input",
                    state=b["kind"] == "state", shape=v["shape"],
                    store=v.get("store"), carried=b["carried"])
        self.loop = [s["region"] for s in plan["steps"]]
        self.outer = [r["parent"] for r in plan["regions"]]
        self.loops = [(r["name"], r["extent"], r["tile"])
                      for r in plan["regions"]]
        self.rowwise = {s["index"] for s in plan["steps"]
                        if s["op"] == "QMatMul"}
        self.pieces = {s["index"] for s in plan["steps"]
                       if s["op"] in UNITS}
        for v in self.value.values():
            if v["of"]:
                v["shift"] = v["place"] - self.value[v["of"]]["place"]
        self.node = [tuple(s["outputs"]) for s in plan["steps"]]
        self.joins = {s["index"] for s in plan["steps"]
                      if s["op"] == "Concat"}
        self.scratch = {}
        for b in plan["buffers"]:
            if b["kind"] == "scratch":
                self.scratch[self.node[b["first_step"]]] = b["bytes"]
        self.state_bytes = plan["arena"]["state_bytes"]
        self.outputs = outputs
        self.pools = [p["name"] for p in plan["arena"]["pools"] or []]
        self.io = {k: [(o["name"], o["bytes"], o.get("band"))
                       for o in plan[k]] for k in ("inputs", "outputs")}
        self.band = {}          # input in bands: what takes them, and where
        for o in plan["inputs"]:
            if o.get("band"):
                self.band[o["name"]] = (self.node[0][0], o["offset"] - next(
                    b["offset"] + v["at"] for b in plan["buffers"]
                    for v in b["values"] if v["name"] == self.node[0][0]))

    def order(self, plan):
        """step number of every node in the plan's order; None: no order"""
        now = [tuple(s["outputs"]) for s in plan["steps"]]
        if sorted(now) != sorted(self.node):
            return None
        where = {node: i for i, node in enumerate(now)}
        # old step -> new step
        return [where[node] for node in self.node]

    def around(self, loop):
        """the loops around, innermost first"""
        while loop is not None:
            yield loop
            loop = self.outer[loop]

    def spans(self, order):
        """[first, last] of every loop; None: one is in pieces"""
        span = {}
        for old, new in enumerate(order):
            for loop in self.around(self.loop[old]):
                s = span.setdefault(loop, [new, new, 0])
                s[:] = min(s[0], new), max(s[1], new), s[2] + 1
        if any(b - a + 1 != n for a, b, n in span.values()):
            return None
        return span


def made_at(truth, order, v):
    return order[v["at"]] if v["at"] >= 0 else -1


def seen(truth, order, step, store):
    """the steps that an old step is, seen from a loop: a loop is one"""
    loop = None
    for loop_of in truth.around(truth.loop[step]):
        if loop_of == store:
            break
        loop = loop_of
    if loop is None:
        return order[step], order[step]
    return truth.spans(order)[loop][:2]


def lifetime(truth, order, v):
    if v["carried"]:            # to the next turn
        return tuple(truth.spans(order)[v["store"]][:2])
    first, last = -1, -1
    if v["at"] >= 0:
        first, last = seen(truth, order, v["at"], v["store"])
    last = max([last] + [seen(truth, order, r, v["store"])[1]
                         for r in v["readers"]])
    return first, truth.n if v["keep"] else last


def lives(truth, order, b):
    if b["kind"] == "scratch":
        return b["first_step"], b["last_step"]
    spans = [lifetime(truth, order, truth.value[v["name"]])
             for v in b["values"]]
    return min(s[0] for s in spans), max(s[1] for s in spans)


def root_of(truth, name):
    v = truth.value[name]
    while v["how"] == "view":
        name = v["of"]
        v = truth.value[name]
    return name


def bases(plan):
    """first address of every pool when they stand one behind the other"""
    pools = plan["arena"]["pools"]
    if not pools:
        return {None: 0}
    at, base = {}, 0
    for p in pools:
        at[p["name"]] = base
        base += p["bytes"]
    return at


def room(plan, pool):
    pools = plan["arena"]["pools"] or []
    return next((p["bytes"] for p in pools if p["name"] == pool),
                plan["arena"]["bytes"])


def harmless(truth, plan):
    """None, or what is wrong: every byte of every step is looked at."""
    order = truth.order(plan)
    if order is None:
        return "steps"
    if truth.spans(order) is None:
        return "loops"
    if truth.band and order[0] != 0:
        return "bands come first"
    at, scratch, base = {}, {}, bases(plan)
    if [p["name"] for p in plan["arena"]["pools"] or []] != truth.pools:
        return "pools"
    if any(p["bytes"] > p["size"] for p in plan["arena"]["pools"] or []):
        return "pool is too small"
    for b in plan["buffers"]:
        pool = b.get("pool")
        if pool not in base:
            return "no such pool"
        if b["kind"] == "scratch":
            step = b["first_step"]
            if not 0 <= step < truth.n:
                return "scratch step"
            node = tuple(plan["steps"][step]["outputs"])
            if node in scratch or b["bytes"] < truth.scratch.get(node, 1e99):
                return "scratch"
            scratch[node] = b
        for v in b["values"]:
            t = truth.value.get(v["name"])
            if not t or v["name"] in at or t["bytes"] > v["bytes"]:
                return "value"
            if v["at"] < 0 or v["at"] + t["bytes"] > b["bytes"]:
                return "outside buffer"
            at[v["name"]] = base[pool] + b["offset"] + v["at"]
            if t["state"] != (b["kind"] == "state"):
                return "state"
        end = b["offset"] + b["bytes"]
        if b["offset"] % ALIGN or b["offset"] < 0 or \
                end > room(plan, pool):
            return "outside"
        in_state = b["offset"] < truth.state_bytes and \
            pool == plan["arena"]["state_pool"]
        if in_state != (b["kind"] == "state"):
            return "state region"
        if in_state and end > truth.state_bytes:
            return "state region"
    if set(at) != set(truth.value) or set(scratch) != set(truth.scratch):
        return "missing"
    for kind in ("inputs", "outputs"):
        if [(o["name"], o["bytes"], o.get("band"))
                for o in plan[kind]] != truth.io[kind]:
            return "io"
        for o in plan[kind]:
            name, more = truth.band.get(o["name"], (o["name"], 0))
            if o["bytes"] and (o.get("pool") not in base or base[
                    o.get("pool")] + o["offset"] != at[name] + more):
                return "io offset"
    if plan["arena"]["state_bytes"] != truth.state_bytes:
        return "state bytes"
    return replay(truth, plan, order, at, scratch)


def rows_safe(x, y, at_x, at_y, backward):
    """QMatMul: row by row, is nothing overwritten that is still read?"""
    rows, k, n = x["shape"][0], x["shape"][1], y["shape"][1]
    for r in range(rows):
        low, high = (0, r) if backward else (r + 1, rows)
        if low < high and at_y + r * n < at_x + high * k and \
                at_x + low * k < at_y + (r + 1) * n:
            return False
    return True


def in_its_place(truth, at, x, y):
    """Is operand x of the Concat y where its copy would go?"""
    parts = JOINS.get(y, ())
    if x not in parts or truth.value[y]["bytes"] != sum(
            truth.value[p]["bytes"] for p in parts):
        return None
    before = parts[:parts.index(x)]
    return at[x] == at[y] + sum(truth.value[p]["bytes"] for p in before)


def over(truth, plan, order, step, at, x, y):
    """May y, made by the step, lie over x, which it reads? True, False, or
    None: not known here."""
    v, w = truth.value[x], truth.value[y]
    old = order.index(step)
    if v["keep"] or truth.loop[old] is not None:
        return False
    if old in truth.joins:
        return in_its_place(truth, at, x, y)
    if old not in truth.pieces:
        return False
    if old not in truth.rowwise or len(v["shape"]) != 2:
        return None
    ways = {o["direction"] for b in plan["buffers"] for o in b["overlaps"]
            if o["step"] == step and any(
                u["name"] == y for u in b["values"]) and not any(
                u["name"] == o["with"] for u in b["values"])}
    if len(ways) != 1:
        return False
    return rows_safe(v, w, at[x], at[y], ways == {"backward"})


class Arena:
    """who owns every byte while the schedule is walked"""

    def __init__(self, truth, plan, order, at):
        self.truth, self.order, self.at = truth, order, at
        spans = [(b, *lives(truth, order, b)) for b in plan["buffers"]]
        self.handed = {}        # by value: what takes its bytes, in loops
        for b, d, _, _ in hand_overs(truth, order, spans, bases(plan)):
            for v in d["values"]:
                self.handed.setdefault(v["name"], set()).update(
                    u["name"] for u in b["values"])
        self.begun = {}         # turns of every loop
        self.byte = [None] * plan["arena"]["bytes"]
        for name, v in truth.value.items():
            if v["at"] < 0:
                self.own(at[name], v["bytes"], name)

    def own(self, at, size, name):
        self.byte[at:at + size] = [name] * size

    def turn(self, loop):
        """what is stored in a loop is gone when its next turn begins, but
        for what one turn leaves to the next"""
        self.begun[loop] = self.begun.get(loop, 0) + 1
        for name, v in self.truth.value.items():
            if v["store"] == loop and not (v["carried"] and
                                           self.second(loop)):
                place = slice(self.at[name], self.at[name] + v["bytes"])
                self.byte[place] = [None if b == name else b
                                    for b in self.byte[place]]

    def second(self, loop):
        """of the two turns that are walked"""
        return self.begun[loop] % 2 == 0

    def lost(self, v, name):
        """What the turn before left of v, which is about to be made?"""
        return v["carried"] and self.second(v["store"]) and \
            not self.intact(name)

    def heirs(self, name, step):
        """values that take over the bytes of this one tile by tile, in a
        loop that the reader is in as well: not before it has read them"""
        t = self.truth
        here = set(t.around(t.loop[step]))
        for other, v in t.value.items():
            if v["how"] == "in_place" and root_of(t, v["of"]) == name and \
                    here & set(t.around(t.loop[v["at"]])) and \
                    self.order[v["at"]] >= self.order[step] and \
                    self.at[other] - self.at[v["of"]] == v["shift"]:
                yield other
                yield from self.heirs(other, step)

    def intact(self, name, step=None):
        v = self.truth.value[name]
        root = root_of(self.truth, name)
        part = self.byte[self.at[name]:self.at[name] + v["bytes"]]
        if part.count(root) == v["bytes"]:
            return True
        if step is None or self.truth.loop[step] is None:
            return False
        owners = {root} | set(self.heirs(root, step)) | \
            self.handed.get(name, set())
        return all(b in owners for b in part)


def turns(truth, order, first, last, loop):
    """steps [first, last) inside a loop, the loops in it twice: new numbers,
    and ~loop where a turn begins"""
    old = {new: k for k, new in enumerate(order)}
    t = first
    while t < last:
        inner = None
        for l in truth.around(truth.loop[old[t]]):
            if l == loop:
                break
            inner = l
        if inner is None:
            yield t
            t += 1
            continue
        end = truth.spans(order)[inner][1] + 1
        for _ in range(2):
            yield ~inner
            yield from turns(truth, order, t, end, inner)
        t = end


def meets(a, n, b, m):
    return a < b + m and b < a + n


def handed_over(truth, order, span, dying):
    """[first, last] of the outermost loops with which a buffer of the first
    span begins, and one of the second, which was there before, dies"""
    for loop, s in truth.spans(order).items():
        if truth.outer[loop] is None and span[0] == s[0] and \
                span[1] > s[1] and dying[0] < s[0] and dying[1] == s[1]:
            return s[:2]
    return None


def hand_overs(truth, order, spans, base):
    """(buffer, dying buffer, first, last) of all that meet in loops"""
    for b, *span in spans:
        for d, *dying in spans:
            s = handed_over(truth, order, span, dying)
            if s and b["kind"] != "scratch" and \
                    d["kind"] not in ("scratch", "state") and \
                    meets(base[b.get("pool")] + b["offset"], b["bytes"],
                          base[d.get("pool")] + d["offset"], d["bytes"]):
                yield b, d, s[0], s[1]


def loops_over(truth, at, b, d):
    """May what loops write to b lie over d? True, False, None: not known"""
    ways = {o["direction"] for o in b["overlaps"] if o["with"] == d["name"]}
    if ways != {"forward"}:
        return False
    if "x" not in at or "z" not in at or \
            [v["name"] for v in b["values"]] != ["z"] or \
            d["values"][0]["name"] != "x":
        return None
    lead = LEADS.get((truth.value["x"]["bytes"], truth.value["z"]["bytes"]))
    return None if lead is None else at["x"] - at["z"] >= lead


def apart(truth, plan, order, at, reads, makes):
    """Live buffers share no byte, but for what dies where a result begins:
    None, UNKNOWN, or what is wrong"""
    base = bases(plan)
    spans = [(b, *lives(truth, order, b)) for b in plan["buffers"]]
    handed = list(hand_overs(truth, order, spans, base))
    ok = [loops_over(truth, at, b, d) for b, d, _, _ in handed]
    if False in ok:
        return "overwritten in a loop"
    unknown = UNKNOWN if None in ok else None
    for t in range(-1, truth.n + 1):
        used = bytearray(plan["arena"]["bytes"])
        dying = [(b, f, l) for b, f, l in spans if f < l == t or any(
            b is d and s <= t <= e for _, d, s, e in handed)]
        for b, first, last in spans:
            if not first <= t <= last or (b, first, last) in dying:
                continue
            a = base[b.get("pool")] + b["offset"]
            e = a + b["bytes"]
            if any(used[a:e]):
                return f"collide at {t}"
            used[a:e] = b"\1" * (e - a)
            for d, _, _ in dying:
                c = base[d.get("pool")] + d["offset"]
                if not meets(a, b["bytes"], c, d["bytes"]) or any(
                        b is o and d is i and s <= t <= e
                        for o, i, s, e in handed):
                    continue
                if first < t or b["kind"] == "scratch" or t >= truth.n or \
                        d["kind"] in ("scratch", "state") or \
                        truth.loop[order.index(t)] is not None:
                    return f"collide at {t}"
                outs = [v["name"] for v in b["values"]
                        if v["name"] in makes[t]]
                ins = [v["name"] for v in d["values"] if v["name"] in
                       reads[t]]
                # what is left of values that died before harms nobody
                ok = [over(truth, plan, order, t, at, x, y)
                      for x in ins for y in outs
                      if meets(at[x], truth.value[x]["bytes"], at[y],
                               truth.value[y]["bytes"])]
                if False in ok:
                    return f"overwritten at {t}"
                if None in ok:
                    unknown = UNKNOWN
        for i, (d, _, _) in enumerate(dying):
            a = base[d.get("pool")] + d["offset"]
            for c, _, _ in dying[:i]:
                if meets(a, d["bytes"], base[c.get("pool")] + c["offset"],
                         c["bytes"]):
                    return f"collide at {t}"
    return unknown


def run_step(truth, plan, order, at, scratch, arena, t, reads, makes):
    """One step of the replay: None, or what is wrong."""
    base, old = bases(plan), order.index(t)
    for name in reads[t]:
        if made_at(truth, order, truth.value[name]) >= t:
            return "order"
        if not arena.intact(name, old):
            return f"{name} is lost"
    s = scratch.get(tuple(plan["steps"][t]["outputs"]))
    touched = []
    for name in makes[t]:
        v = truth.value[name]
        if v["how"] == "view":
            if at[name] - at[v["of"]] != v["shift"]:
                return "view elsewhere"
            continue
        for other in reads[t]:
            o = truth.value[other]
            if not meets(at[name], v["bytes"], at[other], o["bytes"]):
                continue
            if v["how"] == "commit" and at[other] == at[name]:
                continue
            if v["how"] == "in_place" and (other == v["of"] and
                                           at[name] - at[other] == v["shift"]
                                           or at[name] == at[other]):
                continue
            if over(truth, plan, order, t, at, other, name) is False:
                return "writes what it reads"
        touched.append((at[name], v["bytes"], name))
    if s:
        here = base[s.get("pool")] + s["offset"]
        touched.append((here, s["bytes"], "scratch"))
        for other in reads[t]:
            if meets(here, s["bytes"], at[other],
                     truth.value[other]["bytes"]):
                return "scratch on operand"
    for i, (a, n, _) in enumerate(touched):
        if any(meets(a, n, b, m) for b, m, _ in touched[:i]):
            return "results collide"
    for a, n, name in touched:
        if name in truth.value and arena.lost(truth.value[name], name):
            return f"rows of {name} are lost"
        arena.own(a, n, name)
    return None


def replay(truth, plan, order, at, scratch):
    arena = Arena(truth, plan, order, at)
    reads = [[] for _ in range(truth.n)]
    makes = [[] for _ in range(truth.n)]
    for name, v in truth.value.items():
        for r in v["readers"]:
            reads[order[r]].append(name)
        if v["at"] >= 0:
            makes[order[v["at"]]].append(name)
    for name, v in truth.value.items():
        if v["at"] < 0 and not arena.intact(name):
            return "inputs collide"
    unknown = apart(truth, plan, order, at, reads, makes)
    if unknown not in (None, UNKNOWN):
        return unknown
    if unknown and arena.handed:        # tile by tile: not known here
        return unknown
    for t in turns(truth, order, 0, truth.n, None):
        if t < 0:
            arena.turn(~t)
            continue
        wrong = run_step(truth, plan, order, at, scratch, arena, t, reads,
                         makes)
        if wrong:
            return wrong
    for name, v in truth.value.items():
        if v["keep"] and name in truth.outputs and not arena.intact(name):
            return "output lost"
    return unknown


def declare_loops(truth, order, plan, walks):
    """overlaps[] of what loops write over what dies with them"""
    spans = [(b, b["first_step"], b["last_step"]) for b in plan["buffers"]]
    for b, d, first, last in hand_overs(truth, order, spans, bases(plan)):
        if b.get("pool") != d.get("pool"):
            continue
        a, c = b["offset"], d["offset"]
        b["overlaps"].append({
            "with": d["name"], "step": first, "shift": a - c,
            "direction": walks.get((b["values"][0]["name"],), "forward")})
        for step in plan["steps"][first:last + 1]:
            step["live_bytes"] -= min(a + b["bytes"], c + d["bytes"]) - \
                max(a, c)


def declare_over(plan, walks):
    """overlaps[] of results that lie over what dies in their step"""
    for b in plan["buffers"]:
        if b["kind"] == "scratch" or b["first_step"] < 0:
            continue
        for d in plan["buffers"]:
            if d is b or b.get("pool") != d.get("pool") or \
                    d["last_step"] != b["first_step"] or \
                    d["kind"] in ("scratch", "state") or \
                    d["first_step"] == d["last_step"] or \
                    plan["steps"][b["first_step"]]["region"] is not None:
                continue
            a, c = b["offset"], d["offset"]
            if a < c + d["bytes"] and c < a + b["bytes"]:
                step = b["first_step"]
                node = tuple(plan["steps"][step]["outputs"])
                b["overlaps"].append({
                    "with": d["name"], "step": step, "shift": a - c,
                    "direction": walks.get(node, "forward")})
                plan["steps"][step]["live_bytes"] -= min(
                    a + b["bytes"], c + d["bytes"]) - max(a, c)


def number_loops(truth, plan, order):
    """Loops are numbered as they appear."""
    spans = truth.spans(order)
    if spans is None:
        return
    by_step = sorted(spans, key=lambda l: (spans[l][0], -spans[l][1],
                                           len(list(truth.around(l)))))
    now = {old: new for new, old in enumerate(by_step)}
    now[None] = None
    old = {tuple(s["outputs"]): k for k, s in enumerate(
        [{"outputs": n} for n in truth.node])}
    plan["regions"] = [dict(plan["regions"][l], parent=now[truth.outer[l]],
                            first_step=spans[l][0], last_step=spans[l][1])
                       for l in by_step]
    for s in plan["steps"]:
        s["region"] = now[truth.loop[old[tuple(s["outputs"])]]]
    for b in plan["buffers"]:
        for v in b["values"]:
            if "store" in v:
                v["store"] = now[truth.value[v["name"]]["store"]]


def claims_in_line(truth, plan, order):
    """Of another order than it was proved for nothing is claimed."""
    arena, same = plan["arena"], order == list(range(truth.n))
    arena["bounds"] = [b for b in arena["bounds"]
                       if same or b["class"].startswith("any")]
    for b in arena["bounds"]:
        w = b["witness"]
        if 0 <= w["step"] < truth.n:
            w["step"] = order[w["step"]]
    if arena["bounds"] and not same:
        arena["lower_bound"] = arena["bounds"][0]["bound"]


def in_line(truth, plan):
    """Brings what follows from addresses and order in line with them."""
    order = truth.order(plan)
    if order is None or truth.spans(order) is None:
        return False
    walks = {(b["values"][0]["name"],): o["direction"]
             for b in plan["buffers"] for o in b["overlaps"]
             if o["with"] not in [v["name"] for v in b["values"]]}
    at = {}
    for b in plan["buffers"]:
        if b["kind"] == "scratch":
            continue
        b["first_step"], b["last_step"] = lives(truth, order, b)
        b["overlaps"] = []
        birth = min(made_at(truth, order, truth.value[v["name"]])
                    for v in b["values"])
        for v in b["values"]:
            t = truth.value[v["name"]]
            at[v["name"]] = b["offset"] + v["at"], b.get("pool")
            step = made_at(truth, order, t)
            if step > birth:
                b["overlaps"].append({
                    "with": v["name"], "step": step, "shift": v["at"],
                    "direction": "forward"})
    for i, s in enumerate(plan["steps"]):
        s["index"] = i
        s["live_bytes"] = sum(b["bytes"] for b in plan["buffers"]
                              if b["first_step"] <= i <= b["last_step"])
    for kind in ("inputs", "outputs"):
        for o in plan[kind]:
            if o["name"] in at:
                o["offset"] = at[o["name"]][0]
                if at[o["name"]][1]:
                    o["pool"] = at[o["name"]][1]
    declare_over(plan, walks)
    declare_loops(truth, order, plan, walks)
    claims_in_line(truth, plan, order)
    number_loops(truth, plan, order)
    total = 0
    for pool in plan["arena"]["pools"] or [{"name": None}]:
        ends = [b["offset"] + b["bytes"] for b in plan["buffers"]
                if b.get("pool") == pool["name"]]
        if pool["name"] == plan["arena"]["state_pool"]:
            ends.append(plan["arena"]["state_bytes"])
        top = max([ALIGN] + ends)
        pool["bytes"] = (top + ALIGN - 1) // ALIGN * ALIGN
        total += pool["bytes"]
    plan["arena"]["bytes"] = total
    return True


def shift(r, p):
    b = r.choice(p["buffers"])
    top = p["arena"]["bytes"]
    if r.random() < 0.5:
        b["offset"] = r.randrange(top + 64) // ALIGN * ALIGN
        return
    b["offset"] += r.choice([1, -1, 4, ALIGN, -ALIGN, 2 * ALIGN, 64, -64,
                             r.randrange(top) // ALIGN * ALIGN])


def swap(r, p):
    a, b = r.choice(p["buffers"]), r.choice(p["buffers"])
    a["offset"], b["offset"] = b["offset"], a["offset"]


def shorten(r, p):
    b = r.choice(p["buffers"])
    if r.random() < 0.5:
        b["last_step"] -= r.randint(1, 3)
    else:
        b["first_step"] += r.randint(1, 3)


def lengthen(r, p):
    b = r.choice(p["buffers"])
    b[r.choice(["first_step", "last_step"])] = r.randint(-1, len(p["steps"]))


def crowd(r, p):
    """A buffer ends sooner, another moves into its bytes: a neat lie."""
    b, other = r.choice(p["buffers"]), r.choice(p["buffers"])
    b["last_step"] = max(b["first_step"], other["first_step"] - 1)
    other["offset"] = b["offset"]


def size(r, p):
    b = r.choice(p["buffers"])
    b["bytes"] += r.choice([1, -1, 4, -4, ALIGN, -ALIGN])


def value_size(r, p):
    vs = [v for b in p["buffers"] for v in b["values"]]
    r.choice(vs)["bytes"] += r.choice([1, -1, 4, -4])


def value_at(r, p):
    vs = [v for b in p["buffers"] for v in b["values"]]
    r.choice(vs)["at"] += r.choice([4, -4, 8, -8])


def walk(r, p):
    """An overlap in the other direction."""
    some = [o for b in p["buffers"] for o in b["overlaps"]
            if o["with"] not in [v["name"] for v in b["values"]]]
    if not some:
        shift(r, p)
        return
    o = r.choice(some)
    o["direction"] = ("backward" if o["direction"] == "forward"
                      else "forward")


def order(r, p):
    s = p["steps"]
    i, k = r.randrange(len(s)), r.randrange(len(s))
    if r.random() < 0.5:
        k = min(len(s) - 1, i + 1)
    if r.random() < 0.5:
        s[i], s[k] = s[k], s[i]
    else:
        s.insert(k, s.pop(i))
    for i, step in enumerate(s):
        step["index"] = i


def drop(r, p):
    which = r.choice(["buffers", "steps", "inputs", "outputs", "values",
                      "overlaps"])
    if which in ("values", "overlaps"):
        some = [b[which] for b in p["buffers"] if b[which]]
        if not some:
            return
        them = r.choice(some)
    else:
        them = p[which]
    if them:
        them.pop(r.randrange(len(them)))


def twice(r, p):
    them = p[r.choice(["buffers", "steps"])]
    them.insert(r.randrange(len(them)), copy.deepcopy(r.choice(them)))


def false_overlap(r, p):
    b, other = r.choice(p["buffers"]), r.choice(p["buffers"])
    if b["overlaps"] and r.random() < 0.6:
        o = r.choice(b["overlaps"])
        key = r.choice(["with", "step", "shift", "direction"])
        o[key] = {"with": other["name"], "step": o["step"] + 1,
                  "shift": o["shift"] + 1, "direction": "backward"}[key]
    else:
        b["overlaps"].append({"with": other["name"], "shift": 0,
                              "step": max(0, b["first_step"]),
                              "direction": "forward"})
        other["offset"] = b["offset"]


def io(r, p):
    them = p["inputs"] + p["outputs"]
    r.choice(them)[r.choice(["offset", "bytes"])] += r.choice([8, -8, 4])


def other_pool(r, p):
    pools = p["arena"]["pools"]
    if not pools:
        shift(r, p)
        return
    b = r.choice(p["buffers"])
    b["pool"] = r.choice(pools)["name"]
    if r.random() < 0.3:
        b["offset"] = 0


def pool_sizes(r, p):
    pools = p["arena"]["pools"]
    if not pools:
        arena(r, p)
        return
    r.choice(pools)[r.choice(["bytes", "size"])] -= 8


def arena(r, p):
    key = r.choice(["bytes", "state_bytes", "align"])
    p["arena"][key] += r.choice([8, -8, 1])


def claim(r, p):
    """A bound that is not what its witness says."""
    row = r.choice(p["arena"]["bounds"])
    them = row["witness"]["tensors"]
    which = r.randrange(6)
    if which == 0:
        row["bound"] += r.choice([8, -8, 1])
    elif which == 1:
        r.choice(them)["bytes"] += r.choice([8, -8, 1])
    elif which == 2:
        them.pop(r.randrange(len(them)))
    elif which == 3:
        them.append(copy.deepcopy(r.choice(them)))
        row["bound"] += them[-1]["bytes"]
    elif which == 4:
        b = r.choice(p["buffers"])
        them.append({"name": b["name"], "bytes": b["bytes"] + 7 & -8})
        row["bound"] += them[-1]["bytes"]
    else:
        p["arena"]["lower_bound"] += r.choice([8, -8])
    row["plan"] = max(row["plan"], row["bound"])


def wrong_claims(truth, plan):
    """None, or a bound that its witness does not show"""
    rows = plan["arena"]["bounds"]
    if rows and plan["arena"]["lower_bound"] not in [r["bound"]
                                                     for r in rows]:
        return "lower_bound"
    for row in rows:
        them = row["witness"]["tensors"]
        names = [t["name"] for t in them]
        got = sum(t["bytes"] for t in them)
        if len(set(names)) < len(names):
            return "counted twice"
        if got > row["bound"] or got < row["bound"] and \
                not row["proof"].endswith("searched"):
            return "does not add up"
        # more than is there in any case
        own = {n: (v["bytes"] + 7) & -8 for n, v in truth.value.items()}
        own.update({b["name"]: b["bytes"] + 7 & -8
                    for b in plan["buffers"] if b["kind"] != "scratch"})
        if any(t["bytes"] > own.get(t["name"], t["bytes"]) for t in them):
            return "too much"
    return None


def loop(r, p):
    """Another tile, another loop, another place for a tile."""
    if not p["regions"]:
        order(r, p)
        return
    values = [v for b in p["buffers"] for v in b["values"]]
    which = r.randrange(4)
    if which == 0:
        r.choice(p["regions"])[r.choice(["tile", "extent", "first_step",
                                         "last_step"])] += r.choice([1, -1])
    elif which == 1:
        r.choice(p["steps"])["region"] = r.choice(
            [None] + list(range(len(p["regions"]))))
    elif which == 2:
        r.choice(values)["store"] = r.choice(
            [None] + list(range(len(p["regions"]))))
    else:
        r.choice(p["regions"])["parent"] = r.choice(
            [None] + list(range(len(p["regions"]))))


DAMAGE = [shift, swap, shorten, lengthen, crowd, size, value_size, value_at,
          order, drop, twice, false_overlap, io, arena, other_pool,
          pool_sizes, walk, loop, claim]
HONEST = [shift, swap, order, other_pool, walk]   # what can be brought in line


def check(mcufc, model, plan, path):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(plan, f)
    run = subprocess.run([mcufc, "-q", "--check-plan", path, model],
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                         timeout=60, check=False)
    return run.returncode, run.stderr.decode("utf-8", "replace")


def judge(mcufc, model, good, truth, seed, path):
    """None, or a complaint."""
    r = random.Random(seed)
    plan = copy.deepcopy(good)
    honest = r.random() < 0.4
    kind = r.choice(HONEST if honest else DAMAGE)
    for _ in range(r.choice([1, 1, 2])):
        kind(r, plan)
    if honest:
        in_line(truth, plan)
    code, said = check(mcufc, model, plan, path)
    wrong = harmless(truth, plan)
    if wrong in (None, UNKNOWN):
        wrong = wrong_claims(truth, plan) or wrong
    what = f"seed {seed}, {kind.__name__}{' in line' * honest}"
    if code not in (0, 1):
        return f"{what}: exit {code}: {said[:200]}", kind, code
    if wrong is UNKNOWN:
        return None, kind, code
    if code == 0 and wrong:
        return f"{what}: accepted, but {wrong}", kind, code
    if code == 1 and honest and not wrong:
        return f"{what}: refused, but harmless: {said[:200]}", kind, code
    if code == 1 and not said.strip():
        return f"{what}: refused without a word", kind, code
    return None, kind, code


def plans(build, out, shared):
    """(model, options) of every model that is here."""
    for name, text in TEXTS.items():
        path = os.path.join(out, name + ".mcu")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text + "\n")
        yield path, ["--state", "h=g"] if name == "state" else []
        yield path, ["--keep-inputs"]
        yield path, ["--pool", "fast=80", "--pool", "slow=1K"]
    yield "examples/vit-mnist/vit_mnist.onnx", []
    yield "examples/vit-mnist/vit_mnist.onnx", ["--bisect", "0"]
    yield "examples/vit-mnist/vit_mnist.onnx", [
        "--pool", "dtcm=16K", "--pool", "sram=64K"]
    for name in ("heads", "mlp-rows", "concat-in-place", "over-dying",
                 "over-dying-codes"):
        yield f"tests/golden/region/{name}.mcu", []
    yield "tests/golden/region/heads.mcu", ["--keep-inputs"]
    patches = ["--io", "quantized", "--optimize", "ram"]
    yield "tests/golden/stream/patches.mcu", patches
    yield "tests/golden/stream/patches.mcu", patches + ["--max-macs", "1"]
    for net in "patches", "tokens", "windows":          # bands
        yield "tests/golden/bands/%s.mcu" % net, ["--stream-input=x"]
    yield "tests/golden/region/accumulators.mcu", []
    yield "tests/golden/stream/global-pools.mcu", []
    yield "tests/golden/stream/mean-of-tokens.mcu", []
    for path in sorted(glob.glob(os.path.join(shared, "models", "0[136]*"))):
        yield path, []
    path = os.path.join(shared, "models", "shapes", "deit_tiny.onnx")
    if os.path.exists(path):
        yield path, []


def main():
    a = argparse.ArgumentParser()
    a.add_argument("build")
    a.add_argument("--rounds", type=int, default=300)
    a.add_argument("--seed", type=int, default=0)
    a = a.parse_args()
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
    a.build = os.path.abspath(a.build)
    os.chdir(here)
    out = os.path.join(a.build, "corrupt")
    os.makedirs(out, exist_ok=True)
    shared = os.environ.get("MCUFC_SHARED", "../shared")
    mcufc = os.path.join(a.build, "mcufc")
    passed = failed = skipped = refused = 0
    kinds = {}
    models = []
    if not glob.glob(os.path.join(shared, "models", "0*")):
        print("SKIP the shared models are not here")
        skipped += 1
    for model, options in plans(a.build, out, shared):
        path = os.path.join(out, f"good{len(models)}.json")
        subprocess.run([mcufc, "-q", model, "--report=" + path, *options],
                       check=True)
        with open(path, encoding="utf-8") as f:
            good = json.load(f)
        truth = Truth(good)
        code, said = check(mcufc, model, good, path)
        wrong = harmless(truth, good)
        if code or (wrong and wrong is not UNKNOWN):
            print(f"FAIL {model} {options}: {said} {wrong}")
            failed += 1
            continue
        passed += 1
        # small ones more often: they are quick, and denser
        models += [(model, good, truth)] * (6 if len(good["steps"]) < 20
                                            else 1)
    for k in range(a.rounds):
        seed = a.seed + k
        model, good, truth = models[seed % len(models)]
        bad, kind, code = judge(mcufc, model, good, truth, seed,
                                os.path.join(out, "plan.json"))
        kinds.setdefault(kind.__name__, [0, 0])[code != 0] += 1
        refused += code != 0
        if bad:
            failed += 1
            print(f"FAIL {model}: {bad}")
        else:
            passed += 1
    print("accepted/refused:", ", ".join(
        f"{k} {v[0]}/{v[1]}" for k, v in sorted(kinds.items())))
    if a.rounds >= 200 and not 0 < refused < a.rounds:
        print("FAIL nothing was refused, or nothing accepted")
        failed += 1
    print(f"corrupt: {passed} passed, {failed} failed, {skipped} skipped")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
