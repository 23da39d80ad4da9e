//! What can be seen of a tensor's filling while its elements are read.

use super::element::Element;
use candle_core::DType;

/// Granularity of the search for holes. A hole of a memory page holds seven such pieces wherever it begins.
const PIECE: usize = 512;

/// Zero bytes in one piece from which on a tensor is looked at closely.
const SUSPICIOUS: usize = 7 * PIECE;

/// So many equal weights in a row are no chance.
pub(super) const FEW: usize = 32;

/// Whether the exponent of a value is so large that the value may be infinite or no number: a cheap first question.
fn has_top_exponent(value: &[u8], element: Element) -> bool {
    let mask = match element {
        Element::Plain(DType::F16) => 0x7c,
        Element::Plain(DType::BF16 | DType::F32 | DType::F64) => 0x7f,
        Element::Plain(_) => return false,
        Element::Float8(_) => 0x7c,
    };
    value.last().is_some_and(|top| top & mask == mask)
}

/// What was seen of the elements of a tensor while they were read.
#[derive(Debug, Clone, Default)]
pub(super) struct Filling {
    /// The first element, as it lies in the file.
    first: Vec<u8>,
    /// Whether a second value was seen.
    varies: bool,
    /// Zero bytes at the end of what was seen, in whole pieces.
    zeros: usize,
    longest: usize,
    /// Whether an infinite value or a NaN was seen. Only one element of each piece is looked at.
    not_finite: bool,
}

impl Filling {
    /// Takes note of a block of whole elements.
    pub(super) fn see(&mut self, block: &[u8], element: Element) {
        let size = element.size();
        if self.first.is_empty() {
            self.first = block.get(..size).unwrap_or_default().to_vec();
        }
        // The first comparison that fails ends the search for good, so this costs nothing for real weights.
        self.varies = self.varies || block.chunks_exact(size).any(|value| value != self.first);
        for piece in block.chunks(PIECE) {
            let head = piece.get(..8).unwrap_or(piece);
            if head.iter().all(|&byte| byte == 0) && piece.iter().all(|&byte| byte == 0) {
                self.zeros += piece.len();
                self.longest = self.longest.max(self.zeros);
            } else {
                self.zeros = 0;
                let value = piece.get(..size).unwrap_or_default();
                self.not_finite |= has_top_exponent(value, element)
                    && super::element::scalar_f32(value, element).is_some_and(|value| !value.is_finite());
            }
        }
    }

    /// The value that all elements have, if there is more than one and they are all the same.
    pub(super) fn constant(&self, element: Element) -> Option<f32> {
        match self.varies {
            true => None,
            false => super::element::scalar_f32(&self.first, element),
        }
    }

    /// Whether a value was seen that is not finite.
    pub(super) fn not_finite(&self) -> bool {
        self.not_finite
    }

    /// Whether there may be a hole.
    pub(super) fn suspicious(&self) -> bool {
        self.longest >= SUSPICIOUS && self.varies
    }
}
