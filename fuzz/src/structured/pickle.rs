//! PyTorch files: a ZIP archive with the pickle program of a state dictionary and its storages.

use crate::draft::{number, pick, write_zip, Draft};
use arbitrary::Unstructured;

const NAMES: [&str; 6] = [
    "weight",
    "module.weight",
    "image_proj.latents",
    "ip_adapter.1.to_k_ip.weight",
    "stem.0.weight",
    "bias",
];

/// Storage classes and the width of their numbers.
const STORAGES: [(&str, usize); 6] = [
    ("FloatStorage", 4),
    ("HalfStorage", 2),
    ("BFloat16Storage", 2),
    ("DoubleStorage", 8),
    ("LongStorage", 8),
    ("ByteStorage", 1),
];

pub fn archive(draft: &mut Draft, input: &mut Unstructured<'_>) {
    let count = number(input, 1..=3);
    let mut storages = Vec::new();
    let ordered = number(input, 0..=1) == 1;
    let program = draft.part(|draft| {
        draft.put([0x80, 2]);
        if ordered {
            draft.put("ccollections\nOrderedDict\n");
            draft.put(")");
            draft.put("R");
        } else {
            draft.put("}");
        }
        draft.put([b'q', 0]);
        draft.put("(");
        for index in 0..count {
            text(draft, &format!("{}{index}", pick(input, &NAMES)));
            let (storage, width) = *pick(input, &STORAGES);
            let sides = [number(input, 1..=4), number(input, 1..=4)];
            tensor(draft, storage, index, sides);
            storages.push(vec![0x3c; sides[0] * sides[1] * width]);
        }
        draft.put("u");
        draft.put(".");
    });
    let mut files = vec![("archive/data.pkl", program)];
    let names: Vec<String> = (0..count).map(|index| format!("archive/data/{index}")).collect();
    files.extend(names.iter().map(String::as_str).zip(storages));
    files.push(("archive/version", b"3\n".to_vec()));
    write_zip(draft, &files);
}

/// `torch._utils._rebuild_tensor_v2` with a persistent storage.
fn tensor(draft: &mut Draft, storage: &str, key: usize, sides: [usize; 2]) {
    draft.put("ctorch._utils\n_rebuild_tensor_v2\n");
    draft.put("(");
    draft.put("(");
    text(draft, "storage");
    draft.put(format!("ctorch\n{storage}\n"));
    text(draft, &key.to_string());
    text(draft, "cpu");
    integer(draft, sides[0] * sides[1]);
    draft.put("t");
    draft.put("Q");
    integer(draft, 0);
    for numbers in [sides, [sides[1], 1]] {
        numbers.iter().for_each(|value| integer(draft, *value));
        draft.put([0x86]);
    }
    draft.put([0x89]);
    draft.put("ccollections\nOrderedDict\n");
    draft.put(")");
    draft.put("R");
    draft.put("t");
    draft.put("R");
}

fn text(draft: &mut Draft, text: &str) {
    draft.put("X");
    draft.put((text.len() as u32).to_le_bytes());
    draft.put(text);
}

fn integer(draft: &mut Draft, value: usize) {
    draft.put("K");
    draft.put([value as u8]);
}
