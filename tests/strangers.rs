//! Sets of photos with somebody else among them, and group photos: the example people, and montages of their pictures.
#![cfg(feature = "default-model")]

use image::{imageops, RgbImage};
use omniid::engine::{EncodeOptions, Encoded, Engine, EngineOptions, PhotoNote, Strangers};
use omniid::identity::Identity;
use omniid::photo::{ChannelOrder, FaceHint, Photo, PixelBuffer};
use omniid::{ErrorKind, Progress};
use std::ops::ControlFlow;
use std::path::PathBuf;

fn engine() -> Engine {
    Engine::open(EngineOptions::built_in().unwrap()).unwrap()
}

/// The file of an example person's picture; both count from 1.
fn file(person: usize, picture: usize) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join(format!("examples/photos/person-{person}/{picture:02}.jpg"))
}

fn files(pictures: &[(usize, usize)]) -> Vec<PathBuf> {
    pictures
        .iter()
        .map(|(person, picture)| file(*person, *picture))
        .collect()
}

/// A part of a montage: an example person, the number of the picture, and its size.
type Part = (usize, usize, f32);

/// Pictures beside each other, each `scale` times as large as the example, on grey.
fn montage(parts: &[Part]) -> RgbImage {
    let parts: Vec<RgbImage> = parts
        .iter()
        .map(|(person, picture, scale)| {
            let picture = image::open(file(*person, *picture)).unwrap().to_rgb8();
            let side = (448.0 * scale) as u32;
            imageops::resize(&picture, side, side, imageops::FilterType::CatmullRom)
        })
        .collect();
    let width = parts.iter().map(RgbImage::width).sum();
    let height = parts.iter().map(RgbImage::height).max().unwrap();
    let mut all = RgbImage::from_pixel(width, height, image::Rgb([128; 3]));
    let mut left = 0;
    for part in parts {
        imageops::overlay(&mut all, &part, left, 0);
        left += i64::from(part.width());
    }
    all
}

fn pixels(image: &RgbImage) -> Photo<'_> {
    let (width, height) = image.dimensions();
    Photo::from_pixels(PixelBuffer::new(image.as_raw().as_slice(), width, height, 0, ChannelOrder::Rgb).unwrap())
}

fn encode(engine: &Engine, photos: &[PathBuf], strangers: Strangers) -> Encoded {
    engine
        .encode(photos, &EncodeOptions::default().with_strangers(strangers))
        .unwrap()
}

/// Which photos are noted as somebody else's.
fn noted(encoded: &Encoded) -> Vec<usize> {
    let noted = encoded.photos.iter().enumerate().filter(|(_, report)| {
        let stranger = |note: &PhotoNote| matches!(note, PhotoNote::Stranger { .. });
        report.notes.iter().any(stranger)
    });
    noted.map(|(index, _)| index).collect()
}

/// The photos of one set, as person and picture, and which are somebody else's.
type Case = (&'static [(usize, usize)], &'static [usize]);

const SETS: [Case; 6] = [
    (&[(5, 1), (1, 1), (1, 2), (1, 4)], &[0]),
    (&[(2, 1), (2, 4), (5, 2), (2, 5)], &[2]),
    (&[(5, 2), (5, 5), (4, 1)], &[2]),
    (&[(6, 1), (3, 1), (6, 2), (4, 1), (6, 3)], &[1, 3]),
    (&[(4, 1), (4, 2), (4, 3), (4, 6), (4, 7), (1, 1), (5, 2)], &[5, 6]),
    (&[(3, 1), (3, 2), (3, 4), (3, 7), (2, 1), (3, 6)], &[4]),
];

#[test]
fn strangers_are_noted_and_used() {
    let engine = engine();
    for (set, strangers) in SETS {
        let encoded = encode(&engine, &files(set), Strangers::Note);
        assert_eq!(noted(&encoded), strangers, "{set:?}");
        assert_eq!(encoded.identity.provenance().photos, set.len());
        for (index, report) in encoded.photos.iter().enumerate() {
            let similarity = report.similarity.unwrap();
            match strangers.contains(&index) {
                true => {
                    let [PhotoNote::Stranger { threshold, .. }] = report.notes[..] else {
                        panic!("{:?}", report.notes)
                    };
                    assert!(similarity < threshold && (0.25..0.5).contains(&threshold));
                    let text = report.reason();
                    let said = format!("looks like somebody else (similarity {similarity:.2} to the others");
                    assert!(text.contains(&said) && text.contains("real faces"), "{text}");
                }
                false => assert!(similarity > 0.25, "{set:?}: {}", report.reason()),
            }
        }
        // What is noted changes nothing.
        let ignored = encode(&engine, &files(set), Strangers::Ignore);
        assert!(ignored.identity.values() == encoded.identity.values());
        assert!(ignored.photos.iter().all(|report| report.similarity.is_none()));
    }
}

#[test]
fn photos_of_one_person_have_no_notes() {
    let engine = engine();
    for person in [1, 2, 5, 6] {
        for count in [2, 3, 8] {
            let photos: Vec<PathBuf> = (1..=count).map(|picture| file(person, picture)).collect();
            let encoded = encode(&engine, &photos, Strangers::Note);
            for report in &encoded.photos {
                // The detector takes something else for a small face now and then.
                let notes = report.notes.iter();
                let other = notes.filter(|note| !matches!(note, PhotoNote::FittingFace { used: 0, .. }));
                assert_eq!(other.count(), 0, "person {person}: {}", report.reason());
            }
        }
    }
    let one = encode(&engine, &[file(1, 1)], Strangers::Note);
    assert!(one.photos[0].similarity.is_none() && one.photos[0].notes.is_empty());
}

#[test]
fn where_nobody_can_say_who_is_meant_all_are_noted() {
    let engine = engine();
    for set in [
        &[(1, 1), (3, 1)][..],
        &[(5, 2), (1, 1)],
        &[(1, 1), (5, 2), (1, 2), (5, 5)],
    ] {
        let encoded = encode(&engine, &files(set), Strangers::LeaveOut);
        assert_eq!(encoded.identity.provenance().photos, set.len());
        for report in &encoded.photos {
            assert!(
                matches!(report.notes[..], [PhotoNote::Undecided { .. }]),
                "{}",
                report.reason()
            );
        }
    }
}

#[test]
fn strangers_are_left_out_if_that_is_asked_for() {
    let engine = engine();
    for (set, strangers) in SETS {
        let encoded = encode(&engine, &files(set), Strangers::LeaveOut);
        let rest: Vec<PathBuf> = (0..set.len())
            .filter(|index| !strangers.contains(index))
            .map(|index| file(set[index].0, set[index].1))
            .collect();
        let alone = encode(&engine, &rest, Strangers::Ignore);
        assert!(encoded.identity.values() == alone.identity.values(), "{set:?}");
        assert_eq!(encoded.identity.provenance().photos, rest.len());
        for (index, report) in encoded.photos.iter().enumerate() {
            assert_eq!(report.is_used(), !strangers.contains(&index));
            if let Some(error) = &report.error {
                assert_eq!(error.kind(), ErrorKind::Mismatch);
                assert!(error.message().contains("somebody else"), "{error}");
            }
        }
    }
}

#[test]
fn photos_that_are_added_are_compared_with_those_of_the_identity() {
    let engine = engine();
    for (known, new, expected) in [
        (&[(1, 1)][..], &[(3, 1)][..], &[0][..]),
        (&[(2, 1), (2, 4)], &[(2, 5), (5, 2)], &[1]),
        (&[(6, 1), (6, 2), (6, 3)], &[(3, 1), (4, 1), (1, 1), (6, 4)], &[0, 1, 2]),
    ] {
        let identity: Identity = encode(&engine, &files(known), Strangers::Note).identity;
        let extended = engine.extend(&identity, files(new), &EncodeOptions::default()).unwrap();
        assert_eq!(noted(&extended), expected, "{new:?}");
    }
}

/// Group photos from the left, the person who is meant, and where they stand.
const GROUPS: [(&[Part], usize, usize); 4] = [
    (&[(2, 1, 1.0), (1, 2, 0.6)], 1, 1),
    (&[(5, 5, 0.6), (6, 1, 1.0)], 5, 0),
    (&[(4, 1, 1.0), (6, 2, 0.55), (1, 1, 0.8)], 6, 1),
    (&[(2, 4, 0.5), (5, 2, 0.9), (3, 1, 0.8)], 2, 0),
];

/// Left and right edge of a part of a montage.
fn place(parts: &[Part], which: usize) -> std::ops::Range<f32> {
    let side = |part: &(usize, usize, f32)| (448.0 * part.2).floor();
    let left: f32 = parts[..which].iter().map(side).sum();
    left..left + side(&parts[which])
}

fn middle(encoded: &Encoded, photo: usize) -> f32 {
    let bounds = encoded.photos[photo].bounds.unwrap();
    (bounds.left + bounds.right) / 2.0
}

#[test]
fn in_group_photos_the_face_that_fits_is_taken() {
    let engine = engine();
    for (parts, person, place_of_person) in GROUPS {
        let group = montage(parts);
        let alone = files(&[(person, 1), (person, 4), (person, 6)]);
        for position in 0..=alone.len() {
            let mut photos: Vec<Photo<'_>> = alone.iter().map(Photo::from).collect();
            photos.insert(position, pixels(&group));
            let encoded = engine.encode(&photos, &EncodeOptions::default()).unwrap();
            let middle = middle(&encoded, position);
            assert!(place(parts, place_of_person).contains(&middle), "{parts:?}: {middle}");
            let report = &encoded.photos[position];
            let [PhotoNote::FittingFace {
                found,
                used,
                similarity,
            }] = report.notes[..]
            else {
                panic!("{parts:?}: {:?}", report.notes)
            };
            assert_eq!((found, report.faces_found), (parts.len(), Some(parts.len())));
            assert!(used > 0 && report.similarity == Some(similarity));
            assert!(report.reason().contains("looks like the other photos"));
            // The same as naming the face, in the same place.
            photos[position] = pixels(&group).with_face(FaceHint::Index(used));
            let named = engine.encode(&photos, &EncodeOptions::default()).unwrap();
            assert!(named.identity.values() == encoded.identity.values());
            assert_eq!(named.photos[position].face, report.face);
        }
    }
}

#[test]
fn the_user_decides_which_face_is_meant() {
    let engine = engine();
    for (parts, person, place_of_person) in GROUPS {
        let group = montage(parts);
        let alone = files(&[(person, 1), (person, 4)]);
        for (options, hint) in [
            (EncodeOptions::default(), FaceHint::Index(0)),
            (
                EncodeOptions::default().with_strangers(Strangers::Ignore),
                FaceHint::Detect,
            ),
        ] {
            let mut photos: Vec<Photo<'_>> = alone.iter().map(Photo::from).collect();
            photos.push(pixels(&group).with_face(hint));
            let encoded = engine.encode(&photos, &options).unwrap();
            let several = &encoded.photos[2].notes[0];
            assert!(matches!(several, PhotoNote::SeveralFaces { used: 0, .. }), "{several}");
            let middle = middle(&encoded, 2);
            assert!(!place(parts, place_of_person).contains(&middle), "{parts:?}: {middle}");
        }
    }
}

#[test]
fn of_group_photos_alone_the_person_in_all_of_them_is_taken() {
    let engine = engine();
    let sets: [(&[&[Part]], &[usize]); 3] = [
        (&[&[(2, 1, 1.0), (1, 2, 0.7)], &[(1, 1, 0.7), (5, 2, 1.0)]], &[1, 0]),
        (
            &[
                &[(3, 1, 1.0), (6, 1, 0.7)],
                &[(6, 2, 0.7), (2, 1, 1.0)],
                &[(6, 3, 1.0), (5, 2, 0.7)],
            ],
            &[1, 0, 0],
        ),
        (
            &[
                &[(5, 2, 0.7), (1, 1, 1.0), (6, 1, 0.8)],
                &[(4, 1, 1.0), (5, 5, 0.7)],
                &[(2, 1, 1.0), (5, 8, 0.7)],
            ],
            &[0, 1, 1],
        ),
    ];
    for (groups, expected) in sets {
        let images: Vec<RgbImage> = groups.iter().map(|parts| montage(parts)).collect();
        let encoded = engine
            .encode(images.iter().map(pixels), &EncodeOptions::default())
            .unwrap();
        for (index, (parts, expected)) in groups.iter().zip(expected).enumerate() {
            let middle = middle(&encoded, index);
            assert!(place(parts, *expected).contains(&middle), "{parts:?}: {middle}");
        }
    }
}

#[test]
fn a_group_photo_alone_and_one_of_others_take_the_largest_face() {
    let engine = engine();
    let others = montage(&[(2, 1, 0.7), (5, 2, 1.0)]);
    let alone = engine.encode([pixels(&others)], &EncodeOptions::default()).unwrap();
    let [PhotoNote::SeveralFaces { found: 2, used: 0 }] = alone.photos[0].notes[..] else {
        panic!("{:?}", alone.photos[0].notes)
    };
    let me = files(&[(4, 1), (4, 2)]);
    let mut photos: Vec<Photo<'_>> = me.iter().map(Photo::from).collect();
    photos.push(pixels(&others));
    let encoded = engine.encode(&photos, &EncodeOptions::default()).unwrap();
    let [PhotoNote::SeveralFaces { used: 0, .. }, PhotoNote::Stranger { .. }] = encoded.photos[2].notes[..] else {
        panic!("{:?}", encoded.photos[2].notes)
    };
}

#[test]
fn the_second_look_at_group_photos_can_be_cancelled() {
    let engine = engine();
    let (parts, person, _) = GROUPS[0];
    let group = montage(parts);
    let alone = files(&[(person, 1), (person, 4)]);
    let mut photos: Vec<Photo<'_>> = alone.iter().map(Photo::from).collect();
    photos.push(pixels(&group));
    let mut calls = 0;
    let mut count = |_: Progress| {
        calls += 1;
        ControlFlow::Continue(())
    };
    engine
        .encode_with_progress(&photos, &EncodeOptions::default(), &mut count)
        .unwrap();
    let mut left = calls;
    // The last call comes before the face that fits is cut out.
    let mut stop = |_: Progress| {
        left -= 1;
        match left {
            0 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    };
    let error = engine
        .encode_with_progress(&photos, &EncodeOptions::default(), &mut stop)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}
