//! Generated pictures, made beforehand for every number of photos and every strength that the sliders offer.

use super::html::{self, escape, Section};
use crate::failure::Outcome;
use crate::progress::{cancelled, Bar};
use crate::views::NamedView;
use image::RgbImage;
use omniid::identity::Identity;
use omniid_minihost::{GenerateOptions, Generator, View};

/// The pictures of one place of the sliders.
pub struct Set {
    /// Photos of the identity.
    pub photos: usize,
    /// Weight of the identity.
    pub strength: f32,
    /// One for each view.
    pub pictures: Vec<RgbImage>,
}

/// Draws every identity in every strength and view. `identities` are of different numbers of photos, the fewest first.
pub fn draw(
    generator: &Generator,
    identities: &[(usize, Identity)],
    strengths: &[f32],
    named: &[NamedView],
    options: &GenerateOptions,
    bar: &Bar,
) -> Outcome<Vec<Set>> {
    let views: Vec<View> = named.iter().map(|view| view.view).collect();
    let mut sets: Vec<Set> = Vec::new();
    let all = (identities.len() * strengths.len()) as u64;
    for (photos, identity) in identities {
        for &strength in strengths {
            // Without weight, the photos make no difference.
            let nobody = sets.iter().find(|set| strength == 0.0 && set.strength == 0.0);
            let pictures = match nobody {
                Some(nobody) => nobody.pictures.clone(),
                None => {
                    let options = GenerateOptions {
                        identity_scale: strength,
                        ..options.clone()
                    };
                    let done = sets.len() as u64;
                    generator.generate(identity, &views, &options, |step, steps| {
                        let (step, steps) = (step as u64, steps.max(1) as u64);
                        match bar.show("drawing", done * steps + step, all * steps).is_break() {
                            true => Err(cancelled("drawing")),
                            false => Ok(()),
                        }
                    })?
                }
            };
            sets.push(Set {
                photos: *photos,
                strength,
                pictures,
            });
        }
    }
    Ok(sets)
}

/// The section of all sets. The sliders begin at the most photos and the strength that is nearest to 1.
pub fn section(sets: &[Set], named: &[NamedView], options: &GenerateOptions, size: usize) -> Outcome<Section> {
    let mut counts: Vec<usize> = sets.iter().map(|set| set.photos).collect();
    counts.dedup();
    let of_one = sets.iter().filter(|set| set.photos == counts[0]);
    let strengths: Vec<f32> = of_one.map(|set| set.strength).collect();
    let nearest = (0..strengths.len()).min_by(|&a, &b| {
        let distance = |place: usize| (strengths[place] - 1.0).abs();
        distance(a).total_cmp(&distance(b))
    });
    let list = |values: &mut dyn Iterator<Item = String>| values.collect::<Vec<_>>().join(",");
    let mut body = format!(
        "<p>Drawn by the model's own small generator: {size} pixels, {} steps, guidance {}, seed {}. Strength is the \
         weight of the identity; at 0 nobody in particular is drawn.</p>\n\
         <div class=\"controls\" id=\"picture-controls\" data-counts=\"{}\" data-strengths=\"{}\" hidden>\n",
        options.steps,
        options.guidance,
        options.seed,
        list(&mut counts.iter().map(usize::to_string)),
        list(&mut strengths.iter().map(f32::to_string)),
    );
    for (id, label, last, value) in [
        ("count", "Photos", counts.len() - 1, counts.len() - 1),
        ("strength", "Strength", strengths.len() - 1, nearest.unwrap_or(0)),
    ] {
        body.push_str(&format!(
            "<div class=\"control\"><label for=\"{id}\">{label}</label>\n\
             <output id=\"{id}-text\" for=\"{id}\" aria-hidden=\"true\"></output>\n\
             <input type=\"range\" id=\"{id}\" min=\"0\" max=\"{last}\" value=\"{value}\"></div>\n"
        ));
    }
    body.push_str("</div>\n");
    for set in sets {
        let title = format!("{}, strength {}", html::photos(set.photos), set.strength);
        body.push_str(&format!(
            "<div data-set=\"{}/{}\">\n<h3>{title}</h3>\n<ul class=\"pictures\">\n",
            set.photos, set.strength
        ));
        for (view, picture) in named.iter().zip(&set.pictures) {
            let name = escape(&view.name);
            body.push_str(&format!(
                "<li><figure>{}<figcaption>{name}</figcaption></figure></li>\n",
                html::picture(picture, &format!("Generated, {}, from {title}", view.name), "generated")?
            ));
        }
        body.push_str("</ul>\n</div>\n");
    }
    Ok(Section {
        id: "generated",
        title: "Generated views",
        body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sliders_name_every_set() {
        let set = |photos, strength| Set {
            photos,
            strength,
            pictures: vec![RgbImage::new(8, 8)],
        };
        let sets = [set(1, 0.0), set(1, 1.25), set(3, 0.0), set(3, 1.25)];
        let named = crate::views::parse(&["front".to_string()]).unwrap();
        let body = section(&sets, &named, &GenerateOptions::default(), 64).unwrap().body;
        assert!(body.contains("data-counts=\"1,3\" data-strengths=\"0,1.25\""));
        assert!(body.contains("id=\"strength\" min=\"0\" max=\"1\" value=\"1\""));
        for name in ["1/0", "1/1.25", "3/0", "3/1.25"] {
            assert_eq!(body.matches(&format!("data-set=\"{name}\"")).count(), 1, "{name}");
        }
    }
}
