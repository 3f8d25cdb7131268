/* page.js - what is selected, pointer and keyboard, zoom, theme, start. */
const now = { buffer: null, step: null };

/* Scroll a box so that [from, to) of it is visible; the page stays. */
function reveal(box, side, from, to, size, margin)
{
    if (from < box[side] + margin || to > box[side] + size - margin)
        box[side] = Math.max(0, (from + to - size) / 2);
}

function mark(list, fn)
{
    for (const e of list) {
        const on = fn(e);
        e.classList.toggle("on", on);
        e.setAttribute("aria-selected", on);
    }
}

function showBand(t)
{
    if (t === null)
        band.setAttribute("width", 0);
    else
        fill(band, { x: xOf(t), width: Math.max(view.col, 2) }, []);
}

/* Round the selected buffer, above its neighbours. The buffer itself must
 * not move in the document: it would lose the focus. */
function showRing(b)
{
    const box = b ? boxOf(b) : { x: 0, y: 0, w: 0, h: 0 };

    fill(ring, { x: box.x, y: box.y, width: box.w, height: box.h,
        visibility: b ? "visible" : "hidden" }, []);
}

/* Put the selection into the chart; after it was drawn anew too. */
function restore()
{
    const b = now.buffer || inOrder[0];

    mark(shapeOf, g => g === shapeOf[now.buffer && now.buffer.id]);
    $("buffers").classList.toggle("dim", now.step !== null);
    for (const x of buffers) {
        shapeOf[x.id].tabIndex = x === b ? 0 : -1;
        shapeOf[x.id].classList.toggle("live", now.step !== null &&
            x.first_step <= now.step && now.step <= x.last_step);
    }
    showBand(now.step);
    showRing(now.buffer);
}

function revealColumns(from, to)
{
    const box = $("chart");

    reveal(box, "scrollLeft", xOf(from), xOf(to + 1),
        box.clientWidth - LEFT - view.gutter, 0);
}

function select(b, move)
{
    const box = $("chart"), old = document.activeElement;

    if (now.buffer === b && !move)
        return;
    now.buffer = b;
    now.step = null;
    restore();
    mark(rowOf, () => false);
    if (!b)
        return tellPlan();
    tellBuffer(b);
    revealColumns(b.first_step, b.last_step);
    reveal(box, "scrollTop", boxOf(b).y, boxOf(b).y + boxOf(b).h,
        box.clientHeight - AXIS, 0);
    if (move && old !== shapeOf[b.id])
        shapeOf[b.id].focus({ preventScroll: !old.closest(".table") });
}

function selectStep(t, move)
{
    const box = $("steps"), row = rowOf[t];

    if (now.step === t && !move)
        return;
    now.buffer = null;
    now.step = t;
    restore();
    mark(rowOf, r => r === row);
    for (const r of rowOf)
        r.tabIndex = r === (row || rowOf[0]) ? 0 : -1;
    tellStep(t);
    revealColumns(t, t);
    if (row && document.activeElement !== row)
        reveal(box, "scrollTop", row.offsetTop, row.offsetTop +
            row.offsetHeight, box.clientHeight, 30);
}

function bufferAt(e)
{
    const g = e.target.closest("[data-id]");

    return g ? buffers[g.dataset.id] : null;
}

function columnAt(e)
{
    const x = e.clientX - e.currentTarget.getBoundingClientRect().left;

    return Math.max(-1, Math.min(END, Math.floor(x / view.col) - 1));
}

function clickTime(e)
{
    selectStep(columnAt(e), true);
}

function clickPlot(e)
{
    const b = bufferAt(e);

    if (b)
        select(b, true);
    else
        clickTime(e);
}

function showTip(e)
{
    const b = bufferAt(e), tip = $("tip"), t = columnAt(e);

    tip.replaceChildren(...b ? [el("b", { text: shortName(b.name) }),
        el("br", {}), b.values[0] ? typeOf(b.values[0]) + ", " : "",
        `${bytes(b.bytes)}`, el("br", {}), `${KINDS[b.kind]}, ${span(b)}`]
        : [`${stepName(t)}: ${bytes(live[t + 1])} live`]);
    tip.hidden = false;
    tip.style.left = Math.max(4, Math.min(e.clientX + 14,
        innerWidth - tip.offsetWidth - 8)) + "px";
    tip.style.top = (e.clientY + tip.offsetHeight + 24 > innerHeight
        ? e.clientY - tip.offsetHeight - 10 : e.clientY + 16) + "px";
}

function hideTip()
{
    $("tip").hidden = true;
}

function focusPlot(e)
{
    const b = bufferAt(e);

    if (b)
        select(b, false);
}

/* The nearest buffer above (up 1) or below (-1), best one alive together. */
function neighbour(b, up)
{
    let best = null, least = Infinity;

    for (const x of buffers) {
        const away = up * (x.offset - b.offset);
        const gap = Math.max(0, x.first_step - b.last_step,
            b.first_step - x.last_step);
        const cost = gap * 4 * arena.bytes + away;
        if (x !== b && away > 0 && cost < least) {
            least = cost;
            best = x;
        }
    }
    return best;
}

function keyPlot(e)
{
    const b = bufferAt(e);
    const to = b && {
        ArrowRight: () => inOrder[b.rank + 1],
        ArrowLeft: () => inOrder[b.rank - 1],
        ArrowUp: () => neighbour(b, 1), ArrowDown: () => neighbour(b, -1),
        Home: () => inOrder[0], End: () => inOrder[inOrder.length - 1],
    }[e.key];

    if (!to || e.ctrlKey || e.altKey || e.metaKey)
        return;
    e.preventDefault();
    if (to())
        select(to(), true);
}

document.addEventListener("keydown", e => {
    if (e.key === "Escape") {
        hideTip();
        select(null, false);
    }
});

function zoom(axis, factor)
{
    const box = $("chart"), b = now.buffer;
    const middle = (box.scrollLeft + box.clientWidth / 2) / view.width;

    view[axis] = factor ? Math.max(1, Math.min(64, view[axis] * factor)) : 1;
    box.style.maxHeight = view.zoomY > 1 ? "75vh" : "";
    drawChart();
    if (now.step !== null)
        revealColumns(now.step, now.step);
    else if (b)
        revealColumns(b.first_step, b.last_step);
    else
        box.scrollLeft = middle * view.width - box.clientWidth / 2;
}

function setTheme(name)
{
    if (name === "auto")
        delete document.documentElement.dataset.theme;
    else
        document.documentElement.dataset.theme = name;
    $("theme").textContent = `Theme: ${name}`;
}

/* On paper the whole plan has to fit between the margins. */
function paper(on)
{
    const box = $("chart");

    view.paper = on;
    view.zoomX = view.zoomY = 1;
    box.style.maxHeight = "";
    box.style.width = on ? "900px" : "";
    drawChart();
}

function nextTheme()
{
    const names = ["auto", "light", "dark"];
    const at = names.indexOf(document.documentElement.dataset.theme);

    setTheme(names[(Math.max(at, 0) + 1) % 3]);
}

/* Links to the other models of the arena. */
function drawModels()
{
    if (models.length < 2)
        return;
    $("sub").after(el("nav", { class: "models",
        "aria-label": "Models in this arena" }, ...models.map((m, i) =>
        el("a", { href: "#" + i, text: m.model,
            "aria-current": m === plan ? "page" : null }))));
    addEventListener("hashchange", () => location.reload());
}

function start()
{
    document.title = `Memory plan of ${plan.model}`;
    $("model").textContent = plan.model;
    $("sub").textContent = `Memory plan: ${plural(buffers.length, "buffer")}` +
        `, ${plural(END, "step")}, target ${plan.target}`;
    drawModels();
    $("foot").textContent = `Made by ${plan.tool} ${plan.version}. The ` +
        "figures are those of --report-format json.";
    $("theme").addEventListener("click", nextTheme);
    $("to-peak").addEventListener("click",
        () => selectStep(arena.peak_step, true));
    $("x-in").addEventListener("click", () => zoom("zoomX", 2));
    $("x-out").addEventListener("click", () => zoom("zoomX", 0.5));
    $("y-in").addEventListener("click", () => zoom("zoomY", 2));
    $("y-out").addEventListener("click", () => zoom("zoomY", 0.5));
    $("fit").addEventListener("click", () => {
        view.zoomY = 1;
        zoom("zoomX", 0);
    });
    addEventListener("beforeprint", () => paper(true));
    addEventListener("afterprint", () => paper(false));
    drawTiles();
    drawLegend();
    drawDecisions();
    drawBounds();
    drawSteps();
    drawChart();
    tellPlan();
    new ResizeObserver(() => {
        if ($("chart").clientWidth !== view.client)
            drawChart();
    }).observe($("chart"));
}

start();
