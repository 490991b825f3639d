// flame.js - the flame graph, drawn on a canvas: only boxes that can be seen are visited.

const canvas = document.getElementById("flame"), pen = canvas.getContext("2d");
const ROW = 18, LEAST = 0.4, LETTER = 6.7;

const flame = {
    zoom: 0, chosen: 0, hover: -1,
    hits: null, // rows that match the search
    boxes: [], // by line from the top: [{node, left, width}], from left to right
};

const sizeOf = (i) => Math.max(model.nodes.get(data.diff ? model.width : "value", i), 0);

function mix(from, to, share) {
    return "rgb(" + from.map((c, k) => Math.round(c + (to[k] - c) * share)).join(",") + ")";
}

let hashes; // by row
function loadColours() {
    hashes = new Float64Array(F);
    for (let f = 0; f < F; f++) {
        let hash = 0x811c9dc5;
        for (const c of nameOf(f)) hash = Math.imul(hash ^ c.charCodeAt(0), 0x01000193);
        hashes[f] = ((hash ^ (hash >>> 15)) & 255) / 255;
    }
}

const isDark = () => document.documentElement.classList.contains("dark");

function fillOf(i) {
    const dark = isDark();
    if (flame.hits && i && flame.hits[row[i]]) return dark ? "#a98bec" : "#b79af0";
    if (!i) return dark ? "#3a3e46" : "#e0e0e0";
    if (!data.diff) return dark ? mix([214, 190, 128], [196, 120, 48], hashes[row[i]]) : mix([246, 227, 180], [242, 166, 90], hashes[row[i]]);
    if (!isMarked(i)) return dark ? "#5a5e66" : "#d0d0d0";
    const growth = model.nodes.get("value", i), larger = Math.max(model.nodes.get("before", i), model.nodes.get("after", i)) || 1;
    const share = Math.min(Math.abs(growth) / larger, 1);
    return growth > 0 ? mix([249, 216, 180], [230, 126, 10], share) : mix([196, 221, 242], [74, 144, 208], share);
}

// Like hp_shorten_function: parameters go first, then template arguments, then the outer scopes.
function shorten(name, letters) {
    if (name.length <= letters) return name;
    const elide = (text, open, close) => {
        let result = "", level = 0;
        for (let k = 0; k < text.length; k++) {
            const c = text[k];
            if (c === open && (level || (k && !/operator.?$/.test(text.slice(0, k)) && !text.startsWith("(anonymous", k)))) {
                if (!level++) result += open + "…" + close;
            } else if (c === close && level && text[k - 1] !== "-") {
                level--;
            } else if (!level) result += c;
        }
        return level ? text : result;
    };
    let short = elide(name, "(", ")");
    if (short.length > letters) short = elide(short, "<", ">");
    for (let at = short.indexOf("::"); short.length > letters && at >= 0; at = short.indexOf("::", 2)) short = "…" + short.slice(at);
    return short.length <= letters ? short : short.slice(0, Math.max(letters - 1, 0)) + "…";
}

function place(line, node, left, width) {
    (flame.boxes[line] ||= []).push({ node, left, width });
}

// The ancestors of the zoomed box over the full width, and below it all that is wide enough.
function layOut(width) {
    flame.boxes = [];
    const above = [];
    for (let i = flame.zoom; i; i = parent[i]) above.push(parent[i]);
    above.reverse().forEach((node, line) => place(line, node, 0, width));
    const whole = sizeOf(flame.zoom);
    place(depth[flame.zoom], flame.zoom, 0, width);
    if (!whole) return;
    const scale = width / whole, nodes = [flame.zoom], lefts = [0];
    while (nodes.length) {
        const node = nodes.pop(), below = [];
        let left = lefts.pop();
        for (let child = node + 1; child < end[node]; child = end[child]) {
            const size = sizeOf(child) * scale;
            if (size >= LEAST) {
                place(depth[child], child, left, size);
                below.push(child, left);
            }
            left += size;
        }
        for (let k = below.length - 2; k >= 0; k -= 2) { // so that each line fills from left to right
            nodes.push(below[k]);
            lefts.push(below[k + 1]);
        }
    }
}

function drawBox(box, line, dark) {
    const y = line * ROW, node = box.node;
    pen.globalAlpha = node !== flame.zoom && node < flame.zoom && end[node] >= end[flame.zoom] ? 0.55 : 1;
    pen.fillStyle = fillOf(node);
    pen.fillRect(box.left, y, Math.max(box.width - 0.5, 0.3), ROW - 1);
    if (node === flame.chosen && node) {
        pen.strokeStyle = dark ? "#fff" : "#000";
        pen.lineWidth = 2;
        pen.strokeRect(box.left + 1, y + 1, Math.max(box.width - 2.5, 1), ROW - 3);
    }
    const letters = Math.floor((box.width - 6) / LETTER);
    if (letters < 3) return;
    pen.fillStyle = dark && (!node || (data.diff && !isMarked(node))) ? "#f0f0f0" : "#111";
    pen.fillText(shorten(node ? nameOf(row[node]) : "all", letters), box.left + 3, y + 12.5);
}

function draw() {
    const width = canvas.clientWidth, ratio = window.devicePixelRatio || 1;
    layOut(width);
    const height = flame.boxes.length * ROW;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.height = height + "px";
    pen.scale(ratio, ratio);
    pen.font = "11px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace";
    const dark = isDark();
    flame.boxes.forEach((boxes, line) => boxes.forEach((box) => drawBox(box, line, dark)));
    pen.globalAlpha = 1;
    canvas.dataset.zoom = flame.zoom ? nameOf(row[flame.zoom]) : "all";
    canvas.dataset.chosen = flame.chosen ? nameOf(row[flame.chosen]) : "all";
    canvas.dataset.boxes = flame.boxes.reduce((sum, boxes) => sum + boxes.length, 0);
}

// The node at a point of the window, or -1.
function nodeAt(event) {
    const frame = canvas.getBoundingClientRect();
    const x = event.clientX - frame.left, boxes = flame.boxes[Math.floor((event.clientY - frame.top) / ROW)];
    if (!boxes) return -1;
    let low = 0, high = boxes.length;
    while (low < high) {
        const middle = (low + high) >> 1;
        if (boxes[middle].left + boxes[middle].width <= x) low = middle + 1;
        else high = middle;
    }
    return low < boxes.length && boxes[low].left <= x ? boxes[low].node : -1;
}

// What is said of a node in the tooltip and in the line below the graph.
function describe(i, separator) {
    const f = row[i], nodes = model.nodes, parts = [i ? nameOf(f) : "all"];
    if (i && placeOf(f)) parts.push(placeOf(f) + (inlined[i] ? " (inlined)" : ""));
    if (data.diff) {
        parts.push(figure(nodes.get("before", i)) + " → " + figure(nodes.get("after", i)));
        parts.push(estimateText(nodes, i) + (isMarked(i) ? ", more than noise" : ", within noise"));
    } else {
        parts.push(estimateText(nodes, i) + " (" + percent(nodes.get("value", i), model.type.total) + ")");
    }
    if (nodes.self("samples", i)) parts.push("itself " + withError(nodes.self("value", i), nodes.selfError(i)));
    parts.push(samplesText(nodes.get("samples", i)));
    return parts.join(separator);
}

// The neighbour of the chosen box in a direction.
function neighbour(key) {
    const now = flame.chosen;
    if (key === "ArrowUp") return parent[now];
    if (key === "ArrowDown") {
        let best = now;
        for (let child = now + 1; child < end[now]; child = end[child])
            if (best === now || sizeOf(child) > sizeOf(best)) best = child;
        return sizeOf(best) > 0 ? best : now;
    }
    const line = flame.boxes[depth[now]] || [], at = line.findIndex((box) => box.node === now);
    const next = line[at + (key === "ArrowLeft" ? -1 : 1)];
    return next ? next.node : now;
}
