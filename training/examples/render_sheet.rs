//! Writes a contact sheet of synthetic people: `render_sheet OUT.png [makehuman|ict|both] [people] [size] [first seed]
//! [input|target|frontal|detector|mixed] [classic|lifelike] [columns] [moments]`. Rows are people, columns are photos;
//! with one column, one picture per person in rows of ten.

use std::path::PathBuf;
use std::time::Instant;

use image::RgbImage;
use omniid_training::pictures::contact_sheet;
use omniid_training::render::{Assets, Family, Person, PhotoDistribution, Style};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let text = |i: usize, default: &str| arguments.get(i).cloned().unwrap_or_else(|| default.to_owned());
    let out = PathBuf::from(text(0, "sheet.png"));
    let families = match text(1, "makehuman").as_str() {
        "ict" => vec![Family::Ict],
        "both" => vec![Family::MakeHuman, Family::Ict],
        _ => vec![Family::MakeHuman],
    };
    let people: u64 = text(2, "6").parse()?;
    let size: u32 = text(3, "192").parse()?;
    let first: u64 = text(4, "1").parse()?;
    let kind = text(5, "mixed");
    let style = match text(6, "classic").as_str() {
        "lifelike" => Style::Lifelike,
        _ => Style::Classic,
    };
    let columns: usize = text(7, "8").parse()?;
    let moments: usize = text(8, "1").parse()?;
    let root = std::env::var("OMNIID_ASSETS").unwrap_or_else(|_| "../shared/assets".to_owned());
    let start = Instant::now();
    let assets = Assets::open(root.as_ref())?;
    println!("assets: {:.2} s", start.elapsed().as_secs_f64());
    let mut pictures: Vec<RgbImage> = Vec::new();
    let (mut preparing, mut rendering) = (0.0, 0.0);
    for seed in first..first + people {
        let family = families[(seed - first) as usize % families.len()];
        let start = Instant::now();
        let people: Vec<Person> = match style {
            Style::Classic => vec![assets.person(seed, family)?],
            Style::Lifelike => (0..moments.max(1))
                .map(|moment| assets.lifelike_person(seed, family, moment as u32, 20.0))
                .collect::<Result<_, _>>()?,
        };
        // The first one pays for what is measured once.
        if seed > first {
            preparing += start.elapsed().as_secs_f64();
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let start = Instant::now();
        for column in 0..columns {
            let distribution = match kind.as_str() {
                "input" => PhotoDistribution::input(),
                "target" => PhotoDistribution::target(),
                "frontal" => PhotoDistribution::frontal(),
                "detector" => PhotoDistribution::detector(),
                _ if column == 0 => PhotoDistribution::frontal(),
                _ if column < 4 => PhotoDistribution::input(),
                _ => PhotoDistribution::target(),
            };
            let photo = distribution.styled(style).sample(&mut rng);
            pictures.push(people[column % people.len()].render(&photo, size)?.image);
        }
        rendering += start.elapsed().as_secs_f64();
    }
    let count = pictures.len() as f64;
    println!(
        "people: {:.1} ms each; pictures of {size}: {:.1} ms each",
        preparing * 1e3 / (people.max(2) - 1) as f64,
        rendering * 1e3 / count
    );
    contact_sheet(&pictures, if columns == 1 { 10 } else { columns }).save(&out)?;
    Ok(())
}
