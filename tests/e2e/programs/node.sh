# V8 takes the JavaScript heap by mmap; buffers, strings from outside and the compiler's zones come by malloc. Workers,
# children, and USR1, with which node starts its inspector unless the program handles it.
command=node
names='^(node::|v8::|CRYPTO_)'

run() {
    cat >"$work/script.js" <<'JS'
const { Worker, isMainThread, parentPort, workerData } = require("worker_threads");
const crypto = require("crypto"), zlib = require("zlib"), child = require("child_process");
if (!isMainThread) {
  const parts = [];
  for (let i = 0; i < 300; i++) parts.push(Buffer.alloc(3000 + i * workerData, "w"));
  parentPort.postMessage(Buffer.concat(parts).length);
} else {
  (async () => {
    const data = [];
    for (let i = 0; i < 20000; i++) data.push({ n: i, text: "x".repeat(i % 50), list: [...Array(i % 10).keys()] });
    const text = JSON.stringify(data);
    console.log(crypto.createHash("sha256").update(text).digest("hex"), JSON.parse(text).length);
    const packed = zlib.gzipSync(text);
    console.log(zlib.gunzipSync(packed).toString() === text, text.match(/"n":\d*7,/g).length);
    const buffers = [];
    for (let i = 0; i < 3000; i++) buffers.push(Buffer.allocUnsafeSlow(20000).fill(i & 255));
    console.log(buffers.reduce((sum, b) => sum + b[7], 0));
    const worker = (n) => new Promise((done, fail) =>
      new Worker(__filename, { workerData: n }).on("message", done).on("error", fail));
    console.log(await Promise.all([1, 2, 3, 4].map(worker)));
    console.log(child.execSync("echo child").toString(), child.spawnSync("sh", ["-c", "exit 3"]).status);
    setInterval(() => {}, 1000); // a handler of a signal alone does not keep node alive
    await new Promise((done) => {
      process.on("SIGUSR2", () => { console.log("USR2"); done(); });
      process.kill(process.pid, "SIGUSR2");
    });
    await new Promise((done) => {
      process.on("SIGUSR1", () => { console.log("USR1"); done(); });
      process.kill(process.pid, "SIGUSR1");
    });
    process.exit(6);
  })();
}
JS
    "$@" node "$work/script.js"
    echo "exit status $?"
}
