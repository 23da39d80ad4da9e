//! Which face of a group photo is the person's.

use super::strangers::{dot, Reference};
use super::Calibration;

/// The rank of the face to take in each photo: the one that looks like the other photos, or the largest, 0, where none
/// does.
///
/// `photos` have the vectors of their faces, the largest first; those in which the face is clear have one. `known` are
/// those of an identity that is extended. Photos with one face say who the person is; where there are none, or they
/// contradict each other, it is the person who is in most of the photos, in front of others in the same photos by size.
pub(super) fn choose(known: &[Vec<f32>], photos: &[Vec<Vec<f32>>], calibration: &Calibration) -> Vec<usize> {
    let clear = photos.iter().filter(|faces| faces.len() == 1).map(|faces| &faces[0]);
    let clear: Vec<&[f32]> = known.iter().chain(clear).map(Vec::as_slice).collect();
    let reference = match clear.is_empty() {
        true => None,
        false => Reference::of(known.len(), &clear, calibration),
    };
    match reference {
        Some(reference) => photos.iter().map(|faces| most_fitting(&reference, faces)).collect(),
        None => in_most(photos, calibration),
    }
}

/// The rank of the face that looks most like the reference; 0 if none does.
fn most_fitting(reference: &Reference, faces: &[Vec<f32>]) -> usize {
    let fitting = faces.iter().enumerate();
    let fitting = fitting.filter_map(|(rank, face)| Some((rank, reference.fits(face)?)));
    fitting.max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(rank, _)| rank)
}

/// The faces of the person who is in most of the photos, at least in half of them; the largest if there is none.
fn in_most(photos: &[Vec<Vec<f32>>], calibration: &Calibration) -> Vec<usize> {
    let mut people = Vec::new();
    for (at, faces) in photos.iter().take(SEEDS).enumerate() {
        for (rank, face) in faces.iter().enumerate() {
            let mut person = Person::default();
            for (other, faces) in photos.iter().enumerate() {
                let found = match other == at {
                    true => Some((rank, 0.0)),
                    false => most_like(face, faces, calibration.floor),
                };
                person.ranks.push(found.map_or(0, |(rank, _)| rank));
                person.photos += usize::from(found.is_some());
                person.likeness += found.map_or(0.0, |(_, similarity)| similarity);
            }
            people.push(person);
        }
    }
    people.retain(|person| person.photos >= 2 && 2 * person.photos >= photos.len());
    let most = people.iter().map(|person| person.likeness).fold(0.0, f32::max);
    let foreground = people.into_iter().filter(|person| person.likeness >= NEARLY * most);
    let chosen = foreground.min_by(|a, b| {
        let size = |person: &Person| person.ranks.iter().sum::<usize>();
        size(a).cmp(&size(b)).then(b.likeness.total_cmp(&a.likeness))
    });
    chosen.map_or_else(|| vec![0; photos.len()], |person| person.ranks)
}

/// Photos whose faces are tried as those of the person; the time grows with them and with all photos.
const SEEDS: usize = 32;

/// Two people who are in the same photos look about as much like themselves: then size decides.
const NEARLY: f32 = 0.8;

/// Somebody who may be the one that the photos are of.
#[derive(Default)]
struct Person {
    /// Rank of the face in each photo that is most like this one; 0 where none is.
    ranks: Vec<usize>,
    /// In how many photos there is such a face.
    photos: usize,
    /// Sum of the similarities.
    likeness: f32,
}

/// Rank and similarity of the face most like `face`, if it is like it at all.
fn most_like(face: &[f32], faces: &[Vec<f32>], floor: f32) -> Option<(usize, f32)> {
    let similar = faces.iter().map(|other| dot(face, other)).enumerate();
    similar
        .filter(|(_, similarity)| *similarity >= floor)
        .max_by(|a, b| a.1.total_cmp(&b.1))
}
