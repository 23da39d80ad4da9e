//! The segments of a JPEG before and between its scans (ITU T.81, annex B).

use super::bits::Huffman;
use std::ops::Range;

/// How many pixels a block has in each direction.
pub(super) const BLOCK: usize = 8;

/// One component of a frame: luma, a chroma, an ink.
#[derive(Debug, Clone)]
pub(super) struct Component {
    pub id: u8,
    /// Sampling factors.
    pub h: usize,
    pub v: usize,
    /// Number of its quantisation table.
    pub quantisation: usize,
    /// Blocks that cover the picture: what a scan of this component alone holds.
    pub wide: usize,
    pub high: usize,
    /// Blocks with those that fill up the last MCUs: what a scan of several components holds.
    pub padded_wide: usize,
    pub padded_high: usize,
}

impl Component {
    pub fn blocks(&self) -> usize {
        self.padded_wide * self.padded_high
    }
}

/// The picture that the scans belong to.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub progressive: bool,
    pub width: usize,
    pub height: usize,
    pub h_max: usize,
    pub v_max: usize,
    pub mcus_wide: usize,
    pub mcus_high: usize,
    pub components: Vec<Component>,
}

impl Frame {
    /// From the segment of a marker SOF0, SOF1 or SOF2. `None` for what no decoder here reads, and for damage.
    fn parse(marker: u8, segment: &[u8]) -> Option<Self> {
        let &[8, h1, h0, w1, w0, count, ref rest @ ..] = segment else {
            return None;
        };
        let (width, height) = (
            usize::from(u16::from_be_bytes([w1, w0])),
            usize::from(u16::from_be_bytes([h1, h0])),
        );
        let count = usize::from(count);
        if width == 0 || height == 0 || !(1..=4).contains(&count) || rest.len() < 3 * count {
            return None;
        }
        let fields: Vec<&[u8]> = rest.chunks_exact(3).take(count).collect();
        let factors = |field: &[u8]| (usize::from(field[1] >> 4), usize::from(field[1] & 15));
        if fields.iter().any(|field| {
            let (h, v) = factors(field);
            !(1..=4).contains(&h) || !(1..=4).contains(&v) || field[2] > 3
        }) {
            return None;
        }
        let h_max = fields.iter().map(|field| factors(field).0).max()?;
        let v_max = fields.iter().map(|field| factors(field).1).max()?;
        let (mcus_wide, mcus_high) = (width.div_ceil(BLOCK * h_max), height.div_ceil(BLOCK * v_max));
        let components = fields.iter().map(|field| {
            let (h, v) = factors(field);
            Component {
                id: field[0],
                h,
                v,
                quantisation: usize::from(field[2]),
                wide: (width * h).div_ceil(h_max).div_ceil(BLOCK),
                high: (height * v).div_ceil(v_max).div_ceil(BLOCK),
                padded_wide: mcus_wide * h,
                padded_high: mcus_high * v,
            }
        });
        Some(Self {
            progressive: marker == 0xC2,
            width,
            height,
            h_max,
            v_max,
            mcus_wide,
            mcus_high,
            components: components.collect(),
        })
    }
}

/// What a scan says about itself.
#[derive(Debug, Clone)]
pub(super) struct ScanHeader {
    /// Component, number of its DC table, number of its AC table.
    pub components: Vec<(usize, usize, usize)>,
    /// First and last coefficient, in zigzag order.
    pub first: usize,
    pub last: usize,
    /// Bit that the scan before gave (0 in a first scan), and bit that this one gives.
    pub high: u32,
    pub low: u32,
}

/// What the segments read so far have set.
#[derive(Clone, Default)]
pub(super) struct Header {
    pub frame: Option<Frame>,
    pub dc: [Option<Huffman>; 4],
    pub ac: [Option<Huffman>; 4],
    /// Quantisation tables, in zigzag order.
    pub quantisation: [Option<[u16; 64]>; 4],
    /// MCUs between two restart markers; 0 for none.
    pub restart: usize,
    /// Colour transform of an Adobe segment.
    pub adobe: Option<u8>,
    /// The Exif data, as TIFF.
    pub exif: Option<Range<usize>>,
    /// The parts of an ICC profile: number, how many there are, and where.
    pub profile: Vec<(u8, u8, Range<usize>)>,
}

/// What a segment begins.
#[derive(Clone)]
pub(super) enum Next {
    /// Entropy-coded data, from this byte on.
    Scan(ScanHeader, usize),
    /// The end-of-image marker.
    EndOfImage,
    /// The bytes end.
    EndOfBytes,
    /// A coding or a structure that is not read here.
    Unknown,
}

impl Header {
    /// Reads segments from byte `at` to the next scan.
    pub fn read(&mut self, bytes: &[u8], mut at: usize) -> Next {
        loop {
            // Other bytes between segments are passed over, as every decoder does.
            let Some(skipped) = bytes.get(at..).and_then(|rest| {
                rest.windows(2)
                    .position(|pair| pair[0] == 0xFF && !matches!(pair[1], 0 | 0xFF))
            }) else {
                return Next::EndOfBytes;
            };
            at += skipped;
            let marker = bytes[at + 1];
            at += 2;
            match marker {
                0xD9 => return Next::EndOfImage,
                0x01 | 0xD0..=0xD8 => continue,
                _ => {}
            }
            let Some(&[high, low]) = bytes.get(at..at + 2) else {
                return Next::EndOfBytes;
            };
            let length = usize::from(u16::from_be_bytes([high, low])).max(2);
            let Some(segment) = bytes.get(at + 2..at + length) else {
                return Next::EndOfBytes;
            };
            at += length;
            let understood = match marker {
                0xC0..=0xC2 => {
                    let first = self.frame.is_none();
                    self.frame = Frame::parse(marker, segment);
                    first && self.frame.is_some()
                }
                0xC4 => self.huffman(segment).is_some(),
                0xC3 | 0xC5..=0xC7 | 0xC9..=0xCF => false,
                0xDA => match self.scan(segment) {
                    Some(scan) => return Next::Scan(scan, at),
                    None => false,
                },
                0xDB => self.quantisation(segment).is_some(),
                0xDC => false,
                0xDD => match *segment {
                    [high, low, ..] => {
                        self.restart = usize::from(u16::from_be_bytes([high, low]));
                        true
                    }
                    _ => false,
                },
                0xE1 => {
                    if segment.starts_with(b"Exif\0\0") && self.exif.is_none() {
                        self.exif = Some(at - segment.len() + 6..at);
                    }
                    true
                }
                0xE2 => {
                    if let Some(&[number, total, ..]) = segment.strip_prefix(b"ICC_PROFILE\0") {
                        self.profile.push((number, total, at - segment.len() + 14..at));
                    }
                    true
                }
                0xEE => {
                    if segment.starts_with(b"Adobe") {
                        self.adobe = segment.get(11).copied();
                    }
                    true
                }
                _ => true,
            };
            if !understood {
                return Next::Unknown;
            }
        }
    }

    fn huffman(&mut self, mut segment: &[u8]) -> Option<()> {
        while let [class, rest @ ..] = segment {
            let counts: [u8; 16] = *rest.first_chunk()?;
            let total: usize = counts.iter().map(|&count| usize::from(count)).sum();
            let values = rest.get(16..16 + total)?;
            let table = Huffman::new(counts, values)?;
            let tables = match class >> 4 {
                0 => &mut self.dc,
                1 => &mut self.ac,
                _ => return None,
            };
            *tables.get_mut(usize::from(class & 15))? = Some(table);
            segment = &rest[16 + total..];
        }
        Some(())
    }

    fn quantisation(&mut self, mut segment: &[u8]) -> Option<()> {
        while let [kind, rest @ ..] = segment {
            let wide = match kind >> 4 {
                0 => 1,
                1 => 2,
                _ => return None,
            };
            let values = rest.get(..64 * wide)?;
            let mut table = [0; 64];
            for (entry, value) in table.iter_mut().zip(values.chunks_exact(wide)) {
                *entry = value.iter().fold(0, |sum, &byte| sum << 8 | u16::from(byte));
            }
            *self.quantisation.get_mut(usize::from(kind & 15))? = Some(table);
            segment = &rest[64 * wide..];
        }
        Some(())
    }

    fn scan(&self, segment: &[u8]) -> Option<ScanHeader> {
        let frame = self.frame.as_ref()?;
        let [count, rest @ ..] = segment else {
            return None;
        };
        let count = usize::from(*count);
        if !(1..=4).contains(&count) || rest.len() < 2 * count + 3 {
            return None;
        }
        let mut components: Vec<(usize, usize, usize)> = Vec::with_capacity(count);
        for field in rest[..2 * count].chunks_exact(2) {
            let index = frame.components.iter().position(|component| component.id == field[0])?;
            if components.iter().any(|&(other, ..)| other == index) {
                return None;
            }
            components.push((index, usize::from(field[1] >> 4), usize::from(field[1] & 15)));
        }
        let &[first, last, bits] = rest.get(2 * count..2 * count + 3)? else {
            return None;
        };
        let scan = if frame.progressive {
            ScanHeader {
                components,
                first: usize::from(first),
                last: usize::from(last),
                high: u32::from(bits >> 4),
                low: u32::from(bits & 15),
            }
        } else {
            // Sequential scans hold everything, whatever these fields say.
            ScanHeader {
                components,
                first: 0,
                last: 63,
                high: 0,
                low: 0,
            }
        };
        let valid = !frame.progressive
            || (scan.first <= scan.last
                && scan.last < 64
                && scan.low <= 13
                && (scan.high == 0 || scan.high == scan.low + 1)
                // DC and AC never share a scan, and AC scans have one component.
                && if scan.first == 0 { scan.last == 0 } else { scan.components.len() == 1 });
        valid.then_some(scan)
    }
}
