//! `omniid attention`

use crate::args::{whole, Person, PersonArgs};
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::photos::{notes, PassedOver};
use crate::picture::{overlay_heat, Canvas, PictureTarget};
use crate::progress::with_bar;
use image::imageops::{resize, FilterType};
use image::RgbImage;
use omniid::engine::AttentionMaps;
use serde::Serialize;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  omniid attention examples/photos/person-1/*.jpg -o attention.png
  omniid attention -c omniid.safetensors anna-1.jpg anna-2.jpg --query 3 --query 17 -o attention.png
  omniid attention photos/anna --block 0 --json -o attention.png";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The picture to write: a row for each photo, with the crop, where all queries look on average, and a column for
    /// each shown query. Its name says the format: PNG, JPEG, WebP, BMP or TIFF; - is standard output.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Block of the encoder to look at, from 0 [default: the last].
    #[arg(long, value_name = "N", value_parser = whole::<usize>)]
    block: Option<usize>,
    /// Query to show, from 0; may be given several times [default: the ones that look at the most different places].
    #[arg(long = "query", value_name = "N", value_parser = whole::<usize>, conflicts_with = "columns")]
    queries: Vec<usize>,
    /// How many queries to choose when none is given.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(0..=64))]
    columns: u16,
    /// Replace the output if it exists.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    person: PersonArgs,
}

/// What is printed as JSON: for each query, too, the photo and the patch that it looks at most.
#[derive(Serialize)]
struct Report {
    picture: String,
    block: usize,
    blocks: usize,
    queries: usize,
    /// Patches along a side of the crop.
    side: usize,
    photos: Vec<String>,
    /// What should be known about photos that were used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    /// Photos that could not be used, and why.
    left_out: Vec<String>,
    /// What lay beside the photos in folders.
    not_used: PassedOver,
    /// The queries in the picture.
    shown: Vec<usize>,
    /// Every query's strongest place.
    strongest: Vec<Place>,
}

/// Where a query looks most.
#[derive(Serialize)]
struct Place {
    query: usize,
    photo: usize,
    row: usize,
    column: usize,
    /// Its share of the query's attention, 0 to 1.
    share: f32,
}

pub fn run(args: Args) -> Outcome {
    let target = PictureTarget::new(&args.output, args.force, args.person.json)?;
    let Person {
        photos,
        passed_over,
        options,
        engine,
    } = args.person.open()?;
    let maps = with_bar(args.person.quiet, |progress| {
        engine.attention_maps_with_progress(&photos, &options, progress)
    })?;
    let last = maps.blocks.saturating_sub(1);
    let block = args.block.unwrap_or(last);
    if block > last {
        return Err(Failure::usage(format!(
            "--block {block}: the encoder has {} blocks, 0 to {last}",
            maps.blocks
        )));
    }
    if let Some(query) = args.queries.iter().find(|&&query| query >= maps.queries) {
        return Err(Failure::usage(format!(
            "--query {query}: the encoder has {} queries, 0 to {}",
            maps.queries,
            maps.queries - 1
        )));
    }
    let shown = if args.queries.is_empty() {
        most_different(&maps, block, args.columns.into())
    } else {
        args.queries
    };
    target.write(&sheet(&maps, block, &shown))?;
    let report = Report {
        picture: target.target().name(),
        block,
        blocks: maps.blocks,
        queries: maps.queries,
        side: maps.side,
        photos: maps.photos.iter().map(|photo| photo.report.name.clone()).collect(),
        notes: notes(maps.photos.iter().map(|photo| &photo.report)),
        left_out: maps
            .left_out
            .iter()
            .filter_map(|report| Some(report.error.as_ref()?.message().to_string()))
            .collect(),
        not_used: passed_over,
        shown,
        strongest: strongest(&maps, block),
    };
    if args.person.json {
        return output::print_json(&report);
    }
    for line in &report.notes {
        tell!("{line}");
    }
    for line in &report.left_out {
        tell!("left out  {line}");
    }
    report.not_used.tell();
    let shown: Vec<_> = report.shown.iter().map(usize::to_string).collect();
    target.target().report(format!(
        "{}: {} photo(s), block {block} of {}, queries {}\n",
        report.picture,
        report.photos.len(),
        report.blocks,
        shown.join(" ")
    ))
}

/// The last block's sheet with the `count` queries that look at the most different places.
pub fn overview(maps: &AttentionMaps, count: usize) -> RgbImage {
    let block = maps.blocks.saturating_sub(1);
    sheet(maps, block, &most_different(maps, block, count))
}

/// Queries that look at different places, greedily: first the one that looks least evenly, then always the one whose
/// map is the farthest from all maps that were chosen.
fn most_different(maps: &AttentionMaps, block: usize, count: usize) -> Vec<usize> {
    let all: Vec<Vec<f32>> = (0..maps.queries)
        .map(|query| {
            let shares = maps.photos.iter().flat_map(|photo| photo.shares(block, query));
            shares.copied().collect()
        })
        .collect();
    let distance = |a: &[f32], b: &[f32]| -> f32 { a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum() };
    let even = vec![1.0 / all.first().map_or(1, Vec::len).max(1) as f32; all.first().map_or(0, Vec::len)];
    let mut nearest: Vec<f32> = all.iter().map(|map| distance(map, &even)).collect();
    let mut chosen = Vec::new();
    while chosen.len() < count.min(maps.queries) {
        let free = (0..maps.queries).filter(|query| !chosen.contains(query));
        let Some(next) = free.max_by(|&a, &b| nearest[a].total_cmp(&nearest[b])) else {
            break;
        };
        let first = chosen.is_empty();
        for (near, map) in nearest.iter_mut().zip(&all) {
            let to_next = distance(map, &all[next]);
            *near = if first { to_next } else { near.min(to_next) };
        }
        chosen.push(next);
    }
    chosen.sort_unstable();
    chosen
}

fn strongest(maps: &AttentionMaps, block: usize) -> Vec<Place> {
    let place = |query| {
        let shares = maps.photos.iter().enumerate().flat_map(|(photo, map)| {
            let shares = map.shares(block, query).iter().enumerate();
            shares.map(move |(patch, &share)| (photo, patch, share))
        });
        let (photo, patch, share) = shares.max_by(|a, b| a.2.total_cmp(&b.2))?;
        Some(Place {
            query,
            photo,
            row: patch / maps.side,
            column: patch % maps.side,
            share,
        })
    };
    (0..maps.queries).filter_map(place).collect()
}

/// A row for each photo: the crop, the mean of all queries, the shown queries. Colours stretch over one photo's map.
fn sheet(maps: &AttentionMaps, block: usize, shown: &[usize]) -> RgbImage {
    const SIDE: u32 = 160;
    const GAP: i64 = 6;
    const HEAD: i64 = 24;
    let step = i64::from(SIDE) + GAP;
    let width = GAP + step * (shown.len() as i64 + 2);
    let height = HEAD + step * maps.photos.len() as i64;
    let mut canvas = Canvas::new(width as u32, height as u32, [255; 3]);
    let names = ["photo".to_string(), "all queries".to_string()]
        .into_iter()
        .chain(shown.iter().map(|query| format!("query {query}")));
    for (column, name) in names.enumerate() {
        canvas.text(&name, GAP + column as i64 * step, 6, 2, [0; 3]);
    }
    for (row, photo) in maps.photos.iter().enumerate() {
        let top = HEAD + row as i64 * step;
        let crop = resize(&photo.crop, SIDE, SIDE, FilterType::CatmullRom);
        canvas.paste(&crop, GAP, top);
        canvas.paste(&overlay_heat(&crop, &photo.mean(block), maps.side), GAP + step, top);
        for (column, &query) in shown.iter().enumerate() {
            let picture = overlay_heat(&crop, photo.shares(block, query), maps.side);
            canvas.paste(&picture, GAP + (column as i64 + 2) * step, top);
        }
    }
    canvas.into_image()
}
