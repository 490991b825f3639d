# The compiler (a multi-threaded C++ and Rust program, on LLVM), then the program that it made.
command=/usr/bin/rustc
needs=cc
names='^(llvm::|libLLVM|rustc|<?alloc::)'

run() {
    cat >"$work/program.rs" <<'RUST'
use std::collections::{BTreeMap, HashMap};
use std::sync::{mpsc, Arc, Mutex};
use std::thread;
fn main() {
    let mut words: HashMap<String, Vec<usize>> = HashMap::new();
    for i in 0..40000usize { words.entry(format!("word {}", i % 1237)).or_default().push(i); }
    let sorted: BTreeMap<_, _> = words.iter().map(|(k, v)| (k.clone(), v.iter().sum::<usize>())).collect();
    println!("{} {:?}", sorted.len(), sorted.iter().next_back());
    let shared = Arc::new(Mutex::new(Vec::new()));
    let (sender, receiver) = mpsc::channel::<Box<[u8]>>();
    let threads: Vec<_> = (0..8u8).map(|n| {
        let (shared, sender) = (Arc::clone(&shared), sender.clone());
        thread::spawn(move || for i in 0..500 {
            sender.send(vec![n; 100 + i].into_boxed_slice()).unwrap();
            shared.lock().unwrap().push(format!("{}:{}", n, i));
        })
    }).collect();
    drop(sender);
    println!("{}", receiver.iter().map(|b| b.len() * b[0] as usize).sum::<usize>());
    for t in threads { t.join().unwrap(); }
    println!("{}", shared.lock().unwrap().len());
    let caught = std::panic::catch_unwind(|| { let v: Vec<i32> = Vec::with_capacity(9); v[3] });
    println!("{}", caught.is_err());
    std::process::exit(4);
}
RUST
    "$@" /usr/bin/rustc --edition 2021 -C debuginfo=1 -o "$work/program" "$work/program.rs"
    echo "exit status $?"
    "$@" "$work/program" 2>/dev/null
    echo "exit status $?"
}
