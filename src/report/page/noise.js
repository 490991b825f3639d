// noise.js - is a growth more than noise? As in significance.c and rows.c, where the formulas are explained.

function logCosh(x) {
    return Math.abs(x) + Math.log1p(Math.exp(-2 * Math.abs(x))) - Math.LN2;
}

// K, K', K'' of the luck of sampling at t; terms are {weight, keep, before, after}.
function cumulantsAt(terms, churn, t) {
    let value = 0, slope = 0, curvature = 0;
    for (const term of terms) {
        const n = term.before + term.after, w = term.weight, x = t * w;
        if (churn || term.keep > 0.5) {
            const tanh = Math.tanh(x);
            value += n * logCosh(x);
            slope += n * w * tanh;
            curvature += n * w * w * (1 - tanh * tanh);
            continue;
        }
        const p = 1 - term.keep, c = 2 * term.keep * p, e = Math.exp(-x), e2 = e * e;
        if (c <= 0) continue;
        const m = Math.max(term.before, term.after, n / (2 * p)), scaled = e * (1 - c) + c * (1 + e2) / 2;
        const cosh = c * (1 + e2) / 2 / scaled, sinh = c * (1 - e2) / 2 / scaled;
        value += m * (x + Math.log(scaled));
        slope += m * w * sinh;
        curvature += m * w * w * (cosh - sinh * sinh);
    }
    return { value, slope, curvature };
}

function solveSlope(terms, churn, growth, step) {
    let low = 0, high = 1 / step;
    while (cumulantsAt(terms, churn, high).slope < growth && high * step < 1e4) {
        low = high;
        high *= 2;
    }
    for (let i = 0; i < 60; i++) {
        const middle = (low + high) / 2;
        if (cumulantsAt(terms, churn, middle).slope < growth) low = middle;
        else high = middle;
    }
    return high;
}

// Complementary error function of x >= 0: the power series of erf, and where that cancels, the continued fraction.
function erfc(x) {
    if (x < 2) {
        let sum = 0, power = x;
        for (let n = 0; n < 60; n++) {
            sum += power / (2 * n + 1);
            power *= -x * x / (n + 1);
        }
        return 1 - 2 / Math.sqrt(Math.PI) * sum;
    }
    let fraction = x;
    for (let n = 80; n > 0; n--) fraction = x + n / 2 / fraction;
    return Math.exp(-x * x) / Math.sqrt(Math.PI) / fraction;
}

function tailOf(terms, churn, growth, step) {
    const t = solveSlope(terms, churn, growth, step);
    let at = cumulantsAt(terms, churn, t);
    const bound = Math.exp(Math.min(0, at.value - t * growth)), corrected = growth - step / 2;
    const s = solveSlope(terms, churn, corrected, step);
    if (s * step > 4) {
        const spread = Math.sqrt(2 * Math.PI * at.curvature) / step * -Math.expm1(-t * step);
        return spread > 1 ? bound / spread : bound;
    }
    at = cumulantsAt(terms, churn, s);
    const r = Math.sqrt(Math.max(0, 2 * (s * corrected - at.value)));
    if (r < 1e-3) return 0.5;
    const u = 2 * Math.sinh(s * step / 2) / step * Math.sqrt(at.curvature);
    const p = erfc(r / Math.SQRT2) / 2 + Math.exp(-r * r / 2) / Math.sqrt(2 * Math.PI) * (1 / u - 1 / r);
    return p > 0 ? Math.min(p, bound) : bound;
}

function noiseProbability(terms, churn) {
    let growth = 0, most = 0, step = 0, size = 0;
    for (const term of terms) {
        const chance = churn || term.keep > 0.5, n = term.before + term.after;
        const variance = n * term.weight * term.weight * (chance ? 1 : term.keep);
        growth += term.weight * (term.after - term.before);
        size += term.weight * n;
        if (variance > most) {
            most = variance;
            step = chance ? 2 * term.weight : term.weight;
        }
    }
    growth = Math.abs(growth);
    if (growth <= 1e-9 * size || size <= 0) return 1;
    if (most <= 0) return 0;
    return growth <= step / 2 ? 1 : Math.min(1, 2 * tailOf(terms, churn, growth, step));
}

// The rows of `terms` (a Map of arrays) that changed by more than noise, with all rows taken together: Holm's procedure.
function significantRows(terms, material) {
    const exact = data.series.interval <= 1, tested = [];
    for (const [f, list] of terms) {
        let before = 0, after = 0, growth = 0, churns = false;
        for (const term of list) {
            before += term.before;
            after += term.after;
            growth += term.growth;
            churns ||= term.churns;
        }
        const oneWay = !churns && (!before || !after) && Math.abs(growth) > material;
        tested.push([noiseProbability(grouped(list), !exact && !oneWay), f]);
    }
    tested.sort((a, b) => a[0] - b[0]);
    const marked = new Set();
    for (let i = 0; i < tested.length && tested[i][0] <= 0.05 / (tested.length - i); i++) marked.add(tested[i][1]);
    return marked;
}

// Samples that stand for the same to within a thousandth are one term: it is the number of terms that takes time.
function grouped(list) {
    const groups = new Map();
    for (const term of list) {
        const key = Math.round(Math.log(term.weight) * 1000) * 1e6 + Math.round(-Math.log(term.keep + 1e-300) * 1000);
        const group = groups.get(key);
        if (group) {
            group.before += term.before;
            group.after += term.after;
        } else groups.set(key, { ...term });
    }
    return [...groups.values()];
}
