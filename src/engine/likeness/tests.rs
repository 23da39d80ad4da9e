//! Vectors whose similarities are known by construction: photos of person `p` are `√s` along axis `p` and `√(1 − s)`
//! along an axis of their own, so that two of one person have similarity `s` and two of different people 0.

use super::faces::choose;
use super::strangers::compare;
use super::Calibration;

const RULE: Calibration = Calibration {
    floor: 0.2,
    fraction: 0.5,
    source: "a test",
};

/// A photo of a person; `own` is different for every photo.
fn photo(person: usize, own: usize, similarity: f32) -> Vec<f32> {
    let mut vector = vec![0.0; 64];
    vector[person] = similarity.sqrt();
    vector[10 + own] = (1.0 - similarity).sqrt();
    vector
}

/// Photos of these people, with similarity 0.64 to others of the same.
fn photos(people: &[usize]) -> Vec<Vec<f32>> {
    let photos = people.iter().enumerate();
    photos.map(|(own, person)| photo(*person, own, 0.64)).collect()
}

fn strangers(known: usize, people: &[usize]) -> (Vec<usize>, bool) {
    let photos = photos(people);
    let photos: Vec<&[f32]> = photos.iter().map(Vec::as_slice).collect();
    let compared = compare(known, &photos, &RULE).unwrap();
    let strangers = (known..people.len()).filter(|index| !compared.fits[*index]);
    (strangers.collect(), compared.undecided)
}

#[test]
fn strangers_are_found_wherever_they_stand() {
    for (people, expected) in [
        (&[0, 0, 0][..], &[][..]),
        (&[1, 0, 0], &[0]),
        (&[0, 1, 0], &[1]),
        (&[0, 0, 1], &[2]),
        (&[0, 1, 0, 1, 0], &[1, 3]),
        (&[1, 2, 0, 0, 0], &[0, 1]),
        (&[0, 0, 0, 0, 1, 1, 1], &[4, 5, 6]),
        (&[0, 0, 0, 0, 0, 2, 0, 0], &[5]),
    ] {
        assert_eq!(strangers(0, people), (expected.to_vec(), false), "{people:?}");
    }
}

#[test]
fn without_a_majority_nobody_is_called_the_stranger() {
    for people in [&[0, 1][..], &[0, 0, 1, 1], &[0, 1, 2], &[0, 0, 1, 1, 2, 2]] {
        assert!(strangers(0, people).1, "{people:?}");
    }
    assert_eq!(strangers(0, &[3, 3]), (vec![], false));
}

#[test]
fn the_photos_of_an_identity_say_who_is_meant() {
    for (known, people, expected) in [
        (1, &[0, 1][..], &[1][..]),
        (1, &[0, 1, 1, 1], &[1, 2, 3]),
        (3, &[0, 0, 0, 1, 0], &[3]),
        // A stranger among the known ones does not count.
        (3, &[0, 1, 0, 0, 1], &[4]),
    ] {
        assert_eq!(strangers(known, people), (expected.to_vec(), false), "{people:?}");
    }
    assert!(compare(2, &[&[1.0], &[1.0]], &RULE).is_none());
    assert!(compare(0, &[&[1.0]], &RULE).is_none());
}

#[test]
fn similarity_and_threshold_have_their_closed_form() {
    // One photo along 0.8 e₀ and the mean of k others, which is 0.8 e₀ and √(0.36 / k) across.
    let vectors = photos(&[0, 0, 0, 0, 1]);
    let vectors: Vec<&[f32]> = vectors.iter().map(Vec::as_slice).collect();
    let compared = compare(0, &vectors, &RULE).unwrap();
    let with = |others: f32| 0.64 / (0.64 + 0.36 / others).sqrt();
    for similarity in &compared.similarity[..4] {
        assert!((similarity - with(3.0)).abs() < 1e-5, "{similarity}");
    }
    assert!(compared.similarity[4].abs() < 1e-6);
    assert!((compared.threshold - 0.5 * with(3.0)).abs() < 1e-5);
    // Two photos have nothing but each other, and the floor.
    let two = compare(0, &vectors[..2], &RULE).unwrap();
    assert!(two.similarity.iter().all(|similarity| (similarity - 0.64).abs() < 1e-5));
    assert!((two.threshold - 0.32).abs() < 1e-5);
}

/// Photos with the faces of these people, the largest first.
fn faces(photos: &[&[usize]]) -> Vec<Vec<Vec<f32>>> {
    let mut own = 0;
    let mut face = |person: &usize| {
        own += 1;
        photo(*person, own, 0.64)
    };
    let faces = photos.iter().map(|people| people.iter().map(&mut face).collect());
    faces.collect()
}

#[test]
fn the_face_that_fits_is_taken() {
    for (photos, expected) in [
        // Photos of the person alone say who is meant, wherever they stand.
        (&[&[0][..], &[1, 0], &[0]][..], &[0, 1, 0][..]),
        (&[&[2, 1, 0], &[0], &[0, 2]], &[2, 0, 0]),
        (&[&[1, 2], &[0], &[0]], &[0, 0, 0]),
        // None alone: the one who is in all photos, then the one in front.
        (&[&[1, 0], &[2, 0], &[0, 3]], &[1, 1, 0]),
        (&[&[1, 0], &[1, 0], &[0, 1]], &[0, 0, 1]),
        (&[&[1, 2], &[3, 4], &[5, 6]], &[0, 0, 0]),
        // Photos that contradict each other decide together with the others.
        (&[&[1], &[0], &[2, 0], &[0, 3]], &[0, 0, 1, 0]),
    ] {
        assert_eq!(choose(&[], &faces(photos), &RULE), expected, "{photos:?}");
    }
    let known = [photo(0, 40, 0.64)];
    assert_eq!(choose(&known, &faces(&[&[1, 0], &[1, 2]]), &RULE), [1, 0]);
}
