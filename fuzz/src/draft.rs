//! A file put together field by field, of which one field may be broken. Lengths and checksums around a broken field are
//! those of what was written, so that damage gets past the first check; they are fields themselves.

use arbitrary::{Arbitrary, Result, Unstructured};

/// What happens to the broken field.
#[derive(Debug, Clone, Default)]
pub struct Change {
    kind: u8,
    amount: u16,
    bytes: Vec<u8>,
}

impl<'a> Arbitrary<'a> for Change {
    fn arbitrary(input: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self {
            kind: input.arbitrary()?,
            amount: input.arbitrary()?,
            bytes: input.arbitrary()?,
        })
    }
}

/// Texts in place of a number or a value.
const TEXTS: [&str; 12] = [
    "0",
    "-1",
    "1",
    "18446744073709551615",
    "9223372036854775807",
    "4294967296",
    "1e400",
    "null",
    "\"\"",
    "[]",
    "{}",
    "NaN",
];

impl Change {
    /// The broken field; `None` when the file ends before it.
    fn apply(&self, field: &[u8]) -> Option<Vec<u8>> {
        let amount = usize::from(self.amount);
        let mut out = field.to_vec();
        match self.kind % 14 {
            0 => out.fill(0),
            1 => out.fill(0xff),
            2 => {
                // The largest positive number, of either byte order.
                out.fill(0xff);
                let high = if amount & 1 == 0 { out.len().wrapping_sub(1) } else { 0 };
                out.iter_mut().skip(high).take(1).for_each(|byte| *byte = 0x7f);
            }
            3 | 4 => {
                let mut carry = amount.max(1) as u64;
                for byte in &mut out {
                    let sum = match self.kind % 14 {
                        3 => u64::from(*byte).wrapping_add(carry),
                        _ => u64::from(*byte).wrapping_sub(carry),
                    };
                    *byte = sum as u8;
                    carry = if self.kind % 14 == 3 {
                        sum >> 8
                    } else {
                        u64::from(sum > 255) + (carry >> 8)
                    };
                }
            }
            5 => out.clone_from(&self.bytes),
            6 => out.clear(),
            7 => out.extend_from_slice(field),
            8 => out.reverse(),
            9 => {
                let bits = 8 * out.len().max(1);
                out.iter_mut()
                    .skip(amount % bits / 8)
                    .take(1)
                    .for_each(|byte| *byte ^= 1 << (amount % 8));
            }
            10 => out = TEXTS[amount % TEXTS.len()].into(),
            11 => out.truncate(out.len() / 2),
            12 => out = field.repeat(1 + amount % 64),
            _ => return None,
        }
        Some(out)
    }
}

/// A file, or a part of one, while it is written.
#[derive(Debug, Default)]
pub struct Draft {
    out: Vec<u8>,
    count: usize,
    broken: Option<usize>,
    change: Change,
    ended: bool,
}

impl Draft {
    /// A draft whose field number `broken` is changed.
    pub fn new(broken: Option<usize>, change: Change) -> Self {
        Self {
            broken,
            change,
            ..Self::default()
        }
    }

    /// Writes a field.
    pub fn put(&mut self, field: impl AsRef<[u8]>) {
        if self.ended {
            return;
        }
        let field = field.as_ref();
        if self.broken == Some(self.count) {
            match self.change.apply(field) {
                Some(field) => self.out.extend_from_slice(&field),
                None => self.ended = true,
            }
        } else {
            self.out.extend_from_slice(field);
        }
        self.count += 1;
    }

    /// Writes fields to the side: they are counted, but not part of what is written here.
    pub fn part(&mut self, write: impl FnOnce(&mut Self)) -> Vec<u8> {
        let outside = std::mem::take(&mut self.out);
        write(self);
        std::mem::replace(&mut self.out, outside)
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// How many fields there were.
    pub fn fields(&self) -> usize {
        self.count
    }

    /// The file.
    pub fn finish(self) -> Vec<u8> {
        self.out
    }
}

/// One of several things, by the input.
pub fn pick<'a, T>(input: &mut Unstructured<'_>, from: &'a [T]) -> &'a T {
    &from[usize::from(input.arbitrary::<u8>().unwrap_or(0)) % from.len()]
}

/// A number of `range`, by the input; its least when the input is used up.
pub fn number(input: &mut Unstructured<'_>, range: std::ops::RangeInclusive<usize>) -> usize {
    input.int_in_range(range.clone()).unwrap_or(*range.start())
}

/// The checksum of ZIP and PNG.
pub fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let (mut value, mut bit) = (index as u32, 0);
            while bit < 8 {
                value = if value & 1 == 1 {
                    0xedb8_8320 ^ (value >> 1)
                } else {
                    value >> 1
                };
                bit += 1;
            }
            table[index] = value;
            index += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |sum, byte| {
        TABLE[((sum ^ u32::from(*byte)) & 255) as usize] ^ (sum >> 8)
    })
}

/// A ZIP archive of stored files, as `torch.save` writes it.
pub fn write_zip(draft: &mut Draft, files: &[(&str, Vec<u8>)]) {
    let mut directory = Vec::new();
    for (name, contents) in files {
        let start = draft.len() as u32;
        let (sum, size) = (crc32(contents).to_le_bytes(), (contents.len() as u32).to_le_bytes());
        draft.put(b"PK\x03\x04");
        draft.put([20, 0]);
        draft.put([0, 0]);
        draft.put([0, 0]);
        draft.put([0, 0, 0x21, 0]);
        draft.put(sum);
        draft.put(size);
        draft.put(size);
        draft.put((name.len() as u16).to_le_bytes());
        draft.put([0, 0]);
        draft.put(name);
        draft.put(contents);
        directory.push((name, sum, size, start));
    }
    let start = draft.len() as u32;
    for (name, sum, size, place) in &directory {
        draft.put(b"PK\x01\x02");
        draft.put([20, 0, 20, 0]);
        draft.put([0, 0]);
        draft.put([0, 0]);
        draft.put([0, 0, 0x21, 0]);
        draft.put(sum);
        draft.put(size);
        draft.put(size);
        draft.put((name.len() as u16).to_le_bytes());
        draft.put([0; 4]);
        draft.put([0; 4]);
        draft.put([0; 4]);
        draft.put(place.to_le_bytes());
        draft.put(name);
    }
    let size = draft.len() as u32 - start.min(draft.len() as u32);
    draft.put(b"PK\x05\x06");
    draft.put([0; 4]);
    draft.put((directory.len() as u16).to_le_bytes());
    draft.put((directory.len() as u16).to_le_bytes());
    draft.put(size.to_le_bytes());
    draft.put(start.to_le_bytes());
    draft.put([0, 0]);
}

/// A whole ZIP archive.
pub fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let files: Vec<(&str, Vec<u8>)> = files
        .iter()
        .map(|(name, contents)| (*name, contents.to_vec()))
        .collect();
    let mut draft = Draft::default();
    write_zip(&mut draft, &files);
    draft.finish()
}

/// A safetensors file: metadata and f32 tensors, each of whose bytes are data of the file.
pub fn write_safetensors(draft: &mut Draft, metadata: &[(&str, String)], tensors: &[(String, &str, Vec<usize>)]) {
    let mut at = 0usize;
    let header = draft.part(|draft| {
        draft.put("{");
        draft.put("\"__metadata__\":{");
        for (index, (key, value)) in metadata.iter().enumerate() {
            draft.put(if index == 0 { "" } else { "," });
            draft.put(serde_json::to_string(key).expect("a text"));
            draft.put(":");
            draft.put(serde_json::to_string(value).expect("a text"));
        }
        draft.put("}");
        for (name, dtype, shape) in tensors {
            let width = match *dtype {
                "F64" | "I64" => 8,
                "F32" | "I32" => 4,
                "F16" | "BF16" => 2,
                _ => 1,
            };
            let end = at + shape.iter().product::<usize>() * width;
            draft.put(",");
            draft.put(serde_json::to_string(name).expect("a text"));
            draft.put(":{\"dtype\":");
            draft.put(format!("\"{dtype}\""));
            draft.put(",\"shape\":[");
            for (index, side) in shape.iter().enumerate() {
                draft.put(if index == 0 { "" } else { "," });
                draft.put(side.to_string());
            }
            draft.put("],\"data_offsets\":[");
            draft.put(at.to_string());
            draft.put(",");
            draft.put(end.to_string());
            draft.put("]}");
            at = end;
        }
        draft.put("}");
    });
    draft.put((header.len() as u64).to_le_bytes());
    draft.out.extend_from_slice(&header);
    // Numbers that are finite in every type, and no two alike in a row.
    let data: Vec<u8> = (0..at).map(|i| if i % 2 == 0 { i as u8 } else { 0x3c }).collect();
    draft.put(data);
}

/// A whole safetensors file of f32 tensors.
pub fn safetensors(tensors: &[(String, Vec<usize>)]) -> Vec<u8> {
    let tensors: Vec<(String, &str, Vec<usize>)> = tensors
        .iter()
        .map(|(name, shape)| (name.clone(), "F32", shape.clone()))
        .collect();
    let mut draft = Draft::default();
    write_safetensors(&mut draft, &[("format", "pt".to_string())], &tensors);
    draft.finish()
}
