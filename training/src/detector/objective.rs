//! The training of the detector as an objective of the common loop.

use super::heads::{HeadPool, FIRST_TRAINED};
use super::loss::loss;
use super::network::{folded, scaled, tensors, Network};
use super::picture::draw_faces;
use super::scene::{Scene, Scenes};
use super::truth::{assign, Truth};
use crate::config::DetectorConfig;
use crate::evaluate::{evaluate_detector, LabelledFace, LabelledPicture, Progress};
use crate::objective::{Loss, Objective, Work};
use crate::parameters::{ParameterGroup, ParameterSpec};
use crate::render::{contact_sheet, Assets};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use image::RgbImage;
use omniid::error::{Error, Result};
use omniid::face::{DetectOptions, FaceDetector};
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap};

/// Step whose scenes are those that a run is judged on.
const JUDGED: u64 = 1 << 40;

/// Pictures of a preview.
const SHOWN: usize = 12;

/// Multiplications and additions of the network per pixel, forward and backward: 34.4 million per 160 × 160 pixels
/// forward, and twice as many again backward.
const OPERATIONS_PER_PIXEL: f64 = 2.0 * 3.0 * 34.4e6 / (160.0 * 160.0);

/// Finding faces in scenes of rendered people.
pub struct FaceDetection {
    config: DetectorConfig,
    trained: HeadPool,
    judged: Vec<LabelledPicture>,
}

/// The network in training, and its tensors, from which a detector for use is made.
pub struct Model {
    network: Network,
    builder: VarBuilder<'static>,
}

/// A step's pictures and truth.
pub struct Batch {
    side: usize,
    pictures: Vec<f32>,
    truth: Truth,
}

impl FaceDetection {
    /// Renders the heads to train on and the scenes to be judged on: one or two minutes on one core. Works on the
    /// threads of the current rayon pool; the result does not depend on their number.
    ///
    /// # Errors
    /// As [`HeadPool::render`].
    pub fn new(config: &DetectorConfig, assets: &Assets) -> Result<Self> {
        let scenes = &config.scenes;
        let (photos, size) = (scenes.photos_per_person, scenes.head_size);
        // Seeds apart, so that runs with several seeds see several sets of people.
        let first = FIRST_TRAINED + (config.seed << 20);
        Ok(Self {
            trained: HeadPool::render(assets, scenes.heads, photos, size, first)?,
            judged: held_out_scenes(config, assets)?,
            config: config.clone(),
        })
    }

    fn scenes(&self) -> Scenes<'_> {
        Scenes::new(&self.config.scenes, &self.trained, self.config.seed)
    }
}

/// The scenes of people who are not trained on that a configuration is judged on: its `evaluation` section says how
/// many. They do not depend on the seed of the run.
///
/// # Errors
/// As [`HeadPool::render`].
pub fn held_out_scenes(config: &DetectorConfig, assets: &Assets) -> Result<Vec<LabelledPicture>> {
    let (scenes, evaluation) = (&config.scenes, &config.evaluation);
    let pool = HeadPool::render(
        assets,
        evaluation.heads,
        scenes.photos_per_person,
        scenes.head_size,
        1,
    )?;
    let scenes = Scenes::new(scenes, &pool, 0);
    let count = evaluation.pictures as u64;
    Ok((0..count)
        .into_par_iter()
        .map(|index| scenes.scene(JUDGED, index, evaluation.side).labelled())
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

/// A picture's pixels as the network in training reads them: B, G, R.
fn push_pixels(image: &RgbImage, out: &mut Vec<f32>) {
    for pixel in image.pixels() {
        let [r, g, b] = pixel.0;
        out.extend([scaled(b), scaled(g), scaled(r)]);
    }
}

/// Tensors for [`FaceDetector`] from those of the network in training.
///
/// # Errors
/// [`ErrorKind::Format`](omniid::ErrorKind::Format) when one is missing.
pub fn detector_tensors(trained: &BTreeMap<String, Tensor>) -> Result<BTreeMap<String, Tensor>> {
    let get = |name: &str| {
        trained
            .get(name)
            .ok_or_else(|| Error::format(format!("the detector has no tensor {name:?}")))
    };
    let mut out = BTreeMap::new();
    for spec in tensors() {
        out.insert(
            spec.name.clone(),
            get(&spec.name)?.to_device(&Device::Cpu)?.detach(),
        );
    }
    let (weight, bias) = ("backbone.stem.weight", "backbone.stem.bias");
    let (folded_weight, folded_bias) = folded(get(weight)?, get(bias)?)?;
    out.insert(weight.to_owned(), folded_weight.detach());
    out.insert(bias.to_owned(), folded_bias.detach());
    Ok(out)
}

impl Model {
    /// The detector with the weights as they are now.
    ///
    /// # Errors
    /// As [`FaceDetector::load`].
    pub fn detector(&self) -> Result<FaceDetector> {
        let mut trained = BTreeMap::new();
        for spec in tensors() {
            let tensor = self.builder.get(spec.shape.as_slice(), &spec.name)?;
            trained.insert(spec.name, tensor);
        }
        let tensors: HashMap<_, _> = detector_tensors(&trained)?.into_iter().collect();
        FaceDetector::load(VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu))
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }
}

/// How the detector is judged: as it is used, but without turning pictures.
pub fn judging() -> DetectOptions {
    DetectOptions {
        turn: false,
        ..DetectOptions::default()
    }
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
        Ok(tensors()
            .into_iter()
            .map(|spec| ParameterSpec {
                decays: spec.name.ends_with("pointwise.weight") || spec.name.ends_with("stem.weight"),
                group: 0,
                trained: true,
                spec,
            })
            .collect())
    }

    fn load(&self, vb: VarBuilder) -> Result<Model> {
        // The builder's tensors outlive it, but its type says otherwise.
        let mut held = HashMap::new();
        for spec in tensors() {
            held.insert(spec.name.clone(), vb.get(spec.shape.as_slice(), &spec.name)?);
        }
        let builder = VarBuilder::from_tensors(held, DType::F32, &Device::Cpu);
        Ok(Model {
            network: Network::load(builder.clone())?,
            builder,
        })
    }

    fn batch(&self, step: u64) -> Result<Batch> {
        let scenes = self.scenes();
        let (side, count) = scenes.of_step(step);
        let drawn: Vec<Scene> = (0..count as u64)
            .into_par_iter()
            .map(|index| scenes.scene(step, index, side))
            .collect();
        let mut pictures = Vec::with_capacity(count * side * side * 3);
        drawn
            .iter()
            .for_each(|scene| push_pixels(&scene.image, &mut pictures));
        let faces: Vec<_> = drawn
            .iter()
            .map(|scene| scene.faces.iter().map(|face| face.face).collect())
            .collect();
        Ok(Batch {
            side,
            pictures,
            truth: assign(&faces, side),
        })
    }

    fn loss(&self, model: &Model, batch: &Batch, _: &Device) -> Result<Loss> {
        let outputs = model.network.forward(&batch.pictures, batch.side)?;
        let parts = loss(&outputs, &batch.truth)?;
        Ok(Loss {
            total: parts.total()?,
            parts: vec![
                ("object", parts.object),
                ("class", parts.class),
                ("bounds", parts.bounds),
                ("points", parts.points),
            ],
        })
    }

    fn evaluate(&self, model: &Model, _: &Device) -> Result<Vec<(String, f64)>> {
        let detector = model.detector()?;
        let scores = evaluate_detector(&detector, &self.judged, &judging(), &mut Progress::silent())?;
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
            .judged
            .iter()
            .take(SHOWN)
            .map(|picture| {
                Ok(draw_faces(
                    &picture.image,
                    &detector.detect(&picture.image, &judging())?,
                ))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok((!pictures.is_empty()).then(|| contact_sheet(&pictures, 4)))
    }

    fn work(&self) -> Work {
        let scenes = &self.config.scenes;
        let counts = scenes
            .sides
            .iter()
            .map(|side| (scenes.pixels / (side * side)).max(1));
        Work {
            operations: OPERATIONS_PER_PIXEL * scenes.pixels as f64,
            pictures: counts.sum::<usize>() / scenes.sides.len().max(1),
        }
    }
}
