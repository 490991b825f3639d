// model.js - the figures: what html_data.h describes, as arrays by node, and what follows from them.

let data; // the document
let N, F, depth, row, parent, end, inlined; // nodes, rows; by node; end: the first node that is not below
// The stacks in the order of the nodes in which they end: those of node i and of all below it are
// the stacks from begin[i] up to begin[end[i]].
let K, begin, last;
// The nodes of row f: nodesOf[firstOf[f]] up to nodesOf[firstOf[f + 1]]; with their stacks, and
// whether no node of the same row is above: recursion counts once.
let firstOf, nodesOf, from, to, outermost;
let keys; // of an estimate

const model = {
    type: null,
    width: "after", // of two profiles, which one the boxes are as wide as
    nodes: null, flat: null, cum: null, // NodeSums; Estimates, RowSums by row
    markedCum: new Set(), markedFlat: new Set(),
};

function loadNodes() {
    N = data.depth.length;
    depth = Uint16Array.from(data.depth);
    row = Uint32Array.from(data.row);
    parent = new Uint32Array(N);
    end = new Uint32Array(N);
    inlined = new Uint8Array(N);
    for (const node of data.inlined) inlined[node] = 1;
    const path = [];
    for (let i = 0; i < N; i++) {
        while (path.length > depth[i]) end[path.pop()] = i;
        parent[i] = path.length ? path[path.length - 1] : 0;
        path.push(i);
    }
    while (path.length) end[path.pop()] = N;
}

function loadStacks() {
    K = data.at.length;
    begin = new Uint32Array(N + 1);
    last = new Uint32Array(K);
    for (let k = 0, i = 0; k < K; k++) last[k] = i += data.at[k];
    for (let i = 0, k = 0; i <= N; i++) {
        while (k < K && last[k] < i) k++;
        begin[i] = k;
    }
}

function loadRows() {
    F = data.rows.length;
    firstOf = new Uint32Array(F + 1);
    nodesOf = new Uint32Array(N);
    from = new Uint32Array(N);
    to = new Uint32Array(N);
    outermost = new Uint8Array(N);
    for (let i = 1; i < N; i++) firstOf[row[i] + 1]++;
    for (let f = 0; f < F; f++) firstOf[f + 1] += firstOf[f];
    const next = firstOf.slice(), openUntil = new Uint32Array(F);
    for (let i = 1; i < N; i++) {
        const f = row[i], n = next[f]++;
        nodesOf[n] = i;
        from[n] = begin[i];
        to[n] = begin[end[i]];
        outermost[n] = i >= openUntil[f] ? 1 : 0;
        if (outermost[n]) openUntil[f] = end[i];
    }
}

function setDiff(diff) {
    data.diff = diff;
    keys = diff ? ["value", "variance", "squares", "samples", "before", "after"] : ["value", "variance", "squares", "samples"];
}

function loadModel(document) {
    const index = data ? data.types.indexOf(model.type) : document.type;
    data = document;
    loadNodes();
    loadStacks();
    loadRows();
    setDiff(data.diff);
    model.type = data.types[index];
}

const nameOf = (f) => data.rows[f][0];
const placeOf = (f) => data.rows[f][1] ? data.rows[f][1].replace(/.*\//, "") + (data.rows[f][2] ? ":" + data.rows[f][2] : "") : "";

// Half-width of the 95 % interval, as in scale.c.
function halfWidth(variance, squares, samples) {
    if (!(variance > 0)) return 0;
    const effective = squares > 0 ? variance * (variance / squares) : samples;
    return 1.96 * Math.sqrt(variance * (effective > 0 ? 1 + 2 / effective : 1));
}

// One estimate for each of `count` things.
class Estimates {
    constructor(count) {
        for (const key of keys) this[key] = new Float64Array(count);
    }
    get(key, i) {
        return this[key][i];
    }
    error(i) {
        return halfWidth(this.variance[i], this.squares[i], this.samples[i]);
    }
}

// Estimates by node, from sums over all stacks before each one.
class NodeSums {
    constructor(type, kept) {
        for (const key of keys) {
            const sums = this[key] = new Float64Array(K + 1), values = type[key];
            for (let k = 0; k < K; k++) sums[k + 1] = sums[k] + (kept[k] ? values[k] : 0);
        }
    }
    get(key, i) {
        return this[key][begin[end[i]]] - this[key][begin[i]];
    }
    self(key, i) {
        return this[key][begin[i + 1]] - this[key][begin[i]];
    }
    error(i) {
        return halfWidth(this.get("variance", i), this.get("squares", i), this.get("samples", i));
    }
    selfError(i) {
        return halfWidth(this.self("variance", i), this.self("squares", i), this.self("samples", i));
    }
}

function regularExpression(text) {
    return text ? new RegExp(text) : null;
}

// Rows that match, by name or file; null stands for no expression.
function matching(expression) {
    if (!expression) return null;
    const hits = new Uint8Array(F);
    for (let f = 0; f < F; f++)
        hits[f] = expression.test(nameOf(f)) || (data.rows[f][1] && expression.test(data.rows[f][1])) ? 1 : 0;
    return hits;
}

// Which stacks have a frame that `focus` chooses, and none that `ignore` does.
function keptStacks(focus, ignore) {
    const kept = new Uint8Array(K).fill(focus ? 0 : 1);
    for (let i = 1; focus && i < N; )
        if (focus[row[i]]) {
            kept.fill(1, begin[i], begin[end[i]]);
            i = end[i];
        } else i++;
    for (let i = 1; ignore && i < N; )
        if (ignore[row[i]]) {
            kept.fill(0, begin[i], begin[end[i]]);
            i = end[i];
        } else i++;
    return kept;
}

// Cumulative estimates by row, made when they are asked for: most are never shown.
class RowSums {
    constructor() {
        for (const key of keys) this[key] = new Float64Array(F).fill(NaN);
    }
    get(key, f) {
        const known = this[key][f];
        if (known === known) return known;
        const sums = model.nodes[key];
        let sum = 0;
        for (let n = firstOf[f]; n < firstOf[f + 1]; n++) if (outermost[n]) sum += sums[to[n]] - sums[from[n]];
        return this[key][f] = sum;
    }
    error(f) {
        return halfWidth(this.get("variance", f), this.get("squares", f), this.get("samples", f));
    }
}

function addRows() {
    model.flat = new Estimates(F);
    model.cum = new RowSums();
    for (const key of keys) {
        const sums = model.nodes[key], flats = model.flat[key];
        for (let k = 0; k < K; k++) flats[row[last[k]]] += sums[k + 1] - sums[k];
    }
}

function compute(focus, ignore) {
    model.nodes = new NodeSums(model.type, keptStacks(focus, ignore));
    model.markedCum = new Set(model.type.marked_cum);
    model.markedFlat = new Set(model.type.marked_flat);
    addRows();
}

// Is there a node above i that is the same call: of f, from or to the same row?
function repeats(i, same) {
    for (let above = parent[i]; above; above = parent[above]) if (same(above)) return true;
    return false;
}

// Callers and callees of row f: arrays of {row, inlined, sums}, largest first.
function edgesOf(f) {
    const callers = new Map(), callees = new Map();
    const count = (map, other, node) => {
        if (!map.has(other)) map.set(other, { row: other, inlined: true, sums: new Estimates(1) });
        const edge = map.get(other);
        for (const key of keys) edge.sums[key][0] += model.nodes.get(key, node);
        edge.inlined &&= Boolean(inlined[node]);
    };
    for (let n = firstOf[f]; n < firstOf[f + 1]; n++) {
        const i = nodesOf[n];
        if (parent[i] && !repeats(i, (a) => row[a] === f && parent[a] && row[parent[a]] === row[parent[i]]))
            count(callers, row[parent[i]], i);
        for (let child = i + 1; child < end[i]; child = end[child])
            if (!repeats(child, (a) => row[a] === row[child] && parent[a] && row[parent[a]] === f))
                count(callees, row[child], child);
    }
    const sorted = (map) => [...map.values()].filter((edge) => edge.sums.samples[0] || edge.sums.value[0])
        .sort((a, b) => Math.abs(b.sums.value[0]) - Math.abs(a.sums.value[0]));
    return { callers: sorted(callers), callees: sorted(callees) };
}

function figure(value, unit = model.type.unit) {
    const sign = value < 0 && Math.abs(value) >= 0.5 ? "-" : "";
    let size = Math.abs(value);
    if (unit !== "bytes") return sign + size.toFixed(0);
    const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let i = 0;
    while (size >= (i ? 1023.95 : 1023.5) && i + 1 < units.length) {
        size /= 1024;
        i++;
    }
    return sign + size.toFixed(i ? 1 : 0) + " " + units[i];
}
const signed = (value) => (value >= 0.5 ? "+" : "") + figure(value);
const percent = (part, whole) => whole ? (100 * part / Math.abs(whole)).toFixed(1) + "%" : "-";
const samplesText = (n) => n + (data.exact && !data.raw ? " object" : " sample") + (n === 1 ? "" : "s");

// "12.0 MiB ± 1.4 MiB"
function withError(value, error) {
    const text = data.diff ? signed(value) : figure(value);
    return data.exact ? text : text + " ± " + figure(error);
}
const estimateText = (estimates, i) => withError(estimates.get("value", i), estimates.error(i));

// A growth that is more than noise explains, of the row and of this node of it.
function isMarked(i) {
    return (!i || model.markedCum.has(row[i])) && Math.abs(model.nodes.get("value", i)) > model.nodes.error(i);
}
