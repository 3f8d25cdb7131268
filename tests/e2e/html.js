/* html.js - html.sh adds this to a page: it works the page as a user does,
 * in the browser, and leaves its verdict in <body data-tested>. */
const wrong = [];

function want(what, ok)
{
    if (!ok && wrong.length < 9)
        wrong.push(what);
}

function key(name)
{
    document.activeElement.dispatchEvent(new KeyboardEvent("keydown",
        { key: name, bubbles: true, cancelable: true }));
}

function panelSays(text)
{
    return $("panel").textContent.includes(text);
}

function testDrawing()
{
    const plot = $("chart").querySelector(".plot");
    const high = +plot.getAttribute("height");
    const wide = +plot.getAttribute("width");

    want("a rectangle per buffer", $("buffers").children.length ===
        buffers.length);
    want("the chart fits its box", $("chart").scrollWidth <=
        $("chart").clientWidth);
    want("a hatched rectangle per overlap", document.querySelectorAll(
        "#buffers .over").length >= overlaps().length);
    want("a bar per loop", document.querySelectorAll(".axis-x .loop")
        .length === plan.regions.length);
    for (const b of buffers) {
        const box = boxOf(b);
        want(`'${b.name}' is inside the chart`, box.w > 0 && box.h > 0 &&
            box.x >= 0 && box.x + box.w < wide + 1 && box.y > 0 &&
            box.y + box.h < high + 1);
        tellBuffer(b);
        want(`story of '${b.name}'`,
            !/null|undefined|NaN/.test($("panel").textContent));
    }
    for (const s of steps) {
        tellStep(s.index);
        want(`live bytes of step ${s.index}`,
            live[s.index + 1] === s.live_bytes);
    }
    want("step by step", !/undefined|NaN/.test($("panel").textContent));
    want("no figure is missing",
        !/undefined|NaN/.test(document.querySelector("main").innerHTML));
}

function testKeys()
{
    const stops = document.querySelectorAll("[role=option][tabindex='0']");

    want("one tab stop in the chart", stops.length === 1);
    stops[0].focus();
    want("focus selects", now.buffer === inOrder[0] &&
        panelSays(inOrder[0].name));
    key("End");
    want("End", now.buffer === inOrder[inOrder.length - 1]);
    key("Home");
    want("Home", now.buffer === inOrder[0]);
    for (let i = 1; i < Math.min(inOrder.length, 20); i++) {
        key("ArrowRight");
        want(`right ${i}`, now.buffer === inOrder[i] &&
            document.activeElement === shapeOf[inOrder[i].id]);
    }
    const from = now.buffer;
    key("ArrowDown");
    want("down", now.buffer === from || now.buffer.offset < from.offset);
    key("ArrowUp");
    want("up", now.buffer === from || now.buffer.offset > 0);
    key("Escape");
    want("Escape", now.buffer === null && now.step === null);
}

function testBounds()
{
    const rows = [...document.querySelectorAll("#bounds tbody tr")];

    want("a row per class", rows.length === arena.bounds.length);
    for (const b of arena.bounds) {
        const sum = b.witness.tensors.reduce((n, t) => n + t.bytes, 0);
        want(`${b.class}: bound`, b.bound <= b.plan &&
            (sum === b.bound || sum < b.bound && /searched/.test(b.proof)));
    }
}

function testSteps()
{
    const dimmed = () => document.querySelectorAll(".buf.live").length;

    rowOf[0].focus();
    want("a row selects its step", now.step === 0 &&
        rowOf[0].classList.contains("on"));
    want("its buffers stand out", dimmed() === liveAt(0).length);
    key("ArrowDown");
    want("next row", END < 2 || now.step === 1);
    $("to-peak").click();
    want("to the peak", now.step === arena.peak_step &&
        dimmed() === liveAt(now.step).length);
    const wide = view.width;
    $("x-in").click();
    want("zoom", view.width === 2 * wide && now.step === arena.peak_step);
    $("fit").click();
    want("fit", view.width === wide);
    document.querySelectorAll("#steps th button")[1].click();
    const first = document.querySelector("#steps tbody tr").step;
    want("sort by MACs", steps.every(s => s.macs <= steps[first].macs));
}

/* WCAG: relative luminance and contrast of two colours. */
function luminance(name)
{
    const e = el("i", { style: `color: var(--${name})` });

    document.body.append(e);
    const c = getComputedStyle(e).color.match(/\d+/g).slice(0, 3)
        .map(x => x / 255)
        .map(x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    e.remove();
    return 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2];
}

function contrast(a, b, least)
{
    const x = luminance(a), y = luminance(b);
    const ratio = (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);

    want(`${a} on ${b}: ${ratio.toFixed(2)}`, ratio >= least);
}

function testColours(theme)
{
    setTheme(theme);
    for (const kind in KINDS) {
        contrast("ink", "f-" + kind, 4.5);
        contrast("l-" + kind, "bg", 3);
        contrast("l-" + kind, "f-" + kind, 3);
    }
    for (const ink of ["text", "soft", "budget", "bound", "peak", "focus"]) {
        contrast(ink, "bg", 4.5);
        contrast(ink, "card", 4.5);
    }
}

testDrawing();
if (buffers.length)
    testKeys();
testBounds();
if (END)
    testSteps();
testColours("light");
testColours("dark");
document.body.dataset.tested = wrong.length ? wrong.join("; ") : "good";
