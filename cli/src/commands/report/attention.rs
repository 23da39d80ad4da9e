//! Where the encoder's queries look: a map over every crop, and a slider for the query.

use super::html::{self, base64, escape, Section};
use crate::failure::Outcome;
use crate::picture::{heat_colour, overlay_heat};
use image::imageops::{resize, FilterType};
use omniid::engine::AttentionMaps;
use serde_json::json;

/// Side of a crop on the page.
const SIDE: u32 = 192;

/// The section of the maps of the last block.
pub fn section(maps: &AttentionMaps) -> Outcome<Section> {
    let block = maps.blocks.saturating_sub(1);
    let mut body = format!(
        "<p>The encoder has {} queries; each becomes one identity token. Bright patches of the photos have most of a \
         query's attention in the last of {} blocks.</p>\n\
         <div class=\"controls\" id=\"attention-controls\" hidden>\n\
         <div class=\"control\"><label for=\"query\">Query</label>\n\
         <output id=\"query-text\" for=\"query\" aria-hidden=\"true\">all queries</output>\n\
         <input type=\"range\" id=\"query\" min=\"0\" max=\"{}\" value=\"0\"></div>\n</div>\n\
         <p id=\"query-place\" class=\"soft\" aria-live=\"polite\"></p>\n<ul class=\"pictures\">\n",
        maps.queries, maps.blocks, maps.queries
    );
    for photo in &maps.photos {
        let crop = resize(&photo.crop, SIDE, SIDE, FilterType::CatmullRom);
        let mean = overlay_heat(&crop, &photo.mean(block), maps.side);
        let name = &photo.report.name;
        body.push_str(&format!(
            "<li><figure>{}<img hidden class=\"base\" alt=\"\" src=\"{}\">\
             <canvas data-crop hidden role=\"img\" width=\"{SIDE}\" height=\"{SIDE}\"></canvas>\
             <figcaption>{}</figcaption></figure></li>\n",
            html::picture(&mean, &format!("Where all queries look in {name}"), "mean")?,
            html::address(&crop)?,
            escape(name)
        ));
    }
    body.push_str("</ul>\n");
    body.push_str(&data(maps, block));
    Ok(Section {
        id: "attention",
        title: "Attention",
        body,
    })
}

/// The maps as bytes for the page's script: for each photo all queries' mean, then each query, row by row. A map's
/// values stretch over all photos, so that it shows which photo a query reads, too.
fn data(maps: &AttentionMaps, block: usize) -> String {
    let map = |photo: usize, number: usize| -> Vec<f32> {
        match number.checked_sub(1) {
            None => maps.photos[photo].mean(block),
            Some(query) => maps.photos[photo].shares(block, query).to_vec(),
        }
    };
    let mut largest = vec![0f32; maps.queries + 1];
    let mut places = Vec::with_capacity(maps.queries + 1);
    for (number, largest) in largest.iter_mut().enumerate() {
        let mut sums = Vec::new();
        for photo in 0..maps.photos.len() {
            let map = map(photo, number);
            *largest = map.iter().fold(*largest, |largest, share| largest.max(*share));
            sums.push(format!("{:.0} %", 100.0 * map.iter().sum::<f32>()));
        }
        places.push(format!("Share of each photo: {}", sums.join(", ")));
    }
    let mut bytes = Vec::new();
    for photo in 0..maps.photos.len() {
        for (number, largest) in largest.iter().enumerate() {
            let scale = if *largest > 0.0 { 255.0 / largest } else { 0.0 };
            bytes.extend(map(photo, number).iter().map(|share| (share * scale).round() as u8));
        }
    }
    let colours: Vec<u8> = (0..=255u8)
        .flat_map(|value| heat_colour(f32::from(value) / 255.0))
        .collect();
    let value = json!({
        "side": maps.side,
        "queries": maps.queries,
        "places": places,
        "maps": base64(&bytes),
        "colours": base64(&colours),
    });
    // No letter that could end the element: numbers, fixed words and base64.
    format!("<script type=\"application/json\" id=\"attention-data\">{value}</script>\n")
}
