//! Which photos of a set do not look like the others.

use super::Calibration;

/// How the photos of a set compare.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Comparison {
    /// Similarity of each photo to the others that belong together, −1 to 1.
    pub(super) similarity: Vec<f32>,
    /// Similarity below which a photo looks like somebody else.
    pub(super) threshold: f32,
    /// Whether each photo looks like the others.
    pub(super) fits: Vec<bool>,
    /// Not more than half of the photos belong together, so that nobody can say who the stranger is.
    pub(super) undecided: bool,
}

/// Compares photos, given by unit vectors; the first `known` of them are those of an identity that is extended, who
/// is the person whatever the others show. `None` when there is nothing to compare.
///
/// Robust while more than half of the photos show the person: those that are most alike come first, then all that look
/// like them, and each photo is compared with the mean of those without itself.
pub(super) fn compare(known: usize, photos: &[&[f32]], calibration: &Calibration) -> Option<Comparison> {
    (photos.len() >= 2 && known < photos.len()).then(|| belonging(known, photos, calibration).1)
}

/// What faces are compared with: the photos of a set that belong together.
pub(super) struct Reference {
    sum: Vec<f64>,
    threshold: f32,
}

impl Reference {
    /// The reference of photos in which it is clear who is meant, as for [`compare`]; `None` if they contradict each
    /// other.
    pub(super) fn of(known: usize, photos: &[&[f32]], calibration: &Calibration) -> Option<Self> {
        let (members, compared) = belonging(known, photos, calibration);
        if compared.undecided {
            return None;
        }
        let mut sum = vec![0.0; photos.first()?.len()];
        for member in members {
            add(&mut sum, photos[member], 1.0);
        }
        Some(Self {
            sum,
            threshold: compared.threshold,
        })
    }

    /// The similarity of a face, if it is enough.
    pub(super) fn fits(&self, face: &[f32]) -> Option<f32> {
        Some(cosine(face, &self.sum)).filter(|similarity| *similarity >= self.threshold)
    }
}

/// The photos that belong together, and how all compare with them.
fn belonging(known: usize, photos: &[&[f32]], calibration: &Calibration) -> (Vec<usize>, Comparison) {
    let count = photos.len();
    // Those of an identity come first.
    let first = if known > 0 { known } else { count };
    let mut members = most_alike(&photos[..first], calibration.floor);
    let mut compared = with_members(photos, &members, calibration);
    // Known photos that were alike stay whatever the new ones do.
    let grown: Vec<usize> = (0..count)
        .filter(|index| match *index < known {
            true => members.contains(index),
            false => compared.fits[*index],
        })
        .collect();
    if grown.len() >= 2 && grown != members {
        members = grown;
        compared = with_members(photos, &members, calibration);
    }
    let fitting = compared.fits.iter().filter(|fits| **fits).count();
    if known == 0 && count > 1 && 2 * fitting <= count {
        compared.similarity = similarities(photos, &(0..count).collect::<Vec<_>>());
        compared.undecided = true;
    }
    (members, compared)
}

/// The photos that are most alike: the one whose nearest others are the nearest, and these, as many as make more than
/// half of the set and are like it at all.
fn most_alike(photos: &[&[f32]], floor: f32) -> Vec<usize> {
    let count = photos.len();
    if count <= 2 {
        return (0..count).collect();
    }
    let nearest = |one: usize| {
        let mut others: Vec<(f32, usize)> = (0..count)
            .filter(|other| *other != one)
            .map(|other| (dot(photos[one], photos[other]), other))
            .collect();
        others.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        others.truncate(count / 2);
        others.retain(|(similarity, _)| *similarity >= floor);
        others
    };
    let nearness = |others: &[(f32, usize)]| others.iter().map(|(similarity, _)| similarity).sum::<f32>();
    let mut best = (0, nearest(0));
    for one in 1..count {
        let others = nearest(one);
        if nearness(&others) > nearness(&best.1) {
            best = (one, others);
        }
    }
    let mut members: Vec<usize> = best.1.iter().map(|(_, other)| *other).chain([best.0]).collect();
    members.sort_unstable();
    members
}

fn with_members(photos: &[&[f32]], members: &[usize], calibration: &Calibration) -> Comparison {
    let similarity = similarities(photos, members);
    let mut theirs: Vec<f32> = members.iter().map(|member| similarity[*member]).collect();
    theirs.sort_by(f32::total_cmp);
    let middle = theirs.len() / 2;
    let median = match theirs.len() % 2 {
        0 => (theirs[middle - 1] + theirs[middle]) / 2.0,
        _ => theirs[middle],
    };
    let threshold = calibration.floor.max(calibration.fraction * median);
    Comparison {
        fits: similarity.iter().map(|similarity| *similarity >= threshold).collect(),
        similarity,
        threshold,
        undecided: false,
    }
}

/// Cosine of each photo and the sum of the members without it; 0 for one that has no others.
fn similarities(photos: &[&[f32]], members: &[usize]) -> Vec<f32> {
    let mut sum = vec![0f64; photos.first().map_or(0, |photo| photo.len())];
    for member in members {
        add(&mut sum, photos[*member], 1.0);
    }
    let mut similarity = Vec::with_capacity(photos.len());
    for (index, photo) in photos.iter().enumerate() {
        let is_member = members.contains(&index);
        if is_member {
            add(&mut sum, photo, -1.0);
        }
        similarity.push(match is_member && members.len() == 1 {
            true => 0.0,
            false => cosine(photo, &sum),
        });
        if is_member {
            add(&mut sum, photo, 1.0);
        }
    }
    similarity
}

fn add(sum: &mut [f64], photo: &[f32], sign: f64) {
    for (sum, value) in sum.iter_mut().zip(photo) {
        *sum += sign * f64::from(*value);
    }
}

fn cosine(unit: &[f32], sum: &[f64]) -> f32 {
    let norm = sum.iter().map(|value| value * value).sum::<f64>().sqrt();
    let dot: f64 = unit.iter().zip(sum).map(|(a, b)| f64::from(*a) * b).sum();
    // A mean without a direction is like nothing.
    match norm > 0.0 {
        true => (dot / norm).clamp(-1.0, 1.0) as f32,
        false => 0.0,
    }
}

/// Of two unit vectors.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
