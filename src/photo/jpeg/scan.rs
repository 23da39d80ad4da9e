//! The coefficients of a scan (ITU T.81, annexes F and G), and where its data ends or breaks.

use super::bits::{Bits, Huffman, Runs};
use super::frame::{Frame, Header, ScanHeader};
use std::rc::Rc;

/// Bytes that may be left over when all blocks are there: some cameras fill up with zeros, others leave a few behind.
const LEFT_ZEROS: usize = 64;
const LEFT_OTHER: usize = 16;

/// As many equal bytes in a row are no picture when the data does not come out even.
const BLANK: usize = 32;

/// Takes the coefficients of a picture.
pub(super) trait Sink {
    /// Whether values are wanted at all. Otherwise they are passed over.
    const WANTED: bool;

    /// Adds `value` to coefficient `k`, in zigzag order, of a block of a component.
    fn add(&mut self, component: usize, block: usize, k: usize, value: i32);

    /// Moves coefficient `k` away from 0 by `step`.
    fn refine(&mut self, component: usize, block: usize, k: usize, step: i32);
}

/// Wants nothing: the data is looked through only.
pub(super) struct Nothing;

impl Sink for Nothing {
    const WANTED: bool = false;

    fn add(&mut self, _: usize, _: usize, _: usize, _: i32) {}

    fn refine(&mut self, _: usize, _: usize, _: usize, _: i32) {}
}

/// How a scan's data disappoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Defect {
    /// It ends before the last block.
    Ends,
    /// It breaks: what follows is not what belongs there.
    Breaks,
}

/// What became of a scan.
#[derive(Debug)]
pub(super) struct ScanEnd {
    /// Share of its blocks that are there, 0 to 1.
    pub there: f64,
    pub defect: Option<Defect>,
    /// Bytes left over behind the last block that are no mere filling: too few to speak of a break.
    pub left_over: usize,
    /// Where the data ends: the place of the next marker.
    pub next: usize,
}

/// Which coefficients of each block are not 0, for the refining scans of progressive files: by component and block.
pub(super) type History = Vec<Vec<u64>>;

/// Reads the scan whose data begins at byte `at`. `None` when a table that it needs is missing.
pub(super) fn read<S: Sink>(
    bytes: &[u8],
    at: usize,
    header: &Header,
    scan: &ScanHeader,
    history: &mut History,
    sink: &mut S,
) -> Option<ScanEnd> {
    let frame = header.frame.as_ref()?;
    let mut reader = Reader::new(header, frame, scan, history, sink)?;
    let total = reader.units;
    let interval = if header.restart > 0 { header.restart } else { total };
    let mut end = ScanEnd {
        there: 1.0,
        defect: None,
        left_over: 0,
        next: at,
    };
    let (mut unit, mut lost, mut disorder) = (0, 0, false);
    while unit < total {
        let stop = total.min(unit + interval);
        let mut bits = Bits::new(bytes, end.next);
        match reader.interval(&mut bits, unit..stop) {
            Ok(()) => {
                let (left, zeros) = bits.leftover();
                if left > if zeros { LEFT_ZEROS } else { LEFT_OTHER } {
                    end.defect = Some(Defect::Breaks);
                    lost += stop - unit;
                } else if !zeros {
                    end.left_over = end.left_over.max(left);
                }
            }
            Err((broken, defect)) => {
                end.defect = end.defect.or(Some(defect));
                lost += stop - broken;
            }
        }
        end.next = bits.end();
        unit = stop;
        if unit == total {
            break;
        }
        let Some(0xD0..=0xD7) = bytes.get(end.next + 1) else {
            end.defect = end.defect.or(Some(Defect::Ends));
            lost += total - unit;
            break;
        };
        let ahead = (usize::from(bytes[end.next + 1] - 0xD0) + 8 - (stop.div_ceil(interval) - 1) % 8) % 8;
        if ahead > 0 && end.defect.is_some() {
            // Whole intervals are missing with the damage.
            let missing = (ahead * interval).min(total - unit);
            lost += missing;
            unit += missing;
        }
        disorder |= ahead > 0;
        if lost > 0 {
            // The picture goes on behind the damage.
            end.defect = Some(Defect::Breaks);
        }
        end.next += 2;
    }
    if disorder && end.defect.is_some() {
        end.defect = Some(Defect::Breaks);
    }
    end.there = 1.0 - lost as f64 / total as f64;
    if end.defect.is_some() && header.restart == 0 {
        if let Some(blank) = blank(&bytes[at..end.next]) {
            end.defect = Some(Defect::Breaks);
            end.there = end.there.min(blank as f64 / (end.next - at) as f64);
        }
    }
    Some(end)
}

/// The DC coefficient: what was predicted, and the difference that was coded.
#[inline(always)]
fn dc_value(bits: &mut Bits<'_>, prediction: &mut i32, table: &Huffman) -> Option<i32> {
    let size = u32::from(table.next(bits)?);
    // Samples of 8 bits give differences of at most 11 bits and values well within 2048.
    if size > 11 {
        return None;
    }
    *prediction += bits.signed(size);
    (prediction.abs() <= 2048).then_some(*prediction)
}

/// Where a long row of equal bytes begins, if there is one.
fn blank(data: &[u8]) -> Option<usize> {
    let mut start = 0;
    for (at, pair) in data.windows(2).enumerate() {
        if pair[0] != pair[1] {
            start = at + 1;
        } else if at + 2 - start >= BLANK {
            return Some(start);
        }
    }
    None
}

/// Reads the units of a scan: MCUs, or single blocks when the scan has one component.
struct Reader<'r, S> {
    frame: &'r Frame,
    scan: &'r ScanHeader,
    /// Component, DC table, AC table.
    parts: Vec<(usize, Option<&'r Huffman>, Option<&'r Huffman>)>,
    /// For each component, when its coefficients only have to be counted.
    runs: [Option<Rc<Runs>>; 4],
    history: &'r mut History,
    sink: &'r mut S,
    units: usize,
    predictions: [i32; 4],
    /// Blocks that the last code has declared empty.
    empty: u32,
}

impl<'r, S: Sink> Reader<'r, S> {
    fn new(
        header: &'r Header,
        frame: &'r Frame,
        scan: &'r ScanHeader,
        history: &'r mut History,
        sink: &'r mut S,
    ) -> Option<Self> {
        let needs_dc = scan.first == 0 && scan.high == 0;
        let needs_ac = scan.last > 0;
        let mut parts = Vec::with_capacity(scan.components.len());
        for &(component, dc, ac) in &scan.components {
            let dc = header.dc.get(dc).and_then(Option::as_ref);
            let ac = header.ac.get(ac).and_then(Option::as_ref);
            if (needs_dc && dc.is_none()) || (needs_ac && ac.is_none()) {
                return None;
            }
            parts.push((component, dc, ac));
        }
        let mut runs: [Option<Rc<Runs>>; 4] = Default::default();
        if !frame.progressive && !S::WANTED {
            for (place, &(component, _, ac)) in parts.iter().enumerate() {
                // Components often share a table.
                let shared = parts[..place]
                    .iter()
                    .find(|(_, _, other)| matches!((other, ac), (Some(other), Some(ac)) if std::ptr::eq(*other, ac)))
                    .and_then(|&(other, ..)| runs[other].clone());
                runs[component] = shared.or_else(|| Some(Rc::new(ac?.runs())));
            }
        }
        let units = match scan.components[..] {
            [(component, ..)] => frame.components[component].wide * frame.components[component].high,
            _ => frame.mcus_wide * frame.mcus_high,
        };
        Some(Self {
            frame,
            scan,
            parts,
            runs,
            history,
            sink,
            units,
            predictions: [0; 4],
            empty: 0,
        })
    }

    /// Reads the units of one restart interval. Fails with the first unit that is not there as a whole.
    fn interval(&mut self, bits: &mut Bits<'_>, units: std::ops::Range<usize>) -> Result<(), (usize, Defect)> {
        self.predictions = [0; 4];
        self.empty = 0;
        for unit in units {
            // Data that ends just here, filled up with ones as an end is, has lost blocks before. No unit consists of
            // ones: no code does. Refining scans have bits without a code.
            if bits.has_ended() && self.empty == 0 && self.scan.high == 0 && bits.is_at_end() {
                return Err((unit, Defect::Breaks));
            }
            let read = self.unit(bits, unit);
            if bits.is_overdrawn() {
                return Err((unit, Defect::Ends));
            }
            if read.is_none() {
                return Err((unit, Defect::Breaks));
            }
        }
        Ok(())
    }

    /// Looks through a unit of a sequential scan, whose values nobody wants.
    #[inline(always)]
    fn pass_unit(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        for part in 0..self.parts.len() {
            let (component, Some(dc), Some(ac)) = self.parts[part] else {
                return None;
            };
            let shape = &self.frame.components[component];
            // A unit of a scan of one component is a block.
            let blocks = if self.parts.len() == 1 { 1 } else { shape.h * shape.v };
            let runs = self.runs[component].as_deref()?;
            for _ in 0..blocks {
                dc_value(bits, &mut self.predictions[component], dc)?;
                let (mut k, mut ended) = runs.pass(bits, 1);
                while !ended {
                    // A code too long for the look, or one that would leave the block.
                    let code = ac.next(bits)?;
                    let (run, size) = (usize::from(code >> 4), u32::from(code & 15));
                    match size {
                        0 if run < 15 => break,
                        0 => k += 16,
                        _ => k += run + 1,
                    }
                    bits.pass(size);
                    if k > 64 {
                        return None;
                    }
                    (k, ended) = if k == 64 { (k, true) } else { runs.pass(bits, k) };
                }
            }
        }
        Some(())
    }

    #[inline(always)]
    fn unit(&mut self, bits: &mut Bits<'_>, unit: usize) -> Option<()> {
        if !S::WANTED && !self.frame.progressive {
            return self.pass_unit(bits);
        }
        if let [(component, dc, ac)] = self.parts[..] {
            let shape = &self.frame.components[component];
            let block = unit / shape.wide * shape.padded_wide + unit % shape.wide;
            return self.block(bits, component, block, dc, ac);
        }
        let (row, column) = (unit / self.frame.mcus_wide, unit % self.frame.mcus_wide);
        for part in 0..self.parts.len() {
            let (component, dc, ac) = self.parts[part];
            let shape = &self.frame.components[component];
            let (h, v, wide) = (shape.h, shape.v, shape.padded_wide);
            for y in 0..v {
                for x in 0..h {
                    self.block(bits, component, (row * v + y) * wide + column * h + x, dc, ac)?;
                }
            }
        }
        Some(())
    }

    #[inline(always)]
    fn block(
        &mut self,
        bits: &mut Bits<'_>,
        component: usize,
        block: usize,
        dc: Option<&Huffman>,
        ac: Option<&Huffman>,
    ) -> Option<()> {
        if !self.frame.progressive {
            let value = dc_value(bits, &mut self.predictions[component], dc?)?;
            self.sink.add(component, block, 0, value);
            return self.sequential_ac(bits, component, block, ac?);
        }
        match (self.scan.first, self.scan.high) {
            (0, 0) => {
                let value = dc_value(bits, &mut self.predictions[component], dc?)?;
                self.sink.add(component, block, 0, value << self.scan.low);
            }
            (0, _) => {
                if bits.take(1) == 1 {
                    self.sink.add(component, block, 0, 1 << self.scan.low);
                }
            }
            (_, 0) => return self.first_ac(bits, component, block, ac?),
            _ => return self.refine_ac(bits, component, block, ac?),
        }
        Some(())
    }

    #[inline(always)]
    fn sequential_ac(&mut self, bits: &mut Bits<'_>, component: usize, block: usize, table: &Huffman) -> Option<()> {
        let mut k = 1;
        while k < 64 {
            let code = table.next(bits)?;
            let (run, size) = (usize::from(code >> 4), u32::from(code & 15));
            if size == 0 {
                if run < 15 {
                    return Some(());
                }
                k += 16;
                continue;
            }
            k += run;
            if k > 63 {
                return None;
            }
            let value = bits.signed(size);
            self.sink.add(component, block, k, value);
            k += 1;
        }
        (k == 64).then_some(())
    }

    fn first_ac(&mut self, bits: &mut Bits<'_>, component: usize, block: usize, table: &Huffman) -> Option<()> {
        if self.empty > 0 {
            self.empty -= 1;
            return Some(());
        }
        let history = &mut self.history[component][block];
        let mut k = self.scan.first;
        while k <= self.scan.last {
            let code = table.next(bits)?;
            let (run, size) = (usize::from(code >> 4), u32::from(code & 15));
            if size == 0 {
                if run < 15 {
                    self.empty = (1 << run) - 1 + bits.take(run as u32);
                    return Some(());
                }
                k += 16;
                continue;
            }
            k += run;
            if k > self.scan.last {
                return None;
            }
            let value = bits.signed(size) << self.scan.low;
            *history |= 1 << k;
            self.sink.add(component, block, k, value);
            k += 1;
        }
        Some(())
    }

    fn refine_ac(&mut self, bits: &mut Bits<'_>, component: usize, block: usize, table: &Huffman) -> Option<()> {
        let step = 1 << self.scan.low;
        let history = &mut self.history[component][block];
        let mut k = self.scan.first;
        while self.empty == 0 && k <= self.scan.last {
            let code = table.next(bits)?;
            let (mut run, size) = (u32::from(code >> 4), code & 15);
            let mut new = 0;
            match size {
                0 if run < 15 => {
                    self.empty = (1 << run) + bits.take(run);
                    break;
                }
                // A run of 16 zeros.
                0 => {}
                1 => new = if bits.take(1) == 1 { step } else { -step },
                _ => return None,
            }
            // The run counts coefficients that are still 0; the others on the way get another bit.
            while k <= self.scan.last {
                if *history >> k & 1 == 1 {
                    if bits.take(1) == 1 {
                        self.sink.refine(component, block, k, step);
                    }
                } else if run == 0 {
                    break;
                } else {
                    run -= 1;
                }
                k += 1;
            }
            if new != 0 {
                if k > self.scan.last {
                    return None;
                }
                *history |= 1 << k;
                self.sink.add(component, block, k, new);
            }
            k += 1;
        }
        if self.empty > 0 {
            for k in k..=self.scan.last {
                if *history >> k & 1 == 1 && bits.take(1) == 1 {
                    self.sink.refine(component, block, k, step);
                }
            }
            self.empty -= 1;
        }
        Some(())
    }
}
