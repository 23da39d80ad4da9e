//! Which memory a product asks for while it computes: what the next products read.

/// Two streams of memory, of which each step of a product asks for one line each.
#[derive(Clone, Copy)]
pub(super) struct Ahead {
    pub(super) addresses: [*const u8; 2],
    /// Bytes from one step to the next.
    pub(super) steps: [usize; 2],
}

/// A piece of memory that is needed later.
#[derive(Clone, Copy)]
pub(super) struct Later {
    pub(super) start: *const u8,
    pub(super) bytes: usize,
}

impl Ahead {
    /// Nothing but what is read anyway.
    #[inline(always)]
    pub(super) fn none<T>(read: *const T) -> Self {
        Self {
            addresses: [read.cast(); 2],
            steps: [0; 2],
        }
    }

    /// Part `index` of `count` of the piece, in `depth` steps.
    #[inline(always)]
    pub(super) fn part(&mut self, stream: usize, piece: Later, (index, count): (usize, usize), depth: usize) {
        let bytes = piece.bytes.div_ceil(count);
        self.addresses[stream] = piece.start.wrapping_add(index * bytes);
        self.steps[stream] = bytes.div_ceil(depth.max(1));
    }
}
