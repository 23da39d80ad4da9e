//! How far rendered people are from photos, for whoever works on the renderer:
//!
//! `render_gap ASSETS DETECTOR classic|lifelike PEOPLE [MOMENTS YEARS] -- PHOTOS…`
//!
//! Renders people, describes them and the photos by histograms of gradients at 64 px, and prints, per folder of
//! photos, how well a linear classifier tells renders from photos (balanced accuracy of people it has not seen; 0.5 is
//! none), and how well directions that tell rendered people apart tell the photographed ones apart. Apart from
//! gradients it compares brightness and colour of the parts of faces seen from the front, and says how much of the
//! photos' variance the principal components of the renders explain: what a generator that learnt renders could draw at
//! best. Photos serve measuring only. With the environment variable `SHEET`, contact sheets of the photos' crops and of
//! the renders are written to that folder.

mod components;
mod regions;

use omniid::face::FaceDetector;
use omniid::{Limits, Result};
use omniid_training::data::photos::{load_photos, PhotoOptions};
use omniid_training::data::Dataset;
use omniid_training::evaluate::{hog, images_of, PersonImages};
use omniid_training::pictures::{contact_sheet, save};
use omniid_training::render::{render_people, Assets, RenderConfig, Style};
use omniid_training::statistics::{Pair, Scatter, ScoredPairs};
use rayon::prelude::*;
use std::ops::ControlFlow;
use std::path::Path;

use image::RgbImage;
use regions::Regions;

use candle_core::{Device, Tensor};

/// Side of the pictures on contact sheets.
const SHEET_SIZE: u32 = 128;

type Vectors = Vec<Vec<Vec<f32>>>;

fn describe(people: &[PersonImages]) -> Vectors {
    people
        .par_iter()
        .map(|person| person.images.iter().map(hog).collect())
        .collect()
}

fn mean(vectors: &Vectors) -> Vec<f32> {
    let all: Vec<&Vec<f32>> = vectors.iter().flatten().collect();
    let mut sum = vec![0.0f64; all[0].len()];
    for vector in &all {
        for (s, v) in sum.iter_mut().zip(vector.iter()) {
            *s += f64::from(*v);
        }
    }
    sum.iter().map(|s| (s / all.len() as f64) as f32).collect()
}

/// Projects centred vectors onto directions `[count, values]`, at length 1.
fn project(vectors: &Vectors, centre: &[f32], directions: &[Vec<f32>]) -> Vectors {
    let one = |vector: &Vec<f32>| {
        let moved: Vec<f32> = vector.iter().zip(centre).map(|(v, c)| v - c).collect();
        let out: Vec<f32> = directions
            .iter()
            .map(|direction| direction.iter().zip(&moved).map(|(d, m)| d * m).sum())
            .collect();
        let norm = out.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-12);
        out.iter().map(|v| v / norm).collect()
    };
    vectors
        .par_iter()
        .map(|person| person.iter().map(one).collect())
        .collect()
}

/// Area under the curve of all pairs of single photos.
fn auc(vectors: &Vectors) -> Result<f64> {
    let flat: Vec<(u32, &Vec<f32>)> = vectors
        .iter()
        .enumerate()
        .flat_map(|(owner, person)| person.iter().map(move |vector| (owner as u32, vector)))
        .collect();
    let mut pairs = Vec::new();
    for (i, (first, a)) in flat.iter().enumerate() {
        for (second, b) in &flat[..i] {
            let score = a.iter().zip(b.iter()).map(|(a, b)| a * b).sum();
            pairs.push(Pair {
                score,
                first: *first,
                second: *second,
            });
        }
    }
    Ok(ScoredPairs::new(pairs, vectors.len())?.verification(10, 0).curve.auc)
}

/// Fisher's discriminant of two classes, fitted on every second person, judged on the others: balanced accuracy.
fn told_apart(renders: &Vectors, photos: &Vectors) -> Result<f64> {
    let split = |vectors: &Vectors, which: usize| -> Vec<Vec<f32>> {
        let chosen = vectors.iter().enumerate().filter(|(i, _)| i % 2 == which);
        chosen.flat_map(|(_, person)| person.clone()).collect()
    };
    let mut sum = 0.0;
    for fold in 0..2 {
        let classes = [split(renders, fold), split(photos, fold)];
        let values = classes[0][0].len();
        let mut scatter = Scatter::new(values)?;
        for class in &classes {
            let flat: Vec<f32> = class.iter().flatten().copied().collect();
            scatter.add(
                &Tensor::from_vec(flat, (class.len(), values), &Device::Cpu)?,
                &[class.len()],
            )?;
        }
        let direction = scatter.directions(1, 0.1)?.flatten_all()?.to_vec1::<f32>()?;
        let score = |vector: &Vec<f32>| -> f32 { vector.iter().zip(&direction).map(|(v, d)| v * d).sum() };
        let centre = |class: &[Vec<f32>]| class.iter().map(score).sum::<f32>() / class.len() as f32;
        let (a, b) = (centre(&classes[0]), centre(&classes[1]));
        let middle = 0.5 * (a + b);
        let right = |vectors: Vec<Vec<f32>>, above: bool| {
            let hits = vectors.iter().filter(|v| (score(v) > middle) == above).count();
            hits as f64 / vectors.len() as f64
        };
        let other = 1 - fold;
        sum += right(split(renders, other), a > b) + right(split(photos, other), b > a);
    }
    Ok(sum / 4.0)
}

/// The first pictures of the first people, two of each.
fn sheet(name: &str, people: impl FnOnce() -> Result<Vec<PersonImages>>) -> Result<()> {
    let Ok(folder) = std::env::var("SHEET") else {
        return Ok(());
    };
    let pictures: Vec<_> = people()?
        .iter()
        .take(50)
        .flat_map(|person| person.images.iter().take(2).cloned())
        .collect();
    save(
        &contact_sheet(&pictures, 12),
        &Path::new(&folder).join(format!("{name}.png")),
    )
}

/// Of every person the coloured pictures from the front, or all of grey sets.
fn frontal(dataset: &Dataset) -> Vec<Vec<RgbImage>> {
    let grey = |image: &RgbImage| image.pixels().all(|p| p.0[0].abs_diff(p.0[2]) < 9);
    let pictures = |keep_grey: bool| -> Vec<Vec<RgbImage>> {
        dataset
            .people
            .iter()
            .map(|person| {
                let front = person.pictures.iter().filter(|picture| {
                    let view = &picture.view;
                    view.yaw.abs() < 0.22 && view.pitch.abs() < 0.25 && view.glasses < 0.5
                });
                front
                    .filter_map(|picture| picture.image(dataset.size))
                    .filter(|image| keep_grey || !grey(image))
                    .collect()
            })
            .collect()
    };
    let coloured = pictures(false);
    if coloured.iter().any(|person| !person.is_empty()) {
        coloured
    } else {
        pictures(true)
    }
}

fn references(people: &[Vec<RgbImage>]) -> Vec<Vec<&RgbImage>> {
    people.iter().map(|person| person.iter().collect()).collect()
}

fn measure(arguments: &[String]) -> Result<()> {
    let dash = arguments.iter().position(|a| a == "--").unwrap_or(arguments.len());
    let (options, photos) = arguments.split_at(dash);
    let number = |i: usize, default: usize| options.get(i).and_then(|t| t.parse().ok()).unwrap_or(default);
    let assets = Assets::open(Path::new(&options[0]))?;
    let detector = FaceDetector::open(Path::new(&options[1]), &Limits::default())?;
    let style = match options[2].as_str() {
        "lifelike" => Style::Lifelike,
        _ => Style::Classic,
    };
    let config = RenderConfig {
        people: number(3, 1200),
        first_seed: 5_000_000,
        inputs_per_person: 6,
        targets_per_person: 0,
        style,
        moments: number(4, 1),
        years: number(5, 0) as f32,
        ..RenderConfig::default()
    };
    let start = std::time::Instant::now();
    let rendered = render_people(&assets, &config, &|_, _| true)?;
    let count = rendered.picture_count();
    println!(
        "{style:?}: {count} pictures of {} px in {:.1} s",
        config.size,
        start.elapsed().as_secs_f64()
    );
    let people = images_of(&rendered);
    sheet("renders", || {
        let some = RenderConfig {
            people: config.people.min(50),
            inputs_per_person: 2,
            size: SHEET_SIZE,
            ..config.clone()
        };
        Ok(images_of(&render_people(&assets, &some, &|_, _| true)?))
    })?;
    let front = frontal(&rendered);
    let regions = Regions::new(&references(&front));
    // One of each person: components show what differs between people.
    let one_each: Vec<&RgbImage> = front.iter().filter_map(|person| person.first()).collect();
    let renders = describe(&people);
    let values = renders[0][0].len();
    let mut scatter = Scatter::new(values)?;
    for chunk in renders.chunks(64) {
        let flat: Vec<f32> = chunk.iter().flatten().flatten().copied().collect();
        let counts: Vec<usize> = chunk.iter().map(Vec::len).collect();
        let total: usize = counts.iter().sum();
        scatter.add(&Tensor::from_vec(flat, (total, values), &Device::Cpu)?, &counts)?;
    }
    let directions = scatter.directions(128, 0.05)?.to_vec2::<f32>()?;
    let own_centre = mean(&renders);
    for folder in photos.iter().skip(1) {
        let load = |size: u32| {
            let options = PhotoOptions {
                size,
                ..PhotoOptions::default()
            };
            load_photos(Path::new(folder), &detector, &options, &mut |_, _| {
                ControlFlow::Continue(())
            })
        };
        let (dataset, report) = load(config.size)?;
        let people = images_of(&dataset);
        let found = describe(&people);
        let name = Path::new(folder).file_name().map(|n| n.to_string_lossy().into_owned());
        sheet(&name.unwrap_or_default(), || Ok(images_of(&load(SHEET_SIZE)?.0)))?;
        let centre = mean(&found);
        let distance = own_centre
            .iter()
            .zip(&centre)
            .map(|(a, b)| (a - b).powi(2))
            .sum::<f32>()
            .sqrt();
        println!("{folder}: {report}");
        println!(
            "  told apart {:.3}; distance of means {distance:.3}; AUC with directions {:.4}, with the photos' mean {:.4}",
            told_apart(&renders, &found)?,
            auc(&project(&found, &own_centre, &directions))?,
            auc(&project(&found, &centre, &directions))?,
        );
        let photographed = frontal(&dataset);
        regions.compare(&Regions::new(&references(&photographed)));
        let photographed: Vec<&RgbImage> = photographed.iter().flatten().collect();
        components::compare(&one_each, &photographed, 100);
    }
    Ok(())
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.len() < 4 {
        eprintln!("usage: render_gap ASSETS DETECTOR classic|lifelike PEOPLE [MOMENTS YEARS] -- PHOTOS...");
        std::process::exit(2);
    }
    if let Err(error) = measure(&arguments) {
        eprintln!("{error}");
        std::process::exit(1);
    }
}
