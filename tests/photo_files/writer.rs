//! A writer of JPEG for tests (ITU T.81): sequential and progressive, any sampling, restart markers, one to four
//! components. It is written for clarity: every Huffman code has the same length.

/// What kind of file is written.
#[derive(Clone, Copy)]
pub struct Kind {
    pub progressive: bool,
    /// Sampling factors of the first component; the others have 1 × 1.
    pub sampling: (usize, usize),
    /// MCUs between restart markers; 0 for none.
    pub restart: usize,
    /// Adobe segment with this colour transform.
    pub adobe: Option<u8>,
}

impl Kind {
    pub const SEQUENTIAL: Self = Self {
        progressive: false,
        sampling: (1, 1),
        restart: 0,
        adobe: None,
    };
}

/// The order of coefficients: index in zigzag order to row · 8 + column.
const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// All coefficients are divided by this.
const STEP: f64 = 4.0;

/// Values of the DC table, of 4 bits each, and of the AC table, of 8 bits each.
fn dc_values() -> Vec<u8> {
    (0..12).collect()
}

fn ac_values() -> Vec<u8> {
    let codes = (0..16u8).flat_map(|run| (0..=10u8).map(move |size| run << 4 | size));
    codes.collect()
}

struct Plane {
    h: usize,
    v: usize,
    /// Blocks: of the picture itself, and with whole MCUs.
    wide: usize,
    high: usize,
    padded_wide: usize,
    blocks: Vec<[i32; 64]>,
}

/// Writes samples `sample(component, x, y)`, 0 to 255, of a picture of `width` × `height` pixels: at most four
/// components, stored as they are.
pub fn write(
    width: usize,
    height: usize,
    components: usize,
    kind: Kind,
    sample: impl Fn(usize, usize, usize) -> f64,
) -> Vec<u8> {
    let (h_max, v_max) = kind.sampling;
    let (mcus_wide, mcus_high) = (width.div_ceil(8 * h_max), height.div_ceil(8 * v_max));
    let cosines: Vec<[f64; 8]> = (0..8)
        .map(|x| {
            std::array::from_fn(|u| {
                let scale = if u == 0 { 0.125f64.sqrt() } else { 0.5 };
                scale * (f64::from(2 * x + 1) * u as f64 * std::f64::consts::PI / 16.0).cos()
            })
        })
        .collect();
    let planes: Vec<Plane> = (0..components)
        .map(|component| {
            let (h, v) = if component == 0 { kind.sampling } else { (1, 1) };
            let (step_x, step_y) = (h_max / h, v_max / v);
            let (padded_wide, padded_high) = (mcus_wide * h, mcus_high * v);
            // The mean of the pixels that a sample covers; the border is repeated.
            let at = |x: usize, y: usize| {
                let mut sum = 0.0;
                for dy in 0..step_y {
                    for dx in 0..step_x {
                        let place = ((x * step_x + dx).min(width - 1), (y * step_y + dy).min(height - 1));
                        sum += sample(component, place.0, place.1);
                    }
                }
                sum / (step_x * step_y) as f64 - 128.0
            };
            let mut blocks = Vec::with_capacity(padded_wide * padded_high);
            for block in 0..padded_wide * padded_high {
                let (left, top) = (block % padded_wide * 8, block / padded_wide * 8);
                let samples: Vec<f64> = (0..64).map(|i| at(left + i % 8, top + i / 8)).collect();
                // Rows first, then columns.
                let rows: Vec<f64> = (0..64)
                    .map(|i| (0..8).map(|x| samples[i / 8 * 8 + x] * cosines[x][i % 8]).sum())
                    .collect();
                blocks.push(std::array::from_fn(|k| {
                    let (v, u) = (ZIGZAG[k] / 8, ZIGZAG[k] % 8);
                    let value: f64 = (0..8).map(|y| rows[y * 8 + u] * cosines[y][v]).sum();
                    (value / STEP).round() as i32
                }));
            }
            Plane {
                h,
                v,
                wide: (width * h).div_ceil(h_max).div_ceil(8),
                high: (height * v).div_ceil(v_max).div_ceil(8),
                padded_wide,
                blocks,
            }
        })
        .collect();

    let mut out = vec![0xFF, 0xD8];
    if let Some(transform) = kind.adobe {
        segment(
            &mut out,
            0xEE,
            &[b"Adobe\0\x64\0\0\0\0".as_slice(), &[transform]].concat(),
        );
    }
    segment(&mut out, 0xDB, &[&[0][..], &[STEP as u8; 64]].concat());
    let mut frame = vec![8];
    frame.extend((height as u16).to_be_bytes());
    frame.extend((width as u16).to_be_bytes());
    frame.push(components as u8);
    for (index, plane) in planes.iter().enumerate() {
        frame.extend([index as u8 + 1, (plane.h << 4 | plane.v) as u8, 0]);
    }
    segment(&mut out, if kind.progressive { 0xC2 } else { 0xC0 }, &frame);
    for (class, length, values) in [(0, 4, dc_values()), (0x10, 8, ac_values())] {
        let mut counts = [0; 16];
        counts[length - 1] = values.len() as u8;
        segment(&mut out, 0xC4, &[&[class][..], &counts, &values].concat());
    }
    if kind.restart > 0 {
        segment(&mut out, 0xDD, &(kind.restart as u16).to_be_bytes());
    }
    let all: Vec<usize> = (0..components).collect();
    let mut scan = |components: &[usize], first: usize, last: usize, high: u8, low: u8| {
        let mut header = vec![components.len() as u8];
        components.iter().for_each(|&index| header.extend([index as u8 + 1, 0]));
        header.extend([first as u8, last as u8, high << 4 | low]);
        segment(&mut out, 0xDA, &header);
        let units: Vec<Vec<(usize, usize)>> = if let [index] = components {
            let plane = &planes[*index];
            let block = |i: usize| i / plane.wide * plane.padded_wide + i % plane.wide;
            (0..plane.wide * plane.high).map(|i| vec![(*index, block(i))]).collect()
        } else {
            let mcu = |i: usize| {
                let mut blocks = Vec::new();
                for &index in components {
                    let plane = &planes[index];
                    let (row, column) = (i / mcus_wide * plane.v, i % mcus_wide * plane.h);
                    blocks.extend(
                        (0..plane.v * plane.h)
                            .map(|n| (index, (row + n / plane.h) * plane.padded_wide + column + n % plane.h)),
                    );
                }
                blocks
            };
            (0..mcus_wide * mcus_high).map(mcu).collect()
        };
        let interval = if kind.restart > 0 { kind.restart } else { units.len() };
        for (number, units) in units.chunks(interval).enumerate() {
            if number > 0 {
                out.extend([0xFF, 0xD0 + ((number - 1) % 8) as u8]);
            }
            let mut bits = BitWriter::default();
            let mut predictions = [0; 4];
            for &(index, block) in units.iter().flatten() {
                let block = &planes[index].blocks[block];
                if first == 0 {
                    bits.dc(block[0], &mut predictions[index], high, low);
                }
                if last > 0 {
                    bits.ac(block, first.max(1), last, high, low);
                }
            }
            out.extend(bits.finish());
        }
    };
    if kind.progressive {
        scan(&all, 0, 0, 0, 1);
        for &index in &all {
            scan(&[index], 1, 5, 0, 2);
            scan(&[index], 6, 63, 0, 2);
        }
        scan(&all, 0, 0, 1, 0);
        for bit in [1, 0] {
            for &index in &all {
                scan(&[index], 1, 63, bit + 1, bit);
            }
        }
    } else {
        scan(&all, 0, 63, 0, 0);
    }
    out.extend([0xFF, 0xD9]);
    out
}

fn segment(out: &mut Vec<u8>, marker: u8, payload: &[u8]) {
    out.extend([0xFF, marker]);
    out.extend((payload.len() as u16 + 2).to_be_bytes());
    out.extend(payload);
}

#[derive(Default)]
struct BitWriter {
    bits: Vec<bool>,
}

impl BitWriter {
    fn put(&mut self, value: u32, length: u32) {
        self.bits.extend((0..length).rev().map(|bit| value >> bit & 1 == 1));
    }

    fn code(&mut self, value: u8, values: &[u8], length: u32) {
        let code = values.iter().position(|&other| other == value).unwrap();
        self.put(code as u32, length);
    }

    /// The bits of a number in its category (F.1.2.1).
    fn number(&mut self, value: i32, size: u32) {
        let coded = if value < 0 { value + (1 << size) - 1 } else { value };
        self.put(coded as u32, size);
    }

    fn dc(&mut self, value: i32, prediction: &mut i32, high: u8, low: u8) {
        if high > 0 {
            return self.put((value >> low & 1) as u32, 1);
        }
        let difference = (value >> low) - *prediction;
        *prediction = value >> low;
        let size = category(difference);
        self.code(size as u8, &dc_values(), 4);
        self.number(difference, size);
    }

    /// Coefficients `first` to `last`: in a first scan those that are not 0 after `low` bits are cut off, in a refining
    /// one the bit of those known, and those that come up (G.1.2).
    fn ac(&mut self, block: &[i32; 64], first: usize, last: usize, high: u8, low: u8) {
        let values = ac_values();
        let cut = |k: usize, bits: u8| block[k].abs() >> bits;
        let known = |k: usize| high > 0 && cut(k, high) > 0;
        let Some(end) = (first..=last).rev().find(|&k| cut(k, low) > 0 && !known(k)) else {
            // Nothing new: the end of the block, then the bits of what is known.
            self.code(0, &values, 8);
            return (first..=last)
                .filter(|&k| known(k))
                .for_each(|k| self.put(cut(k, low) as u32 & 1, 1));
        };
        let mut run = 0u8;
        let mut corrections = Vec::new();
        for (k, &coefficient) in block.iter().enumerate().take(end + 1).skip(first) {
            if known(k) {
                corrections.push(cut(k, low) as u32 & 1);
                continue;
            }
            let value = cut(k, low) * coefficient.signum();
            if value == 0 {
                run += 1;
                if run == 16 {
                    self.code(0xF0, &values, 8);
                    corrections.drain(..).for_each(|bit| self.put(bit, 1));
                    run = 0;
                }
                continue;
            }
            let size = category(value);
            self.code(run << 4 | size as u8, &values, 8);
            self.number(value, size);
            corrections.drain(..).for_each(|bit| self.put(bit, 1));
            run = 0;
        }
        if end < last {
            self.code(0, &values, 8);
            (end + 1..=last)
                .filter(|&k| known(k))
                .for_each(|k| self.put(cut(k, low) as u32 & 1, 1));
        }
    }

    /// Fills up with ones and stuffs.
    fn finish(mut self) -> Vec<u8> {
        while !self.bits.len().is_multiple_of(8) {
            self.bits.push(true);
        }
        let mut out = Vec::new();
        for bits in self.bits.chunks(8) {
            let byte = bits.iter().fold(0, |byte, &bit| byte << 1 | u8::from(bit));
            out.push(byte);
            if byte == 0xFF {
                out.push(0);
            }
        }
        out
    }
}

fn category(value: i32) -> u32 {
    32 - value.unsigned_abs().leading_zeros()
}
