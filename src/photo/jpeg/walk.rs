//! A JPEG from its first segment to its end: how much of the picture its data holds.

use super::frame::{Frame, Header, Next};
use super::scan::{self, Defect, History, Sink};
use super::Jpeg;

/// Scans that are read. Files made to keep decoders busy have thousands.
const MAX_SCANS: usize = 200;

/// Blocks that are visited in all scans together: enough for 60 scans of a photo of 400 megapixels.
const MAX_VISITS: usize = 1 << 30;

/// Zeros at the end of a file that no encoder writes: the rest of a download that stopped.
const ZERO_TAIL: usize = 16;

/// What the data of a JPEG holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Walk {
    /// Share of the picture that is missing, 0 to 1. For a progressive file, whose scans add detail, the share of the
    /// detail.
    pub missing: f64,
    /// The data of a scan breaks, and goes on with something else.
    pub breaks: bool,
    /// The data of the last scan ends early.
    pub short: bool,
    /// Every block is there, if perhaps not with all its detail.
    pub covered: bool,
    /// Bytes left over behind the last block, which hint at damage without proving it.
    pub left_over: usize,
    /// There is an end-of-image marker behind the scans.
    pub ended: bool,
}

/// Walks through all scans, from the first on, and gives the coefficients to `sink`; the tables of the end are with the
/// result. `None` for a coding that is not read here, or a structure that cannot be followed.
pub(super) fn walk<S: Sink>(jpeg: &Jpeg<'_>, sink: &mut S) -> Option<(Walk, Header)> {
    let zeros = jpeg.bytes.iter().rev().take_while(|&&byte| byte == 0).count();
    let end = jpeg.bytes.len() - if zeros >= ZERO_TAIL { zeros } else { 0 };
    let bytes = &jpeg.bytes[..end];
    let (mut header, mut next) = (jpeg.header.clone(), jpeg.first.clone());
    let frame = &jpeg.frame;
    let mut history: History = if frame.progressive {
        frame
            .components
            .iter()
            .map(|component| vec![0; component.blocks()])
            .collect()
    } else {
        Vec::new()
    };
    let mut coverage = Coverage::new(frame);
    let mut walk = Walk {
        missing: 0.0,
        breaks: false,
        short: false,
        covered: true,
        left_over: 0,
        ended: false,
    };
    let mut visits = 0;
    for _ in 0..=MAX_SCANS {
        match next {
            Next::Scan(scan, at) => {
                let blocks = scan
                    .components
                    .iter()
                    .map(|&(index, ..)| frame.components[index].blocks());
                visits += blocks.sum::<usize>();
                if visits > MAX_VISITS {
                    return None;
                }
                // Another scan follows data that ended early.
                walk.breaks |= walk.short;
                let end = scan::read(bytes, at, &header, &scan, &mut history, sink)?;
                coverage.add(&scan, end.there);
                walk.breaks |= end.defect == Some(Defect::Breaks);
                walk.short = end.defect == Some(Defect::Ends);
                walk.left_over = walk.left_over.max(end.left_over);
                // Only an end of the image may follow data that ends early; anything else was written into it.
                let followed = bytes.get(end.next..end.next + 2);
                walk.breaks |= walk.short && followed.is_some_and(|marker| marker[1] != 0xD9);
                if walk.breaks && !matches!(bytes.get(end.next + 1), Some(0xC4 | 0xD9 | 0xDA | 0xDB | 0xDD)) {
                    // Not a marker that would stand there: the structure is lost with the data.
                    break;
                }
                next = header.read(bytes, end.next);
            }
            Next::EndOfImage => {
                walk.ended = true;
                break;
            }
            Next::EndOfBytes => break,
            Next::Unknown if walk.breaks => break,
            Next::Unknown => return None,
        }
    }
    (walk.missing, walk.covered) = coverage.summary(frame);
    Some((walk, header))
}

/// How far the coefficients of each component are there.
struct Coverage {
    /// Component and coefficient: share of the blocks that have it at all, and how completely.
    shares: Vec<[(f64, f64); 64]>,
}

impl Coverage {
    fn new(frame: &Frame) -> Self {
        Self {
            shares: vec![[(0.0, 0.0); 64]; frame.components.len()],
        }
    }

    fn add(&mut self, scan: &super::frame::ScanHeader, there: f64) {
        // A value whose lowest `low` bits are still to come counts as 1 / (low + 1).
        let part = |low: u32| 1.0 / f64::from(low + 1);
        for &(component, ..) in &scan.components {
            for (any, complete) in &mut self.shares[component][scan.first..=scan.last] {
                if scan.high == 0 {
                    *any = any.max(there);
                    *complete = complete.max(there * part(scan.low));
                } else {
                    *complete += there * (part(scan.low) - part(scan.high));
                }
            }
        }
    }

    /// The share that is missing, and whether every coefficient of every block is there at least roughly.
    fn summary(&self, frame: &Frame) -> (f64, bool) {
        let (mut there, mut total, mut covered) = (0.0, 0.0, true);
        for (component, shares) in frame.components.iter().zip(&self.shares) {
            let blocks = (component.wide * component.high) as f64;
            let complete: f64 = shares.iter().map(|&(_, complete)| complete.min(1.0)).sum();
            there += blocks * complete / 64.0;
            total += blocks;
            covered &= shares.iter().all(|&(any, _)| any >= 1.0);
        }
        // Rounding must not make a complete picture incomplete.
        let missing: f64 = 1.0 - there / total;
        (if missing < 1e-9 { 0.0 } else { missing }, covered)
    }
}
