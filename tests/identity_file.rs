//! The `.omniid` file: what is written is read again, and a file that is not sound is refused with a message that
//! names what is wrong.

use candle_core::{DType, Device, Tensor};
use half::f16;
use omniid::checkpoint::safetensors_to_bytes;
use omniid::encoder::EncoderKind;
use omniid::identity::{Identity, Provenance};
use omniid::Precision;
use omniid::{ErrorKind, Limits};
use std::collections::BTreeMap;
use std::path::Path;

/// Two photos, three tokens of width 4, features `[2, 3]` and `[1, 3]`. None of the values is exact in f16.
fn sample() -> Identity {
    let values = |count: usize, start: f32| (0..count).map(|i| start + i as f32 / 7.0).collect::<Vec<_>>();
    let features = [(2, -1.1), (1, 3.3)]
        .map(|(tokens, start)| Tensor::from_vec(values(tokens * 3, start), (tokens, 3), &Device::Cpu).unwrap())
        .to_vec();
    let provenance = Provenance {
        model: "0123456789abcdef".into(),
        photos: 2,
        label: "Frau \"Ä\" \u{1F600}".into(),
        created: "2026-01-02T03:04:05Z".into(),
        consent: "for this test\nonly".into(),
    };
    Identity::new(EncoderKind::OmniId, [3, 4], values(12, -0.7), features, provenance).unwrap()
}

/// Tensors and metadata of a file, to be spoiled.
#[derive(Clone)]
struct Parts {
    tensors: BTreeMap<String, Tensor>,
    metadata: BTreeMap<String, String>,
}

impl Parts {
    /// The file of [`sample`], put together from the description of the format.
    fn sound() -> Self {
        let identity = sample();
        let tensor = |values: &[f32], shape: (usize, usize)| Tensor::from_slice(values, shape, &Device::Cpu).unwrap();
        let mut tensors = BTreeMap::from([("tokens".to_string(), tensor(identity.values(), (3, 4)))]);
        for (index, photo) in identity.features().iter().enumerate() {
            tensors.insert(format!("features.{index}"), photo.clone());
        }
        let provenance = identity.provenance();
        let metadata = [
            ("omniid.identity", "1"),
            ("omniid.encoder", "omni_id"),
            ("omniid.model", &provenance.model),
            ("omniid.photos", "2"),
            ("omniid.label", &provenance.label),
            ("omniid.created", &provenance.created),
            ("omniid.consent", &provenance.consent),
        ]
        .map(|(key, value)| (key.to_string(), value.to_string()));
        Self {
            tensors,
            metadata: metadata.into(),
        }
    }

    fn set(&mut self, key: &str, value: &str) {
        self.metadata.insert(key.into(), value.into());
    }

    fn put(&mut self, name: &str, tensor: Tensor) {
        self.tensors.insert(name.into(), tensor);
    }

    fn read(&self) -> omniid::Result<Identity> {
        let tensors: Vec<_> = self.tensors.clone().into_iter().collect();
        let bytes = safetensors_to_bytes(&tensors, &self.metadata).unwrap();
        Identity::load(bytes.clone(), &Limits::default())
    }
}

fn zeros(shape: (usize, usize), dtype: DType) -> Tensor {
    Tensor::zeros(shape, dtype, &Device::Cpu).unwrap()
}

#[test]
fn f32_files_are_exact_and_follow_the_description_of_the_format() {
    let identity = sample();
    let bytes = identity.to_bytes(Precision::F32).unwrap();
    assert_eq!(Identity::load(bytes.clone(), &Limits::default()).unwrap(), identity);
    assert_eq!(Parts::sound().read().unwrap(), identity);

    let bare = identity.clone().without_features();
    let bytes = bare.to_bytes(Precision::F32).unwrap();
    assert_eq!(Identity::load(bytes.clone(), &Limits::default()).unwrap(), bare);
}

#[test]
fn f16_files_hold_the_nearest_halves() {
    let identity = sample();
    let bytes = identity.to_bytes(Precision::F16).unwrap();
    let read = Identity::load(bytes.clone(), &Limits::default()).unwrap();
    let rounded = |values: &[f32]| values.iter().map(|v| f16::from_f32(*v).to_f32()).collect::<Vec<_>>();
    assert_eq!(read.values(), rounded(identity.values()));
    assert_ne!(read.values(), identity.values());
    for (read, photo) in read.features().iter().zip(identity.features()) {
        let values = |features: &Tensor| features.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values(read), rounded(&values(photo)));
    }
    assert_eq!(read.provenance(), identity.provenance());
    assert_eq!(
        (read.token_count(), read.width(), read.kind()),
        (3, 4, EncoderKind::OmniId)
    );
}

#[test]
fn values_that_do_not_fit_into_f16_are_refused_and_not_written_as_infinity() {
    let provenance = sample().provenance().clone();
    let identity = Identity::new(EncoderKind::OmniId, [1, 2], vec![1.0, 70_000.0], vec![], provenance).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.omniid");
    let error = identity.save_as(&path, Precision::F16).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(
        error.message().contains("70000") && error.message().contains("tokens"),
        "{error}"
    );
    assert!(!path.exists());
    identity.save(&path).unwrap();
}

#[test]
fn spoiled_files_are_refused_by_name() {
    type Spoil = fn(&mut Parts);
    let cases: &[(&str, Spoil, ErrorKind, &[&str])] = &[
        (
            "unknown version",
            |p| p.set("omniid.identity", "3"),
            ErrorKind::Unsupported,
            &["\"3\"", "formats 1 and 2"],
        ),
        (
            "unknown encoder",
            |p| p.set("omniid.encoder", "vae"),
            ErrorKind::Format,
            &["\"vae\""],
        ),
        (
            "photos not a number",
            |p| p.set("omniid.photos", "two"),
            ErrorKind::Format,
            &["\"two\""],
        ),
        (
            "photos beyond a machine word",
            |p| p.set("omniid.photos", "99999999999999999999"),
            ErrorKind::Format,
            &["99999999999999999999"],
        ),
        (
            "zero photos",
            |p| {
                p.set("omniid.photos", "0");
                p.tensors.retain(|name, _| name == "tokens");
            },
            ErrorKind::Format,
            &["0 photos"],
        ),
        (
            "more photos than features",
            |p| p.set("omniid.photos", "3"),
            ErrorKind::Format,
            &["features of 2 photos", "made of 3"],
        ),
        (
            "fewer photos than features",
            |p| p.set("omniid.photos", "1"),
            ErrorKind::Format,
            &["\"features.1\""],
        ),
        (
            "photos above the limit",
            |p| p.set("omniid.photos", "4097"),
            ErrorKind::LimitExceeded,
            &["4097", "4096"],
        ),
        (
            "tokens not divisible among photos",
            |p| p.set("omniid.encoder", "resampler"),
            ErrorKind::Format,
            &["3 tokens", "2 photos"],
        ),
        (
            "unknown tensor",
            |p| p.put("mesh", zeros((1, 1), DType::F32)),
            ErrorKind::Format,
            &["\"mesh\""],
        ),
        (
            "second spelling of a feature",
            |p| p.put("features.01", zeros((1, 3), DType::F32)),
            ErrorKind::Format,
            &["\"features.01\""],
        ),
        (
            "signed index of a feature",
            |p| p.put("features.+1", zeros((1, 3), DType::F32)),
            ErrorKind::Format,
            &["\"features.+1\""],
        ),
        (
            "gap in the features",
            |p| {
                p.tensors.remove("features.0");
            },
            ErrorKind::Format,
            &["\"features.1\""],
        ),
        (
            "no tokens",
            |p| {
                p.tensors.remove("tokens");
            },
            ErrorKind::Format,
            &["\"tokens\"", "missing"],
        ),
        (
            "tokens of whole numbers",
            |p| p.put("tokens", zeros((3, 4), DType::U8)),
            ErrorKind::Format,
            &["\"tokens\"", "U8"],
        ),
        (
            "tokens in f64",
            |p| p.put("tokens", zeros((3, 4), DType::F64)),
            ErrorKind::Format,
            &["\"tokens\"", "F64"],
        ),
        (
            "tokens without rows",
            |p| p.put("tokens", Tensor::zeros(12, DType::F32, &Device::Cpu).unwrap()),
            ErrorKind::Format,
            &["\"tokens\"", "[12]"],
        ),
        (
            "empty features",
            |p| p.put("features.1", zeros((0, 3), DType::F32)),
            ErrorKind::Format,
            &["features.1", "[0, 3]"],
        ),
        (
            "NaN in a token",
            |p| p.put("tokens", (zeros((3, 4), DType::F32) / 0.0).unwrap()),
            ErrorKind::Format,
            &["token 0", "NaN"],
        ),
        (
            "infinity in a token",
            |p| p.put("tokens", (zeros((3, 4), DType::F32) + f64::INFINITY).unwrap()),
            ErrorKind::Format,
            &["token 0", "inf"],
        ),
        (
            "NaN in a feature",
            |p| p.put("features.1", (zeros((1, 3), DType::F32) / 0.0).unwrap()),
            ErrorKind::Format,
            &["features.1"],
        ),
    ];
    for (case, spoil, kind, words) in cases {
        let mut parts = Parts::sound();
        spoil(&mut parts);
        let error = parts.read().err().unwrap_or_else(|| panic!("{case}: accepted"));
        assert_eq!(error.kind(), *kind, "{case}: {error}");
        for word in *words {
            assert!(error.message().contains(word), "{case}: {word:?} not in {error}");
        }
    }
}

#[test]
fn every_metadata_entry_is_needed() {
    for key in Parts::sound().metadata.keys() {
        let mut parts = Parts::sound();
        parts.metadata.remove(key);
        let error = parts.read().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format, "{key}: {error}");
        assert!(error.message().contains(key.as_str()), "{key}: {error}");
    }
    let mut parts = Parts::sound();
    parts.metadata.clear();
    let error = parts.read().unwrap_err();
    assert!(error.message().contains("not an identity file"), "{error}");
}

#[test]
fn empty_tokens_are_refused() {
    for shape in [(0, 4), (3, 0), (0, 0)] {
        let mut parts = Parts::sound();
        parts.put("tokens", zeros(shape, DType::F32));
        let error = parts.read().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format, "{shape:?}: {error}");
        let shown = format!("[{}, {}]", shape.0, shape.1);
        assert!(error.message().contains(&shown), "{error}");
    }
}

#[test]
fn a_file_cut_at_any_byte_is_refused() {
    for precision in [Precision::F32, Precision::F16] {
        let whole = sample().to_bytes(precision).unwrap();
        for cut in 0..whole.len() {
            let error = Identity::load(whole[..cut].to_vec(), &Limits::default())
                .err()
                .unwrap_or_else(|| panic!("accepted the first {cut} of {} bytes", whole.len()));
            assert_eq!(error.kind(), ErrorKind::Format, "cut at {cut}: {error}");
        }
        let mut longer = whole.clone();
        longer.push(0);
        let error = Identity::load(longer, &Limits::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format, "one byte more: {error}");
    }
}

/// Any single byte changed: refused, or read as a sound identity.
#[test]
fn a_changed_byte_gives_an_error_or_a_sound_identity() {
    let whole = sample().to_bytes(Precision::F32).unwrap();
    let (mut refused, mut accepted) = (0, 0);
    for at in 0..whole.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= change;
            match Identity::load(bytes.clone(), &Limits::default()) {
                Ok(identity) => {
                    accepted += 1;
                    assert_eq!(identity.values().len(), identity.token_count() * identity.width());
                    assert!(identity.values().iter().all(|value| value.is_finite()));
                }
                Err(error) => {
                    refused += 1;
                    assert_ne!(error.kind(), ErrorKind::Internal, "byte {at} ^ {change:#x}: {error}");
                }
            }
        }
    }
    assert!(refused > 0 && accepted > 0, "{refused} refused, {accepted} accepted");
}

#[test]
fn the_callers_limits_hold() {
    let bytes = sample().to_bytes(Precision::F32).unwrap();
    let read = |limits: Limits| Identity::load(bytes.clone(), &limits);
    read(Limits::default().with_max_photos(2)).unwrap();
    let error = read(Limits::default().with_max_photos(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert!(error.message().contains("2 photos, at most 1"), "{error}");
    let error = read(Limits::default().with_max_header_bytes(16)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert!(error.message().contains("at most 16"), "{error}");
}

/// Names of everything in a folder, sorted.
fn listing(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn saving_replaces_the_file_or_leaves_everything_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.omniid");
    let first = sample();
    first.save(&path).unwrap();
    let second = sample().with_notes("second", "");
    second.save(&path).unwrap();
    assert_eq!(Identity::load(&path, &Limits::default()).unwrap(), second);
    assert_eq!(listing(folder.path()), ["a.omniid"]);

    // An identity that cannot be written leaves the old file alone.
    let provenance = first.provenance().clone();
    let large = Identity::new(EncoderKind::OmniId, [1, 1], vec![1e30], vec![], provenance).unwrap();
    large.save_as(&path, Precision::F16).unwrap_err();
    assert_eq!(Identity::load(&path, &Limits::default()).unwrap(), second);
    assert_eq!(listing(folder.path()), ["a.omniid"]);
}

#[test]
fn loading_names_the_path() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("nobody.omniid");
    let error = Identity::load(&missing, &Limits::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.message().contains("nobody.omniid"), "{error}");

    let error = Identity::load(folder.path(), &Limits::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");

    for (name, content) in [("empty.omniid", &b""[..]), ("text.omniid", b"not an identity")] {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        let error = Identity::load(&path, &Limits::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format, "{error}");
        // Once, at the beginning.
        assert!(error.message().starts_with(path.to_str().unwrap()), "{error}");
        assert_eq!(error.message().matches(name).count(), 1, "{error}");
    }
}
