//! Keys, values and vectors: functions of a seed, so that every contender and every machine gets the same ones.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::Result;

/// A small fast generator (splitmix64): statistically good enough to pick keys, and cheaper than what is measured.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The generator of this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    #[inline]
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number below `bound`, which is not zero.
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A number in `0.0..1.0`.
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// A number from the standard normal distribution.
    pub fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f32::consts::TAU * self.unit()).cos()
    }
}

#[inline]
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The 16-byte key number `i`. Computed, not looked up: a table of keys would cost more cache misses than the engine.
#[inline]
pub const fn key(i: u64) -> [u8; 16] {
    let mut key = [0; 16];
    let (a, b) = (mix(i).to_le_bytes(), i.to_le_bytes());
    let mut at = 0;
    while at < 8 {
        key[at] = a[at];
        key[8 + at] = b[at];
        at += 1;
    }
    key
}

/// `len` bytes that do not compress, a function of `i`.
pub fn value(i: u64, len: usize) -> Vec<u8> {
    let mut rng = Rng::new(i);
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        out.extend_from_slice(&rng.bits().to_le_bytes());
    }
    out.truncate(len);
    out
}

/// Vectors in one block, row after row, each of length one.
#[derive(Clone, Debug)]
pub struct Vectors {
    /// Numbers per vector.
    pub dimensions: usize,
    /// All rows.
    pub rows: Vec<f32>,
}

impl Vectors {
    /// Number of vectors.
    pub const fn len(&self) -> usize {
        self.rows.len() / self.dimensions
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Vector number `i`.
    pub fn row(&self, i: usize) -> &[f32] {
        &self.rows[i * self.dimensions..(i + 1) * self.dimensions]
    }

    /// The vectors in order.
    pub fn iter(&self) -> impl Iterator<Item = &[f32]> {
        self.rows.chunks_exact(self.dimensions)
    }

    /// The first `n` of them.
    #[must_use]
    pub fn prefix(&self, n: usize) -> Self {
        let end = n.min(self.len()) * self.dimensions;
        Self {
            dimensions: self.dimensions,
            rows: self.rows[..end].to_vec(),
        }
    }

    fn normalise(mut self) -> Self {
        for row in self.rows.chunks_exact_mut(self.dimensions) {
            let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
            if norm > 0.0 {
                for x in row {
                    *x /= norm;
                }
            }
        }
        self
    }

    /// The `k` rows with the largest dot product with `query`, best first: exact, by looking at all of them.
    pub fn nearest(&self, query: &[f32], k: usize) -> Vec<u64> {
        let mut scored: Vec<(f32, u64)> = self
            .iter()
            .zip(0..)
            .map(|(row, i)| (row.iter().zip(query).map(|(a, b)| a * b).sum(), i))
            .collect();
        let k = k.min(scored.len());
        if k == 0 {
            return Vec::new();
        }
        scored.select_nth_unstable_by(k - 1, |a, b| b.0.total_cmp(&a.0));
        scored.truncate(k);
        scored.sort_by(|a, b| b.0.total_cmp(&a.0));
        scored.into_iter().map(|(_, i)| i).collect()
    }
}

/// `count` vectors and `queries` more from the same mixture of clusters. Each cluster varies along a few directions of its own, as
/// embeddings do; independent noise in every dimension would make all neighbours equally far.
pub fn clustered(
    seed: u64,
    count: usize,
    queries: usize,
    dimensions: usize,
    clusters: usize,
) -> (Vectors, Vectors) {
    const DIRECTIONS: usize = 12;
    let mut rng = Rng::new(seed);
    let mut normals = |n: usize| (0..n).map(|_| rng.normal()).collect::<Vec<f32>>();
    let centres = normals(clusters * dimensions);
    let directions = normals(clusters * DIRECTIONS * dimensions);
    let mut draw = |n: usize| {
        let mut rows = Vec::with_capacity(n * dimensions);
        for _ in 0..n {
            let cluster = rng.below(clusters as u64) as usize;
            let start = rows.len();
            rows.extend_from_slice(&centres[cluster * dimensions..][..dimensions]);
            let row: &mut [f32] = &mut rows[start..];
            for axis in 0..DIRECTIONS {
                let weight = 0.35 * rng.normal();
                let along = &directions[(cluster * DIRECTIONS + axis) * dimensions..][..dimensions];
                row.iter_mut()
                    .zip(along)
                    .for_each(|(x, a)| *x += weight * a);
            }
            for x in row {
                *x += 0.05 * rng.normal();
            }
        }
        Vectors { dimensions, rows }.normalise()
    };
    (draw(count), draw(queries))
}

/// The folder that `UP_DATA_DIR` names, if it is set and there.
pub fn data_dir() -> Option<PathBuf> {
    let dir = PathBuf::from(std::env::var_os("UP_DATA_DIR")?);
    dir.is_dir().then_some(dir)
}

/// A two-dimensional array of half-precision numbers in the format of `NumPy`, widened, each row brought to length one.
pub fn half_array(path: &Path, rows_max: usize) -> Result<Vectors> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.read_to_end(&mut bytes)?;
    let bad = |what: &str| format!("{}: {what}", path.display());
    if bytes.len() < 10 || &bytes[..6] != b"\x93NUMPY" {
        return Err(bad("not a NumPy array").into());
    }
    let header_len = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = bytes.get(10..10 + header_len).ok_or_else(|| bad("short"))?;
    let header = String::from_utf8_lossy(header);
    if !header.contains("'<f2'") || header.contains("'fortran_order': True") {
        return Err(bad("not rows of little-endian half-precision numbers").into());
    }
    let shape: Vec<usize> = header
        .split_once("'shape': (")
        .and_then(|(_, rest)| rest.split_once(')'))
        .map(|(inner, _)| inner.split(',').filter_map(|n| n.trim().parse().ok()))
        .ok_or_else(|| bad("no shape"))?
        .collect();
    let [count, dimensions] = shape[..] else {
        return Err(bad("not two-dimensional").into());
    };
    let wanted = count.min(rows_max) * dimensions;
    let body = bytes
        .get(10 + header_len..10 + header_len + 2 * wanted)
        .ok_or_else(|| bad("shorter than its shape"))?;
    let rows = body
        .chunks_exact(2)
        .map(|pair| half::f16::from_le_bytes([pair[0], pair[1]]).to_f32())
        .collect();
    Ok(Vectors { dimensions, rows }.normalise())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_vectors_of_length_one() {
        let (base, queries) = clustered(7, 50, 5, 16, 4);
        assert_eq!((base.len(), queries.len()), (50, 5));
        assert_eq!(base.rows, clustered(7, 50, 5, 16, 4).0.rows);
        assert_ne!(base.rows, clustered(8, 50, 5, 16, 4).0.rows);
        for row in base.iter() {
            assert!((row.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn the_nearest_of_a_row_is_itself() {
        let (base, _) = clustered(1, 200, 1, 8, 3);
        for i in [0, 17, 199] {
            assert_eq!(base.nearest(base.row(i), 3)[0], i as u64);
        }
        assert_eq!(base.prefix(2).nearest(base.row(0), 9).len(), 2);
    }

    #[test]
    fn keys_differ_and_numbers_stay_below_their_bound() {
        let mut rng = Rng::new(3);
        let keys: std::collections::BTreeSet<_> = (0..1000).map(key).collect();
        assert_eq!(keys.len(), 1000);
        assert!((0..1000).all(|_| rng.below(10) < 10 && rng.unit() < 1.0));
        assert_eq!(value(5, 21).len(), 21);
    }

    #[test]
    fn a_half_array_is_read_and_a_damaged_one_is_named() {
        let path = std::env::temp_dir().join(format!("up-half-{}.npy", std::process::id()));
        let header = "{'descr': '<f2', 'fortran_order': False, 'shape': (2, 2), }\n";
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend_from_slice(&u16::try_from(header.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(header.as_bytes());
        for x in [3.0, 4.0, 0.0, 2.0] {
            bytes.extend_from_slice(&half::f16::from_f32(x).to_le_bytes());
        }
        std::fs::write(&path, &bytes).unwrap();
        let read = half_array(&path, 9).unwrap();
        assert_eq!(read.rows, [0.6, 0.8, 0.0, 1.0]);
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        let error = half_array(&path, 9).unwrap_err().to_string();
        std::fs::remove_file(&path).unwrap();
        assert!(
            error.contains("up-half-") && error.contains("shorter"),
            "{error}"
        );
    }
}
