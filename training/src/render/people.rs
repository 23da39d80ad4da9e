//! Data sets of synthetic people.

use std::sync::atomic::{AtomicUsize, Ordering};

use omniid::{Error, ErrorKind, Result};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::assets::Assets;
use super::distribution::PhotoDistribution;
use super::family::Family;
use super::person::Person;
use super::photo::PhotoSpec;
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
        let inputs = (0..self.inputs_per_person).map(|index| (Role::Input, index, PhotoDistribution::input()));
        let targets = (0..self.targets_per_person).map(|index| {
            let distribution = match index {
                0 => PhotoDistribution::frontal(),
                _ => PhotoDistribution::target(),
            };
            (Role::Target, index, distribution)
        });
        inputs.chain(targets)
    }
}

impl Person {
    /// Renders the person's picture number `index` of a distribution and keeps what training needs. The photo is drawn
    /// from the person's seed and the index, so that any picture can be rendered alone.
    ///
    /// # Errors
    /// As [`Person::render`].
    pub fn picture(&self, distribution: &PhotoDistribution, role: Role, index: usize, size: u32) -> Result<Picture> {
        let photo = distribution.sample(&mut self.photo_rng(role, index));
        self.take(&photo, role, size)
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
    let person = assets.person(seed, family)?;
    let pictures = config
        .photos()
        .map(|(role, index, distribution)| person.picture(&distribution, role, index, config.size))
        .collect::<Result<_>>()?;
    Ok(PersonPictures {
        family: family.name().to_owned(),
        name: seed.to_string(),
        pictures,
    })
}
