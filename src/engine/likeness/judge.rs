//! The model that makes the vectors by which photos are compared.

use super::calibration::{calibration, Calibration};
use super::faces;
use crate::engine::options::{EngineOptions, Strangers};
use crate::engine::{EncodeOptions, Engine};
use crate::error::Result;
use crate::face::{cut_face, CropMode, CropOptions, DetectOptions, Face, PhotoReport, MAX_FACES};
use crate::photo::{Decoded, FaceHint};
use candle_core::Tensor;
use std::sync::OnceLock;

/// Landmarks that are not further apart, as a part of the distance of the eyes, are those of one face.
const SAME_LANDMARKS: f32 = 0.2;

/// A model whose similarity is calibrated.
pub(in crate::engine) enum Judge<'e> {
    /// The engine that encodes, with the crop that it is calibrated for: the features of the photos are there already.
    Own(&'e Engine, &'static Calibration),
    /// The built-in model, for engines that are not calibrated or get other crops.
    BuiltIn(&'static Engine, &'static Calibration),
}

/// The faces of one photo that may be the person's.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::engine) struct PhotoFaces {
    /// Rank in size and vector, the largest face first; empty for a photo that cannot be compared.
    pub(in crate::engine) vectors: Vec<(usize, Vec<f32>)>,
    /// Whether the encoder's crop depends on which face is taken.
    pub(in crate::engine) choice: bool,
}

impl<'e> Judge<'e> {
    /// The judge for a set of `photos` photos, if one is wanted, needed and there.
    pub(in crate::engine) fn of(engine: &'e Engine, options: &EncodeOptions, photos: usize) -> Option<Self> {
        if options.strangers == Strangers::Ignore || photos < 2 {
            return None;
        }
        let own_crop = options.crop.is_none_or(|crop| crop == engine.info().crop);
        match engine.calibration() {
            Some(calibration) if own_crop => Some(Self::Own(engine, calibration)),
            _ => built_in().map(|(engine, calibration)| Self::BuiltIn(engine, calibration)),
        }
    }

    fn engine(&self) -> &Engine {
        match self {
            Self::Own(engine, _) | Self::BuiltIn(engine, _) => engine,
        }
    }

    pub(in crate::engine) fn calibration(&self) -> &'static Calibration {
        match self {
            Self::Own(_, calibration) | Self::BuiltIn(_, calibration) => calibration,
        }
    }

    /// The faces of a photo that was cut as `report` says. Of the face that the encoder gets, an engine that judges
    /// itself has the vector later, see [`Judge::complete`].
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) when the computation fails.
    pub(in crate::engine) fn faces(
        &self,
        hint: FaceHint,
        report: &PhotoReport,
        decoded: &Decoded,
    ) -> Result<PhotoFaces> {
        let choice = report.crop.needs_face() && hint == FaceHint::Detect;
        let found;
        let faces: &[Face] = match (report.crop.needs_face(), hint, &report.face) {
            // A crop of the whole photo: any face in it may be the person's.
            (false, FaceHint::Detect, _) => {
                found = self.seen(decoded)?;
                &found
            }
            (true, FaceHint::Detect, _) if report.candidates.len() > 1 => &report.candidates,
            (_, _, Some(face)) => std::slice::from_ref(face),
            (_, _, None) => &[],
        };
        let mut vectors = Vec::new();
        for (rank, face) in faces.iter().take(MAX_FACES).enumerate() {
            // Two boxes may be found around one face. It is the larger one's.
            if faces[..rank].iter().any(|larger| coincide(larger, face)) {
                continue;
            }
            if rank > 0 || !matches!(self, Self::Own(..)) {
                let face = match report.crop.needs_face() {
                    true => *face,
                    false => decoded.full_face(face),
                };
                vectors.extend(self.vector(decoded, &face)?.map(|vector| (rank, vector)));
            }
        }
        Ok(PhotoFaces { vectors, choice })
    }

    /// Adds the vector of the face that the encoder got, whose features are `features`.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) when the computation fails.
    pub(in crate::engine) fn complete(&self, faces: &mut PhotoFaces, features: &Tensor) -> Result<()> {
        if let Self::Own(engine, _) = self {
            faces.vectors.insert(0, (0, engine.photo_vector(features)?));
        }
        Ok(())
    }

    /// The vectors of an identity's photos by their features. The built-in model has none of another's photos.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) when the computation fails.
    pub(in crate::engine) fn known(&self, features: &[Tensor]) -> Result<Vec<Vec<f32>>> {
        match self {
            Self::Own(engine, _) => features.iter().map(|photo| engine.photo_vector(photo)).collect(),
            Self::BuiltIn(..) => Ok(Vec::new()),
        }
    }

    /// Which face of each photo is the person's: its place in [`PhotoFaces::vectors`].
    pub(in crate::engine) fn choose(&self, known: &[Vec<f32>], photos: &[&PhotoFaces]) -> Vec<usize> {
        let compared = photos.iter().filter(|photo| !photo.vectors.is_empty());
        let vectors: Vec<Vec<Vec<f32>>> = compared
            .map(|photo| photo.vectors.iter().map(|(_, vector)| vector.clone()).collect())
            .collect();
        let mut chosen = faces::choose(known, &vectors, self.calibration()).into_iter();
        photos
            .iter()
            .map(|photo| match photo.vectors.is_empty() {
                true => 0,
                false => chosen.next().unwrap_or(0),
            })
            .collect()
    }

    /// The faces that are found in a photo, the largest of them with landmarks as exact as [`cut_face`] needs them.
    fn seen(&self, decoded: &Decoded) -> Result<Vec<Face>> {
        let (engine, options) = (self.engine(), DetectOptions::default());
        let detector = engine.detector()?;
        let mut faces = engine.detect_faces(&decoded.image, &options)?;
        detector.refine_largest(&decoded.image, &mut faces, &options)?;
        Ok(faces)
    }

    /// The vector of one face of a photo; `None` if it cannot be cut out.
    fn vector(&self, decoded: &Decoded, face: &Face) -> Result<Option<Vec<f32>>> {
        let engine = self.engine();
        let crop = CropOptions::new(engine.info().crop, engine.inner.processor.size);
        let Ok((image, _)) = cut_face(decoded, face, &crop) else {
            return Ok(None);
        };
        let records = engine.encode_batch(&[engine.inner.processor.normalise(&image)])?;
        let image = records.first().and_then(|record| record.image.as_ref());
        image.map(|image| engine.photo_vector(image)).transpose()
    }
}

/// The built-in model, opened when it is first needed and kept.
fn built_in() -> Option<(&'static Engine, &'static Calibration)> {
    static ENGINE: OnceLock<Option<Engine>> = OnceLock::new();
    let open = || EngineOptions::built_in().and_then(Engine::open).ok();
    let engine = ENGINE.get_or_init(open).as_ref()?;
    Some((engine, engine.calibration()?))
}

impl Engine {
    /// From which similarity on its identities count as one person's, if that was measured for this model with its own
    /// crop, which shows the face.
    fn calibration(&self) -> Option<&'static Calibration> {
        let info = self.info();
        let known = calibration(&info.fingerprint, self.similarity_directions());
        known.filter(|_| matches!(info.crop, CropMode::Aligned { .. }))
    }

    /// The unit vector of an identity of one photo, by its features `[feature tokens, feature width]`.
    fn photo_vector(&self, features: &Tensor) -> Result<Vec<f32>> {
        let values = self.encode_image(features)?;
        self.inner.similarity_space.embed_values(&values)
    }
}

/// Whether two faces have the same landmarks, to a small part of the distance of the eyes.
fn coincide(one: &Face, other: &Face) -> bool {
    let apart = |a: [f32; 2], b: [f32; 2]| (a[0] - b[0]).hypot(a[1] - b[1]);
    let (points, others) = (one.landmarks.0, other.landmarks.0);
    let sum: f32 = points.iter().zip(others).map(|(a, b)| apart(*a, b)).sum();
    sum / points.len() as f32 <= SAME_LANDMARKS * apart(points[0], points[1])
}
