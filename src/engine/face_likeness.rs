//! How like a picture is to a person, by a face recognition network.

use super::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::face::{DetectOptions, MAX_FACES};
use crate::face_embedding::FaceEmbedding;
use crate::identity::Identity;
use crate::photo::{Decoded, FaceBox, FaceHint, Landmarks, Photo, PhotoSource};
use crate::recogniser::FaceRecogniser;
use crate::remedy;

/// How like a face is to the photos of an identity: cosines of face embeddings, −1 to 1.
///
/// Cosines of different recognition networks are not comparable. For `w600k_r50` and `glintr100` photos of one person
/// mostly have 0.4 to 0.8, of two people −0.1 to 0.2.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Likeness {
    /// The mean over the identity's photos: what papers report as identity similarity.
    pub mean: f32,
    /// To the photo that the face is most like.
    pub best: f32,
    /// Photos of the identity that it was compared with.
    pub photos: usize,
}

impl Likeness {
    /// Compares a face with those of the identity.
    fn of(identity: &Identity, face: &FaceEmbedding) -> Result<Self> {
        let mut cosines = Vec::new();
        for own in identity.embeddings().iter().flatten() {
            cosines.push(cosine(own, face)?);
        }
        if cosines.is_empty() {
            return Err(
                Error::unsupported(format!("{} has no face embeddings to compare with", identity.title()))
                    .with_remedy(remedy::KEPT_EMBEDDINGS),
            );
        }
        Ok(Self {
            mean: cosines.iter().sum::<f32>() / cosines.len() as f32,
            best: cosines.iter().copied().fold(f32::MIN, f32::max),
            photos: cosines.len(),
        })
    }
}

/// The cosine of two embeddings, which may have come under two names of one network.
fn cosine(a: &FaceEmbedding, b: &FaceEmbedding) -> Result<f32> {
    let same = match (a.architecture(), b.architecture()) {
        (Some(a), Some(b)) => a == b,
        _ => a.network() == b.network(),
    };
    if !same || a.dimension() != b.dimension() {
        return Err(Error::mismatch(format!(
            "an embedding of {} values by {} cannot be compared with one of {} values by {}",
            a.dimension(),
            a.network(),
            b.dimension(),
            b.network()
        ))
        .with_remedy(remedy::SAME_FACE_NETWORK));
    }
    let (a, b) = (a.normalised(), b.normalised());
    let dot: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
    Ok(dot.clamp(-1.0, 1.0) as f32)
}

impl Engine {
    /// How like the face in a picture is to an identity's photos, by the engine's face recogniser: a measure for what a
    /// host has generated. Any model will do; the identity must have been made by an engine with the same recogniser, or
    /// of embeddings of its network, with features kept.
    ///
    /// With [`FaceHint::Detect`] the face counts that is most like the identity, of the eight largest; with another hint
    /// the one that is meant. A photo that brings its embedding is not looked at.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for an engine without a face recogniser and for an
    /// identity without face embeddings, [`ErrorKind::NoFace`] for a picture without a face,
    /// [`ErrorKind::Mismatch`] for embeddings of different networks; those of
    /// [`Photo::decode`].
    pub fn likeness<'p>(&self, identity: &Identity, photo: impl Into<Photo<'p>>) -> Result<Likeness> {
        let photo = photo.into();
        let mut best: Option<Likeness> = None;
        for face in self.face_embeddings(&photo)? {
            let likeness = Likeness::of(identity, &face)?;
            if best.is_none_or(|best| likeness.mean > best.mean) {
                best = Some(likeness);
            }
        }
        best.ok_or_else(|| no_face(&photo))
    }

    /// The raw embedding of the face that is meant in a photo, the largest if no other is.
    ///
    /// # Errors
    /// As [`Engine::likeness`].
    pub fn face_embedding<'p>(&self, photo: impl Into<Photo<'p>>) -> Result<FaceEmbedding> {
        let photo = photo.into();
        self.face_embeddings(&photo)?
            .into_iter()
            .next()
            .ok_or_else(|| no_face(&photo))
    }

    /// The embeddings of the faces of a photo that may be meant, the largest face first.
    fn face_embeddings(&self, photo: &Photo<'_>) -> Result<Vec<FaceEmbedding>> {
        if let Some(embedding) = photo.embedding.as_deref() {
            return Ok(vec![embedding.clone()]);
        }
        let recogniser = self.recogniser()?;
        if matches!(photo.source, PhotoSource::Nothing) {
            return Err(Error::invalid("a photo without a picture and without a face embedding"));
        }
        let decoded = photo.decode_with_notes(&self.inner.limits)?;
        let faces = self
            .landmarks_meant(&decoded, photo.face, &DetectOptions::default())
            .map_err(|error| error.context(photo.name()))?;
        let crops = faces
            .iter()
            .map(|landmarks| recogniser.crop(&decoded.image, landmarks))
            .collect::<Result<Vec<_>>>()
            .map_err(|error| error.context(photo.name()))?;
        recogniser.embed(&crops)
    }

    /// The face recogniser.
    pub(super) fn recogniser(&self) -> Result<&FaceRecogniser> {
        self.inner.recogniser.as_ref().ok_or_else(|| {
            Error::unsupported("comparing faces: the engine has no face recognition network")
                .with_remedy(remedy::LIKENESS_RECOGNISER)
        })
    }

    /// The landmarks of the faces that may be meant, in pixels of the decoded picture, the largest face first: one for a
    /// hint that names it.
    pub(super) fn landmarks_meant(
        &self,
        decoded: &Decoded,
        hint: FaceHint,
        detect: &DetectOptions,
    ) -> Result<Vec<Landmarks>> {
        let factor = 1.0 / decoded.reduction as f32;
        if let FaceHint::Landmarks(landmarks) = hint {
            landmarks.check()?;
            let FaceHint::Landmarks(landmarks) = hint.scaled(factor) else {
                return Err(Error::internal("a hint of another kind"));
            };
            return Ok(vec![landmarks]);
        }
        let faces = self.detect_faces(&decoded.image, detect)?;
        let detector = self.detector()?;
        let refined = |face| Ok(detector.refine(&decoded.image, face, detect)?.landmarks);
        match hint {
            FaceHint::Detect | FaceHint::Landmarks(_) => faces.iter().take(MAX_FACES).map(refined).collect(),
            FaceHint::Index(index) => match faces.get(index) {
                Some(face) => Ok(vec![refined(face)?]),
                None => Err(Error::new(
                    ErrorKind::NoFace,
                    format!("face {index} was asked for (0 is the largest), {} found", faces.len()),
                )),
            },
            FaceHint::Box(bounds) => {
                bounds.check(decoded.full_size.0, decoded.full_size.1)?;
                let bounds = bounds.scaled(factor);
                let shared = faces.iter().map(|face| (overlap(&face.bounds, &bounds), face));
                match shared.max_by(|a, b| a.0.total_cmp(&b.0)) {
                    Some((share, face)) if share >= SAME_FACE => Ok(vec![refined(face)?]),
                    _ => Err(Error::new(
                        ErrorKind::NoFace,
                        "no face with eyes, nose and mouth was found in the given box, and a face recogniser needs them",
                    )),
                }
            }
        }
    }
}

/// Share of two boxes from which on they are taken for boxes of one face.
const SAME_FACE: f32 = 0.3;

/// Intersection over union.
fn overlap(a: &FaceBox, b: &FaceBox) -> f32 {
    let area = |width: f32, height: f32| width.max(0.0) * height.max(0.0);
    let of = |face: &FaceBox| area(face.right - face.left, face.bottom - face.top);
    let shared = area(
        a.right.min(b.right) - a.left.max(b.left),
        a.bottom.min(b.bottom) - a.top.max(b.top),
    );
    let all = of(a) + of(b) - shared;
    if all > 0.0 {
        shared / all
    } else {
        0.0
    }
}

fn no_face(photo: &Photo<'_>) -> Error {
    Error::new(ErrorKind::NoFace, "no face found").context(photo.name())
}
