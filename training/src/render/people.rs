//! Data sets of synthetic people.

use std::sync::atomic::{AtomicUsize, Ordering};

use omniid::{Error, ErrorKind, Result};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::assets::Assets;
use super::distribution::PhotoDistribution;
use super::family::Family;
use super::person::Person;
use super::photo::PhotoSpec;
use super::style::Style;
use crate::data::{Dataset, PersonPictures, Picture, Role};

/// How many people and pictures to render.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RenderConfig {
    /// People of all families together; the families take turns.
    pub people: usize,
    /// Seed of the first person; the others follow.
    pub first_seed: u64,
    /// Pictures per person in which everything varies.
    pub inputs_per_person: usize,
    /// Studio pictures per person; the first is frontal and neutral.
    pub targets_per_person: usize,
    /// Side of a picture, pixels.
    pub size: u32,
    /// The families to use; none means those that the assets have.
    pub families: Vec<Family>,
    /// How people and photos look.
    pub style: Style,
    /// Times of life that a person's pictures are from, by turns; 1: all from the same day. More need
    /// [`Style::Lifelike`].
    pub moments: usize,
    /// Years by which these times may lie apart from the first, either way: hair, beard, weight, make-up and glasses
    /// change with each, age with the years.
    pub years: f32,
}

impl Default for RenderConfig {
    fn default() -> Self {
        Self {
            people: 100,
            first_seed: 1,
            inputs_per_person: 6,
            targets_per_person: 8,
            size: 64,
            families: Vec::new(),
            style: Style::Classic,
            moments: 1,
            years: 0.0,
        }
    }
}

impl RenderConfig {
    /// Family and seed of every person, in order.
    pub(super) fn who(&self, assets: &Assets) -> Vec<(Family, u64)> {
        let families = if self.families.is_empty() {
            assets.families()
        } else {
            self.families.clone()
        };
        (0..self.people)
            .map(|i| (families[i % families.len()], self.first_seed.wrapping_add(i as u64)))
            .collect()
    }

    /// Role, number within the role and distribution of every picture of a person, in order.
    pub(super) fn photos(&self) -> impl Iterator<Item = (Role, usize, PhotoDistribution)> {
        let style = self.style;
        let inputs = (0..self.inputs_per_person).map(move |index| (Role::Input, index, PhotoDistribution::input()));
        let targets = (0..self.targets_per_person).map(|index| {
            let distribution = match index {
                0 => PhotoDistribution::frontal(),
                _ => PhotoDistribution::target(),
            };
            (Role::Target, index, distribution)
        });
        inputs
            .chain(targets)
            .map(move |(role, index, distribution)| (role, index, distribution.styled(style)))
    }

    /// The person at each time of life.
    pub(super) fn moments(&self, assets: &Assets, seed: u64, family: Family) -> Result<Vec<Person>> {
        let count = self.moments.max(1);
        if self.style == Style::Classic {
            if count > 1 || self.years != 0.0 {
                return Err(Error::invalid(
                    "several times of life need the style \"lifelike\"; people of the style \"classic\" have one",
                ));
            }
            return Ok(vec![assets.person(seed, family)?]);
        }
        (0..count)
            .map(|number| assets.lifelike_person(seed, family, number as u32, self.years))
            .collect()
    }
}

impl Person {
    /// Renders the person's picture number `index` of a distribution and keeps what training needs. The photo is drawn
    /// from the person's seed and the index, so that any picture can be rendered alone.
    ///
    /// # Errors
    /// As [`Person::render`].
    pub fn picture(&self, distribution: &PhotoDistribution, role: Role, index: usize, size: u32) -> Result<Picture> {
        self.take(&self.photo(distribution, role, index), role, size)
    }

    /// The person's photo number `index` of a distribution.
    pub(super) fn photo(&self, distribution: &PhotoDistribution, role: Role, index: usize) -> PhotoSpec {
        let mut rng = self.photo_rng(role, index);
        let mut photo = distribution.sample(&mut rng);
        if let (Some(usual), false) = (self.appearance.glasses, distribution.studio) {
            // Mostly as usual at this time of life.
            photo.view.glasses = f32::from(usual != (rng.random::<f32>() < if usual { 0.12 } else { 0.02 }));
        }
        photo
    }

    /// The random numbers of a photo.
    pub fn photo_rng(&self, role: Role, index: usize) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(1 + 2 * index as u64 + u64::from(role == Role::Target));
        rng
    }

    fn take(&self, photo: &PhotoSpec, role: Role, size: u32) -> Result<Picture> {
        let rendered = self.render(photo, size)?;
        Ok(Picture {
            pixels: rendered.image.into_raw(),
            mask: rendered.mask,
            view: rendered.view,
            points: rendered.points5.map(|p| p.map(|c| 2.0 * c / size as f32 - 1.0)),
            role,
        })
    }
}

/// Renders people on all threads of the current rayon pool; the result does not depend on their number. Per person the
/// inputs come first, then the targets. `progress` is told people done and people in all, from any thread, and answers
/// whether to go on.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] for a size out of range or a family that is missing, [`ErrorKind::Cancelled`] when
/// `progress` says so.
pub fn render_people(
    assets: &Assets,
    config: &RenderConfig,
    progress: &(dyn Fn(usize, usize) -> bool + Sync),
) -> Result<Dataset> {
    super::draw::check_size(config.size)?;
    let done = AtomicUsize::new(0);
    let people = config
        .who(assets)
        .into_par_iter()
        .map(|(family, seed)| {
            let pictures = pictures_of(assets, config, seed, family)?;
            let count = done.fetch_add(1, Ordering::Relaxed) + 1;
            if !progress(count, config.people) {
                return Err(Error::new(
                    ErrorKind::Cancelled,
                    format!("rendering was stopped after {count} of {} people", config.people),
                ));
            }
            Ok(pictures)
        })
        .collect::<Result<Vec<_>>>()?;
    let mut dataset = Dataset::new(config.size);
    dataset.people = people;
    Ok(dataset)
}

fn pictures_of(assets: &Assets, config: &RenderConfig, seed: u64, family: Family) -> Result<PersonPictures> {
    let people = config.moments(assets, seed, family)?;
    let pictures = config
        .photos()
        .map(|(role, index, distribution)| {
            people[index % people.len()].picture(&distribution, role, index, config.size)
        })
        .collect::<Result<_>>()?;
    Ok(PersonPictures {
        family: family.name().to_owned(),
        name: seed.to_string(),
        pictures,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use omniid::ErrorKind;

    fn lifelike() -> RenderConfig {
        RenderConfig {
            people: 4,
            first_seed: 90,
            inputs_per_person: 3,
            targets_per_person: 1,
            size: 64,
            style: Style::Lifelike,
            ..RenderConfig::default()
        }
    }

    #[test]
    fn lifelike_people_repeat_and_have_soft_edges() -> Result<()> {
        let Some(root) = omniid_test_support::assets("ict_facekit") else {
            return Ok(());
        };
        let assets = Assets::open(&root)?;
        let first = render_people(&assets, &lifelike(), &|_, _| true)?;
        assert_eq!(first, render_people(&assets, &lifelike(), &|_, _| true)?);
        for person in &first.people {
            let frontal = &person.pictures[3];
            // Between head and background lie pixels of both; the head fills a good part.
            let partly = frontal.mask.iter().filter(|m| (20..236).contains(*m)).count();
            let head = frontal.mask.iter().filter(|m| **m > 235).count();
            assert!(
                partly > 20 && head > 1000,
                "{} {}: {partly} {head}",
                person.family,
                person.name
            );
            // Nothing is burnt out or black.
            let mean = frontal.pixels.iter().map(|p| u64::from(*p)).sum::<u64>() / frontal.pixels.len() as u64;
            assert!((25..230).contains(&mean), "{mean}");
        }
        let classic = RenderConfig {
            style: Style::Classic,
            ..lifelike()
        };
        assert_ne!(first, render_people(&assets, &classic, &|_, _| true)?);
        Ok(())
    }

    #[test]
    fn moments_of_a_life_share_the_head() -> Result<()> {
        let Some(root) = omniid_test_support::assets("ict_facekit") else {
            return Ok(());
        };
        let assets = Assets::open(&root)?;
        for family in assets.families() {
            let mut changed = 0;
            for seed in 0..6 {
                let at = |moment| assets.lifelike_person(seed, family, moment, 5.0);
                let (now, later) = (at(0)?, at(1)?);
                let (a, b) = (now.landmarks(&[0.0; 12])?, later.landmarks(&[0.0; 12])?);
                let far = a
                    .iter()
                    .zip(&b)
                    .map(|(a, b)| (0..3).map(|k| (a[k] - b[k]).powi(2)).sum::<f32>().sqrt());
                let mean = far.sum::<f32>() / 68.0;
                assert!(mean < 0.6, "{family:?} {seed}: {mean}");
                let frontal = |person: &Person| person.picture(&PhotoDistribution::frontal(), Role::Target, 0, 32);
                changed += usize::from(frontal(&now)?.pixels != frontal(&later)?.pixels);
            }
            assert_eq!(changed, 6);
        }
        let impossible = RenderConfig {
            style: Style::Classic,
            moments: 2,
            ..lifelike()
        };
        let error = render_people(&assets, &impossible, &|_, _| true).expect_err("classic people do not age");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        Ok(())
    }
}
