//! A Rust program: boxes, a trait and a map.
use std::collections::HashMap;

trait Grow {
    fn grow(&mut self, count: usize);
}

struct Squares(Vec<u64>);

impl Grow for Squares {
    #[inline(never)]
    fn grow(&mut self, count: usize) {
        for i in 0..count as u64 {
            self.0.push(i * i);
        }
    }
}

#[inline(never)]
fn make_boxes(count: usize) -> Vec<Box<[u8; 100]>> {
    (0..count).map(|i| Box::new([i as u8; 100])).collect()
}

#[inline(never)]
fn make_words(count: usize) -> HashMap<String, String> {
    (0..count).map(|i| (i.to_string(), "v".repeat(i))).collect()
}

fn main() {
    let count = std::env::args().count() * 10;
    let mut squares = Squares(Vec::new());
    squares.grow(count);
    println!("{} {} {}", squares.0.len(), make_boxes(count).len(), make_words(count).len());
}
