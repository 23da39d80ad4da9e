//! Whether descriptors tell people apart: single photos against single photos, sets of photos against sets.

use super::descriptor::{Centre, Descriptor, PictureSet};
use super::progress::Progress;
use crate::data::Dataset;
use crate::statistics::{mean, Pair, ScoredPairs, Verification};
use candle_core::{Device, Tensor};
use image::RgbImage;
use omniid::{Error, Result};
use rand::seq::SliceRandom;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The pictures of one person that may be compared.
#[derive(Debug, Clone)]
pub struct PersonImages {
    /// People are compared within a family only: those of two families differ in style too.
    pub family: String,
    /// At least one.
    pub images: Vec<RgbImage>,
}

/// The pictures of a set that the encoder may read, by person. People without any are left out.
pub fn images_of(dataset: &Dataset) -> Vec<PersonImages> {
    let people = dataset.people.iter().map(|person| PersonImages {
        family: person.family.clone(),
        images: person
            .inputs()
            .into_iter()
            .filter_map(|place| person.pictures[place].image(dataset.size))
            .collect(),
    });
    people.filter(|person| !person.images.is_empty()).collect()
}

/// How people are compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VerificationOptions {
    /// Photos of a set. 1 compares all pairs of single photos; n > 1 compares disjoint sets of n photos.
    pub photos: usize,
    /// For sets: how often the photos of a person are dealt anew. Default 4.
    pub deals: usize,
    /// Draws of people for the intervals. Default 200.
    pub resamples: usize,
    /// For dealing and drawing.
    pub seed: u64,
}

impl Default for VerificationOptions {
    fn default() -> Self {
        Self {
            photos: 1,
            deals: 4,
            resamples: 200,
            seed: 0,
        }
    }
}

/// What [`verify`] found.
#[derive(Debug, Clone, PartialEq)]
pub struct VerificationResult {
    /// The descriptor.
    pub descriptor: String,
    /// Photos of a set.
    pub photos: usize,
    /// People compared.
    pub people: usize,
    /// Photos or sets compared.
    pub sets: usize,
    /// Area, rates, intervals.
    pub verification: Verification,
    /// How often the most similar other photo or set of the family shows the same person.
    pub rank_1: f64,
}

/// Compares people within their families.
///
/// With n > 1 photos, the photos of each person are dealt to two disjoint sets of n, several times; first sets are
/// compared with second sets. People with too few photos are left out.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`](omniid::ErrorKind::InvalidArgument) when fewer than two people of a family have
/// enough photos or the descriptor's vectors differ in length; those of the descriptor.
pub fn verify(
    descriptor: &dyn Descriptor,
    people: &[PersonImages],
    options: VerificationOptions,
    progress: &mut Progress<'_>,
) -> Result<VerificationResult> {
    let needed = if options.photos <= 1 { 1 } else { 2 * options.photos };
    let people: Vec<&PersonImages> = people.iter().filter(|person| person.images.len() >= needed).collect();
    let families: Vec<&str> = people.iter().map(|person| person.family.as_str()).collect();
    let (sets, owners) = if options.photos <= 1 {
        singles(&people)
    } else {
        deal(&people, options)
    };
    let vectors = descriptor.describe(&sets, progress)?;
    let vectors = directions(vectors, descriptor.centre()).map_err(|error| error.context(descriptor.name()))?;
    let compared = if options.photos <= 1 {
        compare_singles(&vectors, &owners, &families)?
    } else {
        compare_sets(&vectors, people.len(), options.deals, &families)?
    };
    let pairs = ScoredPairs::new(compared.pairs, people.len())
        .map_err(|error| error.context(format!("{} with {} photos", descriptor.name(), options.photos)))?;
    Ok(VerificationResult {
        descriptor: descriptor.name(),
        photos: options.photos.max(1),
        people: people.len(),
        sets: sets.len(),
        verification: pairs.verification(options.resamples, options.seed),
        rank_1: compared.hits / compared.probes.max(1.0),
    })
}

/// Every photo by itself, and whose it is.
fn singles<'a>(people: &[&'a PersonImages]) -> (Vec<PictureSet<'a>>, Vec<usize>) {
    let photos = people
        .iter()
        .enumerate()
        .flat_map(|(owner, person)| person.images.iter().map(move |image| (vec![image], owner)));
    photos.unzip()
}

/// For every deal: the first sets of all people, then the second sets of all people.
fn deal<'a>(people: &[&'a PersonImages], options: VerificationOptions) -> (Vec<PictureSet<'a>>, Vec<usize>) {
    let mut dealt = (Vec::new(), Vec::new());
    for number in 0..options.deals.max(1) {
        let orders: Vec<Vec<usize>> = people
            .iter()
            .enumerate()
            .map(|(owner, person)| {
                let mut random = ChaCha8Rng::seed_from_u64(options.seed);
                random.set_stream(((number as u64) << 32) | owner as u64);
                let mut order: Vec<usize> = (0..person.images.len()).collect();
                order.shuffle(&mut random);
                order
            })
            .collect();
        for half in 0..2 {
            for (owner, (person, order)) in people.iter().zip(&orders).enumerate() {
                let places = &order[half * options.photos..(half + 1) * options.photos];
                dealt
                    .0
                    .push(places.iter().map(|place| &person.images[*place]).collect());
                dealt.1.push(owner);
            }
        }
    }
    dealt
}

/// Centred vectors of length 1, `[vectors, width]`.
fn directions(vectors: Vec<Vec<f32>>, centre: Centre) -> Result<Tensor> {
    let width = vectors.first().map_or(0, Vec::len);
    if width == 0 || vectors.iter().any(|vector| vector.len() != width) {
        return Err(Error::invalid(format!(
            "{} descriptors, the first of {width} values: all need the same number of values, at least 1",
            vectors.len()
        )));
    }
    let centre = match centre {
        Centre::Nothing => vec![0.0; width],
        Centre::Data => mean(&vectors),
        Centre::Given(centre) => centre,
    };
    if centre.len() != width {
        return Err(Error::mismatch(format!(
            "descriptors of {width} values, the centre has {}",
            centre.len()
        )));
    }
    let mut flat = Vec::with_capacity(vectors.len() * width);
    for vector in &vectors {
        let moved: Vec<f64> = vector
            .iter()
            .zip(&centre)
            .map(|(v, c)| f64::from(*v) - f64::from(*c))
            .collect();
        let norm = moved.iter().map(|value| value * value).sum::<f64>().sqrt();
        // A vector without a direction is like nothing, itself included; see the plugin's similarity.
        let scale = if norm > 0.0 { 1.0 / norm } else { 0.0 };
        flat.extend(moved.iter().map(|value| (value * scale) as f32));
    }
    Ok(Tensor::from_vec(flat, (vectors.len(), width), &Device::Cpu)?)
}

#[derive(Default)]
struct Compared {
    pairs: Vec<Pair>,
    /// Probes whose nearest is the same person.
    hits: f64,
    /// Probes that have somebody to compare with.
    probes: f64,
}

impl Compared {
    /// One probe against candidates: the scores, and whose each is.
    fn probe(&mut self, owner: usize, candidates: impl Iterator<Item = (f32, usize)>) {
        let best = candidates.fold(None, |best: Option<(f32, usize)>, candidate| match best {
            Some(best) if best.0 >= candidate.0 => Some(best),
            _ => Some(candidate),
        });
        if let Some((_, found)) = best {
            self.probes += 1.0;
            self.hits += f64::from(u8::from(found == owner));
        }
    }
}

fn compare_singles(vectors: &Tensor, owners: &[usize], families: &[&str]) -> Result<Compared> {
    const ROWS: usize = 256;
    let mut compared = Compared::default();
    let columns = vectors.t()?.contiguous()?;
    let count = owners.len();
    for start in (0..count).step_by(ROWS) {
        let rows = vectors.narrow(0, start, ROWS.min(count - start))?;
        for (offset, scores) in rows.matmul(&columns)?.to_vec2::<f32>()?.into_iter().enumerate() {
            let probe = start + offset;
            let related = |other: &usize| families[owners[*other]] == families[owners[probe]];
            for other in (0..probe).filter(related) {
                compared.pairs.push(pair(scores[other], owners[probe], owners[other]));
            }
            let others = (0..count).filter(|other| *other != probe && related(other));
            compared.probe(owners[probe], others.map(|other| (scores[other], owners[other])));
        }
    }
    Ok(compared)
}

fn compare_sets(vectors: &Tensor, people: usize, deals: usize, families: &[&str]) -> Result<Compared> {
    let mut compared = Compared::default();
    for number in 0..deals.max(1) {
        let half = |half: usize| vectors.narrow(0, (2 * number + half) * people, people);
        let scores = half(0)?.matmul(&half(1)?.t()?.contiguous()?)?.to_vec2::<f32>()?;
        for (first, scores) in scores.iter().enumerate() {
            let related = |second: &usize| families[*second] == families[first];
            for second in (0..people).filter(related) {
                compared.pairs.push(pair(scores[second], first, second));
            }
            compared.probe(
                first,
                (0..people).filter(related).map(|second| (scores[second], second)),
            );
        }
    }
    Ok(compared)
}

fn pair(score: f32, first: usize, second: usize) -> Pair {
    Pair {
        score,
        first: first as u32,
        second: second as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::super::descriptor::{ColourDescriptor, TokenDescriptor};
    use super::super::test_model;
    use super::*;
    use image::Rgb;

    fn person(family: &str, colours: &[[u8; 3]]) -> PersonImages {
        PersonImages {
            family: family.to_string(),
            images: colours.iter().map(|c| RgbImage::from_pixel(32, 32, Rgb(*c))).collect(),
        }
    }

    fn people() -> Vec<PersonImages> {
        vec![
            person("a", &[[200, 10, 10], [210, 15, 10], [190, 10, 20], [205, 5, 5]]),
            person("a", &[[10, 200, 10], [10, 190, 30], [20, 210, 10], [5, 205, 5]]),
            // Like the first person, but of another family: never compared with it.
            person("b", &[[200, 10, 10], [210, 15, 10], [190, 10, 20], [205, 5, 5]]),
            person("b", &[[10, 10, 200], [10, 30, 190], [20, 10, 210], [5, 5, 205]]),
        ]
    }

    #[test]
    fn colours_tell_coloured_people_apart_within_families() {
        for photos in [1, 2] {
            let options = VerificationOptions {
                photos,
                deals: 3,
                ..VerificationOptions::default()
            };
            let found = verify(&ColourDescriptor, &people(), options, &mut Progress::silent()).unwrap();
            assert_eq!(
                (found.verification.curve.auc, found.rank_1, found.people),
                (1.0, 1.0, 4)
            );
            let pairs = (found.verification.genuine, found.verification.impostor);
            // Singles: 4 people × 6 pairs, 2 families × 4 × 4. Sets: 3 deals × 4 people, 3 × 2 families × 2.
            assert_eq!(pairs, if photos == 1 { (24, 32) } else { (12, 12) });
        }
    }

    #[test]
    fn people_with_too_few_photos_are_left_out() {
        let options = VerificationOptions {
            photos: 3,
            ..VerificationOptions::default()
        };
        assert!(verify(&ColourDescriptor, &people(), options, &mut Progress::silent()).is_err());
    }

    #[test]
    fn token_similarity_is_the_plugins() {
        let model = test_model::model(4);
        let pictures = test_model::pictures(5);
        let identities: Vec<_> = pictures
            .iter()
            .map(|picture| model.identity(&[picture]).unwrap())
            .collect();
        let descriptor = TokenDescriptor {
            model: &model,
            name: "tokens".to_string(),
        };
        let sets: Vec<PictureSet<'_>> = pictures.iter().map(|picture| vec![picture]).collect();
        let vectors = descriptor.describe(&sets, &mut Progress::silent()).unwrap();
        // This model has no mean tokens, so the plugin centres on nothing.
        let vectors = directions(vectors, Centre::Nothing).unwrap();
        let cosines = vectors.matmul(&vectors.t().unwrap()).unwrap().to_vec2::<f32>().unwrap();
        for (i, a) in identities.iter().enumerate() {
            for (j, b) in identities.iter().enumerate() {
                let expected = model.engine().similarity(a, b).unwrap();
                assert!((cosines[i][j] - expected).abs() < 1e-5, "{i} {j}");
            }
        }
    }
}
