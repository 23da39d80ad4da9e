//! The generator of pictures, and how it samples.

use super::numbers::{finite, Seed};
use super::{device, ModelArgs};
use crate::failure::{Failure, Outcome};
use crate::remedy;
use omniid::checkpoint::Checkpoint;
use omniid::engine::Source;
use omniid_minihost::{GenerateOptions, Generator, Minihost};
use std::path::PathBuf;

/// The generator of pictures, and the identity model whose identities it draws.
#[derive(clap::Args, Clone)]
pub struct GeneratorArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// The small diffusion host that the identity model's adapter was trained with [default: the one inside the
    /// program, for the identity model inside it].
    #[arg(
        long,
        value_name = "FILE",
        env = "OMNIID_MINIHOST",
        hide_env_values = true,
        help_heading = "Model"
    )]
    pub minihost: Option<PathBuf>,
}

impl GeneratorArgs {
    /// Opens both.
    pub fn open(&self, quiet: bool) -> Outcome<Generator> {
        let (host, _) = self.open_host()?;
        Ok(Generator::new(host, self.model.open(quiet)?)?)
    }

    /// The host, and the fingerprint of its weights.
    pub fn open_host(&self) -> Outcome<(Minihost, String)> {
        let source = match (&self.minihost, &self.model.checkpoint) {
            (Some(path), _) => Source::from(path.as_path()),
            // The built-in host knows nothing of another model's identities.
            (None, Some(_)) => {
                return Err(Failure::usage("no generator for this identity model").with_remedy(remedy::MINIHOST))
            }
            (None, None) => {
                let bytes = omniid_minihost::default_model()
                    .map_err(|error| Failure::usage(error.message()).with_remedy(remedy::MINIHOST))?;
                Source::from(bytes)
            }
        };
        let limits = self.model.limits.limits();
        let dtype = self.model.precision.dtype();
        let host = Minihost::open(&source, dtype, &device(self.model.device)?, &limits)?;
        let file = Checkpoint::open(source, &limits)?;
        Ok((host, file.fingerprint(&[])?))
    }
}

/// How pictures are sampled.
#[derive(clap::Args, Clone)]
#[command(next_help_heading = "Sampling")]
pub struct SamplingArgs {
    /// Steps from noise to picture: more take longer and add detail, true or not.
    #[arg(long, value_name = "N", default_value_t = GenerateOptions::default().steps as u32,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    steps: u32,
    /// How far pictures are pushed towards the person; 1 not at all, at half the time.
    #[arg(long, value_name = "X", default_value_t = GenerateOptions::default().guidance, value_parser = finite::<f64>)]
    guidance: f64,
    /// Seed of the noise that pictures start from; -1 for any, which is printed.
    #[arg(long, value_name = "N", default_value_t = Seed::from(GenerateOptions::default().seed),
          value_parser = Seed::parse)]
    seed: Seed,
    /// Weight of the identity; 1 is what the model was trained with, 0 draws nobody in particular.
    #[arg(long, value_name = "X", default_value_t = GenerateOptions::default().identity_scale,
          value_parser = finite::<f32>)]
    scale: f32,
}

impl SamplingArgs {
    /// The options of a generator.
    pub fn options(&self) -> GenerateOptions {
        GenerateOptions {
            steps: self.steps as usize,
            guidance: self.guidance,
            seed: self.seed.announced(),
            identity_scale: self.scale,
            ..GenerateOptions::default()
        }
    }
}
