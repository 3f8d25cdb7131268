/* chart.js - the drawing: time across, addresses up, one <g class="buf"> per
 * buffer. It is drawn anew when the window or the zoom changes. */
const TOP = 20, LEFT = 76, RIGHT = 118, PROFILE = 44, AXIS = 84;
const view = { zoomX: 1, zoomY: 1, col: 0, height: 0, top: 0, max: 1 };
const shapeOf = [];             /* by buffer: its <g> */
let band = null;                /* of the step that is looked at */
let ring = null;                /* round the selected buffer */

function xOf(t)
{
    return (t + 1) * view.col;
}

function yOf(address)
{
    return TOP + view.height * (1 - address / view.max);
}

function measure()
{
    const box = $("chart"), narrow = box.clientWidth < 560;

    view.client = box.clientWidth;
    view.gutter = narrow ? 64 : RIGHT;
    view.width = Math.max(120, box.clientWidth - LEFT - view.gutter) *
        view.zoomX;
    view.col = view.width / COLUMNS;
    view.height = view.paper ? 280
        : Math.max(280, Math.min(480, innerHeight * 0.5)) * view.zoomY;
    view.max = Math.max(arena.bytes, 1);
    view.budgetShown = arena.budget && arena.budget <= 1.6 * view.max;
    if (view.budgetShown)
        view.max = Math.max(view.max, arena.budget);
    view.max *= 1.01;
}

function niceStep(range, most, binary)
{
    let step = 1;

    if (binary)
        for (; range / step > most;)
            step *= 2;
    else
        for (let k = 0; range / step > most; k++)
            step *= k % 3 === 1 ? 2.5 : 2;
    return Math.max(1, Math.round(step));
}

function yTicks()
{
    const step = niceStep(view.max, view.height / 42, true), list = [];

    for (let a = 0; a <= view.max; a += step)
        list.push(a);
    return list;
}

function axisY()
{
    const s = svg("svg", { class: "axis-y", width: LEFT,
        height: view.height + TOP + 1, "aria-hidden": "true" });

    for (const a of yTicks())
        s.append(svg("text", { x: LEFT - 8, y: Math.min(yOf(a) + 4,
            TOP + view.height), "text-anchor": "end", text: short(a) }));
    return s;
}

function tickX(s, t, text)
{
    const half = 3.2 * String(text).length;
    const x = Math.max(half, Math.min(view.width - half, xOf(t + 0.5)));

    s.append(svg("text", { x: x, y: PROFILE + 19, "text-anchor": "middle",
        text: text }));
}

/* A bar per loop, the outer ones above: under the live bytes. */
function loopBars(s, base)
{
    for (const r of plan.regions) {
        const depth = loopsAt(r.first_step).indexOf(r);
        s.append(svg("rect", { class: "loop", x: xOf(r.first_step) + 0.5,
            y: base + 1.5 + 3 * Math.max(0, depth), height: 2,
            width: Math.max(1, (r.last_step - r.first_step + 1) * view.col -
                1) }, svg("title", { text: "loop " + loopText(r) })));
    }
}

/* Live bytes of each column, and the numbers of the steps. */
function axisX()
{
    const s = svg("svg", { class: "axis-x", width: view.width,
        height: AXIS, "aria-hidden": "true" });
    const most = Math.max(...live, 1), base = PROFILE + 4;
    const step = niceStep(COLUMNS, view.width / 48, false);
    let d = `M0 ${base}`;

    live.forEach((n, i) => {
        d += `V${base - PROFILE * n / most}H${(i + 1) * view.col}`;
    });
    s.append(svg("path", { class: "profile", d: d + `V${base}Z` }),
        svg("path", { class: "rule", d: `M0 ${base}H${view.width}` }));
    loopBars(s, base);
    for (let t = 0; t < END; t += step)
        tickX(s, t, t);
    if (view.col > 36) {
        tickX(s, -1, "in");
        tickX(s, END, "out");
    }
    s.append(svg("text", { x: view.width / 2, y: base + 31,
        "text-anchor": "middle", text: "step" }));
    s.addEventListener("click", clickTime);
    return s;
}

function corner(cls, ...texts)
{
    return svg("svg", { class: "axis-x " + cls, height: AXIS,
        width: cls === "axis-y" ? LEFT : view.gutter,
        "aria-hidden": "true" }, ...texts);
}

function lines()
{
    const same = arena.lower_bound === arena.bytes;
    const list = [{ at: arena.bytes, cls: "arena",
        text: [same && view.gutter === RIGHT ? "arena = bound" : "arena",
            short(arena.bytes)] }];

    if (!same)
        list.push({ at: arena.lower_bound, cls: "bound",
            text: [view.gutter === RIGHT ? "lower bound" : "bound",
                short(arena.lower_bound)] });
    if (view.budgetShown)
        list.push({ at: arena.budget, cls: "budget",
            text: ["budget", short(arena.budget)] });
    for (const p of pools.slice(1))
        list.push({ at: p.base, cls: "bound", text: [p.name] });
    return list.sort((a, b) => b.at - a.at);
}

/* Names of the lines, pushed apart where the lines are close. */
function gutter(list)
{
    const s = svg("svg", { class: "gutter", width: view.gutter,
        height: view.height + TOP + 1, "aria-hidden": "true" });
    let next = 12;

    if (arena.budget && !view.budgetShown) {
        s.append(svg("text", { class: "t-budget", x: 8, y: 12,
            text: "\u2191 budget" }), svg("text", { class: "t-budget",
            x: 8, y: 25, text: short(arena.budget) }));
        next = 42;
    }
    for (const l of list) {
        const y = Math.max(next, Math.min(yOf(l.at) + 4,
            TOP + view.height - 16));
        l.text.forEach((t, i) => s.append(svg("text", { class: "t-" + l.cls,
            x: 8, y: y + 13 * i, text: t })));
        next = y + 13 * l.text.length + 3;
    }
    return s;
}

function peakMark(s)
{
    const x = xOf(arena.peak_step), w = Math.max(view.col, 2);
    const end = x > view.width - 90;

    s.append(svg("rect", { class: "peak", x: x, y: TOP, width: w,
        height: view.height, "pointer-events": "none" }),
    svg("text", { class: "peak", x: end ? x + w : x, y: 13,
        "text-anchor": end ? "end" : "start",
        text: `peak ${short(live[arena.peak_step + 1])}` }));
}

function boxOf(b)
{
    const x = xOf(b.first_step), y = yOf(b.offset + b.bytes);

    return { x: x, y: y,
        w: Math.max((b.last_step - b.first_step + 1) * view.col, 1.5),
        h: Math.max(yOf(b.offset) - y, 1) };
}

/* A name and its bytes from x on, if there is room. */
function label(g, box, x, width, name, size)
{
    const most = Math.floor((width - 10) / 6.1), tall = box.h >= 32;
    const y = box.y + (tall ? box.h / 2 - 2 : box.h / 2 + 4);

    if (most < 4 || box.h < 13)
        return;
    g.append(svg("text", { x: x + 6, y: y,
        text: name.length > most ? name.slice(0, most - 1) + "\u2026"
            : name }));
    if (tall && most >= 8)
        g.append(svg("text", { x: x + 6, y: y + 13, text: short(size) }));
}

/* Each value that takes the whole buffer over is named where it begins. */
function labels(g, b, box)
{
    const over = b.overlaps.some(o => byName.get(o.with) &&
        byName.get(o.with) !== b);
    const list = b.values.filter((v, i) => !i || v.how === "in_place" ||
        v.how === "commit");
    const start = list.map((v, i) => i ? xOf(v.first_step) + overWidth()
        : box.x + (over ? overWidth() : 0));

    if (!list.length)
        label(g, box, box.x, box.w, shortName(b.name), b.bytes);
    list.forEach((v, i) => {
        const end = i + 1 < list.length ? xOf(list[i + 1].first_step)
            : box.x + box.w;
        label(g, box, start[i], end - start[i], shortName(v.name), v.bytes);
    });
}

function overWidth()
{
    return Math.max(Math.min(view.col, 10), 2.5);
}

/* Where a value takes another's place, and parts that views show. */
function residents(g, b)
{
    for (const v of b.values.slice(1)) {
        const y = yOf(b.offset + v.at + v.bytes);
        const h = Math.max(yOf(b.offset + v.at) - y, 1.5);
        const x = xOf(v.first_step);
        const whole = v.at === 0 && v.bytes === b.bytes;
        if (v.how === "in_place" || v.how === "commit")
            g.append(svg("rect", { class: "over", x: x, y: y, height: h,
                width: overWidth() }));
        else if (view.col < 4)
            continue;
        else if (whole)
            g.append(svg("path", { class: "part", d: `M${x} ${y}v${h}` }));
        else
            g.append(svg("rect", { class: "part", x: x, y: y, height: h,
                width: (v.last_step - v.first_step + 1) * view.col }));
    }
}

/* Bytes of another buffer that dies where this one begins. */
function overDying(g, b)
{
    for (const o of b.overlaps) {
        const x = byName.get(o.with);
        if (!x || x === b)
            continue;
        const y = yOf(Math.min(b.offset + b.bytes, x.offset + x.bytes));
        g.append(svg("rect", { class: "over", x: xOf(o.step), y: y,
            height: Math.max(yOf(Math.max(b.offset, x.offset)) - y, 1.5),
            width: overWidth() }));
    }
}

/* Input and output have a thick edge on the caller's side: the kind shows
 * without its colour too. */
function edges(g, b, box)
{
    const w = Math.min(4, box.w / 3);

    if (b.kind.startsWith("input"))
        g.append(svg("rect", { class: "edge", x: box.x, y: box.y,
            width: w, height: box.h }));
    if (b.kind.endsWith("output"))
        g.append(svg("rect", { class: "edge", x: box.x + box.w - w,
            y: box.y, width: w, height: box.h }));
}

function drawBuffer(b)
{
    const box = boxOf(b);
    const thin = box.h >= 4 && box.w >= 3 ? ""
        : b.rank % 2 ? " thin odd" : " thin";
    const g = svg("g", {
        class: "buf k-" + b.kind, role: "option", tabindex: -1,
        "aria-selected": "false", "data-id": b.id,
        "aria-label": `${b.name}: ${KINDS[b.kind]}, ${count(b.bytes)} ` +
            `bytes at ${count(b.offset)}, ${span(b)}`,
    }, svg("rect", { class: "area" + thin, x: box.x, y: box.y,
        width: box.w, height: box.h }));

    if (b.values.length > 1)
        residents(g, b);
    overDying(g, b);
    edges(g, b, box);
    labels(g, b, box);
    shapeOf[b.id] = g;
    return g;
}

function hatch()
{
    return svg("defs", {}, svg("pattern", { id: "hatch", width: 5,
        height: 5, patternUnits: "userSpaceOnUse",
        patternTransform: "rotate(45)" }, svg("path", { class: "hatch",
        d: "M0 0V5", "stroke-width": 2 })));
}

function plotArea(list)
{
    const s = svg("svg", { class: "plot", width: view.width,
        height: view.height + TOP + 1 });
    const all = svg("g", { role: "listbox", id: "buffers",
        "aria-label": `${plural(buffers.length, "buffer")} by time and ` +
            "address" });

    s.append(hatch());
    for (const a of yTicks())
        s.append(svg("path", { class: "grid",
            d: `M0 ${yOf(a)}H${view.width}` }));
    all.append(...inOrder.map(drawBuffer));
    band = svg("rect", { class: "step", y: TOP, height: view.height,
        width: 0 });
    s.append(all);
    peakMark(s);
    ring = svg("rect", { class: "ring" });
    s.append(band, ring);
    for (const l of list)
        s.append(svg("path", { class: "line " + l.cls,
            d: `M0 ${yOf(l.at)}H${view.width}` }));
    s.addEventListener("click", clickPlot);
    s.addEventListener("mousemove", e => showTip(e));
    s.addEventListener("mouseleave", hideTip);
    s.addEventListener("focusin", focusPlot);
    s.addEventListener("keydown", keyPlot);
    return s;
}

/* What is drawn may bring a scroll bar, and then there is less room. */
function drawChart()
{
    drawOnce();
    if ($("chart").clientWidth !== view.client)
        drawOnce();
}

function drawOnce()
{
    const list = (measure(), lines());

    $("chart").replaceChildren(axisY(), plotArea(list), gutter(list),
        corner("axis-y", svg("text", { x: LEFT - 8, y: 20,
            "text-anchor": "end", text: "live bytes" })), axisX(),
        corner("gutter"));
    restore();
}

function swatch(...shapes)
{
    return svg("svg", { width: 18, height: 14, "aria-hidden": "true" },
        ...shapes);
}

function drawLegend()
{
    const add = (text, ...shapes) => $("legend").append(
        el("li", {}, swatch(...shapes), text));
    const used = new Set(buffers.map(b => b.kind));
    const has = how => buffers.some(b => b.values.some(v => v.how === how));

    for (const k in KINDS)
        if (used.has(k)) {
            const g = svg("g", { class: "buf k-" + k }, svg("rect",
                { class: "area", x: 1, y: 1, width: 16, height: 12 }));
            edges(g, { kind: k }, { x: 1, y: 1, w: 16, h: 12 });
            add(KINDS[k], g);
        }
    if (has("in_place") || overlaps().length)
        add("written over what dies", svg("rect", { class: "over", x: 4,
            y: 1, width: 10, height: 12 }));
    if (has("view"))
        add("view begins", svg("path", { class: "part", d: "M9 0V14" }));
    if (plan.regions.length)
        add("loop over tiles", svg("rect", { class: "loop", x: 1, y: 6,
            width: 16, height: 2 }));
    add("peak step", svg("rect", { class: "peak", x: 5, y: 1, width: 8,
        height: 12 }));
}
