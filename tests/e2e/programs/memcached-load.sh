# Four threads, many clients at once, values up to a mebibyte, eviction, and its own check of itself by `stats`.
command=memcached
names='^(memcached\+|bufferevent|event_|evbuffer|thread_init|do_slabs|main)'
at_exit=0
needs=python3

run() {
    free_port
    "$@" memcached -u "$(id -un)" -l 127.0.0.1 -p $port -U 0 -t 4 -m 64 >server.log 2>&1 &
    local pid=$!
    wait_for connects $port || echo "no server"
    python3 - $port <<'PYTHON'
import concurrent.futures, socket, sys
def client(n):
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=30)
    f = s.makefile("rwb")
    right = 0
    for i in range(150):
        value = b"%d.%d " % (n, i) * (40 if i % 50 else 100000)
        f.write(b"set c%d:%d 0 0 %d\r\n%s\r\nget c%d:%d\r\n" % (n, i, len(value), value, n, i))
        f.flush()
        assert f.readline() == b"STORED\r\n"
        header = f.readline()
        if header != b"END\r\n":
            right += f.read(len(value)) == value
            assert f.readline() == b"\r\n" and f.readline() == b"END\r\n"
        f.write(b"append c%d:%d 0 0 3\r\nabc\r\nincr count 1\r\ndelete c%d:%d\r\n" % (n, i, n, i - 5))
        f.flush()
        answers = [f.readline() for _ in range(3)]
        assert answers[0] in (b"STORED\r\n", b"NOT_STORED\r\n"), answers
    s.close()
    return right
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.sendall(b"set count 0 0 1\r\n0\r\n")
s.recv(100)
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    print(sum(pool.map(client, range(60))))
f = s.makefile("rwb")
f.write(b"get count\r\nset big 0 0 3000000\r\n" + b"b" * 3000000 + b"\r\nstats\r\n")
f.flush()
for line in f:
    if line.startswith(b"END") and f.peek(1)[:1] not in b"S": break
    if line[:5] in (b"VALUE", b"SERVE") or b"cmd_set" in line or line[0] in b"0123456789": print(line.decode().strip())
    if b"STAT slab_global" in line: break
PYTHON
    end_server $pid
}
