//! Pictures of people, in memory and in files.
//!
//! A [`Dataset`] is filled by the renderer or by the loader of real photos and read by the sampler. Pixels stay 8-bit
//! at the size of training; a batch converts what it uses.

mod crop;
mod file;
pub mod photos;
mod resize;
pub mod scan;
mod split;
mod toy;

pub use crop::CropTemplate;
pub use file::FORMAT_VERSION;
pub use split::{SplitFractions, Subset};
pub use toy::toy_people;

use image::RgbImage;
use omniid::{Error, Result};
use omniid_minihost::View;
use std::collections::{BTreeMap, HashSet};
use std::fmt;

/// What a picture is for in few-to-many training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Shows the person under any conditions; the encoder reads it.
    Input,
    /// Shows the person under conditions that [`View`] tells; the decoder draws it.
    Target,
    /// Serves as either, never as both in one step. Photos.
    Both,
}

impl Role {
    /// Whether the encoder may read it.
    pub fn is_input(self) -> bool {
        self != Role::Target
    }

    /// Whether the decoder may be asked to draw it.
    pub fn is_target(self) -> bool {
        self != Role::Input
    }
}

/// One square picture of a person. Plain data.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// RGB `[size, size, 3]`, row-major, sRGB.
    pub pixels: Vec<u8>,
    /// `[size, size]`: 255 on the head, 0 on the background.
    pub mask: Vec<u8>,
    /// What it shows beside the identity.
    pub view: View,
    /// Eye at image left, eye at image right, nose tip, mouth corner left, mouth corner right of this person, −1…1
    /// from the left and upper to the right and lower edge. For evaluation, never a condition: they hold the shape of
    /// the face.
    pub points: [[f32; 2]; 5],
    /// What it may be used for.
    pub role: Role,
}

impl Picture {
    /// The pixels, of a picture of this side; `None` when it has another number of them.
    pub fn image(&self, size: u32) -> Option<RgbImage> {
        RgbImage::from_raw(size, size, self.pixels.clone())
    }
}

/// All pictures of one person. Plain data.
#[derive(Debug, Clone, PartialEq)]
pub struct PersonPictures {
    /// Where the person comes from: "makehuman", "ict", "photos". People of one family differ in identity, people of
    /// two families also in style.
    pub family: String,
    /// Name within the family: a seed or a folder.
    pub name: String,
    /// The pictures, in any order.
    pub pictures: Vec<Picture>,
}

impl PersonPictures {
    /// Places of the pictures that the encoder may read.
    pub fn inputs(&self) -> Vec<usize> {
        self.places(Role::is_input)
    }

    /// Places of the pictures that the decoder may be asked to draw.
    pub fn targets(&self) -> Vec<usize> {
        self.places(Role::is_target)
    }

    fn places(&self, wanted: fn(Role) -> bool) -> Vec<usize> {
        (0..self.pictures.len())
            .filter(|place| wanted(self.pictures[*place].role))
            .collect()
    }
}

/// People and their pictures of one size, in memory. Plain data.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Dataset {
    /// Side of every picture in pixels.
    pub size: u32,
    /// The people.
    pub people: Vec<PersonPictures>,
}

impl Dataset {
    /// A set without people, for pictures of this side.
    pub fn new(size: u32) -> Self {
        Self {
            size,
            people: Vec::new(),
        }
    }

    /// Checks that every picture has the size of the set and finite numbers, and that no person occurs twice.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](omniid::ErrorKind::Format) naming the person and the picture.
    pub fn validate(&self) -> Result<()> {
        let pixels = self.size as usize * self.size as usize;
        let mut seen = HashSet::new();
        for person in &self.people {
            if !seen.insert((&person.family, &person.name)) {
                return Err(Error::format(format!(
                    "person {:?} of family {:?} occurs twice",
                    person.name, person.family
                )));
            }
            for (place, picture) in person.pictures.iter().enumerate() {
                let what = |problem: String| {
                    Error::format(format!(
                        "picture {place} of person {:?} ({}) {problem}",
                        person.name, person.family
                    ))
                };
                if picture.pixels.len() != 3 * pixels || picture.mask.len() != pixels {
                    return Err(what(format!(
                        "has {} colour values and {} mask values; side {} needs {} and {pixels}",
                        picture.pixels.len(),
                        picture.mask.len(),
                        self.size,
                        3 * pixels
                    )));
                }
                let numbers = picture.view.to_vector();
                if !numbers
                    .iter()
                    .chain(picture.points.iter().flatten())
                    .all(|number| number.is_finite())
                {
                    return Err(what("has a view or points that are not finite".to_string()));
                }
            }
        }
        Ok(())
    }

    /// Adds the people of `other`. Pictures of a person whom both have are joined.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](omniid::ErrorKind::Mismatch) when the sizes differ; this set is then unchanged.
    pub fn append(&mut self, other: Dataset) -> Result<()> {
        if self.people.is_empty() {
            self.size = other.size;
        }
        if self.size != other.size && !other.people.is_empty() {
            return Err(Error::mismatch(format!(
                "pictures of side {} cannot join a set of side {}",
                other.size, self.size
            )));
        }
        let mut places: BTreeMap<(String, String), usize> = self
            .people
            .iter()
            .enumerate()
            .map(|(place, person)| ((person.family.clone(), person.name.clone()), place))
            .collect();
        for person in other.people {
            match places.get(&(person.family.clone(), person.name.clone())) {
                Some(place) => self.people[*place].pictures.extend(person.pictures),
                None => {
                    places.insert((person.family.clone(), person.name.clone()), self.people.len());
                    self.people.push(person);
                }
            }
        }
        Ok(())
    }

    /// Number of pictures.
    pub fn picture_count(&self) -> usize {
        self.people.iter().map(|person| person.pictures.len()).sum()
    }

    /// Mean and standard deviation of red, green, blue (0…1) over all pictures; zeros without pictures.
    pub fn colour_statistics(&self) -> ([f32; 3], [f32; 3]) {
        let mut levels = [[0u64; 256]; 3];
        for picture in self.people.iter().flat_map(|person| &person.pictures) {
            for pixel in picture.pixels.chunks_exact(3) {
                for (channel, level) in pixel.iter().enumerate() {
                    levels[channel][usize::from(*level)] += 1;
                }
            }
        }
        let moments = levels.map(|counts| {
            let total = counts.iter().sum::<u64>().max(1) as f64;
            let moment = |power: i32| {
                let sum: f64 = counts
                    .iter()
                    .enumerate()
                    .map(|(level, count)| (level as f64 / 255.0).powi(power) * *count as f64)
                    .sum();
                sum / total
            };
            let mean = moment(1);
            (mean as f32, (moment(2) - mean * mean).max(0.0).sqrt() as f32)
        });
        (moments.map(|(mean, _)| mean), moments.map(|(_, deviation)| deviation))
    }

    /// What the set holds.
    pub fn report(&self) -> DatasetReport {
        let mut families = BTreeMap::<String, usize>::new();
        for person in &self.people {
            *families.entry(person.family.clone()).or_default() += 1;
        }
        let counts = || self.people.iter().map(|person| person.pictures.len());
        let pictures = || self.people.iter().flat_map(|person| &person.pictures);
        DatasetReport {
            size: self.size,
            families,
            people: self.people.len(),
            pictures: self.picture_count(),
            inputs: pictures().filter(|picture| picture.role.is_input()).count(),
            targets: pictures().filter(|picture| picture.role.is_target()).count(),
            fewest: counts().min().unwrap_or(0),
            most: counts().max().unwrap_or(0),
            bytes: pictures()
                .map(|picture| (picture.pixels.len() + picture.mask.len()) as u64)
                .sum(),
        }
    }
}

/// For each of people of these families another one, whose identity is the wrong one: the next of the family, in a
/// circle, or the next of all where the family has nobody else.
pub fn next_of_family(families: &[&str]) -> Vec<usize> {
    let count = families.len();
    let next = |own: usize| {
        (1..count)
            .map(|ahead| (own + ahead) % count)
            .find(|other| families[*other] == families[own])
            .unwrap_or((own + 1) % count)
    };
    (0..count).map(next).collect()
}

/// What a [`Dataset`] holds; its text is one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetReport {
    /// Side of a picture in pixels.
    pub size: u32,
    /// People of each family.
    pub families: BTreeMap<String, usize>,
    /// All people.
    pub people: usize,
    /// All pictures.
    pub pictures: usize,
    /// Pictures that the encoder may read.
    pub inputs: usize,
    /// Pictures that the decoder may be asked to draw.
    pub targets: usize,
    /// Pictures of the person with the fewest.
    pub fewest: usize,
    /// Pictures of the person with the most.
    pub most: usize,
    /// Bytes of pixels and masks.
    pub bytes: u64,
}

impl fmt::Display for DatasetReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let families = self
            .families
            .iter()
            .map(|(family, count)| format!("{count} {family}"))
            .collect::<Vec<_>>()
            .join(", ");
        write!(
            f,
            "{} people ({families}), {} pictures of {} px ({} as inputs, {} as targets; {} to {} per person), {:.1} MB",
            self.people,
            self.pictures,
            self.size,
            self.inputs,
            self.targets,
            self.fewest,
            self.most,
            self.bytes as f64 / 1e6
        )
    }
}

#[cfg(test)]
mod tests;
