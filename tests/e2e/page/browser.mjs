// browser.mjs: a headless Chromium over its debugging pipe, and checks; for the tests of pages.
// Usage of what imports it: node FILE.mjs CHROMIUM FOLDER ...; screenshots go to FOLDER.
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";

const [chromium, folder] = process.argv.slice(2);
let failures = 0;

export function check(what, condition, got = "") {
    if (condition) return;
    failures++;
    console.log("FAIL: " + what + (got === "" ? "" : ": " + JSON.stringify(got)));
}

const browser = spawn(chromium, ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--user-data-dir=" + folder + "/browser", "--remote-debugging-pipe", "about:blank"],
{ stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
const waiting = new Map(), events = [];
let number = 0, received = Buffer.alloc(0), session;
browser.stdio[4].on("data", (part) => {
    received = Buffer.concat([received, part]);
    for (let end; (end = received.indexOf(0)) >= 0; received = received.subarray(end + 1)) {
        const message = JSON.parse(received.subarray(0, end));
        if (message.id) {
            waiting.get(message.id)(message);
            waiting.delete(message.id);
        } else events.push(message);
    }
});
const timer = setTimeout(() => { console.log("FAIL: the browser hangs"); browser.kill("SIGKILL"); process.exit(1); }, 200000);

export function send(method, params = {}) {
    const id = ++number;
    browser.stdio[3].write(JSON.stringify({ id, method, params, sessionId: session }) + "\0");
    return new Promise((resolve, reject) => waiting.set(id, (message) =>
        message.error ? reject(new Error(method + ": " + message.error.message)) : resolve(message.result)));
}

export async function evaluate(expression) {
    const { result, exceptionDetails } = await send("Runtime.evaluate", { expression, returnByValue: true, awaitPromise: true });
    if (exceptionDetails) throw new Error(expression + ": " + exceptionDetails.exception.description);
    return result.value;
}

// A file of FOLDER, or an address.
export async function open(file) {
    events.length = 0;
    await send("Page.navigate", { url: file.includes("://") ? file : "file://" + folder + "/" + file });
    for (let i = 0; i < 400; i++) {
        const ready = await evaluate("location.href.endsWith(" + JSON.stringify(file) + ") && document.documentElement.dataset.ready").catch(() => null);
        if (ready) return Number(ready);
        await new Promise((resolve) => setTimeout(resolve, 25));
    }
    throw new Error(file + " does not get ready: " + JSON.stringify(events.filter((e) => e.method.startsWith("Runtime."))));
}

export async function shot(name) {
    const { data: png } = await send("Page.captureScreenshot", { format: "png" });
    writeFileSync(folder + "/" + name + ".png", Buffer.from(png, "base64"));
}

export const text = (selector) => evaluate(`document.querySelector(${JSON.stringify(selector)}).textContent`);

const codes = { "/": "Slash", "?": "Slash", Enter: "Enter", Backspace: "Backspace", Escape: "Escape" };
export async function press(key) {
    const base = { key, code: codes[key] || key, text: key.length === 1 ? key : undefined };
    await send("Input.dispatchKeyEvent", { type: "keyDown", ...base });
    await send("Input.dispatchKeyEvent", { type: "keyUp", ...base, text: undefined });
}

// Runs the parts one after the other; no exceptions, nothing on the console, and nothing from the network but from `allowed`.
export async function run(parts, allowed = "file://" + folder) {
    try {
        const { targetInfos } = await send("Target.getTargets");
        const page = targetInfos.find((target) => target.type === "page");
        ({ sessionId: session } = await send("Target.attachToTarget", { targetId: page.targetId, flatten: true }));
        for (const domain of ["Page", "Runtime", "Network", "Log"]) await send(domain + ".enable");
        await send("Emulation.setDeviceMetricsOverride", { width: 1300, height: 900, deviceScaleFactor: 1, mobile: false });
        for (const part of parts) {
            await part();
            for (const event of events) {
                check("no exceptions", event.method !== "Runtime.exceptionThrown", event.params);
                check("nothing on the console", event.method !== "Runtime.consoleAPICalled" && event.method !== "Log.entryAdded", event.params);
                if (event.method === "Network.requestWillBeSent")
                    check("no network", event.params.request.url.startsWith(allowed), event.params.request.url);
            }
        }
    } catch (error) {
        check(error.stack, false);
    }
    clearTimeout(timer);
    browser.kill("SIGKILL");
    process.exitCode = failures ? 1 : 0;
    browser.on("close", () => process.exit());
}
