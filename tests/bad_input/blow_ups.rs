//! Small files that ask for much memory or time: refused, or read without it.

use super::refused;
use omniid::checkpoint::Checkpoint;
use omniid::{ErrorKind, Limits, Photo};
use std::io::{Cursor, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Opens a PyTorch file with this pickle program.
fn open_pickle(program: &[u8]) -> omniid::Result<Checkpoint> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    zip.start_file("archive/data.pkl", stored).unwrap();
    zip.write_all(program).unwrap();
    Checkpoint::open(zip.finish().unwrap().into_inner(), &Limits::default())
}

/// `BINUNICODE`.
fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

#[test]
fn a_pickle_that_copies_a_list_again_and_again_is_refused() {
    // A list of 20,000 values and torch.Size of it, 2,000 times: 40 million values, of 34 kB.
    let list = [b"](".as_slice(), &b"N".repeat(20_000), b"eq\x00"].concat();
    let copies = b"h\x01h\x00\x85R0".repeat(2_000);
    let program = [b"\x80\x02", &list[..], b"ctorch\nSize\nq\x01", &copies, b"."].concat();
    refused("copies", open_pickle(&program), ErrorKind::LimitExceeded, &["copies"]);
    let dict = [b"}(".as_slice(), &b"N".repeat(20_000), b"uq\x00"].concat();
    let program = [
        b"\x80\x02",
        &dict[..],
        b"ccollections\nOrderedDict\nq\x01",
        &copies,
        b".",
    ]
    .concat();
    refused("copies", open_pickle(&program), ErrorKind::LimitExceeded, &["copies"]);
}

#[test]
fn a_dictionary_that_is_referred_to_often_counts_each_time() {
    let inner = [b"}(".as_slice(), &b"N".repeat(40_000), b"uq\x00"].concat();
    let outer: Vec<u8> = (0..1_000)
        .flat_map(|key| [text(&key.to_string()), b"h\x00".to_vec()].concat())
        .collect();
    let program = [b"\x80\x02", &inner[..], b"0}(", &outer, b"u."].concat();
    refused("values", open_pickle(&program), ErrorKind::LimitExceeded, &["values"]);
    // Three levels of 90 keys: 729,000 names of about a kilobyte.
    let mut program = b"\x80\x02N".to_vec();
    for level in 0..3u8 {
        program.extend([b'q', level, b'0', b'}', b'(']);
        for key in 0..90 {
            program.extend(text(&format!("{key:0300}")));
            program.extend([b'h', level]);
        }
        program.push(b'u');
    }
    program.push(b'.');
    refused("names", open_pickle(&program), ErrorKind::LimitExceeded, &["names"]);
}

#[test]
fn a_name_of_wrappers_is_unwrapped_a_few_times() {
    let name = format!("{}weight", "model.".repeat(100_000));
    let header = format!(r#"{{"{name}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#);
    let file = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 4]].concat();
    let checkpoint = Checkpoint::open(file, &Limits::default()).unwrap();
    assert_eq!(checkpoint.prefix(), "model.".repeat(8));
    assert!(checkpoint.names().eq([&name[6 * 8..]]));
}

/// An entry of a directory of BigTIFF.
fn entry(tag: u16, kind: u16, count: u64, value: u64) -> Vec<u8> {
    [
        &tag.to_le_bytes()[..],
        &kind.to_le_bytes(),
        &count.to_le_bytes(),
        &value.to_le_bytes(),
    ]
    .concat()
}

/// A grey TIFF of 16 × 256 pixels in two strips, of which the second has this place and length.
fn tiff(place: u64, length: u64) -> Vec<u8> {
    let (first, tables) = (16 * 255, 16 + 16 * 255);
    let mut file = b"II\x2b\x00\x08\x00\x00\x00".to_vec();
    file.extend((tables as u64 + 32).to_le_bytes());
    file.extend(vec![77; first]);
    for number in [16, place, first as u64, length] {
        file.extend(number.to_le_bytes());
    }
    let entries = [
        entry(256, 3, 1, 16),
        entry(257, 3, 1, 256),
        entry(258, 3, 1, 8),
        entry(259, 3, 1, 1),
        entry(262, 3, 1, 1),
        entry(273, 16, 2, tables as u64),
        entry(277, 3, 1, 1),
        entry(278, 3, 1, 255),
        entry(279, 16, 2, tables as u64 + 16),
    ];
    file.extend((entries.len() as u64).to_le_bytes());
    file.extend(entries.concat());
    file.extend(0u64.to_le_bytes());
    file
}

#[test]
fn a_tiff_whose_data_lies_far_behind_its_end_is_not_filled_up() {
    let decode = |file: Vec<u8>| {
        Photo::from_bytes(&file)
            .decode(&Limits::default())
            .map(|image| image.dimensions())
    };
    // Sound, with its last row among the tables.
    assert_eq!(decode(tiff(20, 16)).unwrap(), (16, 256));
    for (place, length) in [(1 << 50, 16), (u64::MAX - 16, 16), (1 << 32, 16), (0, 1 << 63)] {
        let kind = decode(tiff(place, length)).unwrap_err().kind();
        assert!(matches!(kind, ErrorKind::Format | ErrorKind::LimitExceeded), "{kind:?}");
    }
}
