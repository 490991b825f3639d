# A server with threads.
command=memcached
names='^(memcached\+|bufferevent|event_|evbuffer|thread_init|do_slabs|main)'
at_exit=0
needs=python3

run() {
    free_port
    "$@" memcached -u "$(id -un)" -l 127.0.0.1 -p $port -U 0 -t 2 >server.log 2>&1 &
    local pid=$!
    wait_for connects $port || echo "no server"
    python3 - $port <<'PYTHON'
import socket, sys
total = 0
for connection in range(20):
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    f = s.makefile("rwb")
    for i in range(200):
        value = (b"%d." % i) * 100
        f.write(b"set k%d 0 0 %d\r\n%s\r\n" % (i, len(value), value))
        f.flush()
        assert f.readline() == b"STORED\r\n"
        f.write(b"get k%d\r\n" % i)
        f.flush()
        f.readline()
        total += len(f.readline())
        assert f.readline() == b"END\r\n"
    s.close()
print(total)
PYTHON
    end_server $pid
}
