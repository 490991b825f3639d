# The compiler, then the program. The virtual machine takes the Java heap by mmap and uses SIGSEGV and USR2 itself; its
# own tables, compilers and direct buffers come by malloc. It dies of a USR2 from outside, also without the library, so it
# is asked for a dump by another signal.
command=java
needs=javac
names='^os::malloc'

run() {
    cat >"$work/Main.java" <<'JAVA'
import java.io.*;
import java.nio.ByteBuffer;
import java.util.*;
import java.util.concurrent.*;
import java.util.zip.*;

public class Main {
    static int depth(int n) { return n == 0 ? 0 : 1 + depth(n - 1); }
    static int overflow(int n) { return overflow(n + 1) + 1; }
    public static void main(String[] arguments) throws Exception {
        Map<String, List<Integer>> map = new TreeMap<>();
        for (int i = 0; i < 50000; i++) map.computeIfAbsent("key " + i % 977, k -> new ArrayList<>()).add(i);
        System.out.println(map.hashCode());
        ByteArrayOutputStream packed = new ByteArrayOutputStream();
        try (GZIPOutputStream out = new GZIPOutputStream(packed)) { out.write(map.toString().getBytes()); }
        CRC32 sum = new CRC32();
        sum.update(new GZIPInputStream(new ByteArrayInputStream(packed.toByteArray())).readAllBytes());
        System.out.println(sum.getValue());
        ExecutorService pool = Executors.newFixedThreadPool(8);
        List<Future<Integer>> results = new ArrayList<>();
        for (int i = 0; i < 64; i++) {
            final int n = i;
            results.add(pool.submit(() -> {
                ByteBuffer direct = ByteBuffer.allocateDirect(100000 + n);
                for (int at = 0; at < direct.capacity(); at++) direct.put(at, (byte) n);
                return direct.get(n) + direct.capacity();
            }));
        }
        int total = 0;
        for (Future<Integer> result : results) total += result.get();
        pool.shutdown();
        System.out.println(total + " " + depth(3000));
        try { overflow(0); } catch (StackOverflowError error) { System.out.println("deep"); }
        try { Object none = arguments.length > 5 ? "" : null; none.hashCode(); }
        catch (NullPointerException error) { System.out.println("null"); }
        Process child = new ProcessBuilder("echo", "child").start();
        System.out.println(new String(child.getInputStream().readAllBytes()).trim() + " " + child.waitFor());
        for (int i = 0; i < 5; i++) System.gc();
        if (arguments.length == 1) {
            System.out.println("waits");
            System.in.read();
        }
        System.exit(7);
    }
}
JAVA
    "$@" javac -d "$work" "$work/Main.java"
    echo "exit status $?"
    "$@" java -cp "$work" Main
    echo "exit status $?"
    rm -f "$work/input" && mkfifo "$work/input"
    "$@" HEAPPROF_SIGNAL=RTMIN+3 HEAPPROF_AT_EXIT=0 java -cp "$work" Main wait <"$work/input" >waits.out 2>&1 &
    local pid=$! before
    exec 4>"$work/input"
    wait_for grep waits waits.out || echo "it does not wait"
    if [ -n "$dumps" ]; then
        before=$(ls "$dumps" | wc -l)
        kill -s RTMIN+3 $pid
        wait_for eval "[ \$(ls '$dumps' | wc -l) -gt $before ]" || echo "no dump for RTMIN+3"
    fi
    echo >&4
    exec 4>&-
    wait $pid
    echo "exit status $?"
}
