//! Writes a contact sheet of synthetic people: `render_sheet OUT.png [makehuman|ict] [people] [size] [first seed]
//! [input|target|frontal|detector|mixed]`. Rows are people, columns are photos.

use std::path::PathBuf;
use std::time::Instant;

use image::RgbImage;
use omniid_training::pictures::contact_sheet;
use omniid_training::render::{Assets, Family, PhotoDistribution};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

const COLUMNS: usize = 8;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let text = |i: usize, default: &str| arguments.get(i).cloned().unwrap_or_else(|| default.to_owned());
    let out = PathBuf::from(text(0, "sheet.png"));
    let family = match text(1, "makehuman").as_str() {
        "ict" => Family::Ict,
        _ => Family::MakeHuman,
    };
    let people: u64 = text(2, "6").parse()?;
    let size: u32 = text(3, "192").parse()?;
    let first: u64 = text(4, "1").parse()?;
    let kind = text(5, "mixed");
    let root = std::env::var("OMNIID_ASSETS").unwrap_or_else(|_| "../shared/assets".to_owned());
    let start = Instant::now();
    let assets = Assets::open(root.as_ref())?;
    println!("assets: {:.2} s", start.elapsed().as_secs_f64());
    let mut pictures: Vec<RgbImage> = Vec::new();
    let (mut preparing, mut rendering) = (0.0, 0.0);
    for seed in first..first + people {
        let start = Instant::now();
        let person = assets.person(seed, family)?;
        preparing += start.elapsed().as_secs_f64();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let start = Instant::now();
        for column in 0..COLUMNS {
            let distribution = match kind.as_str() {
                "input" => PhotoDistribution::input(),
                "target" => PhotoDistribution::target(),
                "frontal" => PhotoDistribution::frontal(),
                "detector" => PhotoDistribution::detector(),
                _ if column == 0 => PhotoDistribution::frontal(),
                _ if column < 4 => PhotoDistribution::input(),
                _ => PhotoDistribution::target(),
            };
            pictures.push(person.render(&distribution.sample(&mut rng), size)?.image);
        }
        rendering += start.elapsed().as_secs_f64();
    }
    let count = pictures.len() as f64;
    println!(
        "people: {:.1} ms each; pictures of {size}: {:.1} per second",
        preparing * 1e3 / people as f64,
        count / rendering
    );
    contact_sheet(&pictures, COLUMNS).save(&out)?;
    Ok(())
}
