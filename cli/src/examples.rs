//! The example people of the repository, inside the program: rendered faces, so that nobody has to agree.

use omniid::photo::{Photo, PhotoSource};
use std::borrow::Cow;

/// A person's photos: file name and content.
type Person = (&'static str, [(&'static str, &'static [u8]); 8]);

macro_rules! person {
    ($name:literal) => {
        (
            $name,
            [
                photo!($name, "01.jpg"),
                photo!($name, "02.jpg"),
                photo!($name, "03.jpg"),
                photo!($name, "04.jpg"),
                photo!($name, "05.jpg"),
                photo!($name, "06.jpg"),
                photo!($name, "07.jpg"),
                photo!($name, "08.jpg"),
            ],
        )
    };
}

macro_rules! photo {
    ($person:literal, $file:literal) => {
        (
            concat!($person, "/", $file),
            include_bytes!(concat!("../../examples/photos/", $person, "/", $file)).as_slice(),
        )
    };
}

const PEOPLE: [Person; 6] = [
    person!("person-1"),
    person!("person-2"),
    person!("person-3"),
    person!("person-4"),
    person!("person-5"),
    person!("person-6"),
];

/// Names and photos of the example people.
pub fn people() -> Vec<(String, Vec<Photo<'static>>)> {
    let photo = |(name, bytes): (&'static str, &'static [u8])| {
        Photo::new(PhotoSource::Encoded(Cow::Borrowed(bytes))).with_name(name)
    };
    let people = PEOPLE.into_iter();
    people
        .map(|(name, photos)| (name.to_string(), photos.map(photo).to_vec()))
        .collect()
}
