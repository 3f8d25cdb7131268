/* tables.js - the figures above the chart, the decisions and the steps. */

function tile(name, big, more, extra)
{
    $("tiles").append(el("div", { class: "tile" }, el("dt", { text: name }),
        el("dd", { class: "big", text: big }),
        el("dd", { class: "more", text: more }), extra));
}

function meter()
{
    const used = Math.min(100, 100 * arena.bytes / arena.budget);

    return el("dd", {
        class: "meter" + (arena.bytes > arena.budget ? " over" : ""),
    }, el("i", { style: `width: ${used}%` }));
}

/* The class of plans that this one is of. */
function ownClass()
{
    const own = arena.bounds.filter(b => b.bound === arena.lower_bound);

    return own.length ? own[own.length - 1].class : "this order";
}

function drawTiles()
{
    const gap = arena.bytes - arena.lower_bound, f = plan.flash;
    const peak = steps[arena.peak_step];

    tile("Arena", short(arena.bytes), count(arena.bytes) + " B" +
        (arena.budget ? `, ${percent(arena.bytes, arena.budget)} of ` +
            `${short(arena.budget)}` : ", no budget given"),
        arena.budget ? meter() : null);
    tile("Lower bound", short(arena.lower_bound),
        gap ? `gap ${bytes(gap)}, ${percent(gap, arena.lower_bound)}`
            : `reached: no smaller plan, ${ownClass()}`);
    tile("Peak", peak ? `Step ${peak.index}` : arena.peak_step < 0
        ? "Inputs" : "Outputs", peak ? `${peak.op}, ${peak.node}`
        : "handed over " + (arena.peak_step < 0 ? "by" : "to") +
            " the caller");
    tile("Flash", short(f.weights + f.tables + f.code_estimate),
        `${short(f.weights + f.tables)} constants, about ` +
        `${short(f.code_estimate)} code; a run reads ` +
        `${count(plan.flash_reads)} B`);
    tile("Work", `${large(totalMacs)} MACs`,
        `${count(totalMacs)} in ${plural(END, "step")}` +
        (plan.macs_added > 0
            ? `, ${count(plan.macs_added)} made again by loops` : ""));
    tile("Stack", `at most ${count(plan.stack_bytes)} B`,
        arena.state_bytes ? `state ${bytes(arena.state_bytes)}`
            : "no state between runs");
}

function savedRow(name, n, scale, now)
{
    const limit = arena.budget && arena.budget <= scale ? el("div", {
        class: "limit", title: "budget",
        style: `left: ${100 * arena.budget / scale}%`,
    }) : null;

    $("saved").append(el("div", { text: name }),
        el("div", { class: "track" }, el("div", {
            class: "fill" + (now ? " now" : ""),
            style: `width: ${Math.max(0.2, 100 * n / scale)}%`,
        }), limit), el("div", { class: "num", text: bytes(n) }));
}

function orderLine(d)
{
    const saved = d.model_order_bound - (d.whole_arena || d.order_bound);

    if (d.model_order_bound === null)
        return "The order of steps is the model's own.";
    if (saved <= 0)
        return "Other orders of steps were tried: the model's own is kept.";
    return `The steps are in another order than the model's: at least ` +
        `${bytes(saved)} less.`;
}

/* Results that lie over another buffer's dying bytes. */
function overlapLine()
{
    const list = overlaps(), sum = list.reduce((n, o) => n + o[2], 0);

    return list.length ? "Over dying operands, byte by byte: " +
        `${plural(list.length, "result")}, ${bytes(sum)} shared. ` : "";
}

function loopLine()
{
    const sum = plan.regions.reduce((n, r) => n + r.bytes_saved, 0);

    return plan.regions.length ? `${plural(plan.regions.length, "loop")} ` +
        `over tiles: ${bytes(sum)} of values are never stored whole.` +
        plan.inputs.filter(v => v.band).map(v => ` Input ${v.name} comes ` +
            `in ${plural(v.band.bands, "band")} of ${bytes(v.bytes)}.`) : "";
}

function inPlaceTable(list)
{
    const rows = list.slice(0, 400).map(([b, v]) => el("tr", {
        onclick: () => select(b, true),
    }, el("td", { class: "num", text: v.first_step }),
        el("td", { text: steps[v.first_step].op }),
        el("td", { class: "name" }, link(b, v.name)),
        el("td", { class: "name", text: v.of }),
        el("td", { class: "num", text: count(v.bytes) })));

    return el("div", { class: "table" }, el("table", {},
        el("thead", {}, el("tr", {},
            ...["Step", "Op", "Result", "overwrites", "Bytes not needed"].map(
                (h, i) => el("th", { class: i % 4 ? null : "num",
                    scope: "col", text: h })))),
        el("tbody", {}, ...rows)));
}

function drawDecisions()
{
    const d = plan.decisions, over = [];
    let views = 0, sum = 0;
    const most = Math.max(d.apart, arena.bytes, d.whole_arena);
    const scale = arena.budget <= 1.6 * most ? Math.max(most, arena.budget)
        : most;

    for (const b of buffers)
        for (const v of b.values)
            if (v.how === "in_place") {
                over.push([b, v]);
                sum += v.bytes;
            } else if (v.how === "view") {
                views++;
            }
    over.sort((a, b) => b[1].bytes - a[1].bytes ||
        a[1].first_step - b[1].first_step);
    savedRow("Every value in memory of its own", d.apart, scale);
    savedRow("Memory reused over time (at least)", d.unshared_bound, scale);
    if (d.model_order_bound > (d.whole_arena || d.order_bound))
        savedRow("with views and in-place results, the model's order " +
            "(at least)", d.model_order_bound, scale);
    savedRow("with views and in-place results, this order (at least)",
        d.order_bound, scale);
    if (d.overlap_bound !== null)
        savedRow("with results over dying operands (at least)",
            d.overlap_bound, scale);
    if (d.whole_arena !== null)
        savedRow("A plan of whole tensors, without loops", d.whole_arena,
            scale);
    savedRow("This plan", arena.bytes, scale, true);
    $("inplace").append(el("p", {}, el("br", {}), orderLine(d) + " ",
        over.length ? `In place, over an operand that dies: ` +
            `${plural(over.length, "result")}, ${bytes(sum)} in all. ` : "",
        views ? `${plural(views, "view")}: no code and no bytes. ` : "",
        overlapLine(), loopLine()));
    if (over.length)
        $("inplace").append(el("details", {}, el("summary",
            { text: `In-place results, ${over.length}` }),
            inPlaceTable(over)));
}

/* The largest of what is live, with their bytes, and how much there is more. */
function heldText(held)
{
    const shown = held.slice(0, 4).map(h => `${h.name} (${count(h.bytes)})`);
    const rest = held.slice(4).reduce((sum, h) => sum + h.bytes, 0);

    if (rest)
        shown.push(`${held.length - 4} more (${count(rest)})`);
    return shown.join(" + ");
}

function boundRow(b)
{
    const w = b.witness, at = steps[w.step], gap = b.plan - b.bound;
    const where = at ? `step ${w.step}, ${w.node} (${w.op})`
        : w.step < 0 ? "the inputs" : "the outputs";

    return el("tr", {
        onclick: () => selectStep(w.step, true),
    }, el("td", { text: b.class }),
        el("td", { class: "num", text: count(b.bound) }),
        el("td", { class: "num", text: count(b.plan) }),
        el("td", { class: "num", text: gap ? percent(gap, b.bound)
            : "0, optimal" }),
        el("td", { text: `${b.proof}, at ${where}` }),
        el("td", { class: "name", text: heldText(w.tensors) }));
}

function drawBounds()
{
    const heads = ["Class of plans", "Lower bound", "Plan", "Gap", "Proof",
        "Live there"];

    $("bounds").append(el("table", {}, el("thead", {}, el("tr", {},
        ...heads.map((h, i) => el("th", {
            class: i > 0 && i < 4 ? "num" : null, scope: "col", text: h,
        })))), el("tbody", {}, ...arena.bounds.map(boundRow))));
}

const rowOf = [];
const mostMacs = steps.reduce((most, s) => Math.max(most, s.macs), 1);

function stepRow(s)
{
    const share = 100 * s.macs / mostMacs;
    const peak = s.index === arena.peak_step;
    const row = el("tr", {
        tabindex: -1, class: s.code ? null : "none",
        "aria-selected": "false", onclick: () => selectStep(s.index, false),
        onfocus: () => selectStep(s.index, false),
    }, el("td", { class: "num", text: s.index }), el("td", { text: s.op }),
        el("td", { class: "name", text: s.node }),
        el("td", { class: "num", text: s.code ? count(s.macs) : "view" }),
        el("td", {}, el("span", { class: "share" },
            el("i", { style: `width: ${share}%` })),
            s.macs ? percent(s.macs, totalMacs) : ""),
        el("td", {}, el("span", { class: "share" }, el("i", {
            style: `width: ${100 * s.live_bytes / arena.bytes}%`,
        })), count(s.live_bytes),
            peak ? el("span", { class: "badge", text: "peak" }) : null));

    row.step = s.index;
    rowOf[s.index] = row;
    return row;
}

function sortSteps(body, th, key)
{
    const down = th.getAttribute("aria-sort") !== "descending" &&
        key !== "index" || th.getAttribute("aria-sort") === "ascending";

    for (const other of th.parentNode.children)
        other.removeAttribute("aria-sort");
    th.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...steps.slice().sort((a, b) =>
        (down ? b[key] - a[key] : a[key] - b[key]) || a.index - b.index)
        .map(s => rowOf[s.index]));
}

function rowKey(e)
{
    const row = e.target.closest("tr");
    const to = { ArrowDown: row.nextElementSibling,
        ArrowUp: row.previousElementSibling,
        Home: row.parentNode.firstChild,
        End: row.parentNode.lastChild }[e.key];

    if (to) {
        e.preventDefault();
        to.focus();
    }
}

function drawSteps()
{
    const body = el("tbody", { onkeydown: rowKey }, ...steps.map(stepRow));
    const head = [["Step", "index"], ["Op"], ["Node"], ["MACs", "macs"],
        ["Share of MACs", "macs"], ["Live bytes", "live_bytes"]];
    const cells = head.map(([text, key], i) => {
        const th = el("th", { scope: "col",
            class: i === 0 || i === 3 ? "num" : null });
        th.append(key ? el("button", { type: "button", text: text,
            onclick: () => sortSteps(body, th, key) }) : text);
        return th;
    });

    if (rowOf[0])
        rowOf[0].tabIndex = 0;
    $("steps").append(el("table", { role: "grid", "aria-label": "Steps" },
        el("thead", {}, el("tr", {}, ...cells)), body));
}
