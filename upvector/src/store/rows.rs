//! Rows of equal width in chunks, so that growth neither copies what is there nor holds it twice.
//!
//! Invariant: a row never moves once its chunk has its full size; full chunks begin at a cache line.

/// Elements that a full chunk has at least, 1 MiB of four bytes each.
const CHUNK: usize = 1 << 18;
/// Bytes in a cache line.
const LINE: usize = 64;

#[derive(Debug, Default)]
struct Chunk<T> {
    start: usize,
    cells: Vec<T>,
}

/// A growing table of rows, each of `width` cells.
#[derive(Debug)]
pub(crate) struct Rows<T> {
    chunks: Vec<Chunk<T>>,
    width: usize,
    /// A chunk has this power of two of rows.
    bits: u32,
    len: usize,
}

impl<T: Copy + Default> Rows<T> {
    /// A table without rows; a row has at least one cell.
    pub(crate) fn new(width: usize) -> Self {
        let width = width.max(1);
        let bits = (CHUNK / width).max(2).next_power_of_two().ilog2();
        Self {
            chunks: Vec::new(),
            width,
            bits,
            len: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Bytes allocated.
    pub(crate) fn bytes(&self) -> usize {
        let cells: usize = self.chunks.iter().map(|chunk| chunk.cells.capacity()).sum();
        cells * size_of::<T>()
    }

    /// Makes it at least `rows` long; new cells are of the default.
    pub(crate) fn grow(&mut self, rows: usize) {
        let per_chunk = 1_usize << self.bits;
        while self.len < rows {
            let (chunk, used) = (self.len >> self.bits, self.len & (per_chunk - 1));
            if used == 0 && chunk == self.chunks.len() {
                self.chunks.push(Self::chunk(chunk, per_chunk * self.width));
            }
            let here = (rows - self.len).min(per_chunk - used);
            let chunk = &mut self.chunks[chunk];
            let end = chunk.start + (used + here) * self.width;
            chunk.cells.resize(end, T::default());
            self.len += here;
        }
    }

    /// The first chunk grows as it is filled, so that small tables are small; the others have their size from the start.
    fn chunk(number: usize, cells: usize) -> Chunk<T> {
        if number == 0 {
            return Chunk {
                start: 0,
                cells: Vec::new(),
            };
        }
        let slack = LINE / size_of::<T>().max(1);
        let mut space: Vec<T> = Vec::with_capacity(cells + slack);
        let start = space.as_ptr().align_offset(LINE).min(slack);
        space.resize(start, T::default());
        Chunk {
            start,
            cells: space,
        }
    }

    /// Row `index`, which is there.
    pub(crate) fn row(&self, index: usize) -> &[T] {
        let chunk = &self.chunks[index >> self.bits];
        let at = chunk.start + (index & ((1 << self.bits) - 1)) * self.width;
        &chunk.cells[at..at + self.width]
    }

    /// Row `index` to write.
    pub(crate) fn row_mut(&mut self, index: usize) -> &mut [T] {
        let chunk = &mut self.chunks[index >> self.bits];
        let at = chunk.start + (index & ((1 << self.bits) - 1)) * self.width;
        &mut chunk.cells[at..at + self.width]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_what_was_written_while_the_table_grows() {
        for width in [1, 3, 43, 384, 8192] {
            let mut rows: Rows<u32> = Rows::new(width);
            let total = (2 * CHUNK / width + 5).max(9);
            for n in 0..total {
                rows.grow(n + 1);
                rows.row_mut(n).fill(u32::try_from(n).unwrap());
            }
            assert_eq!(rows.len(), total);
            for n in 0..total {
                let row = rows.row(n);
                assert!(row.len() == width && row.iter().all(|cell| *cell as usize == n));
            }
            let second = rows.row(1 << rows.bits).as_ptr();
            assert_eq!(
                second.align_offset(LINE),
                0,
                "a full chunk begins at a line"
            );
        }
    }

    #[test]
    fn a_table_of_one_row_is_small() {
        let mut rows: Rows<f32> = Rows::new(384);
        assert_eq!(rows.bytes(), 0);
        rows.grow(1);
        assert!(rows.bytes() <= 4 * 384 * 4, "{}", rows.bytes());
    }
}
