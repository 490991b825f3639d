# Every object by malloc; threads, children and fork.
command=python3
names='^(_?Py|list_|dict|new_|unicode|PyMem|_PyMem|python3|insert|resize|long_)'
# Not a script that finds the interpreter.
python=$(python3 -c 'import sys; print(sys.executable)')

run() {
    PYTHONMALLOC=malloc PYTHONHASHSEED=0 "$@" "$python" - <<'PYTHON'
import collections, decimal, gc, hashlib, io, json, os, pickle, re, subprocess, threading, zlib
data = [{"number": i, "text": "x" * (i % 50), "list": list(range(i % 10))} for i in range(4000)]
text = json.dumps(data)
print(hashlib.sha256(text.encode()).hexdigest(), len(pickle.dumps(json.loads(text))))
print(len(zlib.compress(text.encode())), len(re.findall(r'"number": \d*7,', text)))
results = []
def work(n):
    results.append((n, sum(len(str(decimal.Decimal(i) / 7)) for i in range(n))))
threads = [threading.Thread(target=work, args=(n * 300,)) for n in range(8)]
for t in threads: t.start()
for t in threads: t.join()
print(sorted(results))
print(subprocess.run(["echo", "child"], capture_output=True).stdout, os.system("exit 3"))
pid = os.fork()
if pid == 0:
    gc.collect()
    os._exit(5)
print(os.waitpid(pid, 0)[1], collections.Counter(text).most_common(3))
raise SystemExit(6)
PYTHON
    echo "exit status $?"
}
