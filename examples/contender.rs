//! OmniID's contender in the comparison with its peers; started by `benches/peers/compare.py`.
//!
//! `encode`, `inject`, `embed` and `pulid` prepare, print a JSON line, then compute one round for each line of standard input and
//! answer with the seconds it took. `peak` measures the fused multiply-add rate of the machine.

#[path = "../kernels/benches/peak/mod.rs"]
mod peak;

use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use omniid::adapter::{Adapter, AdapterLayer, Linear};
use omniid::candle_nn::VarBuilder;
use omniid::conditioning::{Conditioning, ConditioningOptions, IdentityInput, Role};
use omniid::encoder::{Encoder, EncoderConfig, Features, IdFormerConfig};
use omniid::engine::{EncodeOptions, Engine, EngineOptions, Strangers};
use omniid::host::{HostLayer, HostSpec};
use omniid::image::{Rgb, RgbImage};
use omniid::inject::{InjectCall, Scalar, TensorView, TensorViewMut};
use omniid::photo::Photo;
use omniid::recogniser::FaceRecogniser;
use omniid::vit::{VisionConfig, VisionTransformer};
use omniid::Limits;
use omniid_kernels::layers::{random_tensors, TensorSpec};
use std::collections::BTreeMap;
use std::error::Error;
use std::io::BufRead;
use std::path::PathBuf;
use std::sync::Barrier;
use std::time::Instant;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> Outcome {
    let mut arguments = std::env::args().skip(1);
    let task = arguments
        .next()
        .ok_or("usage: contender encode|inject|embed|pulid|peak [options]")?;
    let options = Options::parse(arguments)?;
    if let Some(threads) = options.one("threads") {
        // Before the first computation: the worker pool is made then.
        std::env::set_var("OMNIID_THREADS", threads);
    }
    match task.as_str() {
        "encode" => encode(&options),
        "inject" => inject(&options),
        "embed" => embed(&options),
        "pulid" => pulid(),
        "peak" => peak(&options),
        other => Err(format!("unknown task {other:?}").into()),
    }
}

/// `--name value…` pairs.
struct Options(BTreeMap<String, Vec<String>>);

impl Options {
    fn parse(arguments: impl Iterator<Item = String>) -> Outcome<Self> {
        let mut options = BTreeMap::<String, Vec<String>>::new();
        let mut name = String::new();
        for argument in arguments {
            match argument.strip_prefix("--") {
                Some(new) => {
                    name = new.to_string();
                    options.entry(name.clone()).or_default();
                }
                None => options.get_mut(&name).ok_or("expected an option first")?.push(argument),
            }
        }
        Ok(Self(options))
    }

    fn one(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.first().map(String::as_str)
    }

    fn need(&self, name: &str) -> Outcome<&str> {
        self.one(name).ok_or_else(|| format!("--{name} is missing").into())
    }
}

/// Warms up, then runs one round per line of standard input.
fn serve(mut round: impl FnMut() -> Outcome) -> Outcome {
    round()?;
    println!("{{\"ready\": true}}");
    for line in std::io::stdin().lock().lines() {
        line?;
        let start = Instant::now();
        round()?;
        let seconds = start.elapsed().as_secs_f64();
        println!("{{\"seconds\": {seconds}, \"peak_bytes\": {}}}", peak_resident_bytes());
    }
    Ok(())
}

/// Largest resident memory of this process so far; 0 where the system does not tell.
fn peak_resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kilobytes.map_or(0, |kilobytes| kilobytes * 1024)
}

fn encode(options: &Options) -> Outcome {
    let mut engine_options = EngineOptions::new(PathBuf::from(options.need("checkpoint")?));
    engine_options.precision = options.need("precision")?.parse()?;
    let engine = Engine::open(engine_options)?;
    let paths: Vec<PathBuf> = options
        .0
        .get("photos")
        .into_iter()
        .flatten()
        .map(PathBuf::from)
        .collect();
    let photos: Vec<Photo<'_>> = paths.iter().map(|path| Photo::from(path.as_path())).collect();
    // The peers do not look whether the photos show one person.
    let encode = || engine.encode(&photos, &EncodeOptions::default().with_strangers(Strangers::Ignore));
    if let Some(path) = options.one("save") {
        let identity = encode()?.identity;
        let shape = (identity.token_count(), identity.width());
        let tokens = Tensor::from_slice(identity.values(), shape, &Device::Cpu)?;
        omniid::checkpoint::write_safetensors(path.as_ref(), &[("tokens".into(), tokens)], &BTreeMap::new())?;
    }
    serve(|| {
        encode()?;
        Ok(())
    })
}

/// One face per round through a face recognition network.
fn embed(options: &Options) -> Outcome {
    let recogniser = FaceRecogniser::open(options.need("weights")?, &Limits::default())?;
    let side = recogniser.size();
    let crops = [RgbImage::from_fn(side, side, |x, y| {
        Rgb([x as u8, y as u8, (x * y) as u8])
    })];
    serve(|| {
        recogniser.embed(&crops)?;
        Ok(())
    })
}

/// One photo per round through EVA02-CLIP-L/14-336 and IDFormer at their published sizes, random weights.
fn pulid() -> Outcome {
    let device = Device::Cpu;
    let (vision, former) = (VisionConfig::eva02_clip_l14_336(), IdFormerConfig::published());
    let former = EncoderConfig::IdFormer(former);
    let random = |specs: Vec<TensorSpec>| -> Outcome<VarBuilder<'static>> {
        let tensors = random_tensors(&specs, 1)?.into_iter().collect();
        Ok(VarBuilder::from_tensors(tensors, DType::F32, &device))
    };
    let model = VisionTransformer::load(&vision, random(VisionTransformer::tensors(&vision)?)?)?;
    let encoder = Encoder::load(&former, random(former.tensors()?)?)?;
    let pixels = Tensor::ones((1, 3, 336, 336), DType::F32, &device)?;
    let face = Tensor::ones(512, DType::F32, &device)?;
    serve(|| {
        let (levels, class) = model.levels_and_embeds(&pixels, &[4, 8, 12, 16, 20])?;
        let photo = Features {
            image: Some(Tensor::cat(&levels, 1)?.squeeze(0)?),
            embedding: Some(Tensor::cat(&[&face, &class.squeeze(0)?], 0)?),
            ..Features::default()
        };
        encoder.encode(&[photo])?;
        Ok(())
    })
}

/// Queries and outputs of one layer in the host's number type.
struct Buffers<T>(Vec<T>, Vec<T>);

impl<T: Scalar> Buffers<T> {
    fn new(size: usize) -> Self {
        let query = (0..size).map(|index| T::narrow((index as f32).sin()));
        Self(query.collect(), vec![T::narrow(0.0); size])
    }

    fn views(&mut self, shape: [usize; 3]) -> omniid::Result<(TensorView<'_>, TensorViewMut<'_>)> {
        Ok((
            TensorView::contiguous(&self.0, shape)?,
            TensorViewMut::contiguous(&mut self.1, shape)?,
        ))
    }
}

/// The host's layer table and the number of latent tokens in each layer.
fn host(options: &Options) -> Outcome<(HostSpec, Vec<usize>)> {
    let table: serde_json::Value = serde_json::from_str(options.need("layers")?)?;
    let (mut layers, mut rows) = (Vec::new(), Vec::new());
    for (index, layer) in table.as_array().ok_or("--layers is no list")?.iter().enumerate() {
        let number = |key: &str| {
            layer[key]
                .as_u64()
                .map(|value| value as usize)
                .ok_or("a layer lacks a number")
        };
        let (inner, heads) = (number("inner")?, number("heads")?);
        layers.push(HostLayer::new(
            format!("layer {index}"),
            heads,
            inner / heads,
            number("context")?,
        ));
        rows.push(number("rows")?);
    }
    Ok((HostSpec::custom("benchmark", layers)?, rows))
}

/// 256 random tokens, projected for every layer of the host, for both sides of guidance.
fn conditioning(host: &HostSpec, dtype: DType) -> Outcome<Conditioning> {
    const TOKENS: usize = 256;
    let tokens = Tensor::randn(0f32, 1.0, (TOKENS, host.layers()[0].context), &Device::Cpu)?;
    let projections = host
        .layers()
        .iter()
        .map(|layer| {
            let weight = Tensor::randn(0f32, 0.03, (layer.inner, layer.context), &Device::Cpu)?;
            Ok(AdapterLayer::new(
                Linear::stored(weight.clone(), None)?,
                Linear::stored(weight, None)?,
            ))
        })
        .collect::<Outcome<Vec<_>>>()?;
    let input = IdentityInput::new(&tokens).with_unconditional(&tokens);
    let options = ConditioningOptions::default().with_dtype(dtype);
    let adapter = Adapter::new(None, projections);
    Ok(Conditioning::new(&adapter, host, &[input], &options)?)
}

fn inject(options: &Options) -> Outcome {
    match options.need("precision")? {
        "f32" => inject_in::<f32>(options),
        "f16" => inject_in::<f16>(options),
        "bf16" => inject_in::<bf16>(options),
        other => Err(format!("unknown precision {other:?}").into()),
    }
}

/// The identity part of one denoising step per round.
fn inject_in<T: Scalar>(options: &Options) -> Outcome {
    const ROLES: [Role; 2] = [Role::Unconditional, Role::Conditional];
    let (host, rows) = host(options)?;
    let conditioning = conditioning(&host, T::ELEMENT.into())?;
    let sizes = host
        .layers()
        .iter()
        .zip(&rows)
        .map(|(layer, rows)| ROLES.len() * rows * layer.inner);
    let mut buffers: Vec<Buffers<T>> = sizes.map(Buffers::new).collect();
    serve(|| {
        for (index, (buffer, layer)) in buffers.iter_mut().zip(host.layers()).enumerate() {
            let (query, output) = buffer.views([ROLES.len(), rows[index], layer.inner])?;
            conditioning.inject(InjectCall::new(index, query, output).with_roles(&ROLES))?;
        }
        Ok(())
    })
}

/// Multiply-adds per second that all threads reach together on registers alone, best of several rounds.
fn peak(options: &Options) -> Outcome {
    const ROUNDS: u64 = 10_000_000;
    let threads: usize = options.one("threads").unwrap_or("1").parse()?;
    // A round starts when every thread is there: tasks of a pool could all be taken by the thread that is awake.
    let barrier = Barrier::new(threads);
    let measure = || {
        let mut best = f64::INFINITY;
        for _ in 0..10 {
            barrier.wait();
            let start = Instant::now();
            peak::peak(ROUNDS);
            barrier.wait();
            best = best.min(start.elapsed().as_secs_f64());
        }
        best
    };
    let seconds = std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(measure);
        }
        measure()
    });
    let gflops = peak::operations(ROUNDS) as f64 * threads as f64 / seconds / 1e9;
    println!("{{\"gflops\": {gflops}}}");
    Ok(())
}
