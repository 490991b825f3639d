// panels.js - the table, callers and callees, source, memory figures.

const $ = (id) => document.getElementById(id);
const MOST_ROWS = 100;

function element(tag, text, className) {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
}

const plainColumns = [
    { key: "flat", title: "flat", value: (f) => model.flat.value[f], text: (f) => figure(model.flat.value[f]) },
    { key: "flat_error", title: "±", error: true, value: (f) => model.flat.error(f), text: (f) => model.flat.samples[f] ? figure(model.flat.error(f)) : "" },
    { key: "flat_percent", title: "flat%", value: (f) => model.flat.value[f], text: (f) => percent(model.flat.value[f], model.type.total) },
    { key: "cum", title: "cum", value: (f) => model.cum.get("value", f), text: (f) => figure(model.cum.get("value", f)) },
    { key: "cum_error", title: "±", error: true, value: (f) => model.cum.error(f), text: (f) => figure(model.cum.error(f)) },
    { key: "cum_percent", title: "cum%", value: (f) => model.cum.get("value", f), text: (f) => percent(model.cum.get("value", f), model.type.total) },
    { key: "samples", title: "samples", value: (f) => model.cum.get("samples", f), text: (f) => String(model.cum.get("samples", f)) },
];
const diffColumns = [
    { key: "before", title: "before", value: (f) => model.flat.before[f], text: (f) => figure(model.flat.before[f]) },
    { key: "after", title: "after", value: (f) => model.flat.after[f], text: (f) => figure(model.flat.after[f]) },
    { key: "flat", title: "growth", growth: true, value: (f) => Math.abs(model.flat.value[f]) + (model.markedFlat.has(f) ? 1e18 : 0), text: (f) => signed(model.flat.value[f]) },
    { key: "flat_error", title: "±", error: true, value: (f) => model.flat.error(f), text: (f) => figure(model.flat.error(f)) },
    { key: "cum", title: "cum", value: (f) => Math.abs(model.cum.get("value", f)), text: (f) => signed(model.cum.get("value", f)) },
    { key: "cum_error", title: "±", error: true, value: (f) => model.cum.error(f), text: (f) => figure(model.cum.error(f)) },
    { key: "samples", title: "samples", value: (f) => model.cum.get("samples", f), text: (f) => String(model.cum.get("samples", f)) },
];
let columns;
function chooseColumns() {
    columns = (data.diff ? diffColumns : plainColumns).filter((column) => !(data.exact && column.error));
    const title = data.exact && !data.raw && !data.diff ? "objects" : "samples";
    columns = columns.map((column) => column.key === "samples" ? { ...column, title } : column);
    columns.push({ key: "name", title: data.granularity.replace(/e?s$/, ""), name: true, value: nameOf });
    if (!columns.some((column) => column.key === sorting.key)) sorting.key = "flat";
}

const sorting = { key: "flat", down: true };
let shownRows = MOST_ROWS;

function drawHead(choose) {
    const line = element("tr");
    for (const column of columns) {
        const cell = element("th", column.title, column.name ? "name" : "");
        if (column.key === sorting.key) cell.setAttribute("aria-sort", sorting.down ? "descending" : "ascending");
        cell.addEventListener("click", () => {
            sorting.down = column.key === sorting.key ? !sorting.down : !column.name;
            sorting.key = column.key;
            choose();
        });
        line.append(cell);
    }
    $("table").tHead.replaceChildren(line);
}

function tableRow(f) {
    const line = element("tr");
    line.dataset.row = f;
    if (f === row[flame.chosen] && flame.chosen) line.classList.add("chosen");
    if (data.diff) line.classList.add(!model.markedFlat.has(f) ? "noise-row" : model.flat.value[f] > 0 ? "up" : "down");
    for (const column of columns) {
        if (column.name) {
            const cell = element("td", nameOf(f) + " ", "name");
            cell.append(element("small", placeOf(f)));
            line.append(cell);
        } else {
            line.append(element("td", column.text(f), column.error ? "error" : column.growth ? "growth" : ""));
        }
    }
    return line;
}

function drawTable() {
    const column = columns.find((candidate) => candidate.key === sorting.key);
    const values = new Array(F), list = [];
    for (let f = 0; f < F; f++) {
        if (!(model.cum.get("value", f) || model.cum.get("samples", f)) || (flame.hits && !flame.hits[f])) continue;
        values[f] = column.value(f);
        list.push(f);
    }
    const order = sorting.down ? -1 : 1;
    list.sort((a, b) => {
        const by = column.name ? values[a].localeCompare(values[b]) : values[a] - values[b];
        return order * by || Math.abs(model.cum.get("value", b)) - Math.abs(model.cum.get("value", a));
    });
    $("table").tBodies[0].replaceChildren(...list.slice(0, shownRows).map(tableRow));
    $("more").hidden = list.length <= shownRows;
    $("more").textContent = "show all " + list.length;
    $("table").dataset.rows = list.length;
    drawHead(drawTable);
}

function drawEdges(table, edges) {
    table.replaceChildren(...edges.slice(0, 30).map((edge) => {
        const line = element("tr");
        line.dataset.row = edge.row;
        line.append(element("td", data.diff ? signed(edge.sums.value[0]) : figure(edge.sums.value[0])));
        if (!data.exact) line.append(element("td", "± " + figure(edge.sums.error(0)), "error"));
        line.append(element("td", samplesText(edge.sums.samples[0]), "error"));
        line.append(element("td", nameOf(edge.row) + (edge.inlined && table.id === "callees" ? " (inlined)" : ""), "name"));
        return line;
    }));
    if (!edges.length) table.append(element("caption", "none", "error"));
}

let files; // of data.sites; 0 repeats the one before
function loadFiles() {
    files = [];
    data.sites.forEach((site, k) => files.push(site[2] === 0 ? files[k - 1] : site[2]));
}

function drawSource(f) {
    const box = $("source"), type = data.types.indexOf(model.type);
    box.replaceChildren();
    const byFile = new Map();
    data.sites.forEach((site, k) => {
        if (site[0] !== f) return;
        if (!byFile.has(files[k])) byFile.set(files[k], new Map());
        byFile.get(files[k]).set(site[1], site.slice(3 + 2 * type, 5 + 2 * type));
    });
    for (const [file, lines] of byFile) {
        if (!file) continue;
        box.append(element("h3", file));
        const text = element("pre"), known = new Map(data.sources[file] || []), wanted = new Set();
        for (const line of lines.keys()) for (let near = line - 6; near <= line + 6; near++) if (known.has(near) || near === line) wanted.add(near);
        let last = 0;
        for (const line of [...wanted].sort((a, b) => a - b)) {
            if (last && line > last + 1) text.append(element("i", "…\n"));
            last = line;
            const sums = lines.get(line), cum = sums ? figure(sums[1]) : "";
            text.append(element("i", cum.padStart(11) + String(line).padStart(6) + "  "));
            text.append(element(sums ? "b" : "span", (known.get(line) ?? "") + "\n"));
        }
        box.append(text);
        if (!data.sources[file]) box.append(element("p", "source not found when the page was made (--source=DIR)", "error"));
    }
}

function drawDetails() {
    const f = row[flame.chosen], some = flame.chosen > 0;
    $("chosen").textContent = some ? nameOf(f) : "";
    $("edges").hidden = !some;
    $("source").hidden = !some;
    if (!some) {
        $("chosen-figures").textContent = "Choose a function in the flame graph or the table to see who calls it.";
        return;
    }
    $("chosen-figures").textContent = "flat " + estimateText(model.flat, f) + ", cum " + estimateText(model.cum, f) + ", " +
        samplesText(model.cum.get("samples", f));
    const edges = edgesOf(f);
    drawEdges($("callers"), edges.callers);
    drawEdges($("callees"), edges.callees);
    drawSource(f);
}

const memoryFigures = [
    ["HeapAlloc", "in use by the program"], ["HeapInuse", "in pages that hold something in use"],
    ["HeapIdle", "held by the allocator, nothing in it"], ["HeapReleased", "the part of HeapIdle that went back to the system"],
    ["HeapSys", "obtained from the system"], ["MaxRSS", "most memory ever resident"], ["TotalAlloc", "allocated since the start"],
    ["Mallocs", "allocations", "count"], ["Frees", "frees", "count"], ["HeapObjects", "objects live", "count"],
    ["heapprof.samples", "allocations sampled", "count"], ["heapprof.lost", "samples lost", "count"],
    ["heapprof.own_bytes", "memory of the profiler itself"],
];

function drawMemory() {
    const facts = data.facts, before = data.facts_before;
    $("memory").replaceChildren();
    $("bar").replaceChildren();
    for (const [name, meaning, unit] of memoryFigures) {
        if (!(name in facts)) continue;
        const line = element("tr");
        line.append(element("td", name));
        if (name in before) line.append(element("td", figure(Number(before[name]), unit || "bytes"), "error"), element("td", "→", "error"));
        line.append(element("td", figure(Number(facts[name]), unit || "bytes")), element("td", meaning, "meaning"));
        $("memory").append(line);
    }
    if (drawResident($("resident"))) return;
    const of = (name) => Number(facts[name] || 0), whole = of("HeapSys");
    if (!whole) {
        $("memory").append(element("caption", "the file holds no figures of the allocator"));
        return;
    }
    const parts = [["in use", of("HeapAlloc"), "#f2a65a"], ["fragments", of("HeapInuse") - of("HeapAlloc"), "#f6e3b4"],
        ["idle, resident", of("HeapIdle") - of("HeapReleased"), "#9cc4e8"], ["released", of("HeapReleased"), "#dddddd"]];
    for (const [name, size, colour] of parts) {
        const part = element("div", name + " " + figure(size, "bytes"));
        part.title = part.textContent + ", " + percent(size, whole) + " of HeapSys";
        part.style.flex = Math.max(size, 0) + " 0 0px";
        part.style.background = colour;
        if (size > 0) $("bar").append(part);
    }
}
