// resident.js - where the resident set goes: a bar with a letter and a colour for each part, and its legend.

function residentBar(parts, caption) {
    const bar = element("div", undefined, "resident"), whole = parts.reduce((sum, part) => sum + Math.max(part.bytes, 0), 0);
    bar.setAttribute("role", "img");
    bar.setAttribute("aria-label", caption + ": " + parts.map((part) => part.name + " " + figure(part.bytes, "bytes")).join(", "));
    for (const part of parts) {
        if (part.bytes <= 0) continue;
        const cell = element("div", part.bytes / whole > 0.015 ? part.letter : "", "part");
        cell.title = part.name + " " + figure(part.bytes, "bytes") + ", " + percent(part.bytes, whole);
        cell.style.flex = part.bytes + " 0 0px";
        cell.style.background = part.colour;
        cell.style.color = part.dark ? "#fff" : "#111";
        bar.append(cell);
    }
    return bar;
}

function residentLegend(resident, before) {
    const table = element("table", undefined, "legend");
    resident.parts.forEach((part, k) => {
        const was = before ? before.parts[k].bytes : 0;
        if (!part.bytes && !was && k) return;
        const line = element("tr"), key = element("td"), box = element("span", part.letter, "key");
        box.style.background = part.colour;
        box.style.color = part.dark ? "#fff" : "#111";
        key.append(box);
        const name = element("td", part.name + " ", "name");
        name.append(element("small", part.meaning));
        line.append(key, name);
        if (before) line.append(element("td", figure(was, "bytes"), "error"), element("td", "→", "error"));
        line.append(element("td", figure(part.bytes, "bytes") + (k ? "" : " ± " + figure(resident.live_error, "bytes"))));
        line.append(element("td", percent(part.bytes, resident.rss)));
        table.append(line);
    });
    return table;
}

// False: the profile does not tell.
function drawResident(box) {
    const resident = data.resident, before = data.resident_before;
    if (!resident) return false;
    if (before) {
        box.append(element("p", "resident set before: " + figure(before.rss, "bytes")), residentBar(before.parts, "resident set before"));
    }
    box.append(element("p", "resident set" + (before ? " after" : "") + ": " + figure(resident.rss, "bytes")));
    box.append(residentBar(resident.parts, "resident set"), residentLegend(resident, before));
    const beside = [["idle and released", resident.released], ["in use, never touched", resident.untouched], ["swapped out", resident.swapped]]
        .filter(([, bytes]) => bytes > 0).map(([name, bytes]) => name + " " + figure(bytes, "bytes"));
    if (beside.length) box.append(element("p", "not resident: " + beside.join(", "), "error"));
    return true;
}
