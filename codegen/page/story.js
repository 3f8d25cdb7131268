/* story.js - the panel: why a buffer is there, what lives at a step. */

function show(...parts)
{
    $("panel").replaceChildren(...parts.filter(p => p));
    $("panel").scrollTop = 0;
    $("panel").classList.toggle("help", !now.buffer && now.step === null);
}

function link(b, text)
{
    return el("button", {
        class: "link", type: "button", text: text || b.name,
        onclick: () => select(b, true),
    });
}

function stepLink(t, text)
{
    return el("button", {
        class: "link", type: "button", text: text || stepName(t),
        onclick: () => selectStep(t, true),
    });
}

function term(list, name, ...what)
{
    list.append(el("dt", { text: name }), el("dd", {}, ...what));
}

function lastReader(b)
{
    let last = -2;

    for (const v of b.values)
        for (const t of v.read_by)
            last = Math.max(last, t);
    return last;
}

function begins(b)
{
    if (b.kind === "state")
        return ["It keeps its values from one run to the next."];
    if (b.kind === "scratch")
        return ["Working memory of ", stepLink(b.first_step), " (",
            steps[b.first_step].node, "); nobody needs it after that."];
    if (b.first_step < 0)
        return ["The caller writes it before the run."];
    if (b.values[0].how === "input")
        return ["The caller writes a band of it before each turn of the loop."];
    return ["Made by ", stepLink(b.first_step), " (",
        steps[b.first_step].node, ")."];
}

function stays(b)
{
    const last = lastReader(b);

    if (b.kind === "scratch" || b.kind === "state")
        return [];
    if (b.last_step >= END)
        return b.kind.includes("output")
            ? [" It stays until the caller has read it."]
            : [" It stays until the run ends."];
    if (last < 0)
        return [" Nobody reads it."];
    if (last === b.first_step)
        return [" It is done with in the same step."];
    return [" It stays until ", stepLink(last), " (", steps[last].node,
        ") has read it."];
}

function valueLine(v)
{
    const how = {
        in_place: "; overwrites " + v.of, view: "; a view of " + v.of,
        commit: "; the new state, brought here when the run ends",
    }[v.how];

    return el("li", {}, el("b", { text: v.name }), ` ${typeOf(v)}`,
        el("br", {}), el("small", {
            text: `${bytes(v.bytes)}${v.at ? " at +" + count(v.at) : ""}, ` +
                span(v) + (how || ""),
        }));
}

function peakLine(b)
{
    const p = arena.peak_step;

    if (b.first_step > p || b.last_step < p)
        return `not live (${stepName(p)})`;
    return `live: ${percent(b.bytes, live[p + 1])} of the bytes there`;
}

function valuesOf(b)
{
    const shown = b.values.slice(0, 40), more = b.values.length - 40;

    if (!b.values.length)
        return [];
    return [
        el("h3", {
            text: b.values.length === 1 ? "The value in it"
                : `${b.values.length} values share it, one after the other`,
        }),
        el("ol", {}, ...shown.map(valueLine)),
        more > 0 ? el("p", { text: `and ${more} more` }) : null,
    ];
}

function tellBuffer(b)
{
    const list = el("dl", {});

    term(list, "Kind", el("span", {
        class: `chip k-${b.kind}`, text: KINDS[b.kind],
    }));
    if (b.values.length)
        term(list, "Type", typeOf(b.values[0]));
    term(list, "Bytes", bytes(b.bytes));
    term(list, "Addresses", `${count(b.offset)} to ` +
        count(b.offset + b.bytes - 1));
    for (const p of pools)
        if (p.name === b.pool)
            term(list, "Pool", `${p.name}, at ${count(b.offset - p.base)}`);
    term(list, "Lifetime", span(b));
    for (const [y, x, n] of overlaps())
        if (y === b)
            term(list, "Lies over", `${bytes(n)} of `, link(x),
                ", which dies then");
        else if (x === b)
            term(list, "Dies under", `${bytes(n)} of `, link(y));
    if (b.store !== null)
        term(list, "Holds", "a tile of each turn of the loop " +
            loopText(plan.regions[b.store]));
    term(list, "At the peak", peakLine(b));
    show(el("h3", { text: b.name }),
        el("p", {}, ...begins(b), ...stays(b)), list, ...valuesOf(b));
}

function tellStep(t)
{
    const list = el("dl", {}), s = steps[t];
    const here = liveAt(t).sort((a, b) => b.bytes - a.bytes);

    term(list, "Live", bytes(live[t + 1]));
    if (s) {
        term(list, "Node", s.node);
        term(list, "MACs", `${count(s.macs)}, ` +
            percent(s.macs, totalMacs));
        for (const r of loopsAt(t))
            term(list, "Loop", loopText(r));
    }
    show(
        el("h3", {
            text: s ? `Step ${t}: ${s.op}` : t < 0 ? "Before the first step"
                : "After the last step",
        }),
        t === arena.peak_step ? el("p", { text: "The peak: no other step " +
            "has more bytes live." }) : null,
        s && !s.code ? el("p", { text: "A view: no code, no bytes." }) : null,
        list, el("h3", { text: `${plural(here.length, "buffer")} live` }),
        el("ul", {}, ...here.slice(0, 60).map(b => el("li", {}, link(b),
            el("br", {}), el("small", {
                text: `${bytes(b.bytes)}, ${KINDS[b.kind]}, ${span(b)}`,
            })))));
}

function tellPlan()
{
    const p = arena.peak_step;

    show(
        el("h3", { text: "Details" }),
        el("p", {
            text: "Each rectangle is a buffer: as wide as it lives, as high " +
                "as it is big, at its place in the arena. Point at one, " +
                "click it or reach it with the keyboard.",
        }),
        el("p", {}, "Most bytes are live at ", stepLink(p), `: ` +
            `${bytes(live[p + 1])} in ` +
            `${plural(liveAt(p).length, "buffer")}.`));
}
