# Objects, threads, fork and children of the interpreter, which has a signal thread and its own garbage collector.
command=ruby
names='^(libruby|ruby_|rb_)'

run() {
    "$@" ruby -rjson -rdigest -rset -e '
        data = (0...20000).map { |i| { "n" => i, "text" => "x" * (i % 50), "list" => (0..i % 10).to_a } }
        text = JSON.generate(data)
        puts Digest::SHA256.hexdigest(text), JSON.parse(text).sum { |h| h["list"].sum }
        puts (1..8).map { |n| Thread.new { (1..n * 500).map { |i| (i ** 40).to_s.size }.sum } }.map(&:value).inspect
        puts text.scan(/"n":\d*7,/).size, Set.new(text.split(",")).size, (2 ** 20000).to_s.size
        puts `echo child`, system("exit 3").inspect, $?.exitstatus
        pid = fork { GC.start; a = Array.new(5000) { |i| i.to_s * 5 }; exit!(a.size % 7) }
        puts Process.wait2(pid)[1].exitstatus
        Signal.trap("USR1") { puts "signal" }; Process.kill("USR1", Process.pid); sleep 0.05
        GC.start; begin; raise ArgumentError, "raised"; rescue => e; puts e.message; end
        f = Fiber.new { 100.times { |i| Fiber.yield "y" * i * 100 } }; puts (0...100).sum { f.resume.size }
        exit 5'
    echo "exit status $?"
}
