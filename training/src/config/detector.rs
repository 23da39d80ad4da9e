//! The description of a detector's training.

use super::{
    first_difference, need, AverageConfig, Configuration, OptimiserConfig, Plan, Precision, ReportConfig,
    ScheduleConfig,
};
use omniid::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The configuration that a detector is trained with from a random start.
pub const DETECTOR_PRESET: &str = include_str!("../../presets/detector.toml");

/// The presets by name: from a random start, and the run that continues from the detector of a model's file.
const PRESETS: [(&str, &str); 2] = [
    ("detector", DETECTOR_PRESET),
    (
        "detector-lifelike",
        include_str!("../../presets/detector-lifelike.toml"),
    ),
];

/// The whole description of a detector's training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectorConfig {
    /// A name, for display only.
    pub name: String,
    /// Seed of weights, heads and scenes. The same seed gives the same weights on the CPU.
    #[serde(default)]
    pub seed: u64,
    /// Optimiser steps of the whole run.
    pub steps: u64,
    /// Training state or detector file whose tensors of equal name and shape replace the random start. A detector for
    /// use, also one in a native checkpoint, starts a training that does at first what it did. Relative to the current
    /// folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<PathBuf>,
    /// What the pictures show.
    #[serde(default)]
    pub scenes: SceneConfig,
    /// AdamW.
    #[serde(default)]
    pub optimiser: OptimiserConfig,
    /// Learning rate over time.
    #[serde(default)]
    pub schedule: ScheduleConfig,
    /// Moving average of the weights.
    #[serde(default)]
    pub average: AverageConfig,
    /// Judging on people who are not trained on.
    #[serde(default)]
    pub evaluation: DetectorEvaluationConfig,
    /// How often something is written.
    #[serde(default)]
    pub report: ReportConfig,
}

/// What the pictures show. All fractions are probabilities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SceneConfig {
    /// Rendered heads that scenes are put together from.
    pub heads: usize,
    /// Photos of each person among them.
    pub photos_per_person: usize,
    /// People of the style [`Lifelike`](crate::render::Style::Lifelike); the others are classic.
    pub lifelike: f32,
    /// Side of a rendered head's picture, pixels.
    pub head_size: u32,
    /// Sides of pictures, pixels, multiples of 32. Every step draws one for all its pictures.
    pub sides: Vec<usize>,
    /// Pixels of a step: it has as many pictures as have at most so many, and at least one.
    pub pixels: usize,
    /// Longer side of the smallest face, pixels. Sizes are uniform in their logarithm.
    pub smallest: f32,
    /// Most people in a picture.
    pub most_people: usize,
    /// Pictures without any person.
    pub empty: f32,
    /// Pictures that one face fills, mostly grey, often in front of a plain wall and enlarged from few pixels. The keys
    /// below hold for them, too, except `cropped` and `grey`.
    pub portraits: f32,
    /// Standard deviation of the rotation in the picture's plane, radians.
    pub rotation: f32,
    /// Faces whose rotation is uniform up to `most_rotation` instead.
    pub rotated: f32,
    /// Largest rotation, radians.
    pub most_rotation: f32,
    /// Faces that something covers in part.
    pub occluded: f32,
    /// Faces that the picture's border may cut.
    pub cropped: f32,
    /// Pictures with a border of one colour, as scans have it.
    pub framed: f32,
    /// Grey pictures.
    pub grey: f32,
    /// Blurred pictures.
    pub blurred: f32,
    /// Pictures with noise.
    pub noisy: f32,
    /// Pictures that went through JPEG.
    pub jpeg: f32,
}

impl Default for SceneConfig {
    fn default() -> Self {
        Self {
            heads: 2000,
            photos_per_person: 3,
            lifelike: 0.0,
            head_size: 256,
            sides: vec![128, 192, 320],
            pixels: 16 * 160 * 160,
            smallest: 10.0,
            most_people: 6,
            empty: 0.1,
            portraits: 0.0,
            rotation: 0.2,
            rotated: 0.15,
            most_rotation: 1.05,
            occluded: 0.2,
            cropped: 0.3,
            framed: 0.12,
            grey: 0.35,
            blurred: 0.4,
            noisy: 0.4,
            jpeg: 0.3,
        }
    }
}

impl SceneConfig {
    fn validate(&self) -> Result<()> {
        for (name, value) in [
            ("heads", self.heads),
            ("photos_per_person", self.photos_per_person),
            ("most_people", self.most_people),
        ] {
            need((1..=1 << 16).contains(&value), name, value, "1 to 65536")?;
        }
        need(
            (32..=1024).contains(&self.head_size),
            "head_size",
            self.head_size,
            "32 to 1024",
        )?;
        need(!self.sides.is_empty(), "sides", "empty", "at least one number")?;
        for &side in &self.sides {
            need(
                (64..=1024).contains(&side) && side.is_multiple_of(32),
                "sides",
                side,
                "a multiple of 32 from 64 to 1024",
            )?;
        }
        need(
            (1..=1 << 26).contains(&self.pixels),
            "pixels",
            self.pixels,
            "1 to 67108864",
        )?;
        need(
            (4.0..=64.0).contains(&self.smallest),
            "smallest",
            self.smallest,
            "4 to 64",
        )?;
        for (name, value) in [
            ("lifelike", self.lifelike),
            ("empty", self.empty),
            ("portraits", self.portraits),
            ("rotated", self.rotated),
            ("occluded", self.occluded),
            ("cropped", self.cropped),
            ("framed", self.framed),
            ("grey", self.grey),
            ("blurred", self.blurred),
            ("noisy", self.noisy),
            ("jpeg", self.jpeg),
        ] {
            need((0.0..=1.0).contains(&value), name, value, "0 to 1")?;
        }
        for (name, value) in [("rotation", self.rotation), ("most_rotation", self.most_rotation)] {
            need((0.0..=3.2).contains(&value), name, value, "0 to 3.2")?;
        }
        Ok(())
    }
}

/// Judging on people who are not trained on, always on the same pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DetectorEvaluationConfig {
    /// Steps between evaluations; 0 evaluates at the end only.
    pub every: u64,
    /// Heads of the people judged on; they are nobody in training.
    pub heads: usize,
    /// Pictures judged on.
    pub pictures: usize,
    /// Their side, pixels.
    pub side: usize,
}

impl Default for DetectorEvaluationConfig {
    fn default() -> Self {
        Self {
            every: 500,
            heads: 120,
            pictures: 100,
            side: 320,
        }
    }
}

impl DetectorEvaluationConfig {
    fn validate(&self) -> Result<()> {
        for (name, value) in [("heads", self.heads), ("pictures", self.pictures)] {
            need((1..=1 << 16).contains(&value), name, value, "1 to 65536")?;
        }
        need(
            (64..=2048).contains(&self.side) && self.side.is_multiple_of(32),
            "side",
            self.side,
            "a multiple of 32 from 64 to 2048",
        )
    }
}

impl DetectorConfig {
    /// Reads a configuration.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](omniid::ErrorKind::Format) naming the value that is unknown, missing or impossible.
    pub fn from_toml(text: &str) -> Result<Self> {
        let config: Self =
            toml::from_str(text).map_err(|error| Error::format(format!("detector configuration: {error}")))?;
        config
            .validate()
            .map_err(|error| error.context("detector configuration"))?;
        Ok(config)
    }

    /// Reads the configuration file at `path`; if there is no such file and `path` is `detector` or
    /// `detector-lifelike`, the preset.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](omniid::ErrorKind::Io) when the file cannot be read; otherwise as
    /// [`DetectorConfig::from_toml`].
    pub fn open(path: &Path) -> Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::from_toml(&text).map_err(|error| error.context(path.display())),
            Err(error) => match PRESETS.iter().find(|(name, _)| path == Path::new(name)) {
                Some((_, text)) => Self::from_toml(text),
                None => Err(Error::io(path, error)
                    .context("no configuration file and neither of the presets detector, detector-lifelike")),
            },
        }
    }

    /// The configuration as TOML, with every value written out.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](omniid::ErrorKind::Internal) if it cannot be written.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|error| Error::internal(format!("detector configuration: {error}")))
    }

    /// Checks every section.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](omniid::ErrorKind::Format) naming section and value.
    pub fn validate(&self) -> Result<()> {
        need(self.steps > 0, "steps", self.steps, "at least 1")?;
        let section = |name: &'static str| move |error: Error| error.context(name);
        self.scenes.validate().map_err(section("[scenes]"))?;
        self.optimiser.validate().map_err(section("[optimiser]"))?;
        self.schedule.validate().map_err(section("[schedule]"))?;
        self.average.validate().map_err(section("[average]"))?;
        self.evaluation.validate().map_err(section("[evaluation]"))?;
        self.report.validate().map_err(section("[report]"))
    }
}

impl Configuration for DetectorConfig {
    fn plan(&self) -> Result<Plan> {
        Ok(Plan {
            seed: self.seed,
            steps: self.steps,
            precision: Precision::F32,
            optimiser: self.optimiser.clone(),
            schedule: self.schedule.clone(),
            average: self.average.clone(),
            evaluate_every: self.evaluation.every,
            report: self.report.clone(),
            text: self.to_toml()?,
        })
    }

    fn parse(text: &str) -> Result<Self> {
        Self::from_toml(text)
    }

    fn difference_to(&self, other: &Self) -> Option<String> {
        let value = |config: &Self| {
            let neutral = Self {
                name: String::new(),
                report: ReportConfig::default(),
                evaluation: DetectorEvaluationConfig::default(),
                ..config.clone()
            };
            serde_json::to_value(neutral).unwrap_or_default()
        };
        first_difference("", &value(self), &value(other))
    }

    fn start(&self) -> &[PathBuf] {
        self.start.as_slice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use omniid::ErrorKind;

    #[test]
    fn the_preset_is_sound_and_survives_writing() -> Result<()> {
        let config = DetectorConfig::from_toml(DETECTOR_PRESET)?;
        assert_eq!(DetectorConfig::from_toml(&config.to_toml()?)?, config);
        assert_eq!(DetectorConfig::open(Path::new("detector"))?, config);
        assert_eq!((config.scenes.lifelike, config.scenes.portraits), (0.0, 0.0));
        let further = DetectorConfig::open(Path::new("detector-lifelike"))?;
        assert_eq!(DetectorConfig::from_toml(&further.to_toml()?)?, further);
        assert!(further.start.is_some() && further.scenes.lifelike > 0.0 && further.scenes.portraits > 0.0);
        let error = DetectorConfig::open(Path::new("detektor")).expect_err("neither a file nor a preset");
        assert!(error.message().contains("detector, detector-lifelike"), "{error}");
        Ok(())
    }

    #[test]
    fn errors_name_the_value() {
        for (text, named) in [
            ("[scenes]\nhed_size = 4\n", "hed_size"),
            ("[scenes]\nsides = [100]\n", "[scenes]: sides is 100"),
            ("[scenes]\ngrey = 1.5\n", "[scenes]: grey is 1.5"),
            ("[scenes]\nlifelike = 2\n", "[scenes]: lifelike is 2"),
            ("[scenes]\nportraits = -1.0\n", "[scenes]: portraits is -1"),
            ("[evaluation]\nside = 33\n", "[evaluation]: side is 33"),
            ("[optimiser]\nclip = -1.0\n", "[optimiser]: clip is -1"),
            ("steps = 1\n", "duplicate"),
        ] {
            let error = DetectorConfig::from_toml(&format!("name = \"d\"\nsteps = 3\n{text}")).expect_err(named);
            assert_eq!(error.kind(), ErrorKind::Format);
            assert!(error.message().contains(named), "{named}: {error}");
        }
    }

    #[test]
    fn what_changes_the_weights_is_a_difference() -> Result<()> {
        let config = DetectorConfig::from_toml(DETECTOR_PRESET)?;
        let mut other = config.clone();
        other.evaluation.pictures += 1;
        other.report.state_every += 1;
        assert_eq!(config.difference_to(&other), None);
        other.scenes.grey = 0.5;
        let difference = config.difference_to(&other).expect("grey differs");
        assert!(difference.starts_with("scenes.grey is"), "{difference}");
        Ok(())
    }
}
