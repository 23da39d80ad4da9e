//! Everybody compared with everybody: the photos of the page, and who was named beside them.

use super::likeness::Compared;
use super::Args;
use crate::commands::compare::Matrix;
use crate::failure::Outcome;
use crate::input::{self, Input};
use crate::progress::Bar;
use omniid::engine::{EncodeOptions, Engine};
use omniid::identity::Identity;
use omniid::photo::Photo;
use omniid::ErrorKind;

/// By identities: those of single photos, and who was named to compare with. `None` for one row.
pub fn by_identities(
    engine: &Engine,
    used: &[(String, Photo<'static>)],
    options: &EncodeOptions,
    args: &Args,
) -> Outcome<Option<Compared>> {
    let mut names = Vec::new();
    let mut identities = Vec::new();
    let bar = Bar::new(args.quiet);
    for (place, (name, photo)) in used.iter().enumerate() {
        bar.step("comparing photos", place, used.len())?;
        identities.push(engine.encode([photo.clone()], options)?.identity);
        names.push(name.clone());
    }
    let limits = args.generator.model.limits.limits();
    for path in &args.compare {
        let input = Input::open(path, &limits)?;
        let identity = match input.is_picture() {
            true => engine.encode([input.into_photo()], options)?.identity,
            false => Identity::load(input.into_source(), &limits)?,
        };
        identities.push(identity);
        names.push(input::name(path));
    }
    drop(bar);
    if names.len() < 2 {
        return Ok(None);
    }
    Ok(Some(Compared {
        matrix: Matrix::new(names, &identities, Some(engine))?,
        photos: used.len(),
    }))
}

/// The same by orientation histograms, without identities, which keep no pixels. `None` for one row, and for a model
/// without directions.
pub fn by_histograms(engine: &Engine, used: &[(String, Photo<'static>)], args: &Args) -> Outcome<Option<Compared>> {
    if engine.histogram_directions() == 0 {
        return Ok(None);
    }
    // A face that is named by its box alone may have no points to align by.
    let vector = |photo: Photo<'static>| -> Outcome<Option<Vec<f32>>> {
        match engine.histogram_vector(photo) {
            Err(error) if error.kind() == ErrorKind::NoFace => Ok(None),
            found => Ok(Some(found?)),
        }
    };
    let (mut names, mut vectors) = (Vec::new(), Vec::new());
    for (name, photo) in used {
        if let Some(found) = vector(photo.clone())? {
            names.push(name.clone());
            vectors.push(found);
        }
    }
    let photos = names.len();
    let limits = args.generator.model.limits.limits();
    for path in &args.compare {
        let input = Input::open(path, &limits)?;
        if !input.is_picture() {
            continue;
        }
        if let Some(found) = vector(input.into_photo())? {
            names.push(input::name(path));
            vectors.push(found);
        }
    }
    Ok((names.len() > 1).then(|| Compared {
        matrix: Matrix::of_vectors(names, &vectors),
        photos,
    }))
}
