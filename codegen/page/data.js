"use strict";
/* data.js - the plan, indexed, and small helpers that all parts use. */
const report = JSON.parse(document.getElementById("plan").textContent);
/* Several models in one arena: the number behind # chooses. */
const models = report.models || [report];
const plan = models[Number(location.hash.slice(1))] || models[0];
const steps = plan.steps, buffers = plan.buffers, arena = plan.arena;
/* Pools are drawn one above the other, the fastest below. */
const pools = arena.pools || [];
pools.reduce((at, p) => {
    p.base = at;
    for (const b of buffers)
        if (b.pool === p.name)
            b.offset += at;
    return at + p.bytes;
}, 0);
/* Time runs from -1, where the caller writes inputs, to END, where it reads
 * outputs. */
const END = steps.length;
const COLUMNS = END + 2;

const KINDS = {
    input: "input", input_output: "input and output", output: "output",
    state: "state", activation: "activation", scratch: "scratch",
};

function $(id)
{
    return document.getElementById(id);
}

function fill(e, attrs, kids)
{
    for (const k in attrs)
        if (k === "text")
            e.textContent = attrs[k];
        else if (k.startsWith("on"))
            e.addEventListener(k.slice(2), attrs[k]);
        else if (attrs[k] !== null && attrs[k] !== undefined)
            e.setAttribute(k, attrs[k]);
    e.append(...kids.filter(x => x !== null && x !== undefined));
    return e;
}

function el(tag, attrs, ...kids)
{
    return fill(document.createElement(tag), attrs, kids);
}

const SVG = document.querySelector("svg").namespaceURI;

function svg(tag, attrs, ...kids)
{
    return fill(document.createElementNS(SVG, tag), attrs, kids);
}

function count(n)
{
    return n.toLocaleString("en-US");
}

function short(n)
{
    if (n < 1024)
        return count(n) + " B";
    if (n < 1024 * 1024)
        return trim(n / 1024) + " KiB";
    return trim(n / 1024 / 1024) + " MiB";
}

function trim(x)
{
    return x.toFixed(x < 100 ? 1 : 0).replace(/\.0$/, "");
}

function bytes(n)
{
    return n < 1024 ? count(n) + " B" : `${short(n)} (${count(n)} B)`;
}

function large(n)
{
    return n < 1e4 ? count(n) : n < 1e6 ? trim(n / 1e3) + " k"
        : n < 1e9 ? trim(n / 1e6) + " M" : trim(n / 1e9) + " G";
}

function percent(part, whole)
{
    const p = whole ? 100 * part / whole : 0;

    return (p && p < 0.05 ? "< 0.1" : p.toFixed(1)) + " %";
}

function plural(n, word)
{
    return `${count(n)} ${word}${n === 1 ? "" : "s"}`;
}

function when(t)
{
    return t < 0 ? "inputs" : t >= END ? "outputs" : String(t);
}

function span(b)
{
    const from = b.first_step, to = b.last_step;

    if (from === to)
        return from < 0 ? "only while inputs are handed over"
            : from >= END ? "only while outputs are read" : `step ${from}`;
    return (from < 0 ? "from the inputs" : `steps ${from}`) + " to " +
        (to >= END ? "the outputs" : from < 0 ? `step ${to}` : to);
}

function stepName(t)
{
    return t < 0 ? "inputs" : t >= END ? "outputs"
        : `step ${t}, ${steps[t].op}`;
}

/* the loops around a step, outermost first */
function loopsAt(t)
{
    const list = [];

    for (let r = steps[t] ? steps[t].region : null; r !== null;
        r = plan.regions[r].parent)
        list.unshift(plan.regions[r]);
    return list;
}

function loopText(r)
{
    return `${r.name}: ${count(r.extent)} by ${count(r.tile)}, steps ` +
        `${r.first_step} to ${r.last_step}`;
}

function liveAt(t)
{
    return buffers.filter(b => b.first_step <= t && t <= b.last_step);
}

/* the part of a tensor's name that tells it from its neighbours */
function shortName(name)
{
    const parts = name.replace(/_output_\d+$/, "").split("/")
        .filter(p => p);

    return parts.slice(-2).join("/") || name;
}

function typeOf(v)
{
    return `${v.dtype}[${v.shape.join(", ")}]` +
        (v.tile ? `, a tile [${v.tile.join(", ")}] at a time` : "");
}

const byName = new Map(buffers.map(b => [b.name, b]));

/* [result, operand, bytes]: buffers that lie over another's dying bytes */
function overlaps()
{
    return buffers.flatMap(b => b.overlaps.map(o => byName.get(o.with))
        .filter(x => x && x !== b).map(x => [b, x, Math.min(b.offset +
            b.bytes, x.offset + x.bytes) - Math.max(b.offset, x.offset)]));
}

/* Live bytes of every column, and the rows of the keyboard's order. */
const live = new Array(COLUMNS).fill(0);
buffers.forEach((b, i) => {
    b.id = i;
    for (let t = b.first_step; t <= b.last_step; t++)
        live[t + 1] += b.bytes;
});
/* what lies over dying bytes is counted once */
steps.forEach(s => { live[s.index + 1] = s.live_bytes; });
const inOrder = buffers.slice().sort((a, b) =>
    a.first_step - b.first_step || a.offset - b.offset || a.id - b.id);
inOrder.forEach((b, i) => { b.rank = i; });
const totalMacs = steps.reduce((sum, s) => sum + s.macs, 0);
