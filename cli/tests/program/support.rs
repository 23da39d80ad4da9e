//! A temporary folder with models and photos, and a way to run the program in it.

use candle_core::{DType, Device};
use omniid::encoder::{EncoderConfig, OmniIdConfig, ResamplerConfig};
use omniid::engine::{write_untrained, HostConfig, NativeConfig};
use omniid::face::CropMode;
use omniid::host::{HostSpec, UnetConfig};
use omniid::vit::{VisionConfig, VisionFamily, VisionTransformer};
use omniid::Limits;
use omniid_kernels::layers::{random_tensors, Activation, Initial, TensorSpec};
use omniid_minihost::flow::Prediction;
use omniid_minihost::{Minihost, MinihostConfig, MinihostSizes};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder that goes away with the test.
pub struct Workplace {
    folder: tempfile::TempDir,
}

/// What a run of the program gave.
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Workplace {
    /// A folder with `model.safetensors` (native) and the photos `a.png`, `b.png` and `c.png`.
    pub fn new() -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        write_untrained(&place.path("model.safetensors"), &native(), 3).unwrap();
        for (seed, name) in ["a.png", "b.png", "c.png"].into_iter().enumerate() {
            picture(seed as u32 + 1).save(place.path(name)).unwrap();
        }
        place
    }

    /// Adds `mini.safetensors` and `minihost.safetensors`: an identity model and the generator its adapter is for, with
    /// random weights; pictures of 16 pixels.
    pub fn add_generator(&self) {
        let config = minihost();
        let mut specs = config.tensors().unwrap();
        for spec in &mut specs {
            // Layers that start at zero would hide everything behind them.
            if spec.initial == Initial::Constant(0.0) {
                spec.initial = Initial::Normal(0.1);
            }
        }
        let tensors = random_tensors(&specs, 8).unwrap();
        let pairs = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
        let path = self.path("minihost.safetensors");
        omniid_minihost::file::save(&path, &config, pairs, DType::F32, &Default::default()).unwrap();
        let host = Minihost::open(path.as_path(), DType::F32, &Device::Cpu, &Limits::default()).unwrap();
        let native = NativeConfig {
            host: Some(HostConfig::from(host.host())),
            ..native()
        };
        write_untrained(&self.path("mini.safetensors"), &native, 4).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the program in the folder, without the caller's settings.
    pub fn run(&self, args: &[&str]) -> Run {
        // Wine knows from it how names of files are written.
        let locale = std::env::var_os("LC_ALL").filter(|_| cfg!(windows));
        let output: Output = Command::new(env!("CARGO_BIN_EXE_omniid"))
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .envs(locale.map(|name| ("LC_ALL", name)))
            .output()
            .unwrap();
        Run {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs the program, which must succeed.
    pub fn ok(&self, args: &[&str]) -> String {
        let run = self.run(args);
        assert_eq!(run.code, 0, "{args:?}: {}{}", run.stdout, run.stderr);
        run.stdout
    }

    /// Runs the program, which must print JSON.
    pub fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(args)).unwrap()
    }

    /// Runs the program, which must fail with this code and this text in its message, and leave no new file.
    pub fn fails(&self, args: &[&str], code: i32, text: &str) {
        let before = self.files();
        let run = self.run(args);
        assert_eq!(run.code, code, "{args:?}: {}{}", run.stdout, run.stderr);
        assert!(run.stderr.contains(text), "{args:?}: {}", run.stderr);
        assert_eq!(self.files(), before, "{args:?} left something behind");
    }

    /// Names of all files, hidden ones too.
    pub fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Writes an IP-Adapter Plus and its image encoder in the public format: `plus.safetensors`, `clip/` and
    /// `host.json`.
    pub fn add_public(&self) {
        let (vision, host) = (vision(), host());
        std::fs::create_dir(self.path("clip")).unwrap();
        save(
            &self.path("clip/model.safetensors"),
            &VisionTransformer::tensors(&vision).unwrap(),
        );
        std::fs::write(self.path("clip/config.json"), serde_json::to_string(&vision).unwrap()).unwrap();
        let resampler = EncoderConfig::Resampler(ResamplerConfig {
            feature_width: 32,
            width: 64,
            depth: 2,
            heads: 1,
            head_width: 64,
            inner_width: 256,
            tokens: 4,
            token_width: 20,
        });
        let mut specs = resampler.tensors().unwrap();
        specs
            .iter_mut()
            .for_each(|spec| spec.name = format!("image_proj.{}", spec.name));
        for layer in host.layers() {
            for side in ["to_k_ip", "to_v_ip"] {
                let name = format!("ip_adapter.{}.{side}.weight", layer.key);
                specs.push(TensorSpec::linear(name, layer.inner, layer.context));
            }
        }
        save(&self.path("plus.safetensors"), &specs);
        let json = serde_json::to_string(&HostConfig::from(&host)).unwrap();
        std::fs::write(self.path("host.json"), json).unwrap();
    }
}

fn save(path: &Path, specs: &[TensorSpec]) {
    omniid::checkpoint::write_safetensors(path, &random_tensors(specs, 5).unwrap(), &Default::default()).unwrap();
}

/// A smooth picture that differs with `seed`.
fn picture(seed: u32) -> image::RgbImage {
    image::RgbImage::from_fn(80, 60, |x, y| {
        image::Rgb([0, 1, 2].map(|channel| {
            let wave = ((x * seed + y * 3) as f32 / 11.0 + channel as f32).sin();
            (127.5 + 120.0 * wave) as u8
        }))
    })
}

fn vision() -> VisionConfig {
    VisionConfig {
        family: VisionFamily::Clip,
        hidden_size: 32,
        intermediate_size: 64,
        num_hidden_layers: 3,
        num_attention_heads: 4,
        image_size: 56,
        patch_size: 14,
        hidden_act: Activation::Gelu,
        layer_norm_eps: 1e-5,
        projection_dim: Some(16),
    }
}

/// A UNet with five cross-attention layers.
pub fn host() -> HostSpec {
    HostSpec::unet(&UnetConfig {
        channels: vec![16, 32],
        layers_per_block: vec![1; 2],
        down_depth: vec![0, 1],
        up_depth: vec![1, 0],
        middle_depth: 1,
        heads: vec![2; 2],
        context: 20,
    })
    .unwrap()
}

fn minihost() -> MinihostConfig {
    let sizes = MinihostSizes {
        size: 16,
        block: 2,
        channels: vec![8, 16],
        layers_per_block: 1,
        plain_levels: 0,
        time_width: None,
        transformer_layers_per_block: 1,
        head_width: 4,
        context_width: 12,
        context_tokens: 2,
        ..MinihostSizes::default()
    };
    MinihostConfig::new(&sizes, Prediction::Sample).unwrap()
}

/// The project's assets, or `None`, recorded as a skipped test, when they have no `file`.
pub fn assets(file: &str) -> Option<String> {
    Some(omniid_test_support::assets(file)?.to_str()?.to_string())
}

fn native() -> NativeConfig {
    NativeConfig {
        name: "test".into(),
        backbone: Some(vision()),
        pixels: Default::default(),
        crop: CropMode::None,
        encoder: EncoderConfig::OmniId(OmniIdConfig {
            queries: 6,
            width: 32,
            depth: 2,
            heads: 2,
            head_width: 16,
            feed_forward_multiplier: 2,
            feature_width: 32,
            feature_tokens: 17,
            token_width: 24,
            key_position: true,
            include_class_token: true,
        }),
        recogniser: None,
        parser: None,
        host: Some(HostConfig::from(&host())),
    }
}
