//! Who looks like whom: a table of similarities, coloured by their values.

use super::html::{escape, Section};
use crate::commands::compare::Matrix;
use crate::picture::heat_colour;

/// Below this mean similarity to the others, in parts of what the others have among themselves, a row is named as unlike.
const UNLIKE: f32 = 0.5;

/// A matrix of at least two rows. The first are single photos of the page, the rest was named to compare with.
pub struct Compared {
    pub matrix: Matrix,
    /// How many of the rows are photos of the page.
    pub photos: usize,
}

/// The section of what identities say and, where the model has directions for them, orientation histograms.
pub fn section(identities: &Compared, histograms: Option<&Compared>) -> Section {
    let mut body = table(
        identities,
        "Similarity of identities",
        "Cosine similarity of identities, each made of one photo or taken from a file: 1 for the same, near 0 for \
         strangers.",
    );
    if let Some(histograms) = histograms {
        body.push_str("<h3>By orientation histograms</h3>\n");
        body.push_str(&table(
            histograms,
            "Similarity by orientation histograms",
            "Cosine similarity of the faces' histograms of oriented gradients in the directions that tell people apart. \
             It answers whether two photos show one person; nothing is drawn from it.",
        ));
    }
    Section {
        id: "similarity",
        title: "Similarity",
        body,
    }
}

/// A matrix with what it says.
fn table(Compared { matrix, photos }: &Compared, title: &str, explanation: &str) -> String {
    let photos = *photos;
    let rows = &matrix.similarity;
    let mut body = format!("<p>{explanation}</p>\n");
    match least_alike(&rows[..photos.min(rows.len())]) {
        Some((row, mean)) => body.push_str(&format!(
            "<p class=\"warn\">Unlike the other photos: {}, {mean:.2} on average.</p>\n",
            escape(&matrix.names[row])
        )),
        None if photos >= 3 => body.push_str("<p>No photo is unlike the others.</p>\n"),
        None => {}
    }
    body.push_str(&format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{title}\">\n<table class=\"heat\">\n\
         <caption>{title}; columns by the numbers of the rows</caption>\n<thead><tr><td></td>"
    ));
    for (column, name) in matrix.names.iter().enumerate() {
        // Read out with its name, which would make the column as wide as itself.
        let name = escape(name);
        body.push_str(&format!(
            "<th scope=\"col\">{}<span class=\"unseen\"> {name}</span></th>",
            column + 1
        ));
    }
    body.push_str("</tr></thead>\n<tbody>\n");
    let (low, high) = bounds(rows);
    for (number, (name, row)) in matrix.names.iter().zip(rows).enumerate() {
        body.push_str(&format!("<tr><th scope=\"row\">{} {}</th>", number + 1, escape(name)));
        for value in row {
            let share = if high > low { (value - low) / (high - low) } else { 1.0 };
            let [red, green, blue] = heat_colour(share);
            let ink = if is_light([red, green, blue]) { "#000" } else { "#fff" };
            body.push_str(&format!(
                "<td style=\"background:rgb({red},{green},{blue});color:{ink}\">{value:.2}</td>"
            ));
        }
        body.push_str("</tr>\n");
    }
    body.push_str("</tbody>\n</table>\n</div>\n");
    body
}

/// Smallest and largest similarity of different rows.
fn bounds(rows: &[Vec<f32>]) -> (f32, f32) {
    let each = rows.iter().enumerate().flat_map(|(place, row)| {
        let others = row.iter().enumerate().filter(move |(other, _)| *other != place);
        others.map(|(_, value)| *value)
    });
    each.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    })
}

/// The row that is less like the others than half as much as they are like each other, and its mean similarity to them.
/// Of at least three.
fn least_alike(rows: &[Vec<f32>]) -> Option<(usize, f32)> {
    let count = rows.len();
    if count < 3 {
        return None;
    }
    let mean_of = |row: usize, left_out: Option<usize>| {
        let others = (0..count).filter(|&other| other != row && Some(other) != left_out);
        let values: Vec<f32> = others.map(|other| rows[row][other]).collect();
        values.iter().sum::<f32>() / values.len() as f32
    };
    let (row, mean) = (0..count)
        .map(|row| (row, mean_of(row, None)))
        .min_by(|a, b| a.1.total_cmp(&b.1))?;
    let others = (0..count).filter(|&other| other != row);
    let among = others.map(|other| mean_of(other, Some(row))).sum::<f32>() / (count - 1) as f32;
    (mean < UNLIKE * among).then_some((row, mean))
}

/// Whether black is read better than white on a colour: by WCAG's relative luminance.
fn is_light(colour: [u8; 3]) -> bool {
    let linear = |channel: u8| {
        let value = f32::from(channel) / 255.0;
        match value <= 0.04045 {
            true => value / 12.92,
            false => ((value + 0.055) / 1.055).powf(2.4),
        }
    };
    let luminance = 0.2126 * linear(colour[0]) + 0.7152 * linear(colour[1]) + 0.0722 * linear(colour[2]);
    // Both contrasts are equal at the root of 1.05 · 0.05, less 0.05.
    luminance > 0.179
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_is_named_and_a_family_is_not() {
        let same = vec![vec![1.0, 0.8, 0.7], vec![0.8, 1.0, 0.75], vec![0.7, 0.75, 1.0]];
        assert_eq!(least_alike(&same), None);
        let mut other = same.clone();
        for (a, b) in [(0, 2), (1, 2)] {
            other[a][b] = 0.1;
            other[b][a] = 0.1;
        }
        let (row, mean) = least_alike(&other).unwrap();
        assert_eq!(row, 2);
        assert!((mean - 0.1).abs() < 1e-6);
        assert_eq!(least_alike(&other[..2]), None);
        assert_eq!(bounds(&other), (0.1, 0.8));
    }

    #[test]
    fn ink_can_be_read_on_every_colour() {
        // Contrast of at least 4.5, as WCAG's level AA asks for.
        for step in 0..=100 {
            let colour = heat_colour(step as f32 / 100.0);
            let light = |channel: u8| {
                let value = f64::from(channel) / 255.0;
                if value <= 0.04045 {
                    value / 12.92
                } else {
                    ((value + 0.055) / 1.055).powf(2.4)
                }
            };
            let luminance = 0.2126 * light(colour[0]) + 0.7152 * light(colour[1]) + 0.0722 * light(colour[2]);
            let contrast = if is_light(colour) {
                (luminance + 0.05) / 0.05
            } else {
                1.05 / (luminance + 0.05)
            };
            assert!(contrast >= 4.5, "{colour:?}: {contrast}");
        }
    }

    #[test]
    fn names_are_text() {
        let matrix = Matrix {
            names: vec!["<b>".into(), "b".into()],
            similarity: vec![vec![1.0, 0.25], vec![0.25, 1.0]],
            left_out: Vec::new(),
        };
        let compared = Compared { matrix, photos: 2 };
        let one = section(&compared, None);
        assert!(one.body.contains("<th scope=\"row\">1 &lt;b&gt;</th>"));
        assert_eq!(one.body.matches(">0.25<").count(), 2);
        let two = section(&compared, Some(&compared));
        assert!(two.body.contains("By orientation histograms") && two.body.matches(">0.25<").count() == 4);
    }
}
