//! What a register tile multiplies in one step: f32 values, pairs of bf16, four bytes.

use crate::simd::Lanes;

/// A step of the inner dimension: an f32 value, or a pair of bf16 in a 32-bit word.
pub(crate) trait Factor<L: Lanes>: Copy {
    /// A vector of the right operand, or its address where the multiplication reads it from memory.
    type Vector: Copy;

    /// # Safety
    /// A vector is readable at `right`; `L`'s instructions exist.
    unsafe fn vector(right: *const Self) -> Self::Vector;

    /// `sum + self · right` in every lane.
    ///
    /// # Safety
    /// `right` comes from [`vector`](Self::vector); `L`'s instructions exist.
    unsafe fn multiply_add(self, right: Self::Vector, sum: L::V) -> L::V;

    /// Whether [`multiply_add_matrix`](Self::multiply_add_matrix) exists.
    const MATRIX: bool = false;

    /// `sum + rows · columns` for two rows and two columns of two words each.
    ///
    /// # Safety
    /// `L`'s instructions exist.
    #[inline(always)]
    unsafe fn multiply_add_matrix(_rows: L::V, _columns: L::V, sum: L::V) -> L::V {
        sum
    }
}

impl<L: Lanes> Factor<L> for f32 {
    type Vector = L::V;

    #[inline(always)]
    unsafe fn vector(right: *const Self) -> L::V {
        // SAFETY: the caller vouches for the memory and the instructions.
        unsafe { L::load(right) }
    }

    #[inline(always)]
    unsafe fn multiply_add(self, right: L::V, sum: L::V) -> L::V {
        // SAFETY: the caller vouches for the instructions.
        unsafe { L::fma(L::splat(self), right, sum) }
    }
}

/// Only where `L::DOT_BF16` holds.
impl<L: Lanes> Factor<L> for u32 {
    type Vector = *const u32;

    #[inline(always)]
    unsafe fn vector(right: *const Self) -> *const u32 {
        right
    }

    #[inline(always)]
    unsafe fn multiply_add(self, right: *const u32, sum: L::V) -> L::V {
        // SAFETY: the caller vouches for the memory and the instructions.
        unsafe { L::dot_bf16(sum, self, right) }
    }

    const MATRIX: bool = L::MATRIX_PRODUCTS;

    #[inline(always)]
    unsafe fn multiply_add_matrix(rows: L::V, columns: L::V, sum: L::V) -> L::V {
        // SAFETY: the caller vouches for the instructions.
        unsafe { L::matrix_bf16(sum, rows, columns) }
    }
}

/// Four bytes. The accumulators hold 32-bit integers, which start as zero too.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Quad(u32);

impl<L: Lanes> Factor<L> for Quad {
    type Vector = *const u32;

    #[inline(always)]
    unsafe fn vector(right: *const Self) -> *const u32 {
        right.cast()
    }

    #[inline(always)]
    unsafe fn multiply_add(self, right: *const u32, sum: L::V) -> L::V {
        // SAFETY: the caller vouches for the memory and the instructions.
        unsafe { L::dot_bytes(sum, self.0, right) }
    }

    const MATRIX: bool = L::MATRIX_PRODUCTS;

    #[inline(always)]
    unsafe fn multiply_add_matrix(rows: L::V, columns: L::V, sum: L::V) -> L::V {
        // SAFETY: the caller vouches for the instructions.
        unsafe { L::matrix_bytes(sum, rows, columns) }
    }
}
