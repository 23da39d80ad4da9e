use super::*;

/// A box of type `ftyp`: major brand, version, compatible brands.
fn ftyp(major: &[u8; 4], compatible: &[&[u8; 4]]) -> Vec<u8> {
    let mut out = (16 + 4 * compatible.len() as u32).to_be_bytes().to_vec();
    out.extend(b"ftyp");
    out.extend(major);
    out.extend([0; 4]);
    compatible.iter().for_each(|brand| out.extend(*brand));
    // What follows must not be taken for a brand.
    out.extend(b"\x00\x00\x00\x10metaavif");
    out
}

#[test]
fn brands_tell_heif_avif_raw_and_video_apart() {
    for (major, compatible, expected) in [
        (b"heic", &[b"mif1", b"heic"][..], PictureFormat::Heic),
        (b"heix", &[], PictureFormat::Heic),
        (b"hevc", &[b"msf1"], PictureFormat::Heic),
        (b"heim", &[], PictureFormat::Heic),
        (b"heis", &[], PictureFormat::Heic),
        (b"mif1", &[b"mif1", b"heic", b"miaf"], PictureFormat::Heic),
        (b"msf1", &[b"hevc"], PictureFormat::Heic),
        (b"mif1", &[b"avif", b"miaf"], PictureFormat::Avif),
        (b"avif", &[b"mif1"], PictureFormat::Avif),
        (b"avis", &[b"msf1"], PictureFormat::Avif),
        (b"crx ", &[b"isom"], PictureFormat::CameraRaw("CR3")),
        (b"jp2 ", &[], PictureFormat::Jpeg2000),
        (b"qt  ", &[], PictureFormat::Video),
        (b"isom", &[b"avc1", b"mp42"], PictureFormat::Video),
    ] {
        assert_eq!(
            recognise(&ftyp(major, compatible)),
            Some(expected),
            "{major:?} {compatible:?}"
        );
    }
    // A size of 0 (to the end of the file) and one beyond the file.
    for size in [0u32, 5000] {
        let mut file = ftyp(b"mif1", &[b"heic"]);
        file[..4].copy_from_slice(&size.to_be_bytes());
        file.truncate(20);
        assert_eq!(recognise(&file), Some(PictureFormat::Heic), "size {size}");
    }
}

#[test]
fn signatures_are_told_and_texts_are_none() {
    for (bytes, expected) in [
        (&b"\xFF\xD8\xFF\xE1"[..], Some(PictureFormat::Jpeg)),
        (b"GIF89a", Some(PictureFormat::Gif)),
        (b"8BPS\x00\x01", Some(PictureFormat::Photoshop)),
        (b"\x00\x00\x00\x0CJXL \r\n\x87\n", Some(PictureFormat::JpegXl)),
        (b"\xFF\x0A\xFA\x7F", Some(PictureFormat::JpegXl)),
        (b"FUJIFILMCCD-RAW 0201", Some(PictureFormat::CameraRaw("RAF"))),
        (b"IIU\x00\x08\x00\x00\x00", Some(PictureFormat::CameraRaw("RW2"))),
        (b"IIRO\x08\x00\x00\x00", Some(PictureFormat::CameraRaw("ORF"))),
        (b"\n\n%PDF-1.7", Some(PictureFormat::Pdf)),
        (
            b"\xEF\xBB\xBF<?xml version=\"1.0\"?>\n<svg xmlns=\"\">",
            Some(PictureFormat::Svg),
        ),
        (b"  <!DOCTYPE HTML><html>", Some(PictureFormat::Html)),
        (b"\x00\x01\x00\x00moov", Some(PictureFormat::Video)),
        (b"<?xml version=\"1.0\"?><plist>", None),
        (b"the wide world", None),
        (b"BMW and Audi are cars", None),
        (b"", None),
        (&[0; 300], None),
    ] {
        assert_eq!(recognise(bytes), expected, "{bytes:?}");
    }
}

/// Entries of a TIFF directory: tag, type (3 short, 4 long), count, value.
type Entries<'e> = &'e [(u16, u16, u32, u32)];

/// A little-endian TIFF of directories that follow each other from byte 8; `links` says which go on to the next.
fn tiff(directories: &[Entries<'_>], links: &[bool]) -> Vec<u8> {
    let mut out = b"II\x2A\x00\x08\x00\x00\x00".to_vec();
    for (entries, link) in directories.iter().zip(links) {
        out.extend((entries.len() as u16).to_le_bytes());
        for (tag, kind, count, value) in *entries {
            out.extend(tag.to_le_bytes());
            out.extend(kind.to_le_bytes());
            out.extend(count.to_le_bytes());
            out.extend(value.to_le_bytes());
        }
        let next = out.len() as u32 + 4;
        out.extend(if *link { next } else { 0 }.to_le_bytes());
    }
    out.extend(b"NIKON CORPORATION\0");
    out
}

#[test]
fn raw_files_are_told_from_pictures_in_tiff() {
    const PREVIEW: (u16, u16, u32, u32) = (254, 4, 1, 1);
    const PHOTO: (u16, u16, u32, u32) = (254, 4, 1, 0);
    // Two directories: the first has two or three entries of 12 bytes.
    let second = |entries: u32| 8 + 2 + 12 * entries + 4;
    let raw = |bytes: &[u8]| match recognise(bytes) {
        Some(PictureFormat::CameraRaw(name)) => Some(name),
        other => {
            assert_eq!(other, Some(PictureFormat::Tiff));
            None
        }
    };
    let dng = tiff(&[&[PREVIEW, (50706, 1, 4, 0x0104)]], &[false]);
    assert_eq!(raw(&dng), Some("DNG"));
    let make = second(3) + 2 + 12 + 4;
    let nef = tiff(
        &[
            &[PREVIEW, (271, 2, 18, make), (330, 4, 1, second(3))],
            &[(262, 3, 1, 32803)],
        ],
        &[false, false],
    );
    assert_eq!(raw(&nef), Some("NEF"));
    assert_eq!(
        raw(&tiff(&[&[PHOTO, (259, 3, 1, 65535)]], &[false])),
        Some("TIFF of a camera")
    );
    // A preview whose photo was cut off.
    assert_eq!(
        raw(&tiff(&[&[PREVIEW, (330, 4, 1, 99_999)]], &[false])),
        Some("TIFF of a camera")
    );
    let mut cr2 = tiff(&[&[PHOTO]], &[false]);
    cr2.splice(8..8, *b"CR\x02\x00\0\0\0\0");
    cr2[4] = 16;
    assert_eq!(raw(&cr2), Some("CR2"));

    let pages = tiff(&[&[PHOTO, (259, 3, 1, 1)], &[PREVIEW]], &[true, false]);
    assert_eq!((raw(&pages), photo_in(&pages)), (None, PhotoInTiff::First));
    let preview_first = tiff(&[&[PREVIEW, (259, 3, 1, 1)], &[PHOTO]], &[true, false]);
    let photo = PhotoInTiff::At(u64::from(second(2)));
    assert_eq!((raw(&preview_first), photo_in(&preview_first)), (None, photo));
    let child = tiff(&[&[PREVIEW, (330, 4, 1, second(2))], &[PHOTO]], &[false, false]);
    assert_eq!((raw(&child), photo_in(&child)), (None, photo));
    let alone = tiff(&[&[PREVIEW]], &[false]);
    assert_eq!((raw(&alone), photo_in(&alone)), (None, PhotoInTiff::First));
    // Directories in a circle end.
    let mut circle = tiff(&[&[PREVIEW]], &[true]);
    circle[22..26].copy_from_slice(&8u32.to_le_bytes());
    assert_eq!(raw(&circle), None);
}

#[test]
fn texts_in_a_photo_s_place_are_shown() {
    use crate::remedy::{DAMAGED_PHOTO, FAILED_DOWNLOAD, GIT_LFS};
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n";
    let long = "Gr\u{fc}\u{df}e. ".repeat(2000);
    for (bytes, part, remedy) in [
        (
            &b"{\"error\":\n \"Repository not found\"}\n"[..],
            "text: {\"error\": \"Repository not found\"}",
            FAILED_DOWNLOAD,
        ),
        (
            b"<Error><Code>AccessDenied</Code></Error>",
            "<Code>AccessDenied",
            FAILED_DOWNLOAD,
        ),
        (b"404: Not Found", "text: 404: Not Found", FAILED_DOWNLOAD),
        (pointer, "a Git LFS pointer", GIT_LFS),
        (b"\xEF\xBB\xBFdear diary", "text: dear diary", DAMAGED_PHOTO),
        (long.as_bytes(), "Gr\u{fc}\u{df}e.\u{2026}", DAMAGED_PHOTO),
    ] {
        let error = crate::photo::Photo::from_bytes(bytes)
            .decode(&Default::default())
            .unwrap_err();
        let message = error.message();
        assert!(
            message.contains("not a picture but") && message.contains(part),
            "{message}"
        );
        assert!(message.ends_with(remedy.text()) && message.len() < 400, "{message}");
    }
    for bytes in [&b"\x01\x02error"[..], b"\xE9t\xE9", b"text \x00"] {
        let error = crate::photo::Photo::from_bytes(bytes)
            .decode(&Default::default())
            .unwrap_err();
        assert!(error.message().contains("not an image"), "{error}");
    }
}
