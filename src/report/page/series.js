// series.js - moments of one process: their time line, the figures of any of them, and the difference of any two.

const COUNTS = ["liveObjects", "liveBytes", "allocObjects", "allocBytes"];

// hp_sample_estimate of objects and bytes as sampled.
function estimateOf(objects, bytes, space) {
    const interval = data.series.interval, plain = space ? bytes : objects;
    if (interval <= 1 || data.raw) return { value: plain, variance: 0, squares: 0, samples: objects };
    const p = objects > 0 && bytes > 0 ? -Math.expm1(-bytes / objects / interval) : 0;
    if (!(p > 0)) return { value: 0, variance: 0, squares: 0, samples: 0 };
    const each = plain / p / objects, variance = each * each * (1 - p);
    return { value: plain / p, variance: objects * variance, squares: objects * variance * variance, samples: objects };
}

const course = {
    before: -1, after: 0, // moments chosen; before -1: no difference
    counts: [], // by moment: COUNTS by entry
    last: true, // `after` is to follow the newest moment

    get moments() {
        return data.series.moments;
    },

    load() {
        const entries = data.series.places.length, names = this.counts.length ? [this.times[this.before], this.times[this.after]] : null;
        let now = COUNTS.map(() => new Float64Array(entries));
        this.counts = data.series.changes.map((changes) => {
            now = now.map((values) => values.slice());
            for (let i = 0, entry = 0; i < changes.length; i += 5) {
                entry += changes[i];
                for (let c = 0; c < 4; c++) now[c][entry] += changes[i + 1 + c];
            }
            return now;
        });
        this.times = this.moments.map((moment) => moment.time);
        const count = this.moments.length;
        if (!names) {
            this.after = count - 1;
        } else { // moments may have been thinned meanwhile
            this.after = this.last ? count - 1 : this.nearest(names[1]);
            this.before = names[0] === undefined ? -1 : this.nearest(names[0]);
        }
        if (this.before >= this.after) this.before = -1;
        $("course-box").hidden = false;
        $("course-keys").hidden = false;
        this.show();
    },

    nearest(time) {
        let best = 0;
        this.times.forEach((other, k) => {
            if (Math.abs(other - time) < Math.abs(this.times[best] - time)) best = k;
        });
        return best;
    },

    // Chosen moments have changed.
    select(before, after) {
        const count = this.moments.length;
        after = Math.min(Math.max(after, 0), count - 1);
        if (before > after) [before, after] = [after, before];
        this.before = before === after ? -1 : before;
        this.after = after;
        this.last = after === count - 1;
        this.show();
        refresh();
    },

    show() {
        setMode(this.before >= 0);
        this.compute();
        $("compare").textContent = this.before >= 0 ? "show one moment" : "compare with the first";
        this.draw();
    },

    // The estimates of the sample type that is shown.
    compute() {
        const type = model.type;
        for (const key of keys) type[key] = new Float64Array(K);
        if (this.before >= 0) this.computeDiff(type);
        else this.computeOne(type);
    },

    entry(moment, i) {
        const [liveObjects, liveBytes, allocObjects, allocBytes] = this.counts[moment].map((values) => values[i]);
        return { liveObjects, liveBytes, allocObjects, allocBytes };
    },

    estimate(counts, type) {
        const live = type.name.startsWith("inuse"), space = type.name.endsWith("space");
        return live ? estimateOf(counts.liveObjects, counts.liveBytes, space) : estimateOf(counts.allocObjects, counts.allocBytes, space);
    },

    computeOne(type) {
        const places = data.series.places, sum = { value: 0, variance: 0, squares: 0, samples: 0 };
        for (let i = 0; i < places.length; i++) {
            const estimate = this.estimate(this.entry(this.after, i), type);
            for (const key of keys) {
                sum[key] += estimate[key];
                if (places[i] >= 0) type[key][places[i]] += estimate[key];
            }
        }
        this.finish(type, sum);
        type.marked_cum = type.marked_flat = [];
    },

    finish(type, sum) {
        type.total = sum.value;
        type.total_error = halfWidth(sum.variance, sum.squares, sum.samples);
    },

    // As pairs.c: survivors cancel.
    pair(i, type) {
        const a = this.entry(this.before, i), b = this.entry(this.after, i);
        const was = this.estimate(a, type), is = this.estimate(b, type), n = was.samples + is.samples;
        const allocated = Math.max(b.allocObjects - a.allocObjects, 0);
        const freed = Math.max(0, a.liveObjects + allocated - b.liveObjects);
        let only = type.name.startsWith("inuse") ? Math.min(allocated + freed, a.liveObjects + b.liveObjects) : allocated;
        only = Math.max(only, Math.abs(is.samples - was.samples));
        const share = n ? only / n : 0, weight = n ? (was.value + is.value) / n : 0;
        const keep = weight ? Math.min((was.variance + is.variance) / n / (weight * weight), 1) : 0, grown = is.samples - was.samples;
        return { value: is.value - was.value, before: was.value, after: is.value, samples: only,
            variance: (was.variance + is.variance) * share, squares: (was.squares + is.squares) * share,
            term: { weight, keep, before: (only - grown) / 2, after: (only + grown) / 2, growth: is.value - was.value,
                churns: a.liveObjects + b.allocObjects > b.liveObjects + a.allocObjects } };
    },

    computeDiff(type) {
        const places = data.series.places, sum = {}, flat = new Map(), cum = new Map();
        for (const key of keys) sum[key] = 0;
        const add = (map, f, term) => map.has(f) ? map.get(f).push(term) : map.set(f, [term]);
        for (let i = 0; i < places.length; i++) {
            const pair = this.pair(i, type);
            for (const key of keys) {
                sum[key] += pair[key];
                if (places[i] >= 0) type[key][places[i]] += pair[key];
            }
            if (places[i] < 0 || !pair.samples) continue;
            const seen = new Set();
            for (let node = last[places[i]]; node; node = parent[node]) {
                if (!seen.size) add(flat, row[node], pair.term);
                if (!seen.has(row[node])) add(cum, row[node], pair.term);
                seen.add(row[node]);
            }
        }
        this.finish(type, sum);
        type.marked_flat = [...significantRows(flat, type.total_error)];
        type.marked_cum = [...significantRows(cum, type.total_error)];
    },

    // ---------------------------------------------------------------- the time line

    ago(k) {
        const seconds = (this.times[k] - this.times[0]) / 1000;
        if (seconds < 60) return seconds.toFixed(1) + " s";
        const minutes = Math.floor(seconds / 60), rest = Math.floor(seconds % 60);
        return minutes < 60 ? minutes + " min " + rest + " s" : Math.floor(minutes / 60) + " h " + minutes % 60 + " min";
    },

    name(k) {
        return "moment " + (k + 1) + " of " + this.moments.length + ", at " + this.ago(k);
    },

    describe() {
        return this.before >= 0 ? "from " + this.name(this.before) + " to " + this.name(this.after) : this.name(this.after);
    },

    describeMoment(k) {
        const moment = this.moments[k];
        return [this.name(k) + " (" + new Date(moment.time).toLocaleString() + ")",
            "live " + figure(moment.live, "bytes") + (data.exact ? "" : " ± " + figure(moment.live_error, "bytes")),
            "HeapInuse " + figure(moment.inuse, "bytes"), "HeapIdle " + figure(moment.idle, "bytes")].join("\n");
    },

    x(k, width) {
        const length = this.times[this.times.length - 1] - this.times[0];
        return 6 + (length ? (this.times[k] - this.times[0]) / length : 1) * (width - 12);
    },

    draw() {
        const box = $("course"), pen = box.getContext("2d"), ratio = window.devicePixelRatio || 1;
        const width = box.clientWidth, height = box.clientHeight, style = getComputedStyle(document.documentElement);
        const colour = (name) => style.getPropertyValue(name);
        box.width = Math.round(width * ratio);
        box.height = Math.round(height * ratio);
        pen.scale(ratio, ratio);
        const most = Math.max(1, ...this.moments.map((m) => Math.max(m.live + m.live_error, m.inuse, m.idle)));
        const y = (value) => height - 6 - Math.max(value, 0) / most * (height - 24), xs = this.times.map((_, k) => this.x(k, width));
        const line = (values, name, dash) => {
            pen.strokeStyle = colour(name);
            pen.setLineDash(dash);
            pen.beginPath();
            values.forEach((value, k) => pen.lineTo(xs[k], y(value)));
            pen.stroke();
            pen.setLineDash([]);
        };
        if (this.before >= 0) {
            pen.fillStyle = colour("--chosen");
            pen.fillRect(xs[this.before], 0, xs[this.after] - xs[this.before], height);
        }
        pen.fillStyle = colour("--live-error");
        pen.beginPath();
        this.moments.forEach((m, k) => pen.lineTo(xs[k], y(m.live + m.live_error)));
        [...this.moments.keys()].reverse().forEach((k) => pen.lineTo(xs[k], y(this.moments[k].live - this.moments[k].live_error)));
        pen.fill();
        pen.lineWidth = 1.5;
        line(this.moments.map((m) => m.inuse), "--inuse", [6, 3]);
        line(this.moments.map((m) => m.idle), "--idle", [2, 3]);
        line(this.moments.map((m) => m.live), "--live", []);
        this.moments.forEach((m, k) => {
            const chosen = k === this.before || k === this.after;
            pen.fillStyle = colour(chosen ? "--text" : "--live");
            pen.fillRect(xs[k] - (chosen ? 1 : 0), chosen ? 0 : y(m.live) - 2, chosen ? 2 : 3, chosen ? height : 4);
        });
        pen.fillStyle = colour("--dim");
        pen.font = "11px system-ui, sans-serif";
        pen.fillText(figure(most, "bytes"), 6, 11);
        $("course-said").textContent = this.describe();
        box.dataset.chosen = this.before + " " + this.after;
    },

    at(event) {
        const frame = $("course").getBoundingClientRect(), x = event.clientX - frame.left;
        let best = 0;
        for (let k = 1; k < this.times.length; k++)
            if (Math.abs(this.x(k, frame.width) - x) < Math.abs(this.x(best, frame.width) - x)) best = k;
        return best;
    },

    // One click chooses a moment, a second one the moment to compare it with, a third one begins anew.
    click(k) {
        if (this.before >= 0 || k === this.after || !this.clicked) {
            this.clicked = true;
            this.select(-1, k);
        } else {
            this.clicked = false;
            this.select(this.after, k);
        }
    },

    compare() {
        this.clicked = false;
        this.select(this.before >= 0 || !this.after ? -1 : 0, this.after);
    },

    actions: {
        "[": () => course.select(course.before, Math.max(course.after - 1, course.before + 1)),
        "]": () => course.select(course.before, course.after + 1),
        "{": () => course.select(Math.max((course.before < 0 ? course.after : course.before) - 1, 0), course.after),
        "}": () => course.select(course.before < 0 || course.before + 1 >= course.after ? -1 : course.before + 1, course.after),
        d: () => course.compare(),
    },

    tip(event) {
        const box = $("tip");
        box.textContent = this.describeMoment(this.at(event));
        box.hidden = false;
        box.style.left = Math.max(4, Math.min(event.clientX + 14, window.innerWidth - box.offsetWidth - 6)) + "px";
        box.style.top = event.clientY + 18 + "px";
    },

    // A server has later moments; while it can't be reached, the page stays as it is.
    async update() {
        if (document.hidden || this.paused) return;
        try {
            const answer = await fetch("page.json" + location.search);
            const said = answer.ok ? await answer.json() : null;
            $("course-state").textContent = answer.ok ? "" : (await answer.text()).trim();
            if (said && said.series && said.series.moments.at(-1).time !== this.times.at(-1)) load(said);
        } catch (error) {
            $("course-state").textContent = "the server does not answer";
        }
    },

    watch() {
        const box = $("course");
        box.addEventListener("click", (event) => this.click(this.at(event)));
        box.addEventListener("mousemove", (event) => this.tip(event));
        box.addEventListener("mouseleave", () => { $("tip").hidden = true; });
        $("compare").addEventListener("click", () => this.compare());
        if (!data.series.refresh) return;
        $("pause").hidden = false;
        $("pause").addEventListener("click", () => {
            this.paused = !this.paused;
            $("pause").textContent = this.paused ? "go on" : "pause";
        });
        setInterval(() => this.update(), data.series.refresh);
    },
};
