//! The bits of entropy-coded segments, and the Huffman codes in them (ITU T.81, annexes C and F).

/// Bits that one look into a code's table covers.
const LOOK: u32 = 11;

/// Bits of an entropy-coded segment: stuffed zeros are taken out, and it ends at the first marker.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// The next byte to take in.
    at: usize,
    /// The bits taken in and not yet used, from the top.
    buffer: u64,
    /// How many of them there are, with the padding.
    count: u32,
    /// Zero bits added behind the end.
    padding: u32,
    ended: bool,
}

impl<'a> Bits<'a> {
    /// The segment that begins at byte `at`.
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self {
            bytes,
            at,
            buffer: 0,
            count: 0,
            padding: 0,
            ended: false,
        }
    }

    /// Makes sure of at least 32 bits; behind the end they are zeros.
    #[inline(always)]
    fn refill(&mut self) {
        if self.count >= 32 {
            return;
        }
        if let Some(&next) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<8>()) {
            let next = u64::from_be_bytes(next);
            // Whether one of the eight bytes is 0xFF, which needs a closer look.
            let special = (!next).wrapping_sub(0x0101_0101_0101_0101) & next & 0x8080_8080_8080_8080;
            if special == 0 && !self.ended {
                let bytes = (64 - self.count) / 8;
                // `count` is below 32 and `bytes` at least 5: both shifts are in range.
                let whole = next >> (64 - 8 * bytes) << (64 - 8 * bytes);
                self.buffer |= whole >> self.count;
                self.at += bytes as usize;
                self.count += 8 * bytes;
                return;
            }
        }
        self.refill_slowly();
    }

    #[cold]
    fn refill_slowly(&mut self) {
        while self.count <= 56 {
            let byte = if self.ended { None } else { self.byte() };
            match byte {
                Some(byte) => self.buffer |= u64::from(byte) << (56 - self.count),
                None => {
                    self.ended = true;
                    self.padding += 8;
                }
            }
            self.count += 8;
        }
    }

    /// The next byte of data. `None` at a marker and at the end.
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        if byte == 0xFF {
            // Any number of 0xFF may stand before a marker, and some encoders put one before a stuffed byte.
            let fill = self.bytes[self.at..].iter().take_while(|&&byte| byte == 0xFF).count();
            if self.bytes.get(self.at + fill) != Some(&0) {
                return None;
            }
            self.at += fill;
        }
        self.at += 1;
        Some(byte)
    }

    #[inline(always)]
    fn skip(&mut self, bits: u32) {
        self.buffer <<= bits;
        self.count -= bits;
    }

    /// The next `length` bits, at most 16, as an unsigned number.
    #[inline(always)]
    pub(super) fn take(&mut self, length: u32) -> u32 {
        self.refill();
        // Two shifts, since one of 64 is not allowed.
        let value = (self.buffer >> 1 >> (63 - length)) as u32;
        self.skip(length);
        value
    }

    /// A number of `size` bits in the coding of T.81 F.1.2.1: a leading zero means negative.
    #[inline(always)]
    pub(super) fn signed(&mut self, size: u32) -> i32 {
        let value = self.take(size) as i32;
        if size > 0 && value < 1 << (size - 1) {
            value - (1 << size) + 1
        } else {
            value
        }
    }

    /// Whether bits were used that are not there.
    #[inline(always)]
    pub(super) fn is_overdrawn(&self) -> bool {
        self.padding > self.count
    }

    /// Passes over `length` bits right behind a code, at most 16.
    #[inline(always)]
    pub(super) fn pass(&mut self, length: u32) {
        // A code has at most 16 bits, and there were 32.
        self.skip(length);
    }

    /// Whether the end of the data has come in sight.
    #[inline(always)]
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether nothing is left but the ones that fill up the last byte.
    pub(super) fn is_at_end(&mut self) -> bool {
        self.refill();
        let left = self.count - self.padding.min(self.count);
        self.ended && left < 8 && self.buffer >> 1 >> (63 - left) == (1 << left) - 1
    }

    /// Bytes of data that follow unused, without the one that is begun: how many, and whether all are alike 0.
    pub(super) fn leftover(&mut self) -> (usize, bool) {
        let mut begun = self.count - self.padding.min(self.count);
        let mut bytes = 0;
        let mut zeros = true;
        // Whole bytes that were taken in already.
        let mut held = self.buffer << (begun % 8);
        begun -= begun % 8;
        while begun > 0 {
            bytes += 1;
            zeros &= held >> 56 == 0;
            held <<= 8;
            begun -= 8;
        }
        while let Some(byte) = if self.ended { None } else { self.byte() } {
            bytes += 1;
            zeros &= byte == 0;
        }
        self.ended = true;
        (bytes, zeros)
    }

    /// The place of the marker that ends the segment, or the end of the bytes. Skips what is left of the data.
    pub(super) fn end(mut self) -> usize {
        self.leftover();
        self.at
    }
}

/// A Huffman table: what a code stands for, and how long it is.
#[derive(Clone)]
pub(super) struct Huffman {
    /// By the next [`LOOK`] bits. Entries of length 0 are longer codes, or none.
    short: Vec<Code>,
    /// For each length the first code beyond those of this length, at the top of 16 bits; then where its values begin.
    longer: [(u32, i32); 17],
    values: Vec<u8>,
    longest: u32,
}

/// Several codes of AC coefficients with their bits at once, by the next [`LOOK`] bits.
pub(super) struct Runs(Vec<Run>);

#[derive(Clone, Copy, Default)]
struct Run {
    /// Bits that the codes take; 0 when not even one fits.
    length: u8,
    /// Coefficients that they are.
    coefficients: u8,
    /// 1 when the last of them ends the block, otherwise 0.
    ends: u8,
}

impl Runs {
    /// Passes over whole codes while they stay in the block, from coefficient `k` on. Gives the next coefficient, and
    /// whether the block is at its end.
    #[inline(always)]
    pub(super) fn pass(&self, bits: &mut Bits<'_>, mut k: usize) -> (usize, bool) {
        loop {
            bits.refill();
            // Both looks together take no more than the 32 bits that are there.
            for _ in 0..2 {
                let run = self.0[(bits.buffer >> (64 - LOOK)) as usize];
                let next = k + usize::from(run.coefficients);
                if run.length == 0 || next + usize::from(run.ends) > 64 {
                    return (k, k == 64);
                }
                bits.skip(u32::from(run.length));
                k = next;
                if run.ends == 1 {
                    return (k, true);
                }
            }
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Code {
    length: u8,
    value: u8,
}

impl Huffman {
    /// From the counts of codes of each length and the values in the order of their codes (T.81, annex C). `None` when
    /// there are more codes than their lengths have room for.
    pub(super) fn new(counts: [u8; 16], values: &[u8]) -> Option<Self> {
        let mut table = Self {
            short: vec![Code::default(); 1 << LOOK],
            longer: [(0, 0); 17],
            values: values.to_vec(),
            longest: 0,
        };
        let (mut code, mut index) = (0u32, 0usize);
        for (length, count) in (1u32..).zip(counts) {
            let count = usize::from(count);
            table.longer[length as usize].1 = index as i32 - code as i32;
            for &value in values.get(index..index + count)? {
                if code >= 1 << length {
                    return None;
                }
                if length <= LOOK {
                    let first = (code << (LOOK - length)) as usize;
                    let entry = Code {
                        length: length as u8,
                        value,
                    };
                    table.short[first..first + (1 << (LOOK - length))].fill(entry);
                }
                code += 1;
            }
            index += count;
            if count > 0 {
                table.longest = length;
            }
            table.longer[length as usize].0 = code << (16 - length);
            code <<= 1;
        }
        Some(table)
    }

    /// The value of the next code. `None` when no code begins like the next bits.
    #[inline(always)]
    pub(super) fn next(&self, bits: &mut Bits<'_>) -> Option<u8> {
        bits.refill();
        let code = self.short[(bits.buffer >> (64 - LOOK)) as usize];
        if code.length > 0 {
            bits.skip(u32::from(code.length));
            return Some(code.value);
        }
        self.next_long(bits)
    }

    /// What the next bits do to a block's AC coefficients when only their number counts.
    pub(super) fn runs(&self) -> Runs {
        let mut table = Vec::with_capacity(1 << LOOK);
        for look in 0u32..1 << LOOK {
            let mut run = Run::default();
            loop {
                // What is left of the look, with zeros behind.
                let rest = (look << run.length) & ((1 << LOOK) - 1);
                let code = self.short[rest as usize];
                let (zeros, size) = (code.value >> 4, code.value & 15);
                let length = run.length + code.length + size;
                if code.length == 0 || u32::from(length) > LOOK {
                    break;
                }
                run.length = length;
                if size > 0 {
                    run.coefficients += zeros + 1;
                } else if zeros == 15 {
                    run.coefficients += 16;
                } else {
                    run.ends = 1;
                    break;
                }
            }
            table.push(run);
        }
        Runs(table)
    }

    #[inline(never)]
    fn next_long(&self, bits: &mut Bits<'_>) -> Option<u8> {
        let peek = (bits.buffer >> 48) as u32;
        let length = (LOOK + 1..=self.longest).find(|&length| peek < self.longer[length as usize].0)?;
        let index = (peek >> (16 - length)) as i32 + self.longer[length as usize].1;
        bits.skip(length);
        self.values.get(usize::try_from(index).ok()?).copied()
    }
}
