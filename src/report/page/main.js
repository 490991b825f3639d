// main.js - what the user does.

function readExpression(input) {
    try {
        input.classList.remove("wrong");
        return regularExpression(input.value);
    } catch (error) {
        input.classList.add("wrong");
        return null;
    }
}

function summary() {
    let text = data.header.join("\n") + "\n";
    text += data.diff ? "growth " : "total ";
    text += data.diff ? signed(model.type.total) : figure(model.type.total);
    if (!data.exact) text += " ± " + figure(model.type.total_error);
    if ($("focus").value || $("ignore").value)
        text += "; with focus and ignore " + estimateText(model.nodes, 0) + " (" + percent(model.nodes.get("value", 0), model.type.total) + ")";
    text += ", " + samplesText(model.nodes.get("samples", 0));
    $("summary").textContent = text;
}

function status() {
    let text = describe(flame.chosen, " · ");
    if (flame.hits) {
        let sum = 0;
        for (let i = 1; i < N; i++)
            if (flame.hits[row[i]]) {
                sum += sizeOf(i);
                i = end[i] - 1;
            }
        text += " · found " + figure(sum) + " (" + percent(sum, sizeOf(0)) + ")";
    }
    $("status").textContent = text;
}

function choose(node, zoom) {
    $("tip").hidden = true;
    flame.chosen = node;
    if (zoom) flame.zoom = node;
    draw();
    status();
    drawDetails();
    for (const line of $("table").tBodies[0].rows) line.classList.toggle("chosen", node > 0 && Number(line.dataset.row) === row[node]);
}

function refresh() {
    compute(matching(readExpression($("focus"))), matching(readExpression($("ignore"))));
    flame.hits = matching(readExpression($("search")));
    if (!sizeOf(flame.zoom)) flame.zoom = 0;
    if (!sizeOf(flame.chosen)) flame.chosen = 0;
    summary();
    drawTable();
    choose(flame.chosen, false);
}

function search() {
    flame.hits = matching(readExpression($("search")));
    shownRows = MOST_ROWS;
    draw();
    status();
    drawTable();
}

function setType(index) {
    $("type").value = index;
    model.type = data.types[index];
    if (data.series) course.compute();
    refresh();
}

// Plain figures or differences.
function setMode(diff) {
    setDiff(diff);
    chooseColumns();
    $("width-label").hidden = $("legend").hidden = !diff;
}

function load(document) {
    const zoom = pathOf(flame.zoom), chosen = pathOf(flame.chosen);
    loadModel(document);
    loadColours();
    loadFiles();
    setMode(data.diff);
    flame.zoom = nodeOf(zoom);
    flame.chosen = nodeOf(chosen);
    flame.hover = -1;
    $("title").textContent = data.title;
    drawMemory();
    if (data.series) course.load();
    refresh();
}

function reset() {
    for (const id of ["search", "focus", "ignore"]) $(id).value = "";
    flame.zoom = flame.chosen = 0;
    refresh();
}

const exactly = (f) => "^" + nameOf(f).replace(/[\\^$.*+?()[\]{}|]/g, "\\$&") + "$";

function filterBy(id) {
    if (!flame.chosen) return;
    $(id).value = exactly(row[flame.chosen]);
    flame.zoom = 0;
    if (id === "ignore") flame.chosen = 0;
    refresh();
}

// The widest node of a row: what a click in the table chooses.
function widest(f) {
    let best = 0;
    for (let n = firstOf[f]; n < firstOf[f + 1]; n++)
        if (!best || sizeOf(nodesOf[n]) > sizeOf(best)) best = nodesOf[n];
    return best;
}

// The functions from the outermost to node i, which stay the same when a page is loaded again.
function pathOf(i) {
    const names = [];
    for (; i; i = parent[i]) names.push(nameOf(row[i]));
    return names.reverse();
}

function nodeOf(names) {
    let node = 0;
    for (const name of names) {
        let child = node + 1;
        while (child < end[node] && nameOf(row[child]) !== name) child = end[child];
        if (child >= end[node]) break;
        node = child;
    }
    return node;
}

const actions = {
    "/": () => $("search").focus(),
    "?": () => $("help").showModal(),
    Enter: () => choose(flame.chosen, true),
    Backspace: () => choose(parent[flame.zoom], true),
    Escape: () => choose(0, true),
    0: () => choose(0, true),
    f: () => filterBy("focus"),
    i: () => filterBy("ignore"),
    t: () => setType((data.types.indexOf(model.type) + 1) % data.types.length),
    r: reset,
};

document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
    if (["INPUT", "SELECT"].includes(event.target.tagName)) {
        if (event.key === "Escape") {
            event.target.blur();
            canvas.focus();
        }
        return;
    }
    if (event.key === "Enter" && event.target.tagName === "BUTTON") return;
    if (event.key.startsWith("Arrow")) choose(neighbour(event.key), false);
    else if (Object.hasOwn(actions, event.key)) actions[event.key]();
    else if (data.series && Object.hasOwn(course.actions, event.key)) course.actions[event.key]();
    else return;
    event.preventDefault();
});

function tip(event, node) {
    const box = $("tip");
    box.hidden = node < 0;
    if (node < 0) return;
    if (node !== flame.hover) box.textContent = describe(node, "\n");
    const left = Math.min(event.clientX + 14, window.innerWidth - box.offsetWidth - 6);
    const below = event.clientY + 18, above = event.clientY - box.offsetHeight - 8;
    box.style.left = Math.max(left, 4) + "px";
    box.style.top = (below + box.offsetHeight > window.innerHeight ? Math.max(above, 4) : below) + "px";
}

canvas.addEventListener("mousemove", (event) => {
    const node = nodeAt(event);
    tip(event, node);
    flame.hover = node;
});
canvas.addEventListener("mouseleave", () => {
    $("tip").hidden = true;
    flame.hover = -1;
});
canvas.addEventListener("click", (event) => {
    const node = nodeAt(event);
    if (node >= 0) choose(node, true);
});
document.querySelector("main").addEventListener("click", (event) => {
    const line = event.target.closest("tr[data-row]");
    if (line) choose(widest(Number(line.dataset.row)), false);
});

let waiting = 0;
function later(work) { // typing goes on while a large profile is filtered
    clearTimeout(waiting);
    waiting = setTimeout(work, 60);
}
$("search").addEventListener("input", () => later(search));
for (const id of ["focus", "ignore"]) $(id).addEventListener("input", () => later(refresh));
$("type").addEventListener("change", (event) => setType(Number(event.target.value)));
$("width").addEventListener("change", (event) => {
    model.width = event.target.value;
    refresh();
});
$("reset").addEventListener("click", reset);
$("help-button").addEventListener("click", () => $("help").showModal());
$("more").addEventListener("click", () => {
    shownRows = Infinity;
    drawTable();
});
$("theme").addEventListener("click", () => {
    document.documentElement.classList.toggle("dark");
    draw();
    if (data.series) course.draw();
});
window.addEventListener("resize", () => {
    draw();
    if (data.series) course.draw();
});

const first = JSON.parse(document.getElementById("data").textContent);
first.types.forEach((type, index) => {
    const option = element("option", type.name);
    option.value = index;
    $("type").append(option);
});
$("type").value = first.type;
if (window.matchMedia("(prefers-color-scheme: dark)").matches) document.documentElement.classList.add("dark");
load(first);
if (first.series) course.watch();
document.documentElement.dataset.ready = Math.round(performance.now());
