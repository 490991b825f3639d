// series_page.mjs: the page of convert --to=html --series, and that of a server.
// Usage: node series_page.mjs CHROMIUM FOLDER file MARKED... | server URL; screenshots go to FOLDER.
import { check, evaluate, open, press, run, send, shot, text } from "./browser.mjs";

const [kind, ...rest] = process.argv.slice(4);
const moments = () => evaluate("document.getElementById('course').dataset.chosen");
const marked = () => evaluate("[...document.querySelectorAll('#table tr.up td.name')].map((c) => c.firstChild.textContent.trim())");
const names = () => evaluate("[...document.querySelectorAll('#table tbody td.name')].map((c) => c.firstChild.textContent.trim())");
// Without the line, which is the first of those that allocate nothing themselves.
const rows = () => evaluate("[...document.querySelectorAll('#table tbody tr')].map((r) => [...r.cells].map((c) => c.textContent.trim().replace(/:\\d+$/, '')))");

async function point(share, click = true) {
    const [left, top, width] = await evaluate("(() => { const b = document.getElementById('course').getBoundingClientRect(); return [b.left, b.top, b.width]; })()");
    const at = { x: left + 6 + share * (width - 12), y: top + 50, button: "left", clickCount: 1 };
    await send("Input.dispatchMouseEvent", { type: "mouseMoved", ...at, button: "none" });
    if (!click) return;
    await send("Input.dispatchMouseEvent", { type: "mousePressed", ...at });
    await send("Input.dispatchMouseEvent", { type: "mouseReleased", ...at });
}

async function filePage() {
    await open("last.html");
    const plain = await rows(), wanted = rest;
    await open("series.html");
    check("opens with the last moment", await moments() === "-1 14", await moments());
    check("rows of the last moment", JSON.stringify(await rows()) === JSON.stringify(plain), [await rows(), plain]);
    await point(0.5, false);
    check("tooltip", /^moment \d+ of 15, at [\d.]+ s .*\nlive [\d.]+ MiB ± [\d.]+ .iB\nHeapInuse [\d.]+ MiB\nHeapIdle /.test(await text("#tip")), await text("#tip"));
    await shot("series");
    await point(0);
    check("a click chooses a moment", await moments() === "-1 0", await moments());
    check("no leak yet", !(await names()).includes("leak_slowly"), await names());
    await point(1);
    check("a second one compares", await moments() === "0 14", await moments());
    check("marked as by --base", JSON.stringify((await marked()).sort()) === JSON.stringify(wanted.sort()), [await marked(), wanted]);
    check("legend", !(await evaluate("document.getElementById('legend').hidden")));
    await shot("series-diff");
    for (let i = 0; i < 7; i++) await press("}");
    check("} moves the earlier moment", await moments() === "7 14", await moments());
    check("the cache has stopped", (await marked()).includes("leak_slowly") && !(await marked()).includes("fill_cache"), await marked());
    await press("[");
    check("[ moves the later moment", await moments() === "7 13", await moments());
    await press("]");
    await press("{");
    check("{ moves the earlier moment", await moments() === "6 14", await moments());
    await press("t");
    check("another type is compared, too", (await rows())[0].some((cell) => /^\+\d+$/.test(cell)), (await rows())[0]);
    await press("d");
    check("d ends it", await moments() === "-1 14", await moments());
    await press("d");
    check("d compares with the first", await moments() === "0 14", await moments());
    await evaluate("document.getElementById('theme').click()");
    await shot("series-dark");
    await evaluate("document.getElementById('compare').click()");
    check("the button ends it", await moments() === "-1 14", await moments());
}

async function until(what, expression) {
    for (let i = 0; i < 300; i++) {
        if (await evaluate(expression)) return;
        await new Promise((resolve) => setTimeout(resolve, 100));
    }
    check(what, false);
}

// The page of a server goes on by itself, and stays where the user is.
async function serverPage() {
    await open(rest[0] + "/");
    const count = "Number(document.getElementById('course-said').textContent.match(/of (\\d+)/)[1])";
    const first = await evaluate(count);
    await until("moments come", count + " > " + first + " + 1");
    check("the last moment is shown", await evaluate("(([b, a]) => b === '-1' && Number(a) + 1 === " + count + ")(document.getElementById('course').dataset.chosen.split(' '))"));
    await press("ArrowDown");
    await press("ArrowDown");
    const chosen = await evaluate("document.getElementById('flame').dataset.chosen");
    await press("d");
    const now = await evaluate(count);
    await until("moments come in a difference", count + " > " + now);
    check("still compares with the first", (await moments()).startsWith("0 "), await moments());
    check("the chosen function stays", await evaluate("document.getElementById('flame').dataset.chosen") === chosen && chosen !== "all", chosen);
    await shot("live-light");
    await evaluate("document.getElementById('theme').click()");
    await shot("live-dark");
    await evaluate("document.getElementById('pause').click()");
    const paused = await evaluate(count);
    await new Promise((resolve) => setTimeout(resolve, 2500));
    check("pause", await evaluate(count) === paused);
}

await run([kind === "file" ? filePage : serverPage], kind === "file" ? undefined : rest[0] + "/");
