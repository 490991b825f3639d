"""Clients of `heapprof serve`, good and bad: serve_client.py TASK URL|SOCKET [ARGUMENT]. Complains, and exits with 1."""
import base64
import gzip
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.parse

BINARY, TEXT = "application/octet-stream", "text/plain; charset=utf-8"
problems = []


def expect(what, wanted, got):
    if wanted != got:
        problems.append(f"{what}: {got!r}, not {wanted!r}")


def address(url):
    parts = urllib.parse.urlsplit(url)
    return parts.hostname, parts.port


def ask(url, path, method="GET", body=None, headers=None):
    connection = http.client.HTTPConnection(*address(url), timeout=60)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def status(url):
    parts = urllib.parse.urlsplit(url)
    print(ask(url, parts.path)[0])


def body(url):
    parts = urllib.parse.urlsplit(url)
    print(ask(url, parts.path)[2].decode())


def raw(url, data, shut=False):
    """What comes back for these bytes, until the server closes or falls silent."""
    with socket.create_connection(address(url), timeout=2) as connection:
        answer = b""
        try:
            connection.sendall(data)
            if shut:
                connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65536):
                answer += chunk
        except OSError:
            pass
        return answer


def answers(url, pid):
    heap = "/debug/pprof/heap"
    table = [  # path, status, Content-Type, file name, how the body begins
        (heap, 200, BINARY, "heap", b"\x1f\x8b"), (heap + "?gc=1", 200, BINARY, "heap", b"\x1f\x8b"),
        (heap + "?debug=0", 200, BINARY, "heap", b"\x1f\x8b"), (heap + "?debug=x", 200, BINARY, "heap", b"\x1f\x8b"),
        ("/debug/pprof/allocs", 200, BINARY, "allocs", b"\x1f\x8b"),
        (heap + "?seconds=1", 200, BINARY, "heap-delta", b"\x1f\x8b"),
        ("/debug/pprof/allocs?seconds=1", 200, BINARY, "allocs-delta", b"\x1f\x8b"),
        (heap + "?debug=1", 200, TEXT, None, b"heap profile: "),
        ("/debug/pprof/allocs?debug=1", 200, TEXT, None, b"heap profile: "),
        ("/debug/pprof/cmdline", 200, TEXT, None, b"perl\0-e\0"),
        ("/debug/pprof/symbol", 200, TEXT, None, b"num_symbols: 1\n"),
        ("/debug/pprof/", 200, "text/html; charset=utf-8", None, b"<!DOCTYPE html>"),
        ("/", 200, "text/html; charset=utf-8", None, b"<!DOCTYPE html>"),
        ("/page.json", 200, "application/json", None, b'{"header":['),
        ("/debug/pprof", 301, TEXT, None, b""), ("/debug/pprof/goroutine", 404, TEXT, None, b"Unknown profile\n"),
        ("/other", 404, TEXT, None, b"404 page not found\n"), ("/debug", 404, TEXT, None, b"404 page not found\n"),
        (heap + "?seconds=1&debug=1", 400, TEXT, None, b"seconds and debug params are incompatible\n"),
        (heap + "?seconds=86400", 400, TEXT, None, b"profile duration exceeds server's WriteTimeout\n"),
    ] + [(heap + "?seconds=" + wrong, 400, TEXT, None,
          b'invalid value for "seconds" - must be a positive integer\n') for wrong in ("0", "-1", "x", "1.5", "9" * 30)]
    for path, code, kind, name, start in table:
        got, headers, body = ask(url, path)
        expect(path, (code, kind, name and f'attachment; filename="{name}"'),
               (got, headers.get("content-type"), headers.get("content-disposition")))
        expect(path + ": start", start, body[:len(start)])
        expect(path + ": nosniff", "nosniff", headers.get("x-content-type-options"))
        ours = code == 400 or body == b"Unknown profile\n"
        expect(path + ": X-Go-Pprof", "1" if ours else None, headers.get("x-go-pprof"))
    expect("HEAD", (200, b""), ask(url, heap, "HEAD")[::2])
    expect("PUT", (405, "GET, HEAD, POST"), (lambda a: (a[0], a[1].get("allow")))(ask(url, heap, "PUT")))
    check_text(ask(url, heap + "?debug=1")[2].decode(), url)
    check_metrics(url, pid)
    if b"Perl_" not in gzip.decompress(ask(url, heap)[2]):
        problems.append("no functions in the profile")


def check_text(text, url):
    """The symbol lines, and that /symbol knows the same functions."""
    lines = re.findall(r"^#\t(0x[0-9a-f]+)\t(\w+)\+0x", text, re.M)
    if len(lines) < 20:
        problems.append(f"{len(lines)} symbol lines")
    known = [(int(pc, 16), name) for pc, name in lines if name.startswith("Perl_pp_")][:5]
    asked = "+".join(hex(pc) for pc, _ in known) + "+0x1+x+"
    wanted = "num_symbols: 1\n" + "".join(f"{pc:#x} {name}\n" for pc, name in known)
    expect("symbol, GET", wanted, ask(url, "/debug/pprof/symbol?" + asked)[2].decode())
    expect("symbol, POST", wanted, ask(url, "/debug/pprof/symbol", "POST", asked)[2].decode())
    expect("symbol, too long", 413, ask(url, "/debug/pprof/symbol", "POST", "0x1+" * 300000)[0])


def check_metrics(url, pid):
    code, headers, body = ask(url, "/metrics", headers={"Accept": "application/openmetrics-text"})
    text = body.decode()
    expect("metrics", (200, "application/openmetrics-text; version=1.0.0; charset=utf-8", True),
           (code, headers.get("content-type"), text.endswith("\n# EOF\n")))
    values = {match[1]: float(match[2]) for match in re.finditer(r"^(heapprof_\w+) (\S+)$", text, re.M)}
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
    for name in values:
        family = name[:-6] if name.endswith("_total") else name
        expect(name, "counter" if name.endswith("_total") else "gauge", types.get(family))
    if f'program="perl",pid="{pid}"' not in text:
        problems.append("metrics do not tell the target: " + text[:300])
    rules = [values["heapprof_heap_alloc_bytes"] > 10e6,
             values["heapprof_heap_alloc_bytes"] <= values["heapprof_heap_inuse_bytes"],
             values["heapprof_heap_released_bytes"] <= values["heapprof_heap_idle_bytes"],
             values["heapprof_heap_sys_bytes"] ==
             values["heapprof_heap_inuse_bytes"] + values["heapprof_heap_idle_bytes"],
             values["heapprof_samples_total"] > 500, values["heapprof_lost_samples_total"] == 0,
             values["heapprof_target_running"] == 1, values["heapprof_interval_bytes"] == 16384, 0 < values["heapprof_own_cpu_seconds_total"] < 1000]
    expect("figures of the metrics", [True] * len(rules), rules)


def stopped(url):
    expect("heapprof_target_running", True, b"\nheapprof_target_running 0\n" in ask(url, "/metrics")[2])


def malformed(url):
    heap = b"GET /debug/pprof/heap HTTP/1.1\r\n"
    for data in [b"\0" * 1000, b"\r\n" * 1000, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"A" * 200000,
                 heap + b"X: " + b"y" * 200000, heap + b"no colon\r\n\r\n", b"GET " + b"/x" * 50000 + b" HTTP/1.1\r\n\r\n",
                 heap + b"Content-Length: -5\r\n\r\n", heap + b"Content-Length: 99999999999999999999\r\n\r\n",
                 b"POST /debug/pprof/symbol HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
                 b"GET /debug/pprof/%00heap%ff HTTP/1.1\r\nHost: localhost\r\n\r\n",
                 b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", heap, b"", b"\xff\xfe" * 5000]:
        answer = raw(url, data, shut=True)
        if b"root:" in answer or answer.startswith(b"HTTP/1.1 200"):
            problems.append(f"{data[:60]!r} got {answer[:100]!r}")
    expect("afterwards", 200, ask(url, "/debug/pprof/heap")[0])


def many(url, count):
    results, lock = [], threading.Lock()
    paths = ["/debug/pprof/heap", "/metrics", "/debug/pprof/allocs?debug=1", "/debug/pprof/heap?seconds=1",
             "/debug/pprof/cmdline", "/debug/pprof/", "/debug/pprof/allocs", "/", "/page.json"]

    def one(number):
        path = paths[number % len(paths)]
        try:
            got = ask(url, path)[0]
        except OSError as error:
            got = f"{path}: {error}"
        with lock:
            results.append(got)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(int(count))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expect("answers", [200] * int(count), results)


def slow(url):
    """Readers that read nothing, and writers that never finish, keep nobody else waiting."""
    connections = []
    for number in range(100):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.connect(address(url))
        request = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
        connection.sendall(request * (1 + number % 2) if number % 4 == 0 else request + b"\r\n")
        connections.append(connection)
    start = time.monotonic()
    for _ in range(10):
        expect("beside slow readers", 200, ask(url, "/metrics")[0])
    if time.monotonic() - start > 10:
        problems.append(f"10 requests beside slow readers took {time.monotonic() - start:.1f} s")
    for connection in connections:
        connection.close()


def token(url, secret):
    basic = base64.b64encode(f"any:{secret}".encode()).decode()
    quoted = urllib.parse.quote(secret)
    for path, headers, wanted in [
            ("/metrics", {}, 401), ("/metrics", {"Authorization": "Bearer " + secret}, 200),
            ("/metrics", {"Authorization": "Bearer " + secret[:-1]}, 401),
            ("/metrics", {"Authorization": "Bearer " + secret + "x"}, 401), ("/metrics", {"Authorization": "Bearer "}, 401),
            ("/metrics", {"Authorization": "Basic " + basic}, 200), ("/metrics", {"Authorization": "Basic !!"}, 401),
            ("/metrics?token=" + quoted, {}, 200), ("/metrics?token=", {}, 401), ("/nowhere", {}, 401),
            ("/metrics", {"Host": "example.org", "Authorization": "Bearer " + secret}, 200)]:
        expect(f"{path} with {headers}", wanted, ask(url, path, headers=headers)[0])


def hosts(url):
    for host, wanted in [("localhost:1", 200), ("127.0.0.1", 200), ("[::1]:6060", 200), ("10.0.0.1", 200),
                         ("example.org", 403), ("localhost.example.org", 403), ("", 403), ("[", 403), ("[x]", 403)]:
        expect("Host: " + host, wanted, ask(url, "/metrics", headers={"Host": host})[0])
    pages(url)


def pages(url):
    """What browsers say of the page that asks."""
    own = url.rstrip("/")
    for method, headers, wanted in [
            ("GET", {"Sec-Fetch-Site": "none"}, 200), ("GET", {"Sec-Fetch-Site": "same-origin"}, 200),
            ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "image"}, 403),
            ("GET", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Dest": "empty"}, 403),
            ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"}, 403),
            ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}, 200),
            ("POST", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}, 403),
            ("GET", {"Origin": own}, 200), ("GET", {"Origin": "http://example.org"}, 403), ("GET", {"Origin": "null"}, 403),
            ("POST", {"Origin": "http://127.0.0.1:1"}, 403)]:
        code, answer, _ = ask(url, "/debug/pprof/symbol", method, "" if method == "POST" else None, headers)
        expect(f"{method} {headers}", wanted, code)
        expect(f"{method} {headers}: frames", ("DENY", "frame-ancestors 'none'"),
               (answer.get("x-frame-options"), answer.get("content-security-policy")))


def unix(path):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        expect("over a unix socket", b"HTTP/1.1 200", connection.recv(65536)[:12].replace(b"HTTP/1.0", b"HTTP/1.1"))


def prometheus(url, folder):
    """A real one, that scrapes us each second."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    host, ours = address(url)
    config = os.path.join(folder, "prometheus.yml")
    with open(config, "w", encoding="utf-8") as file:
        file.write("global: {scrape_interval: 1s}\nscrape_configs:\n"
                   f"  - {{job_name: heapprof, static_configs: [{{targets: ['{host}:{ours}']}}]}}\n")
    with open(os.path.join(folder, "prometheus.log"), "w", encoding="utf-8") as log, subprocess.Popen(
            ["prometheus", "--config.file=" + config, "--storage.tsdb.path=" + os.path.join(folder, "tsdb"),
             f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log) as process:
        try:
            found = scraped(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
    if "heapprof_heap_inuse_bytes" not in found:
        problems.append(f"Prometheus found {found}")
        return
    if not 9e6 < found["heapprof_heap_inuse_bytes"] < 1e9 or found["up"] != 1 or \
            found["heapprof_samples_total"] < 500 or found["rate(heapprof_allocated_bytes_total[30s])"] < 1e6:
        problems.append(f"Prometheus found {found}")


def scraped(server):
    found = {}
    queries = ["up", "heapprof_heap_inuse_bytes", "heapprof_samples_total",
               "rate(heapprof_allocated_bytes_total[30s])"]
    end = time.monotonic() + 40
    while time.monotonic() < end and len(found) < len(queries):
        time.sleep(0.5)
        for query in queries:
            try:
                body = ask(server, "/api/v1/query?query=" + urllib.parse.quote(query))[2]
                result = json.loads(body)["data"]["result"]
            except (OSError, ValueError, KeyError):
                continue
            if result and (query != "up" or result[0]["value"][1] == "1"):
                found[query] = float(result[0]["value"][1])
    return found


globals()[sys.argv[1]](*sys.argv[2:])
if problems:
    sys.exit("FAIL: " + "\nFAIL: ".join(problems[:10]))
