//! Complete pictures are used without a note, whatever surrounds them; incomplete ones are refused or noted.

use super::writer::{self, Kind};
use super::{kinds, read, sample};
use omniid::photo::PhotoNote;
use omniid::ErrorKind;

const WIDTH: usize = 203;
const HEIGHT: usize = 165;

fn write(components: usize, kind: Kind) -> Vec<u8> {
    writer::write(WIDTH, HEIGHT, components, kind, sample)
}

/// Where the data of the first scan begins.
fn first_data(bytes: &[u8]) -> usize {
    let scan = bytes.windows(2).position(|pair| pair == [0xFF, 0xDA]).unwrap();
    scan + 2 + usize::from(u16::from_be_bytes([bytes[scan + 2], bytes[scan + 3]]))
}

#[test]
fn complete_pictures_need_no_end_marker_and_bear_company() {
    for (name, components, kind) in kinds() {
        let whole = write(components, kind);
        let expected = read(&whole).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(expected.notes, [], "{name}");
        assert_eq!(expected.full_size, (WIDTH as u32, HEIGHT as u32));
        let bare = &whole[..whole.len() - 2];
        for (what, bytes) in [
            ("without end marker", bare.to_vec()),
            ("half an end marker", [bare, b"\xFF"].concat()),
            ("fill bytes", [bare, b"\xFF\xFF\xFF\xFF\xD9"].concat()),
            ("filled up with zeros", [bare, &[0; 9], b"\xFF\xD9"].concat()),
            ("text behind it", [&whole[..], b"\xFF\xFEmetadata of a phone"].concat()),
            ("zeros behind it", [&whole[..], &[0; 5000]].concat()),
            ("another picture", [&whole[..], &whole].concat()),
            (
                "a video",
                [&whole[..], b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", &[0x55; 999]].concat(),
            ),
        ] {
            let read = read(&bytes).unwrap_or_else(|error| panic!("{name}, {what}: {error}"));
            assert_eq!(read.notes, [], "{name}, {what}");
            assert_eq!(read.image, expected.image, "{name}, {what}");
        }
    }
}

#[test]
fn half_a_sequential_picture_is_refused_with_how_much_is_missing() {
    for (name, components, kind) in kinds().into_iter().filter(|(.., kind)| !kind.progressive) {
        let whole = write(components, kind);
        let start = first_data(&whole);
        for (part, expected) in [(0.5, 35..66), (0.2, 65..96)] {
            let cut = start + ((whole.len() - start) as f64 * part) as usize;
            for (what, bytes) in [
                ("cut", whole[..cut].to_vec()),
                ("cut, with an end marker", [&whole[..cut], b"\xFF\xD9"].concat()),
                (
                    "cut, filled up with zeros",
                    [&whole[..cut], &vec![0; whole.len() - cut]].concat(),
                ),
            ] {
                let error = read(&bytes).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Format, "{name}, {what}: {error}");
                let message = error.message();
                let percent: u32 = message
                    .split_once("about ")
                    .and_then(|(_, rest)| rest.split(' ').next()?.parse().ok())
                    .unwrap_or_else(|| panic!("{name}, {what}: {message}"));
                assert!(expected.contains(&percent), "{name}, {what}: {message}");
            }
        }
    }
}

#[test]
fn holes_and_markers_in_the_middle_are_refused_or_noted() {
    for (name, components, kind) in kinds() {
        let whole = write(components, kind);
        let start = first_data(&whole);
        for part in [0.3, 0.5, 0.7] {
            let at = start + ((whole.len() - start) as f64 * part) as usize;
            let hole = 700;
            let rest = &whole[at + hole..];
            let noise: Vec<u8> = (0..hole as u32)
                .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8 & 0xFE)
                .collect();
            for (what, bytes) in [
                ("zeros", [&whole[..at], &vec![0; hole], rest].concat()),
                ("equal bytes", [&whole[..at], &vec![0x55; hole], rest].concat()),
                ("0xFF", [&whole[..at], &vec![0xFF; hole], rest].concat()),
                ("noise", [&whole[..at], &noise, rest].concat()),
                ("a gap", [&whole[..at], rest].concat()),
                ("a comment", [&whole[..at], b"\xFF\xFE\0\x04ab", &whole[at..]].concat()),
                ("an end marker", [&whole[..at], b"\xFF\xD9", &whole[at..]].concat()),
            ] {
                match read(&bytes) {
                    Ok(read) => assert!(
                        read.notes
                            .iter()
                            .any(|note| note.to_string().contains("missing") || note.to_string().contains("damaged")),
                        "{name}, {what} at {part}: no word"
                    ),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Format, "{name}, {what} at {part}: {error}"),
                }
            }
        }
    }
}

#[test]
fn a_missing_restart_interval_is_a_break() {
    for components in [1, 3] {
        let kind = Kind {
            restart: 5,
            ..Kind::SEQUENTIAL
        };
        let whole = write(components, kind);
        let restarts: Vec<usize> = (first_data(&whole)..whole.len() - 1)
            .filter(|&at| whole[at] == 0xFF && (0xD0..=0xD7).contains(&whole[at + 1]))
            .collect();
        let (first, second) = (restarts[restarts.len() / 2], restarts[restarts.len() / 2 + 1]);
        let error = read(&[&whole[..first], &whole[second..]].concat()).unwrap_err();
        assert!(error.message().contains("breaks"), "{error}");
        // All markers the same number: some encoders do that.
        let mut same = whole.clone();
        restarts.iter().for_each(|&at| same[at + 1] = 0xD0);
        assert_eq!(read(&same).unwrap().notes, []);
    }
}

#[test]
fn the_last_blocks_may_be_missing_with_a_note() {
    for sampling in [(1, 1), (2, 1), (2, 2)] {
        let kind = Kind {
            sampling,
            ..Kind::SEQUENTIAL
        };
        let whole = writer::write(400, 400, 3, kind, sample);
        let start = first_data(&whole);
        let cut = whole.len() - (whole.len() - start) / 100;
        let short = read(&whole[..cut]).unwrap();
        let [PhotoNote::Incomplete { missing }] = short.notes[..] else {
            panic!("{sampling:?}: {:?}", short.notes);
        };
        assert!((0.001..0.02).contains(&missing), "{sampling:?}: {missing}");
        // The upper part is what it was.
        let expected = read(&whole).unwrap();
        let rows = 300 * 400 * 3;
        assert_eq!(short.image.as_raw()[..rows], expected.image.as_raw()[..rows]);
    }
}

#[test]
fn a_progressive_picture_that_lacks_only_detail_is_used_with_a_note() {
    for sampling in [(1, 1), (2, 1), (2, 2)] {
        let kind = Kind {
            progressive: true,
            sampling,
            ..Kind::SEQUENTIAL
        };
        let whole = write(3, kind);
        let scans: Vec<usize> = (0..whole.len() - 1)
            .filter(|&at| whole[at..at + 2] == [0xFF, 0xDA])
            .collect();
        // Within the last scan but one, and within the second, where the picture itself is not yet there.
        let late = (scans[scans.len() - 2] + scans[scans.len() - 1]) / 2;
        let notes = read(&whole[..late]).unwrap().notes;
        assert!(
            matches!(notes[..], [PhotoNote::LessDetail { missing }] if missing < 0.3),
            "{sampling:?}: {notes:?}"
        );
        let early = (scans[1] + scans[2]) / 2;
        let error = read(&whole[..early]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format, "{error}");
    }
}

#[test]
fn mutated_files_never_panic() {
    for (name, components, kind) in kinds() {
        let whole = writer::write(61, 47, components, kind, sample);
        for at in (0..whole.len()).step_by(whole.len() / 150 + 1) {
            for value in [0x00, 0xFF, whole[at] ^ 0x40] {
                let mut mutated = whole.clone();
                mutated[at] = value;
                if let Ok(photo) = read(&mutated) {
                    assert!(photo.image.width() > 0, "{name} at {at}");
                }
            }
        }
    }
}
