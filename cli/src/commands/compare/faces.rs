//! Rows compared by a face recognition network.

use super::{Args, Matrix, Rows};
use crate::failure::Outcome;
use crate::input::{self, Input};
use crate::progress::with_bar;
use omniid::engine::{Engine, EngineOptions};
use omniid::identity::Identity;
use omniid::recogniser::{EmbeddingForm, FaceEmbedding};
use omniid::Error;
use std::path::Path;

/// One row of a comparison by faces: the mean direction of the embeddings.
fn face_row(input: Input, args: &Args, engine: &Engine) -> Outcome<FaceEmbedding> {
    let limits = args.model.limits.limits();
    let network = engine.info().recogniser.as_ref();
    let network = network.map(|network| (network.architecture, network.dimension));
    let embeddings: Vec<FaceEmbedding> = match input {
        Input::File(path) if !path.is_file() => {
            let (photos, passed_over) = args.photo.collect(&[path], &limits)?;
            passed_over.tell();
            let each = photos.into_iter().map(|photo| engine.face_embedding(photo));
            each.collect::<Result<_, _>>()?
        }
        input if input.is_picture() => vec![engine.face_embedding(args.photo.chosen(input.into_photo()))?],
        input => {
            let identity = Identity::load(input.into_source(), &limits)?;
            let kept: Vec<FaceEmbedding> = identity.embeddings().iter().flatten().cloned().collect();
            let of = |own: &FaceEmbedding| own.architecture().map(|architecture| (architecture, own.dimension()));
            if let Some(other) = kept.iter().find(|own| of(own) != network) {
                let text = format!("its face embeddings are by {}, another network", other.network());
                return Err(Error::mismatch(text)
                    .with_remedy(omniid::remedy::SAME_FACE_NETWORK)
                    .into());
            }
            kept
        }
    };
    let Some(first) = embeddings.first() else {
        return Err(Error::unsupported("it has no face embeddings to compare with")
            .with_remedy(omniid::remedy::KEPT_EMBEDDINGS)
            .into());
    };
    let mut sum = vec![0f32; first.dimension()];
    for embedding in &embeddings {
        for (sum, value) in sum.iter_mut().zip(embedding.normalised()) {
            *sum += value;
        }
    }
    Ok(FaceEmbedding::new(first.network(), EmbeddingForm::Raw, sum)?)
}

/// [`run`](super::run) by a face recognition network.
pub fn run(args: &Args, recogniser: &Path) -> Outcome {
    let limits = args.model.limits.limits();
    let mut options = EngineOptions::built_in()?
        .with_face_recogniser(recogniser)
        .with_limits(limits);
    options.detector = args.model.parts.detector.clone().map(Into::into);
    let engine = with_bar(args.quiet, |progress| Engine::open_with_progress(options, progress))?;
    let mut rows = Rows::default();
    let mut faces: Vec<FaceEmbedding> = Vec::new();
    for path in &args.inputs {
        let name = input::name(path);
        match Input::open(path, &limits).and_then(|input| face_row(input, args, &engine)) {
            Ok(face) => {
                rows.names.push(name);
                faces.push(face);
            }
            Err(failure) => rows.leave_out(name, failure)?,
        }
    }
    let vectors: Vec<Vec<f32>> = faces.iter().map(FaceEmbedding::normalised).collect();
    rows.print(args, |names| Ok(Matrix::of_vectors(names, &vectors)))
}
