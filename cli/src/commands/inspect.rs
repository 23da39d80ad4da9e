//! `omniid inspect`

use super::encode::FaceLine;
use super::face_network::FaceNetworkFile;
use crate::args::{variants, LimitArgs};
use crate::failure::{kind_name, Failure, Outcome};
use crate::input::{self, Input};
use crate::output::{self, bytes_text};
use crate::photos::Found;
use crate::progress::Bar;
use crate::remedy;
use crate::wildcards::expand;
use omniid::checkpoint::{Checkpoint, CheckpointKind, Container, Description, Variant};
use omniid::convert::EMBEDDINGS_KEY;
use omniid::face::{DetectOptions, FaceDetector};
use omniid::identity::Identity;
use omniid::{Error, ErrorKind};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  omniid inspect ip-adapter-plus-face_sd15.safetensors
  omniid inspect anna.omniid photo.jpg --detector yunet.onnx --json
  omniid inspect ip-adapter-faceid-plusv2_sd15.bin w600k_r50.onnx
  omniid inspect omniid.safetensors --tensors";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Checkpoints (also folders and indices of shards), face networks (also ONNX), identities, embeddings, photos and
    /// folders of photos; - for standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// List every tensor with type and shape.
    #[arg(long)]
    tensors: bool,
    /// Face detector, to say which faces a photo shows: YuNet as .safetensors or .onnx, or a native checkpoint that has
    /// one [default: the one inside the program].
    #[arg(long, value_name = "FILE", env = "OMNIID_DETECTOR", hide_env_values = true)]
    detector: Option<PathBuf>,
    /// Which model a checkpoint is, where published ones have the same tensors: faceid-plus instead of faceid-plus-v2,
    /// faceid-portrait-unnorm instead of instantid.
    #[arg(long, value_name = "VARIANT", value_parser = variants(), hide_possible_values = true)]
    variant: Option<Variant>,
    /// Print JSON: one object per file, in a list.
    #[arg(long)]
    json: bool,
    /// No progress bar.
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    limits: LimitArgs,
}

/// What a file is.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Finding {
    Checkpoint {
        #[serde(flatten)]
        description: Box<Description>,
        #[serde(skip_serializing_if = "Option::is_none")]
        tensor_list: Option<BTreeMap<String, TensorLine>>,
    },
    Identity {
        path: String,
        label: String,
        encoder: String,
        model: String,
        photos: usize,
        tokens: usize,
        width: usize,
        features: usize,
        created: String,
        consent: String,
        norm: f64,
        /// Size of the file.
        bytes: u64,
    },
    Embeddings {
        path: String,
        container: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        model: Option<String>,
        tensors: BTreeMap<String, TensorLine>,
    },
    FaceNetwork {
        path: String,
        #[serde(flatten)]
        network: FaceNetworkFile,
        /// Size of the file.
        bytes: u64,
    },
    Photo {
        path: String,
        format: String,
        width: u32,
        height: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        faces: Option<Vec<FaceLine>>,
        /// Degrees clockwise by which the photo has to be turned for the faces to be upright.
        #[serde(skip_serializing_if = "Option::is_none")]
        rotation: Option<u32>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
    },
    Error {
        path: String,
        kind: &'static str,
        message: String,
    },
}

/// Type and shape of a tensor.
#[derive(Serialize)]
struct TensorLine {
    dtype: String,
    shape: Vec<usize>,
}

pub fn run(args: Args) -> Outcome {
    let limits = args.limits.limits();
    let detector = crate::detector::named_or_built_in(args.detector.as_deref(), &limits);
    let detector = match (detector, &args.detector) {
        (Err(failure), Some(_)) => return Err(failure),
        (found, _) => found.ok(),
    };
    let files = files(&expand(&args.files))?;
    let mut findings = Vec::new();
    let mut errors = Vec::new();
    let bar = Bar::new(args.quiet);
    for (index, path) in files.photos.iter().enumerate() {
        bar.step("looking at files", index, files.photos.len())?;
        let finding = match look(path, detector.as_ref(), &args) {
            Ok(finding) => finding,
            // One bad file does not lose the others.
            Err(failure) if files.photos.len() > 1 => {
                let error = failure.of_input()?;
                errors.push(error.kind());
                Finding::failed(path, &error)
            }
            Err(failure) => return Err(failure),
        };
        bar.pause(|| finding.tell(args.json))?;
        findings.push(finding);
    }
    drop(bar);
    files.passed_over.tell();
    if args.json {
        output::print_json(&findings)?;
    }
    Failure::partial(&errors, findings.len(), "files").map_or(Ok(()), Err)
}

fn look(path: &Path, detector: Option<&FaceDetector>, args: &Args) -> Outcome<Finding> {
    let input = Input::open(path, &args.limits.limits())?;
    match input.is_picture() {
        true => photo(path, input, detector, args),
        false => file(path, input, args),
    }
}

/// The files to look at: those that are named, and the photos of folders that are named. A folder with a model in it is
/// one thing.
fn files(named: &[PathBuf]) -> Outcome<Found> {
    let mut files = Found::default();
    for path in named {
        match path.is_dir() && !has_model(path) {
            true => files.append(crate::photos::collect(std::slice::from_ref(path), false)?),
            false => files.photos.push(path.clone()),
        }
    }
    Ok(files)
}

fn has_model(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| {
        let ending = path.extension().and_then(|ending| ending.to_str());
        matches!(ending, Some("safetensors" | "bin" | "pt" | "pth")) || path.ends_with("config.json")
    })
}

fn photo(path: &Path, input: Input, detector: Option<&FaceDetector>, args: &Args) -> Outcome<Finding> {
    let format = input
        .format()?
        .map_or_else(|| "unknown".to_string(), |format| format.name().to_uppercase());
    let decoded = input.into_photo().decode_with_notes(&args.limits.limits())?;
    let detect = |detector: &FaceDetector| detector.detect_oriented(&decoded.image, &DetectOptions::default());
    let detection = detector.map(detect).transpose()?;
    Ok(Finding::Photo {
        path: input::name(path),
        format,
        width: decoded.full_size.0,
        height: decoded.full_size.1,
        faces: detection.as_ref().map(|detection| {
            let faces = detection.faces.iter().map(|face| decoded.full_face(face));
            faces.map(|face| FaceLine::from(&face)).collect()
        }),
        rotation: detection.as_ref().map(|detection| detection.rotation),
        notes: crate::detector::notes(&decoded, detection.as_ref()),
    })
}

fn file(path: &Path, input: Input, args: &Args) -> Outcome<Finding> {
    let limits = args.limits.limits();
    let bytes = input.byte_count();
    let source = input.into_source();
    let face_network = || {
        let network = FaceNetworkFile::find(path, &source, bytes, &limits)?;
        let path = input::name(path);
        Some(Finding::FaceNetwork { path, network, bytes })
    };
    let checkpoint = match Checkpoint::open(source.clone(), &limits) {
        Ok(checkpoint) => checkpoint,
        // ONNX, which is no checkpoint.
        Err(error) if error.kind() == ErrorKind::Format => return face_network().ok_or(Failure::Library(error)),
        Err(error) => return Err(error.into()),
    };
    let description = checkpoint.describe_as(args.variant)?;
    if description.kind.is_none() && !args.tensors {
        if let Some(network) = face_network() {
            return Ok(network);
        }
    }
    if description.kind == Some(CheckpointKind::Identity) {
        return Ok(identity(path, bytes, &Identity::load(source, &limits)?));
    }
    let line = |name: &str| {
        let info = checkpoint.info(name)?;
        Some((
            name.to_string(),
            TensorLine {
                dtype: format!("{:?}", info.dtype),
                shape: info.shape,
            },
        ))
    };
    if is_embeddings(&checkpoint) {
        return Ok(Finding::Embeddings {
            path: input::name(path),
            container: checkpoint.container().name(),
            model: checkpoint.metadata().get("omniid.model").cloned(),
            tensors: checkpoint.names().filter_map(line).collect(),
        });
    }
    let tensor_list = args.tensors.then(|| checkpoint.names().filter_map(line).collect());
    Ok(Finding::Checkpoint {
        description: Box::new(description),
        tensor_list,
    })
}

/// Whether the file holds image embeddings: ours say so; those from `torch.save` are tensors without a name.
fn is_embeddings(checkpoint: &Checkpoint) -> bool {
    let nameless = |name: &str| name == "tensor" || name.bytes().all(|byte| byte.is_ascii_digit());
    checkpoint.metadata().contains_key(EMBEDDINGS_KEY)
        || (checkpoint.container() == Container::Torch && checkpoint.names().all(nameless))
}

fn identity(path: &Path, bytes: u64, identity: &Identity) -> Finding {
    let provenance = identity.provenance();
    Finding::Identity {
        path: input::name(path),
        label: provenance.label.clone(),
        encoder: identity.kind().name().to_string(),
        model: provenance.model.clone(),
        photos: provenance.photos,
        tokens: identity.token_count(),
        width: identity.width(),
        features: identity.features().len(),
        created: provenance.created.clone(),
        consent: provenance.consent.clone(),
        norm: identity
            .values()
            .iter()
            .map(|value| f64::from(*value).powi(2))
            .sum::<f64>()
            .sqrt(),
        bytes,
    }
}

impl Finding {
    fn failed(path: &Path, error: &Error) -> Self {
        Self::Error {
            path: input::name(path),
            kind: kind_name(error.kind()),
            message: error.message().to_string(),
        }
    }

    /// Prints the text, unless JSON is asked for; errors go to standard error in any case.
    fn tell(&self, json: bool) -> Outcome {
        match self {
            Self::Error { kind, message, .. } => tell!("error[{kind}]: {message}"),
            _ if json => {}
            finding => output::print(finding.text())?,
        }
        Ok(())
    }

    fn text(&self) -> String {
        match self {
            Self::Error { message, .. } => message.clone(),
            Self::Checkpoint {
                description,
                tensor_list,
            } => {
                let mut text = format!("{description}\n");
                for (name, line) in tensor_list.iter().flatten() {
                    text.push_str(&format!("  {name}  {} {:?}\n", line.dtype, line.shape));
                }
                text
            }
            Self::Identity {
                path,
                label,
                encoder,
                model,
                photos,
                tokens,
                width,
                features,
                created,
                consent,
                norm,
                bytes,
            } => {
                let kept = if *features > 0 {
                    "features kept, can be extended"
                } else {
                    "no features kept"
                };
                format!(
                    "{path}: OmniID identity, {}\n  label        {label}\n  encoder      {encoder}\n  \
                     model        {model}\n  tokens       {tokens} of width {width}, norm {norm:.3}\n  \
                     photos       {photos} ({kept})\n  created      {created}\n  consent      {consent}\n",
                    bytes_text(*bytes)
                )
            }
            Self::Embeddings {
                path,
                container,
                model,
                tensors,
            } => {
                let model = model.as_deref().unwrap_or("not said");
                let mut text = format!("{path}: image embeddings, {container}\n  model        {model}\n");
                for (name, line) in tensors {
                    text.push_str(&format!("  {name:<11}  {} {:?}\n", line.dtype, line.shape));
                }
                text
            }
            Self::FaceNetwork { path, network, bytes } => {
                let mut lines = vec![("file", path.clone())];
                lines.extend(network.lines());
                lines.push(("size", bytes_text(*bytes)));
                let lines = lines.iter().map(|(title, text)| format!("{title:<15} {text}\n"));
                lines.chain(["\n".to_string()]).collect()
            }
            Self::Photo {
                path,
                format,
                width,
                height,
                faces,
                notes,
                ..
            } => {
                let mut text = format!("{path}: photo, {format}, {width}×{height} pixels upright\n");
                match faces {
                    Some(faces) => {
                        text.push_str(&format!("  {} face(s), the largest first\n", faces.len()));
                        for face in faces {
                            text.push_str(&format!("  {}\n", face.text()));
                        }
                    }
                    None => text.push_str(&format!(
                        "  faces not looked for: this program has no face detector of its own; {}\n",
                        remedy::DETECTOR
                    )),
                }
                for note in notes {
                    text.push_str(&format!("  {note}\n"));
                }
                text
            }
        }
    }
}
