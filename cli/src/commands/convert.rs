//! `omniid convert`

use crate::args::{first_named, identity_precisions, stored_precisions, LimitArgs, ModelArgs};
use crate::failure::{Failure, Outcome};
use crate::input::{self, Input};
use crate::output::{self, bytes_text, Target};
use crate::progress::{with_bar, Bar};
use omniid::convert::{self, Converted, Embeddings, NativeOptions, Negative, OnnxFiles};
use omniid::engine::{Engine, EngineOptions};
use omniid::identity::Identity;
use omniid::lora::LoraFormat;
use omniid::Precision;
use serde::Serialize;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  omniid convert native -c ip-adapter-plus-face_sd15.safetensors --image-encoder clip-vit-h/model.safetensors \\
      --detector yunet.onnx --dtype bf16 -o plus-face.safetensors
  omniid convert native -c omniid.safetensors --dtype f16 -o omniid-f16.safetensors
  omniid convert full-face -c omniid-sd15.safetensors -o omniid-full-face_sd15.safetensors
  omniid convert lora-kohya -c ip-adapter-faceid-plusv2_sd15.bin -o faceid-plusv2_sd15_lora.safetensors
  omniid convert onnx -o encoder.onnx
  omniid convert onnx -c ip-adapter-plus_sd15.safetensors --image-encoder clip-vit-h/model.safetensors --dtype f16 \
      -o plus.onnx
  omniid convert diffusers anna.omniid -o anna.safetensors
  omniid convert gguf anna.omniid -c omniid-sd15.safetensors -o anna.gguf
  omniid convert comfyui anna.omniid -o anna.ipadpt --negative-output anna-negative.ipadpt";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(clap::Subcommand)]
enum Kind {
    /// A checkpoint with its image encoder and detector to one native Omni-ID file; or another number type.
    Native(NativeArgs),
    /// A native Omni-ID checkpoint's adapter to an IP-Adapter full-face file for diffusers and ComfyUI.
    FullFace(FullFaceArgs),
    /// The LoRA inside an IP-Adapter FaceID to a kohya file, for ComfyUI and WebUI.
    LoraKohya(LoraArgs),
    /// The LoRA inside an IP-Adapter FaceID to a file for load_lora_weights of diffusers.
    LoraDiffusers(LoraArgs),
    /// Image encoder and identity encoder of a checkpoint to one ONNX graph, for hosts that run graphs without OmniID.
    Onnx(OnnxArgs),
    /// Identities to image embeddings for diffusers.
    Diffusers(DiffusersArgs),
    /// Identities to image embeddings (.ipadpt) for ComfyUI.
    Comfyui(ComfyUiArgs),
    /// An identity to tokens in a GGUF file, for hosts on ggml that project keys and values themselves.
    Gguf(GgufArgs),
}

/// Where the result goes and how it is reported.
#[derive(clap::Args)]
struct OutputArgs {
    /// The file to write.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Replace outputs that exist.
    #[arg(long)]
    force: bool,
    /// Print a JSON report instead of text.
    #[arg(long)]
    json: bool,
    /// No progress bar.
    #[arg(short, long)]
    quiet: bool,
}

#[derive(clap::Args)]
struct NativeArgs {
    #[command(flatten)]
    output: OutputArgs,
    /// Number type of the weights [default: as they are]. The detector stays f32.
    #[arg(long, value_name = "TYPE", value_parser = stored_precisions())]
    dtype: Option<Precision>,
    /// A display name, stored in the file.
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    model: ModelArgs,
}

#[derive(clap::Args)]
struct FullFaceArgs {
    #[command(flatten)]
    output: OutputArgs,
    /// Number type of the weights [default: as they are].
    #[arg(long, value_name = "TYPE", value_parser = stored_precisions())]
    dtype: Option<Precision>,
    #[command(flatten)]
    model: ModelArgs,
}

#[derive(clap::Args)]
struct LoraArgs {
    #[command(flatten)]
    output: OutputArgs,
    /// Number type of the weights [default: as they are].
    #[arg(long, value_name = "TYPE", value_parser = stored_precisions())]
    dtype: Option<Precision>,
    #[command(flatten)]
    model: ModelArgs,
}

#[derive(clap::Args)]
struct OnnxArgs {
    #[command(flatten)]
    output: OutputArgs,
    /// Number type in which matrices are stored; the graph computes in f32.
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = identity_precisions())]
    dtype: Precision,
    #[command(flatten)]
    model: ModelArgs,
}

/// Identities for another program.
#[derive(clap::Args)]
struct IdentityArgs {
    /// Identities of one Omni-ID model; several are seen side by side.
    #[arg(required = true, value_name = "IDENTITY")]
    identities: Vec<PathBuf>,
    /// An identity for the unconditional side [default: zero tokens].
    #[arg(long, value_name = "IDENTITY")]
    negative: Option<PathBuf>,
    /// Take the average identity of the model in this native checkpoint for the unconditional side. Models that have
    /// one were trained with it there.
    #[arg(long, value_name = "CHECKPOINT", conflicts_with = "negative")]
    negative_mean: Option<PathBuf>,
    /// Number type in the file.
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = identity_precisions())]
    dtype: Precision,
    #[command(flatten)]
    limits: LimitArgs,
}

#[derive(clap::Args)]
struct DiffusersArgs {
    #[command(flatten)]
    identities: IdentityArgs,
    /// For pipelines that run without guidance: leave the unconditional side out.
    #[arg(long)]
    no_guidance: bool,
    /// The file's form [default: torch if the name ends in .pt, .pth, .bin or .ipadpt, else safetensors].
    #[arg(long)]
    format: Option<FileFormat>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum FileFormat {
    /// Tensor `image_embeds` in a safetensors file.
    Safetensors,
    /// A list with one tensor, as torch.save writes it.
    Torch,
}

#[derive(clap::Args)]
struct ComfyUiArgs {
    #[command(flatten)]
    identities: IdentityArgs,
    /// The file for neg_embed, which the node needs too [default: OUTPUT with "-negative" in its name].
    #[arg(long, value_name = "FILE")]
    negative_output: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(clap::Args)]
struct GgufArgs {
    /// An identity of the checkpoint's model.
    #[arg(value_name = "IDENTITY")]
    identity: PathBuf,
    /// An identity for the unconditional side [default: what the checkpoint's own code takes].
    #[arg(long, value_name = "IDENTITY")]
    negative: Option<PathBuf>,
    /// Number type in the file.
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = identity_precisions())]
    dtype: Precision,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    model: ModelArgs,
}

pub fn run(args: Args) -> Outcome {
    match args.kind {
        Kind::Native(args) => native(args),
        Kind::FullFace(args) => full_face(args),
        Kind::LoraKohya(args) => lora(args, LoraFormat::Kohya),
        Kind::LoraDiffusers(args) => lora(args, LoraFormat::Diffusers),
        Kind::Onnx(args) => onnx(args),
        Kind::Diffusers(args) => diffusers(args),
        Kind::Comfyui(args) => comfyui(args),
        Kind::Gguf(args) => gguf(args),
    }
}

/// What a conversion of a checkpoint reports.
#[derive(Serialize)]
struct CheckpointReport {
    output: String,
    model: String,
    tensors: usize,
    bytes: u64,
    adapter: bool,
    detector: bool,
    recogniser: bool,
    lora: bool,
}

/// A file to write; the formats are not for standard output.
fn target(path: &Path, force: bool, json: bool) -> Outcome<Target> {
    output::no_standard_output(path)?;
    Target::new(path, force, json)
}

impl OutputArgs {
    fn check(&self) -> Outcome<Target> {
        target(&self.output, self.force, self.json)
    }

    fn report(&self, done: Converted) -> Outcome {
        let report = CheckpointReport {
            output: self.output.display().to_string(),
            model: done.fingerprint,
            tensors: done.tensors,
            bytes: done.bytes,
            adapter: done.adapter,
            detector: done.detector,
            recogniser: done.recogniser,
            lora: done.lora,
        };
        if self.json {
            return output::print_json(&report);
        }
        let part = |there| if there { "with" } else { "without" };
        let more = |there, what: &str| if there { format!(", with {what}") } else { String::new() };
        output::print(format!(
            "{}: {} tensors, {}, model {}, {} adapter, {} detector{}{}",
            report.output,
            report.tensors,
            bytes_text(report.bytes),
            report.model,
            part(report.adapter),
            part(report.detector),
            more(report.recogniser, "face recogniser"),
            more(report.lora, "LoRA that the host has to apply")
        ))
    }
}

/// Fails for options on the command line that a conversion to `target` does not read.
fn refuse(options: &[&str], target: &str) -> Outcome {
    match first_named(options) {
        Some(option) => Err(Failure::usage(format!(
            "{option} has no effect: a conversion to {target} computes nothing and takes nothing from there"
        ))),
        None => Ok(()),
    }
}

fn native(args: NativeArgs) -> Outcome {
    refuse(&["--device", "--precision"], "a native file")?;
    let _target = args.output.check()?;
    let source = args.model.engine_options()?;
    let options = NativeOptions::default().with_name(args.name).with_precision(args.dtype);
    let target = &args.output.output;
    let done = with_bar(args.output.quiet, |progress| {
        convert::to_native_with_progress(&source, &options, target, progress)
    })?;
    args.output.report(done)
}

fn full_face(args: FullFaceArgs) -> Outcome {
    refuse(&["--device", "--precision", "--detector"], "a full-face file")?;
    let _target = args.output.check()?;
    let source = args.model.engine_options()?;
    let target = &args.output.output;
    let done = with_bar(args.output.quiet, |progress| {
        convert::to_full_face_with_progress(&source, args.dtype, target, progress)
    })?;
    args.output.report(done)
}

fn lora(args: LoraArgs, format: LoraFormat) -> Outcome {
    let unread = [
        "--device",
        "--precision",
        "--detector",
        "--image-encoder",
        "--face-recogniser",
        "--face-parser",
        "--variant",
    ];
    refuse(&unread, "a LoRA file")?;
    let _target = args.output.check()?;
    let source = args.model.engine_options()?;
    let target = &args.output.output;
    let done = with_bar(args.output.quiet, |progress| {
        convert::to_lora_with_progress(&source, format, args.dtype, target, progress)
    })?;
    let report = LoraReport {
        output: target.display().to_string(),
        format: format.name(),
        tensors: done.tensors,
        bytes: done.bytes,
    };
    if args.output.json {
        return output::print_json(&report);
    }
    output::print(format!(
        "{}: LoRA of {} tensors in {} names, {}; the host loads it at strength 1",
        report.output,
        report.tensors,
        report.format,
        bytes_text(report.bytes)
    ))
}

/// What a conversion of a LoRA reports.
#[derive(Serialize)]
struct LoraReport {
    output: String,
    format: &'static str,
    tensors: usize,
    bytes: u64,
}

/// What a conversion to ONNX reports.
#[derive(Serialize)]
struct OnnxReport {
    output: String,
    description: String,
    data: Option<String>,
    model: String,
    tensors: usize,
    bytes: u64,
}

fn onnx(args: OnnxArgs) -> Outcome {
    let unread = [
        "--device",
        "--precision",
        "--detector",
        "--face-recogniser",
        "--face-parser",
    ];
    refuse(&unread, "an ONNX graph")?;
    let _target = args.output.check()?;
    let files = OnnxFiles::of(&args.output.output);
    let beside = |path: &Path| target(path, args.output.force, args.output.json);
    let _beside = (beside(&files.description)?, beside(&files.data)?);
    let source = args.model.engine_options()?;
    let done = with_bar(args.output.quiet, |progress| {
        convert::to_onnx_with_progress(&source, args.dtype, &files.graph, progress)
    })?;
    let name = |path: &Path| path.display().to_string();
    let report = OnnxReport {
        output: name(&files.graph),
        description: name(&files.description),
        data: done.has_data.then(|| name(&files.data)),
        model: done.fingerprint,
        tensors: done.tensors,
        bytes: done.bytes,
    };
    if args.output.json {
        return output::print_json(&report);
    }
    let weights = report
        .data
        .map_or_else(String::new, |data| format!(", weights in {data}"));
    output::print(format!(
        "{}: {} tensors, {}, model {}{weights}\n{} says how photos are prepared",
        report.output,
        report.tensors,
        bytes_text(report.bytes),
        report.model,
        report.description
    ))
}

impl IdentityArgs {
    fn embeddings(&self) -> Outcome<Embeddings> {
        let limits = self.limits.limits();
        let load = |path: &PathBuf| -> Outcome<Identity> {
            Ok(Identity::load(Input::open(path, &limits)?.into_source(), &limits)?)
        };
        let identities = self.identities.iter().map(load).collect::<Outcome<Vec<_>>>()?;
        let negative = match (&self.negative, &self.negative_mean) {
            (Some(path), _) => Some(load(path)?),
            (None, Some(path)) => {
                let options = EngineOptions::new(path.as_path()).with_limits(limits);
                Some(convert::mean_identity(&options).map_err(|error| error.context(path.display()))?)
            }
            (None, None) => None,
        };
        // One by one first, so that the message has the file's name.
        for (path, identity) in self.identities.iter().zip(&identities) {
            Embeddings::new(&[&identities[0], identity], Negative::ZeroTokens)
                .map_err(|error| error.context(input::name(path)))?;
        }
        let side = negative.as_ref().map_or(Negative::ZeroTokens, Negative::Identity);
        Ok(Embeddings::new(&identities.iter().collect::<Vec<_>>(), side)?)
    }
}

/// What a conversion of identities reports.
#[derive(Serialize)]
struct EmbeddingsReport {
    outputs: Vec<String>,
    shape: Vec<usize>,
}

fn report_embeddings(outputs: &[&Path], shape: Vec<usize>, json: bool, hint: &str) -> Outcome {
    let outputs = outputs.iter().map(|path| path.display().to_string()).collect();
    let report = EmbeddingsReport { outputs, shape };
    if json {
        return output::print_json(&report);
    }
    output::print(format!("{}: {:?}\n{hint}", report.outputs.join(", "), report.shape))
}

fn diffusers(args: DiffusersArgs) -> Outcome {
    let _target = args.output.check()?;
    let _busy = Bar::busy(args.output.quiet, "reading identities");
    let embeddings = args.identities.embeddings()?;
    let (target, precision, guidance) = (&args.output.output, args.identities.dtype, !args.no_guidance);
    let ending = target.extension().and_then(|ending| ending.to_str()).unwrap_or("");
    let torch = match args.format {
        Some(format) => format == FileFormat::Torch,
        None => ["pt", "pth", "bin", "ipadpt"].contains(&ending),
    };
    let hint = if torch {
        embeddings.save_diffusers_torch(target, guidance, precision)?;
        "In Python: pipeline(…, ip_adapter_image_embeds=torch.load(path))"
    } else {
        embeddings.save_diffusers(target, guidance, precision)?;
        "In Python: pipeline(…, ip_adapter_image_embeds=[safetensors.torch.load_file(path)[\"image_embeds\"]])"
    };
    report_embeddings(&[target], embeddings.diffusers(guidance).shape, args.output.json, hint)
}

fn comfyui(args: ComfyUiArgs) -> Outcome {
    let target = &args.output.output;
    let negative = args.negative_output.unwrap_or_else(|| negative_beside(target));
    if negative == *target {
        return Err(Failure::usage(format!(
            "--output and --negative-output are both {}",
            target.display()
        )));
    }
    let _target = args.output.check()?;
    let _negative_target = self::target(&negative, args.output.force, args.output.json)?;
    let _busy = Bar::busy(args.output.quiet, "reading identities");
    let embeddings = args.identities.embeddings()?;
    embeddings.save_comfyui(target, &negative, args.identities.dtype)?;
    let [tensor, _] = embeddings.comfyui();
    report_embeddings(
        &[target, &negative],
        tensor.shape,
        args.output.json,
        "In ComfyUI: two \"IPAdapter Load Embeds\" nodes, to pos_embed and neg_embed of \"IPAdapter Embeds\"",
    )
}

/// What a conversion to GGUF reports.
#[derive(Serialize)]
struct GgufReport {
    output: String,
    shape: [usize; 2],
    bytes: u64,
}

fn gguf(args: GgufArgs) -> Outcome {
    refuse(&["--detector"], "a GGUF file")?;
    let _target = args.output.check()?;
    let _busy = Bar::busy(args.output.quiet, "reading the model");
    let options = args.model.engine_options()?;
    let limits = options.limits;
    let load = |path: &PathBuf| -> Outcome<Identity> {
        Ok(Identity::load(Input::open(path, &limits)?.into_source(), &limits)?)
    };
    let (identity, negative) = (load(&args.identity)?, args.negative.as_ref().map(load).transpose()?);
    let engine = Engine::open(options)?;
    let target = &args.output.output;
    let done = convert::to_gguf(&engine, &identity, negative.as_ref(), args.dtype, target)?;
    let report = GgufReport {
        output: target.display().to_string(),
        shape: [done.tokens, done.width],
        bytes: done.bytes,
    };
    if args.output.json {
        return output::print_json(&report);
    }
    output::print(format!(
        "{}: {} and {}, {:?} each, {}",
        report.output,
        convert::GGUF_TOKENS,
        convert::GGUF_UNCONDITIONAL_TOKENS,
        report.shape,
        bytes_text(report.bytes)
    ))
}

/// `anna.ipadpt` to `anna-negative.ipadpt`.
fn negative_beside(path: &Path) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_os_string();
    name.push("-negative");
    if let Some(ending) = path.extension() {
        name.push(".");
        name.push(ending);
    }
    path.with_file_name(name)
}
