//! The training of the detector as an objective of the common loop.

use super::heads::{HeadPool, FIRST_TRAINED};
use super::loss::loss;
use super::network::{fold, scaled, tensors, unscaled, Network};
use super::norm::Moments;
use super::picture::draw_faces;
use super::scene::{Scene, Scenes};
use super::scores::{evaluate_detector, LabelledFace, LabelledPicture};
use super::truth::{assign, Truth};
use super::unfold::unfold;
use crate::config::DetectorConfig;
use crate::evaluate::Progress;
use crate::optimisation::{ParameterGroup, ParameterSpec};
use crate::pictures::contact_sheet;
use crate::render::Assets;
use crate::trainer::{Loss, Objective, StepCost};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use image::RgbImage;
use omniid::checkpoint::{safetensors_to_bytes, Checkpoint};
use omniid::face::{DetectOptions, FaceDetector};
use omniid::{Limits, Result};
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Step whose scenes are those that a run is evaluated on.
const HELD_OUT: u64 = 1 << 40;

/// Prefix of a detector's tensors in a native checkpoint.
const PREFIX: &str = "detector";

/// Step whose scenes the statistics for use are taken on.
const STATISTICS: u64 = 1 << 41;

/// Pictures of each side that they are taken on; of the larger sides fewer, so that all have as many pixels.
const STATISTICS_PIXELS: usize = 24 * 160 * 160;

/// Pictures of a preview.
const SHOWN: usize = 12;

/// Multiplications and additions of the network per pixel, forward and backward: 34.4 million per 160 × 160 pixels
/// forward, and twice as many again backward.
const OPERATIONS_PER_PIXEL: f64 = 2.0 * 3.0 * 34.4e6 / (160.0 * 160.0);

/// Finding faces in scenes of rendered people.
pub struct FaceDetection {
    config: DetectorConfig,
    trained: HeadPool,
    statistics: Arc<Vec<Pictures>>,
    held_out: Vec<LabelledPicture>,
}

/// Pictures of one side as the network in training reads them.
pub struct Pictures {
    side: usize,
    numbers: Vec<f32>,
}

/// The network in training, and what a detector for use is made from.
pub struct Model {
    network: Network,
    trained: BTreeMap<String, Tensor>,
    statistics: Arc<Vec<Pictures>>,
}

/// A step's pictures and truth.
pub struct Batch {
    pictures: Pictures,
    truth: Truth,
}

impl FaceDetection {
    /// Renders the heads to train on and the scenes to evaluate on: one or two minutes on one core. Works on the
    /// threads of the current rayon pool; the result does not depend on their number.
    ///
    /// # Errors
    /// As [`HeadPool::render`].
    pub fn new(config: &DetectorConfig, assets: &Assets) -> Result<Self> {
        let scenes = &config.scenes;
        let (photos, size) = (scenes.photos_per_person, scenes.head_size);
        // Seeds apart, so that runs with several seeds see several sets of people.
        let first = FIRST_TRAINED + (config.seed << 20);
        let trained = HeadPool::render(assets, scenes.heads, photos, size, first, scenes.lifelike)?;
        let drawn = Scenes::new(scenes, &trained, config.seed);
        let statistics = scenes.sides.iter().map(|&side| {
            let count = (STATISTICS_PIXELS / (side * side)).max(1);
            Pictures::of(&draw(&drawn, STATISTICS, count, side), side)
        });
        Ok(Self {
            statistics: Arc::new(statistics.collect()),
            trained,
            held_out: held_out_scenes(config, assets)?,
            config: config.clone(),
        })
    }

    fn scenes(&self) -> Scenes<'_> {
        Scenes::new(&self.config.scenes, &self.trained, self.config.seed)
    }
}

/// The scenes of people who are not trained on that a configuration is evaluated on: its `evaluation` section says how
/// many. They do not depend on the seed of the run.
///
/// # Errors
/// As [`HeadPool::render`].
pub fn held_out_scenes(config: &DetectorConfig, assets: &Assets) -> Result<Vec<LabelledPicture>> {
    let (scenes, evaluation) = (&config.scenes, &config.evaluation);
    let (photos, size, lifelike) = (scenes.photos_per_person, scenes.head_size, scenes.lifelike);
    let pool = HeadPool::render(assets, evaluation.heads, photos, size, 1, lifelike)?;
    let scenes = Scenes::new(scenes, &pool, 0);
    let count = evaluation.pictures as u64;
    Ok((0..count)
        .into_par_iter()
        .map(|index| scenes.scene(HELD_OUT, index, evaluation.side).labelled())
        .collect())
}

impl Scene {
    /// For an evaluation.
    pub fn labelled(self) -> LabelledPicture {
        LabelledPicture {
            image: self.image,
            faces: self
                .faces
                .iter()
                .map(|face| LabelledFace {
                    face: face.face,
                    yaw: Some(face.yaw),
                })
                .collect(),
        }
    }
}

/// The first scenes of a step, on all threads of the current rayon pool.
fn draw(scenes: &Scenes<'_>, step: u64, count: usize, side: usize) -> Vec<Scene> {
    (0..count as u64)
        .into_par_iter()
        .map(|index| scenes.scene(step, index, side))
        .collect()
}

impl Pictures {
    /// Pictures of side `side` as the network in training reads them: B, G, R.
    fn of(scenes: &[Scene], side: usize) -> Self {
        let pixels = scenes.iter().flat_map(|scene| scene.image.pixels());
        Self {
            side,
            numbers: pixels
                .flat_map(|pixel| {
                    let [r, g, b] = pixel.0.map(scaled);
                    [b, g, r]
                })
                .collect(),
        }
    }
}

impl Model {
    /// Tensors of a detector for use, with the weights as they are now and the statistics that they have on training
    /// scenes.
    ///
    /// # Errors
    /// As [`fold`].
    pub fn folded(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut all = Vec::new();
        for pictures in self.statistics.iter() {
            all.push(self.network.statistics(&pictures.numbers, pictures.side)?);
        }
        fold(&self.trained, &joined(&all))
    }

    /// The detector with the weights as they are now.
    ///
    /// # Errors
    /// As [`FaceDetector::load`].
    pub fn detector(&self) -> Result<FaceDetector> {
        let tensors: HashMap<_, _> = self.folded()?.into_iter().collect();
        FaceDetector::load(VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu))
    }
}

/// Statistics over several batches that count alike.
fn joined(all: &[BTreeMap<String, Moments>]) -> BTreeMap<String, Moments> {
    let Some(first) = all.first() else {
        return BTreeMap::new();
    };
    let join = |name: &String| {
        let batches: Vec<&Moments> = all.iter().filter_map(|moments| moments.get(name)).collect();
        let count = batches.len() as f64;
        let channels = first[name].mean.len();
        let average = |value: &dyn Fn(&Moments, usize) -> f64| -> Vec<f64> {
            let of = |channel| batches.iter().map(|moments| value(moments, channel)).sum::<f64>() / count;
            (0..channels).map(of).collect()
        };
        let mean = average(&|moments, channel| moments.mean[channel]);
        // The variance within the batches and that of their means.
        let square = average(&|moments, channel| moments.variance[channel] + moments.mean[channel].powi(2));
        let variance = square
            .iter()
            .zip(&mean)
            .map(|(square, mean)| (square - mean * mean).max(0.0));
        Moments {
            variance: variance.collect(),
            mean,
        }
    };
    first.keys().map(|name| (name.clone(), join(name))).collect()
}

/// How the detector is evaluated: as it is used, but without turning pictures.
pub fn evaluation_options() -> DetectOptions {
    DetectOptions::default().with_turn(false)
}

impl Objective for FaceDetection {
    type Model = Model;
    type Batch = Batch;

    fn groups(&self) -> Vec<ParameterGroup> {
        vec![ParameterGroup {
            name: "detector".to_owned(),
            rate: 1.0,
            weight_decay: self.config.optimiser.weight_decay,
        }]
    }

    fn parameters(&self) -> Result<Vec<ParameterSpec>> {
        Ok(tensors()?
            .into_iter()
            .map(|spec| ParameterSpec {
                decays: spec.name.ends_with("pointwise.weight") || spec.name.ends_with("stem.weight"),
                group: 0,
                trained: true,
                spec,
            })
            .collect())
    }

    fn start(&self, checkpoint: Checkpoint) -> Result<Checkpoint> {
        let inside = checkpoint.sub(PREFIX);
        let part = if inside.is_empty() { &checkpoint } else { &inside };
        // What is folded away in use has a bias instead.
        if !part.contains("backbone.stem.bias") {
            return Ok(checkpoint);
        }
        let mut folded = BTreeMap::new();
        for spec in FaceDetector::tensors()? {
            folded.insert(spec.name.clone(), part.tensor(&spec.name, DType::F32, &Device::Cpu)?);
        }
        let tensors = folded.clone().into_iter().collect();
        let network = Network::load(VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu))?;
        let measured = self.statistics.iter().map(|pictures| {
            let numbers: Vec<f32> = pictures.numbers.iter().copied().map(unscaled).collect();
            network.statistics(&numbers, pictures.side)
        });
        let trained = unfold(&folded, &joined(&measured.collect::<Result<Vec<_>>>()?))?;
        let bytes = safetensors_to_bytes(&trained.into_iter().collect::<Vec<_>>(), &BTreeMap::new())?;
        Checkpoint::open(bytes, &Limits::default())
    }

    fn load(&self, vb: VarBuilder) -> Result<Model> {
        let mut trained = BTreeMap::new();
        for spec in tensors()? {
            trained.insert(spec.name.clone(), vb.get(spec.shape.as_slice(), &spec.name)?);
        }
        Ok(Model {
            network: Network::load(vb)?,
            trained,
            statistics: self.statistics.clone(),
        })
    }

    fn batch(&self, step: u64) -> Result<Batch> {
        let scenes = self.scenes();
        let (side, count) = scenes.of_step(step);
        let drawn = draw(&scenes, step, count, side);
        let faces: Vec<_> = drawn
            .iter()
            .map(|scene| scene.faces.iter().map(|face| face.face).collect())
            .collect();
        Ok(Batch {
            pictures: Pictures::of(&drawn, side),
            truth: assign(&faces, side),
        })
    }

    fn loss(&self, model: &Model, batch: &Batch, _: &Device) -> Result<Loss> {
        let outputs = model.network.forward(&batch.pictures.numbers, batch.pictures.side)?;
        let terms = loss(&outputs, &batch.truth)?;
        Ok(Loss {
            total: terms.total()?,
            terms: vec![
                ("object", terms.object),
                ("class", terms.class),
                ("bounds", terms.bounds),
                ("points", terms.points),
            ],
        })
    }

    fn evaluate(&self, model: &Model, _: &Device) -> Result<Vec<(String, f64)>> {
        let detector = model.detector()?;
        let scores = evaluate_detector(
            &detector,
            &self.held_out,
            &evaluation_options(),
            &mut Progress::silent(),
        )?;
        let mut values = vec![
            ("recall".to_owned(), scores.all.recall),
            ("precision".to_owned(), scores.precision),
            ("average_precision".to_owned(), scores.average_precision),
        ];
        // Without found faces there is none.
        values.extend(
            scores
                .all
                .landmark_error
                .map(|error| ("landmark_error".to_owned(), error)),
        );
        Ok(values)
    }

    fn preview(&self, model: &Model, _: &Device) -> Result<Option<RgbImage>> {
        let detector = model.detector()?;
        let pictures = self
            .held_out
            .iter()
            .take(SHOWN)
            .map(|picture| {
                Ok(draw_faces(
                    &picture.image,
                    &detector.detect(&picture.image, &evaluation_options())?,
                ))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok((!pictures.is_empty()).then(|| contact_sheet(&pictures, 4)))
    }

    fn step_cost(&self) -> StepCost {
        let scenes = &self.config.scenes;
        let counts = scenes.sides.iter().map(|side| (scenes.pixels / (side * side)).max(1));
        StepCost {
            operations: OPERATIONS_PER_PIXEL * scenes.pixels as f64,
            pictures: counts.sum::<usize>() / scenes.sides.len().max(1),
        }
    }
}
