//! Renders the people of `examples/photos`: `example_photos FOLDER [side] [seed …]`. A folder `person-N` for each seed,
//! eight photos in each as somebody might bring them: head and shoulders, other light, backgrounds and expressions. Only
//! MakeHuman's heads, which are in the public domain. The head models are found through `OMNIID_ASSETS`.

use image::codecs::jpeg::JpegEncoder;
use omniid_training::render::{Assets, Augmentation, Family, Framing, PhotoDistribution, Style};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::PathBuf;

/// The people of `examples/photos`, in order.
const PEOPLE: [u64; 6] = [2000018, 2000024, 2000048, 2000022, 2000036, 2000034];

const PHOTOS: usize = 8;

/// JPEG's scale up to 100.
const QUALITY: u8 = 90;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(
        arguments
            .next()
            .ok_or("which folder? example_photos FOLDER [side] [seed …]")?,
    );
    let side: u32 = arguments.next().map_or(Ok(448), |side| side.parse())?;
    let mut people = arguments.map(|seed| seed.parse()).collect::<Result<Vec<u64>, _>>()?;
    if people.is_empty() {
        people = PEOPLE.to_vec();
    }
    let root = std::env::var("OMNIID_ASSETS").unwrap_or_else(|_| "../shared/assets".to_owned());
    let assets = Assets::open(root.as_ref())?;
    for (number, seed) in people.into_iter().enumerate() {
        let person = assets.lifelike_person(seed, Family::MakeHuman, 0, 0.0)?;
        let own = folder.join(format!("person-{}", number + 1));
        std::fs::create_dir_all(&own)?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for photo in 0..PHOTOS {
            // The first one shows everybody alike.
            let first = photo == 0;
            let distribution = if first { facing() } else { about() };
            let mut spec = distribution.styled(Style::Lifelike).sample(&mut rng);
            spec.framing = if first {
                Framing::Loose {
                    centre: [0.5, 0.45],
                    head: 0.6,
                }
            } else {
                Framing::Loose {
                    centre: [rng.random_range(0.42..0.58), rng.random_range(0.4..0.5)],
                    head: rng.random_range(0.5..0.68),
                }
            };
            // What the file itself brings is enough.
            spec.augmentation = Augmentation::default();
            let picture = person.render(&spec, side)?.image;
            let file = std::fs::File::create(own.join(format!("{:02}.jpg", photo + 1)))?;
            picture.write_with_encoder(JpegEncoder::new_with_quality(std::io::BufWriter::new(file), QUALITY))?;
        }
        println!("{}: makehuman-{seed}", own.display());
    }
    Ok(())
}

/// Somebody who looks into the camera.
fn facing() -> PhotoDistribution {
    PhotoDistribution {
        yaw: (0.08, 0.15),
        turned: 0.0,
        pitch: (0.04, 0.1),
        expression: 0.3,
        gaze: 0.03,
        ..about()
    }
}

/// Photos of everyday life: no profiles, no dyed hair.
fn about() -> PhotoDistribution {
    PhotoDistribution {
        yaw: (0.35, 0.8),
        turned: 0.2,
        pitch: (0.12, 0.3),
        expression: 0.6,
        gaze: 0.1,
        glasses: 0.0,
        dyed: 0.0,
        ..PhotoDistribution::input()
    }
}
