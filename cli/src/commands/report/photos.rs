//! The photos: where the face is, what the model saw of it, and what became of it.

use super::html::{self, escape, Section};
use crate::commands::encode::FaceLine;
use crate::failure::Outcome;
use crate::photos::PassedOver;
use image::imageops::{resize, FilterType};
use image::RgbImage;
use omniid::face::PhotoReport;
use omniid::photo::Photo;
use omniid::Limits;

/// Longest side of a photo on the page, in pixels.
const LONGEST: u32 = 480;

/// Names of the five points, as [`omniid::photo::Landmarks`] orders them.
const POINTS: [&str; 5] = [
    "eye at image left",
    "eye at image right",
    "nose tip",
    "mouth corner left",
    "mouth corner right",
];

/// One photo of the page.
pub struct Shown<'a> {
    pub photo: &'a Photo<'static>,
    pub report: &'a PhotoReport,
    /// What the model saw; absent for a photo that was left out.
    pub crop: Option<&'a RgbImage>,
}

/// The section of all photos.
pub fn section(photos: &[Shown<'_>], passed_over: &PassedOver, limits: &Limits) -> Outcome<Section> {
    let mut body = String::from("<ul class=\"cards\">\n");
    for photo in photos {
        body.push_str(&card(photo, limits)?);
    }
    body.push_str("</ul>\n");
    let lines = passed_over.lines();
    if !lines.is_empty() {
        body.push_str("<h3>Not used</h3>\n<ul>\n");
        for line in lines {
            body.push_str(&format!("<li>{}</li>\n", escape(&line)));
        }
        body.push_str("</ul>\n");
    }
    Ok(Section {
        id: "photos",
        title: "Photos",
        body,
    })
}

fn card(shown: &Shown<'_>, limits: &Limits) -> Outcome<String> {
    let report = shown.report;
    let name = escape(&report.name);
    let class = if report.is_used() { "used" } else { "left-out" };
    let mut text = format!("<li class=\"{class}\">\n<h3>{name}</h3>\n");
    // A photo that cannot be read has no picture; its reason says why.
    if let Ok(decoded) = shown.photo.decode_with_notes(limits) {
        text.push_str(&overlaid(&decoded.image, decoded.full_size, report)?);
    }
    match &report.error {
        Some(error) => text.push_str(&format!(
            "<p class=\"state\">Left out</p>\n<p class=\"warn\">{}</p>\n",
            escape(error.message())
        )),
        None => text.push_str("<p class=\"state\">Used</p>\n"),
    }
    for note in &report.notes {
        text.push_str(&format!("<p class=\"warn\">{}</p>\n", escape(&note.to_string())));
    }
    if let Some(face) = &report.face {
        text.push_str(&format!("<p>{}</p>\n", escape(&FaceLine::from(face).text())));
    }
    if report.rotation != 0 {
        text.push_str(&format!(
            "<p>Turned by {}° clockwise, so that the face is upright.</p>\n",
            report.rotation
        ));
    }
    if let Some(similarity) = report.similarity {
        text.push_str(&format!("<p>Similarity to the other photos: {similarity:.2}</p>\n"));
    }
    if let Some(crop) = shown.crop {
        text.push_str(&format!(
            "<figure>{}<figcaption>What the model saw</figcaption></figure>\n",
            html::picture(crop, &format!("Crop of {}", report.name), "crop")?
        ));
    }
    text.push_str("</li>\n");
    Ok(text)
}

/// A photo with the box and the points of its face. `full_size` are the pixels that the report counts.
fn overlaid(image: &RgbImage, full_size: (u32, u32), report: &PhotoReport) -> Outcome<String> {
    let longest = image.width().max(image.height()).max(1);
    let shrunk;
    let small = if longest > LONGEST {
        let side = |side: u32| (u64::from(side) * u64::from(LONGEST) / u64::from(longest)).max(1) as u32;
        shrunk = resize(image, side(image.width()), side(image.height()), FilterType::Triangle);
        &shrunk
    } else {
        image
    };
    let (width, height) = full_size;
    let mut marks = String::new();
    if let Some(bounds) = report.face.map(|face| face.bounds).or(report.bounds) {
        marks.push_str(&format!(
            "<rect class=\"box\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
            bounds.left,
            bounds.top,
            bounds.width(),
            bounds.height()
        ));
    }
    if let Some(face) = report.face {
        let radius = (width.max(height) as f32 / 120.0).max(0.5);
        for (point, name) in face.landmarks.0.iter().zip(POINTS) {
            marks.push_str(&format!(
                "<circle class=\"point\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius:.1}\"><title>{name}</title></circle>",
                point[0], point[1]
            ));
        }
    }
    let alternative = match marks.is_empty() {
        true => format!("Photo {}", report.name),
        false => format!("Photo {} with the box and the points of the face", report.name),
    };
    let overlay = match marks.is_empty() {
        true => String::new(),
        false => format!(
            "<svg viewBox=\"0 0 {width} {height}\" preserveAspectRatio=\"none\" aria-hidden=\"true\">{marks}</svg>"
        ),
    };
    Ok(format!(
        "<div class=\"photo\">{}{overlay}</div>\n",
        html::picture(small, &alternative, "whole")?
    ))
}
