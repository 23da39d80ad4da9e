//! Photo files as people have them: damaged, large, transparent, in other colour spaces.

mod colour;
mod damage;
mod icc;
mod large;
mod tiff;
mod transparency;
mod truncated;
mod writer;

use omniid::photo::Decoded;
use omniid::{Limits, Photo, Result};
use writer::Kind;

fn read(bytes: &[u8]) -> Result<Decoded> {
    Photo::from_bytes(bytes).decode_with_notes(&Limits::default())
}

/// Luma and chroma of a picture with soft and hard edges.
fn sample(component: usize, x: usize, y: usize) -> f64 {
    let (x, y) = (x as f64, y as f64);
    match component {
        0 => 128.0 + 70.0 * (x / 7.0).sin() + 40.0 * (y / 5.0).cos() + if (x + y) % 31.0 < 9.0 { 15.0 } else { 0.0 },
        1 => 128.0 + 30.0 * (x / 60.0).sin(),
        2 => 128.0 + 30.0 * (y / 50.0).cos(),
        _ => 200.0 + 20.0 * (x / 40.0).sin(),
    }
}

/// Every layout: sequential and progressive, three samplings, with and without restart markers, grey, colour, inks.
fn kinds() -> Vec<(String, usize, Kind)> {
    let mut all = Vec::new();
    for progressive in [false, true] {
        for sampling in [(1, 1), (2, 1), (2, 2)] {
            for restart in [0, 5] {
                for (components, adobe) in [(1, None), (3, None), (4, Some(0))] {
                    let kind = Kind {
                        progressive,
                        sampling,
                        restart,
                        adobe,
                    };
                    let name = format!(
                        "progressive {progressive}, sampling {sampling:?}, restart {restart}, {components} components"
                    );
                    all.push((name, components, kind));
                }
            }
        }
    }
    all
}
