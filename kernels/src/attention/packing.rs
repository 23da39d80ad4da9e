//! Keys, values and queries in the layouts of the products.

use super::block::{padded, Block, Scratch};
use super::tile::{tile_rows, Step, PADDING, VECTORS};
use crate::simd::Lanes;

/// So many tokens later are asked for while one is brought into order: a head's part of a token lies far from that of
/// the next, so processors do not see what comes.
const AHEAD: usize = 12;

impl Block<'_> {
    /// Brings tokens `start..start + len` into the layout of the products.
    #[inline(always)]
    pub(super) unsafe fn pack<L: Lanes, F: Step<L>>(&self, scratch: &Scratch, start: usize, len: usize) {
        let tile = tile_rows::<L>();
        let steps = self.head_dim.div_ceil(F::VALUES);
        let stride = padded(steps);
        // SAFETY: the tokens exist; the working memory holds whole tiles and a vector behind them. What a vector
        // writes behind its step is written again by a later step.
        unsafe {
            let (rows, keys) = (scratch.rows.cast::<F>(), scratch.keys.cast::<F>());
            let mut t = 0;
            while t < len {
                let count = tile.min(len - t);
                for r in 0..count {
                    let later = start + t + r + AHEAD;
                    match later < start + len {
                        true => self.keys.prefetch::<L>(later, self.head_dim),
                        false => self.values.prefetch::<L>(later - len, self.head_dim),
                    }
                    F::read(&self.keys, start + t + r, self.head_dim, rows.add(r * stride));
                }
                let to = keys.add(t * steps);
                let mut r = 0;
                while r < count {
                    let mut step = 0;
                    while step < steps {
                        let from = rows.add(r * stride + step);
                        L::transpose(from.cast(), stride, to.add(step * tile + r).cast(), tile);
                        step += L::WIDTH;
                    }
                    r += L::WIDTH;
                }
                t += count;
            }
            let (dim, tile_len) = (padded(self.head_dim), Self::value_tile::<L, F>(len));
            let values = scratch.values.cast::<F>();
            let (low, high) = (scratch.rows, scratch.rows.add(dim + PADDING));
            let mut step = 0;
            while step * F::VALUES < len {
                let t = start + step * F::VALUES;
                for later in t + AHEAD..(t + AHEAD + F::VALUES).min(start + len) {
                    self.values.prefetch::<L>(later, self.head_dim);
                }
                self.values.read::<L>(t, self.head_dim, low);
                if F::VALUES == 2 {
                    if step * 2 + 1 < len {
                        self.values.read::<L>(t + 1, self.head_dim, high);
                    } else {
                        high.write_bytes(0, dim);
                    }
                }
                // Tiles are wider than a vector or as wide as one or less.
                let mut to = values.add(step * tile);
                let mut d = 0;
                while d < self.head_dim {
                    let mut r = 0;
                    while r < tile {
                        F::join(low.add(d + r), high.add(d + r), to.add(r));
                        r += L::WIDTH;
                    }
                    d += tile;
                    to = to.add(tile_len);
                }
                step += 1;
            }
        }
    }

    /// Steps from tile to tile of the values of `len` tokens.
    #[inline(always)]
    pub(super) fn value_tile<L: Lanes, F: Step<L>>(len: usize) -> usize {
        len.div_ceil(F::VALUES) * tile_rows::<L>() + L::WIDTH
    }

    /// Reads query rows as lanes, times `factor`.
    #[inline(always)]
    pub(super) unsafe fn read_query<L: Lanes, F: Step<L>>(&self, scratch: &Scratch, rows: &[usize], factor: f32) {
        let lanes = VECTORS * L::WIDTH;
        let steps = self.head_dim.div_ceil(F::VALUES);
        let stride = padded(steps);
        // SAFETY: the rows exist; all offsets stay inside the working memory. Missing rows of a vector are zero: what was
        // there before may be anything, also numbers that processors are slow with.
        unsafe {
            let from = scratch.rows.cast::<F>();
            let to = scratch.query.cast::<F>();
            for (r, &row) in rows.iter().enumerate() {
                F::read(&self.query, row, self.head_dim, from.add(r * stride));
            }
            for r in rows.len()..rows.len().next_multiple_of(L::WIDTH) {
                from.add(r * stride).write_bytes(0, stride);
            }
            let mut r = 0;
            while r < rows.len() {
                let mut step = 0;
                while step < steps {
                    let to = to.add(step * lanes + r);
                    L::transpose(from.add(r * stride + step).cast(), stride, to.cast(), lanes);
                    if F::SCALES_QUERY {
                        let factors = L::splat(factor);
                        for s in 0..L::WIDTH {
                            let to = to.add(s * lanes).cast::<f32>();
                            L::store(to, L::mul(L::load(to), factors));
                        }
                    }
                    step += L::WIDTH;
                }
                r += L::WIDTH;
            }
        }
    }
}
