//! Rows compared by histograms of oriented gradients.

use super::{Args, Matrix, Rows};
use crate::failure::Outcome;
use crate::input::{self, Input};
use crate::progress::Bar;
use omniid::engine::Engine;
use omniid::photo::Photo;
use omniid::Error;

/// [`run`](super::run) by orientation histograms.
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

/// A photo's vector, or the mean direction of a folder's photos.
fn row(input: Input, args: &Args, engine: &Engine) -> Outcome<Vec<f32>> {
    let limits = args.model.limits.limits();
    let photos: Vec<Photo<'static>> = match input {
        Input::File(path) if !path.is_file() => {
            let (photos, passed_over) = args.photo.collect(&[path], &limits)?;
            passed_over.tell();
            photos
        }
        input if input.is_picture() => vec![args.photo.chosen(input.into_photo())],
        _ => {
            return Err(Error::unsupported(
                "an identity keeps no pixels, and orientation histograms are made of photos",
            )
            .into())
        }
    };
    let mut sum = vec![0f32; engine.histogram_directions()];
    for photo in photos {
        for (sum, value) in sum.iter_mut().zip(engine.histogram_vector(photo)?) {
            *sum += value;
        }
    }
    let length = sum.iter().map(|value| value * value).sum::<f32>().sqrt();
    Ok(sum.iter().map(|value| value / length.max(f32::MIN_POSITIVE)).collect())
}
