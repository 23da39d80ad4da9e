//! Files that are written to, cut, replaced or deleted at any moment while another process opens and uses them: it ends
//! with an error or with the numbers of one version of the file, and never by a signal.

use super::*;
use omniid::identity::Identity;
use omniid::recogniser::FaceRecogniser;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Where the process that is watched finds its part.
const PART: &str = "OMNIID_TEST_MOMENTS";
/// How many times; a thousand take about a minute: `OMNIID_TRIES=1000 cargo test --release --test model_files moments`.
const TRIES: &str = "OMNIID_TRIES";

/// What is read of the file.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// Opened with the engine; its layers are read at the first condition.
    Adapter,
    /// The same as a PyTorch file.
    TorchAdapter,
    /// Opened with the engine, read at the first encode.
    Encoder,
    /// The same in shards, of which one changes.
    Shards,
    /// An ONNX file, read as a whole.
    Recogniser,
    Identity,
}

const KINDS: [Kind; 6] = [
    Kind::Adapter,
    Kind::TorchAdapter,
    Kind::Encoder,
    Kind::Shards,
    Kind::Recogniser,
    Kind::Identity,
];

/// Moments that the watched process tells; each is followed by a random pause.
const MOMENTS: [&str; 3] = ["opening", "opened", "encoded"];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Change {
    CutToHeader,
    CutToHalf,
    Zeros,
    ZerosInHalf,
    OtherInPlace,
    OtherRenamed,
    NonsenseRenamed,
    Deleted,
    Grown,
}

const CHANGES: [Change; 9] = [
    Change::CutToHeader,
    Change::CutToHalf,
    Change::Zeros,
    Change::ZerosInHalf,
    Change::OtherInPlace,
    Change::OtherRenamed,
    Change::NonsenseRenamed,
    Change::Deleted,
    Change::Grown,
];

/// Tensors of the same names and shapes with other numbers.
fn other(tensors: &Tensors) -> Tensors {
    let other = tensors
        .iter()
        .map(|(name, tensor)| (name.clone(), (tensor * 0.75).unwrap()));
    other.collect()
}

fn torch(tensors: &Tensors) -> Vec<u8> {
    super::float8::torch_file(tensors, "FloatStorage", None, |tensor| {
        let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    })
}

/// Two versions of the file, and where it lies below the folder.
fn versions(kind: Kind) -> (PathBuf, [Vec<u8>; 2]) {
    let of = |tensors: Tensors, bytes: fn(&Tensors) -> Vec<u8>| [bytes(&tensors), bytes(&other(&tensors))];
    match kind {
        Kind::Adapter => ("file.safetensors".into(), of(adapter(), bytes)),
        Kind::TorchAdapter => ("file.bin".into(), of(adapter(), torch)),
        Kind::Encoder => ("file.safetensors".into(), of(clip(), bytes)),
        Kind::Shards => {
            let folder = tempfile::tempdir().unwrap();
            let name = &super::folders::write_shards(folder.path(), "model", "model.safetensors.index.json", 3)[0];
            let first = std::fs::read(folder.path().join(name)).unwrap();
            let names = Checkpoint::open(first.clone(), &Limits::default()).unwrap();
            let names: Vec<String> = names.names().map(str::to_string).collect();
            let tensors = clip();
            let part = tensors.into_iter().filter(|(name, _)| names.contains(name)).collect();
            (format!("shards/{name}").into(), [first, bytes(&other(&part))])
        }
        Kind::Recogniser => {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity/recogniser");
            let model = |name: &str| std::fs::read(folder.join(name).join("model.onnx")).unwrap();
            ("file.onnx".into(), [model("folded"), model("exported")])
        }
        Kind::Identity => {
            let identity = |adapter: &Tensors| {
                let engine = Engine::open(options(bytes(adapter), bytes(&clip()))).unwrap();
                encoded(&engine).unwrap().to_bytes(Default::default()).unwrap()
            };
            (
                "file.omniid".into(),
                [identity(&adapter()), identity(&other(&adapter()))],
            )
        }
    }
}

/// Uses the file and tells how far it is; all the numbers that come of it.
fn values(kind: Kind, file: &Path, say: &mut dyn FnMut(&str)) -> omniid::Result<Vec<f32>> {
    say("opening");
    let engine = match kind {
        Kind::Adapter | Kind::TorchAdapter => Engine::open(options(file, bytes(&clip())))?,
        Kind::Encoder => Engine::open(options(bytes(&adapter()), file).with_defer_image_encoder(true))?,
        Kind::Shards => {
            let folder = file.parent().unwrap();
            Engine::open(options(bytes(&adapter()), folder).with_defer_image_encoder(true))?
        }
        Kind::Recogniser => {
            let recogniser = FaceRecogniser::open(file, &Limits::default())?;
            say("opened");
            let crop = image::RgbImage::from_fn(112, 112, |x, y| image::Rgb([x as u8, y as u8, (x + y) as u8]));
            let embeddings = recogniser.embed(&[crop])?;
            say("encoded");
            return Ok(embeddings[0].values().to_vec());
        }
        Kind::Identity => {
            let identity = Identity::load(file, &Limits::default())?;
            say("opened");
            say("encoded");
            return Ok(identity.values().to_vec());
        }
    };
    say("opened");
    let identity = encoded(&engine)?;
    say("encoded");
    let conditioning = engine.condition([&identity], &Default::default())?;
    let mut all = identity.values().to_vec();
    for layer in 0..LAYERS.len() {
        for tensor in [
            conditioning.keys(layer, 0, Role::Conditional)?,
            conditioning.values(layer, 0, Role::Conditional)?,
        ] {
            all.extend(tensor.unwrap().to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?);
        }
    }
    Ok(all)
}

fn encoded(engine: &Engine) -> omniid::Result<Identity> {
    let data: Vec<u8> = (0..60 * 60 * 3).map(|i| (i * 37 % 251) as u8).collect();
    let pixels = PixelBuffer::new(data, 60, 60, 0, ChannelOrder::Rgb).unwrap();
    let options = EncodeOptions::default().with_crop(CropMode::None);
    Ok(engine.encode([Photo::from_pixels(pixels)], &options)?.identity)
}

/// A line that is the same only for the same bits.
fn line(outcome: omniid::Result<Vec<f32>>) -> String {
    match outcome {
        Ok(values) => {
            let bits = values.iter().map(|value| u64::from(value.to_bits()));
            let hash = bits.fold(values.len() as u64, |hash, bits| {
                (hash ^ bits).wrapping_mul(0x100_0000_01b3).rotate_left(23)
            });
            format!("result {hash:016x}")
        }
        Err(error) => format!("error {:?} {}", error.kind(), error.message().replace('\n', " ")),
    }
}

/// Not a test of its own: the process that is watched.
#[test]
fn watched_process() {
    let Ok(part) = std::env::var(PART) else {
        return;
    };
    let (kind, file) = part.split_once(' ').unwrap();
    let kind = KINDS[kind.parse::<usize>().unwrap()];
    let mut say = |text: &str| {
        println!("\n{text}");
        std::io::stdout().flush().unwrap();
    };
    let outcome = values(kind, Path::new(file), &mut say);
    say(&line(outcome));
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    use std::io::{Seek, SeekFrom};
    let mut file = OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

fn apply(change: Change, path: &Path, [first, second]: &[Vec<u8>; 2]) {
    let length = first.len();
    let cut = |to: u64| OpenOptions::new().write(true).open(path).unwrap().set_len(to).unwrap();
    let renamed = |content: &[u8]| {
        let new = path.with_extension("new");
        std::fs::write(&new, content).unwrap();
        std::fs::rename(&new, path).unwrap();
    };
    match change {
        Change::CutToHeader => cut(20),
        Change::CutToHalf => cut(length as u64 / 2),
        Change::Zeros => overwrite(path, 0, &vec![0; length]),
        Change::ZerosInHalf => overwrite(path, length as u64 / 2, &vec![0; length - length / 2]),
        Change::OtherInPlace => overwrite(path, 0, second),
        Change::OtherRenamed => renamed(second),
        Change::NonsenseRenamed => renamed(b"not a model"),
        Change::Deleted => std::fs::remove_file(path).unwrap(),
        Change::Grown => OpenOptions::new()
            .append(true)
            .open(path)
            .unwrap()
            .write_all(b"more")
            .unwrap(),
    }
}

/// Whether the outcome says something: a file that somebody damaged before it was opened is not the subject here, nor
/// are shards of two versions, which are two sound files.
fn tells(kind: Kind, moment: usize, change: Change) -> bool {
    let before = moment == 0;
    match change {
        Change::ZerosInHalf => !before,
        // The two files have different lengths.
        Change::OtherInPlace => kind != Kind::Recogniser && !(before && kind == Kind::Shards),
        Change::OtherRenamed => !(before && kind == Kind::Shards),
        _ => true,
    }
}

#[test]
fn a_process_outlives_whatever_happens_to_its_files() {
    let tries = std::env::var(TRIES).map_or(80, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("shards")).unwrap();
    super::folders::write_shards(
        &folder.path().join("shards"),
        "model",
        "model.safetensors.index.json",
        3,
    );
    let files: Vec<_> = KINDS.iter().map(|&kind| versions(kind)).collect();
    let expected: Vec<[String; 2]> = KINDS
        .iter()
        .zip(&files)
        .map(|(&kind, (name, contents))| {
            let path = folder.path().join(name);
            contents.each_ref().map(|content| {
                std::fs::write(&path, content).unwrap();
                let line = line(values(kind, &path, &mut |_| {}));
                assert!(line.starts_with("result"), "{kind:?}: {line}");
                line
            })
        })
        .collect();
    for (place, [first, second]) in expected.iter().enumerate() {
        assert_ne!(first, second, "{:?}", KINDS[place]);
        // Back to the first version.
        std::fs::write(folder.path().join(&files[place].0), &files[place].1[0]).unwrap();
    }
    let mut random = StdRng::seed_from_u64(15);
    let (mut numbers, mut errors) = (0, 0);
    for number in 0..tries {
        let (place, moment, change) = loop {
            let draw = (
                random.random_range(0..KINDS.len()),
                random.random_range(0..MOMENTS.len()),
                CHANGES[random.random_range(0..CHANGES.len())],
            );
            if tells(KINDS[draw.0], draw.1, draw.2) {
                break draw;
            }
        };
        let (name, contents) = &files[place];
        let path = folder.path().join(name);
        let case = format!("try {number}: {:?}, {}, {change:?}", KINDS[place], MOMENTS[moment]);
        // A file that was written just now is waited for: the moment would be missed.
        std::fs::write(&path, &contents[0]).unwrap();
        let aged = std::time::SystemTime::now() - Duration::from_secs(5);
        OpenOptions::new()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(aged)
            .unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "moments::watched_process", "--nocapture"])
            .env(PART, format!("{place} {}", path.display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        while !said.lines().any(|line| line == MOMENTS[moment]) {
            assert_ne!(output.read_line(&mut said).unwrap(), 0, "{case}: {said}");
        }
        let pause = Duration::from_micros(random.random_range(0..3000));
        let begin = Instant::now();
        while begin.elapsed() < pause {
            std::hint::spin_loop();
        }
        apply(change, &path, contents);
        output.read_to_string(&mut said).unwrap();
        let ended = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{case}: {}: {said}{text}", ended.status);
        let outcome = said
            .lines()
            .find(|line| line.starts_with("result") || line.starts_with("error"));
        let outcome = outcome.unwrap_or_else(|| panic!("{case}: {said}"));
        match outcome.starts_with("result") {
            true => numbers += 1,
            false => errors += 1,
        }
        let named = path.file_stem().unwrap().to_str().unwrap();
        assert!(
            expected[place].contains(&outcome.to_string()) || outcome.starts_with("error") && outcome.contains(named),
            "{case}: {outcome}, expected one of {:?} or an error that names the file",
            expected[place]
        );
    }
    println!("{tries} tries: {numbers} with the numbers of one version, {errors} with an error");
    assert!(numbers > 0 && errors > 0);
}
