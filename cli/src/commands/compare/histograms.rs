//! Rows compared by histograms of oriented gradients, alone or together with identities.

use super::{encode, Args, Matrix, Row, Rows};
use crate::failure::Outcome;
use crate::input::{self, Input};
use crate::progress::Bar;
use omniid::engine::Engine;
use omniid::photo::{FaceHint, Photo};
use omniid::Error;

/// [`run`](super::run) by orientation histograms, and with `--fused` by identities, too.
pub fn run(args: &Args) -> Outcome {
    let limits = args.model.limits.limits();
    let engine = args.model.open(args.quiet)?;
    let mut rows = Rows::default();
    let mut vectors = Vec::new();
    let bar = Bar::new(args.quiet);
    for (index, path) in args.inputs.iter().enumerate() {
        bar.step("describing faces", index, args.inputs.len())?;
        let name = input::name(path);
        match bar.pause(|| Input::open(path, &limits).and_then(|input| row(input, args, &engine))) {
            Ok(vector) => {
                rows.names.push(name);
                vectors.push(vector);
            }
            Err(failure) => bar.pause(|| rows.leave_out(name, failure))?,
        }
    }
    drop(bar);
    rows.print(args, |names| Ok(Matrix::of_vectors(names, &vectors)))
}

/// A photo's vector, or that of a folder's photos, of length 1.
fn row(input: Input, args: &Args, engine: &Engine) -> Outcome<Vec<f32>> {
    let Row::Photos(photos) = Row::of(input, args)? else {
        return Err(
            Error::unsupported("an identity keeps no pixels, and orientation histograms are made of photos").into(),
        );
    };
    if !args.fused {
        return histograms(photos, engine);
    }
    let encoded = encode(&photos, args, engine)?;
    let identity = engine.comparison_vector(&encoded.identity)?;
    let used = photos.into_iter().zip(&encoded.photos);
    let used = used.filter(|(_, report)| report.error.is_none());
    // The face that was encoded, which in group photos need not be the largest one; it is not searched again.
    let faces = used.map(|(photo, report)| match report.face {
        Some(face) => photo.with_face(FaceHint::Landmarks(face.landmarks)),
        None => photo,
    });
    let histograms = histograms(faces, engine)?;
    // The dot product of two such vectors is the mean of the two cosines.
    let half = 0.5f32.sqrt();
    Ok(identity.iter().chain(&histograms).map(|value| value * half).collect())
}

/// The mean direction of photos.
fn histograms(photos: impl IntoIterator<Item = Photo<'static>>, engine: &Engine) -> Outcome<Vec<f32>> {
    let mut sum = vec![0f32; engine.histogram_directions()];
    for photo in photos {
        for (sum, value) in sum.iter_mut().zip(engine.histogram_vector(photo)?) {
            *sum += value;
        }
    }
    let length = sum.iter().map(|value| value * value).sum::<f32>().sqrt();
    Ok(sum.iter().map(|value| value / length.max(f32::MIN_POSITIVE)).collect())
}
