//! Which pictures of a person are read, drawn and compared with.

use crate::data::{Dataset, Picture};
use image::RgbImage;
use omniid_minihost::View;

/// One person of an evaluation by generated pictures.
pub(super) struct Subject<'a> {
    /// People are confused within their family only.
    pub family: &'a str,
    /// What the encoder reads; of n photos it reads the first n.
    pub inputs: Vec<&'a Picture>,
    /// A true picture as frontal as there is: another view to compare with. Neither read nor drawn, but for people
    /// [with two pictures](Self::of_two).
    pub gallery: &'a Picture,
    /// What is drawn. Never read.
    pub targets: Vec<&'a Picture>,
}

impl<'a> Subject<'a> {
    /// The people of a set who have `inputs` pictures to read and, besides these and the one to compare with, at least
    /// one to draw; of those at most `targets` are taken.
    pub fn of(dataset: &'a Dataset, inputs: usize, targets: usize) -> Vec<Self> {
        let subject = |person: &'a crate::data::PersonPictures| {
            let pictures = &person.pictures;
            let gallery = Self::most_frontal(person)?;
            let read: Vec<usize> = person
                .inputs()
                .into_iter()
                .filter(|place| *place != gallery)
                .take(inputs)
                .collect();
            let drawn: Vec<usize> = person
                .targets()
                .into_iter()
                .filter(|place| *place != gallery && !read.contains(place))
                .take(targets)
                .collect();
            let all = |places: &[usize]| places.iter().map(|place| &pictures[*place]).collect();
            (read.len() == inputs && !drawn.is_empty()).then(|| Self {
                family: &person.family,
                inputs: all(&read),
                gallery: &pictures[gallery],
                targets: all(&drawn),
            })
        };
        dataset.people.iter().filter_map(subject).collect()
    }

    /// The people of a set who have at least two pictures: the more frontal one is drawn and also compared with, another
    /// one is read. What is measured is then no other view: the true picture is alike itself by 1.
    pub fn of_two(dataset: &'a Dataset) -> Vec<Self> {
        let subject = |person: &'a crate::data::PersonPictures| {
            let drawn = Self::most_frontal(person)?;
            let read = person.inputs().into_iter().find(|place| *place != drawn)?;
            let pictures = &person.pictures;
            Some(Self {
                family: &person.family,
                inputs: vec![&pictures[read]],
                gallery: &pictures[drawn],
                targets: vec![&pictures[drawn]],
            })
        };
        dataset.people.iter().filter_map(subject).collect()
    }

    /// The people of a set who have at least `inputs` pictures, which are read; of these at most `targets` are drawn,
    /// and the most frontal one is compared with. What is measured is how like the person a picture of all photos is,
    /// and not whether an unseen photo is foretold.
    pub fn of_read(dataset: &'a Dataset, inputs: usize, targets: usize) -> Vec<Self> {
        let subject = |person: &'a crate::data::PersonPictures| {
            let read: Vec<&Picture> = person
                .inputs()
                .into_iter()
                .take(inputs)
                .map(|place| &person.pictures[place])
                .collect();
            let turned = |picture: &&&Picture| from_front(&picture.view);
            let gallery = *read.iter().min_by(|a, b| turned(a).total_cmp(&turned(b)))?;
            (read.len() == inputs).then(|| Self {
                family: &person.family,
                gallery,
                targets: read.iter().take(targets).copied().collect(),
                inputs: read,
            })
        };
        dataset.people.iter().filter_map(subject).collect()
    }

    /// The target that looks most into the camera.
    fn most_frontal(person: &crate::data::PersonPictures) -> Option<usize> {
        person.targets().into_iter().min_by(|a, b| {
            let turned = |place: &usize| from_front(&person.pictures[*place].view);
            turned(a).total_cmp(&turned(b))
        })
    }

    /// Degrees between a target and the nearest of the first `count` inputs.
    pub fn nearest(&self, target: &View, count: usize) -> f64 {
        self.inputs
            .iter()
            .take(count)
            .map(|input| angle(&input.view, target))
            .fold(f64::INFINITY, f64::min)
    }
}

/// Looking into the camera.
const FRONTAL: [f64; 3] = [0.0, 0.0, 1.0];

/// Where a head looks: right, up, to the viewer.
trait Direction {
    fn direction(&self) -> [f64; 3];
}

impl Direction for View {
    fn direction(&self) -> [f64; 3] {
        let (yaw, pitch) = (f64::from(self.yaw), f64::from(self.pitch));
        [yaw.sin() * pitch.cos(), pitch.sin(), yaw.cos() * pitch.cos()]
    }
}

impl Direction for [f64; 3] {
    fn direction(&self) -> [f64; 3] {
        *self
    }
}

/// Degrees between the directions of two heads. A tilt in the picture plane does not count: crops are upright.
fn angle(a: &impl Direction, b: &impl Direction) -> f64 {
    let (a, b) = (a.direction(), b.direction());
    let cosine: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
    cosine.clamp(-1.0, 1.0).acos().to_degrees()
}

/// Degrees between where a head looks and the camera.
pub(super) fn from_front(view: &View) -> f64 {
    angle(view, &FRONTAL)
}

/// Pixels of pictures whose size was checked with their set.
pub(super) fn images(pictures: &[&Picture], size: u32) -> Vec<RgbImage> {
    pictures.iter().filter_map(|picture| picture.image(size)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{toy_people, Role};

    fn view(yaw: f32, pitch: f32) -> View {
        View::default().posed(yaw.to_radians(), pitch.to_radians(), 0.3)
    }

    #[test]
    fn angles_in_degrees() {
        assert!((angle(&view(20.0, 0.0), &view(-25.0, 0.0)) - 45.0).abs() < 1e-4);
        assert!((angle(&view(0.0, 30.0), &view(0.0, -10.0)) - 40.0).abs() < 1e-4);
        assert!((angle(&view(90.0, 0.0), &view(0.0, 0.0)) - 90.0).abs() < 1e-4);
        // Unit vectors (½, √½, ½) and (0, 0, 1).
        assert!((angle(&view(45.0, 45.0), &view(0.0, 0.0)) - 60.0).abs() < 1e-4);
        assert!((from_front(&view(-33.0, 0.0)) - 33.0).abs() < 1e-4);
    }

    #[test]
    fn of_two_pictures_one_is_read_and_one_drawn() {
        let mut dataset = toy_people(3, 2, 16, 1);
        dataset.people[2].pictures.truncate(1);
        let subjects = Subject::of_two(&dataset);
        assert_eq!(subjects.len(), 2);
        for subject in &subjects {
            assert_eq!((subject.inputs.len(), subject.targets.len()), (1, 1));
            assert!(std::ptr::eq(subject.gallery, subject.targets[0]));
            assert!(!std::ptr::eq(subject.inputs[0], subject.targets[0]));
            assert!(from_front(&subject.targets[0].view) <= from_front(&subject.inputs[0].view));
        }
    }

    #[test]
    fn all_photos_are_read_and_drawn() {
        let mut dataset = toy_people(3, 3, 16, 1);
        dataset.people[1].pictures.truncate(1);
        let subjects = Subject::of_read(&dataset, 2, 4);
        assert_eq!(subjects.len(), 2);
        for subject in &subjects {
            assert_eq!((subject.inputs.len(), subject.targets.len()), (2, 2));
            let turned = |picture: &Picture| from_front(&picture.view);
            assert!(subject
                .inputs
                .iter()
                .all(|input| turned(subject.gallery) <= turned(input)));
            assert!(subject.inputs.iter().any(|input| std::ptr::eq(*input, subject.gallery)));
        }
    }

    #[test]
    fn nothing_is_both_read_and_drawn() {
        let mut dataset = toy_people(3, 8, 16, 1);
        // Photos serve as anything: the most frontal one is compared with, then come inputs, the rest is drawn.
        let turned = dataset.people[0]
            .pictures
            .iter()
            .map(|picture| from_front(&picture.view));
        let least = turned.fold(f64::INFINITY, f64::min);
        // Rendered people have inputs and targets of their own.
        for (place, picture) in dataset.people[1].pictures.iter_mut().enumerate() {
            picture.role = if place < 5 { Role::Input } else { Role::Target };
        }
        dataset.people[2].pictures.truncate(5);
        let subjects = Subject::of(&dataset, 4, 9);
        assert_eq!(subjects.len(), 2);
        let counts = |subject: &Subject<'_>| (subject.inputs.len(), subject.targets.len());
        assert_eq!(counts(&subjects[0]), (4, 3));
        assert_eq!(from_front(&subjects[0].gallery.view), least);
        assert_eq!(counts(&subjects[1]), (4, 2));
        for subject in &subjects {
            let mut all: Vec<*const Picture> = vec![subject.gallery];
            all.extend(
                subject
                    .inputs
                    .iter()
                    .chain(&subject.targets)
                    .map(|picture| *picture as *const Picture),
            );
            all.sort();
            all.dedup();
            assert_eq!(all.len(), 1 + subject.inputs.len() + subject.targets.len());
        }
        let subject = &subjects[0];
        let near = subject.nearest(&subject.inputs[2].view, 3);
        assert!(near < 1e-3 && subject.nearest(&subject.inputs[2].view, 2) > near);
        assert_eq!(Subject::of(&dataset, 4, 1)[0].targets.len(), 1);
    }
}
