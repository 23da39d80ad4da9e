//! The files that the structured target breaks are whole before it does: else it would test the first check only.

use arbitrary::Unstructured;
use omniid::checkpoint::Checkpoint;
use omniid::identity::Identity;
use omniid::photo::parsers;
use omniid::recogniser::FaceRecogniser;
use omniid::{Limits, Photo};
use omniid_fuzz::draft::Change;
use omniid_fuzz::structured::{build, KINDS};

/// Bytes without a pattern, other ones for each seed.
fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..count).map(|_| next()).collect()
}

/// Why a file of a kind is refused.
fn refused(kind: &str, file: Vec<u8>) -> Option<String> {
    let limits = Limits::default();
    let error = match kind {
        "safetensors" | "pickle" => Checkpoint::open(file, &limits).err(),
        "identity" => Identity::load(file, &limits).err(),
        "png" => Photo::from_bytes(&file).decode(&limits).err(),
        // What its data says is random, but segments and tables are sound.
        "jpeg" => return parsers::jpeg(&file, &limits).is_none().then(|| "no JPEG".to_string()),
        // A sound graph, which is no face network.
        "onnx" => {
            let error = FaceRecogniser::open(file, &limits)
                .expect_err("no face network")
                .to_string();
            return ["damaged", "no graph"]
                .iter()
                .any(|word| error.contains(word))
                .then_some(error);
        }
        other => panic!("the kind {other} is not known here"),
    };
    error.map(|error| error.to_string())
}

#[test]
fn whole_files_are_accepted() {
    for (index, (kind, ..)) in KINDS.iter().enumerate() {
        for seed in 0..200 {
            let bytes = noise(seed, 400);
            let (file, fields) = build(index, None, Change::default(), &mut Unstructured::new(&bytes));
            assert!(fields > 8, "{kind}: {fields} fields");
            if let Some(error) = refused(kind, file) {
                panic!("{kind}, seed {seed}: {error}");
            }
        }
    }
}

#[test]
fn every_field_can_be_broken() {
    for (index, (kind, ..)) in KINDS.iter().enumerate() {
        let bytes = noise(7, 400);
        let whole = |change| build(index, None, change, &mut Unstructured::new(&bytes));
        let (file, fields) = whole(Change::default());
        let longer = |broken| {
            // Doubled: a change of kind 7.
            let change = Unstructured::new(&[7, 0, 0, 0, 0]).arbitrary().expect("a change");
            build(index, Some(broken), change, &mut Unstructured::new(&bytes)).0
        };
        let changed = (0..fields).filter(|field| longer(*field) != file).count();
        assert!(
            changed * 10 >= fields * 9,
            "{kind}: {changed} of {fields} fields change the file"
        );
    }
}
