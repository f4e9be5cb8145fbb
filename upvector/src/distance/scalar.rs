//! The kernels in plain Rust: the definition that others are compared with, and what runs without others.
//!
//! Invariant: sixteen interleaved sums, added up in pairs; the order is the same on every machine.

const LANES: usize = 16;

fn sum(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (heads_a, tail_a) = a.as_chunks::<LANES>();
    let (heads_b, tail_b) = b.as_chunks::<LANES>();
    for (x, y) in heads_a.iter().zip(heads_b) {
        for i in 0..LANES {
            lanes[i] += term(x[i], y[i]);
        }
    }
    for (i, (x, y)) in tail_a.iter().zip(tail_b).enumerate() {
        lanes[i] += term(*x, *y);
    }
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    sum(a, b, |x, y| x * y)
}

pub(crate) fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    sum(a, b, |x, y| (x - y) * (x - y))
}
