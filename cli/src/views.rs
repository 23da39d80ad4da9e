//! Views from the command line: names, numbers, and both joined.

use crate::failure::{Failure, Outcome};
use omniid_minihost::presets::{SHEET_VIEWS, VIEW_NAMES};
use omniid_minihost::view::EXPRESSIONS;
use omniid_minihost::View;

/// For the help of commands that take views.
pub fn help() -> String {
    format!(
        "Views:\n  {}\n  Join them, and numbers, with +: \"three-quarter left+smile\", \"yaw=30+pitch=-10+jaw_open=0.4\".\n  \
         Numbers: yaw, pitch, roll, gaze_right and gaze_up in degrees; 0 to 1 for glasses, {}.",
        VIEW_NAMES.join(", "),
        EXPRESSIONS.join(", ")
    )
}

/// A view and what it was called.
#[derive(Debug, Clone)]
pub struct NamedView {
    pub name: String,
    pub view: View,
}

/// The views that were asked for; without any, those of a sheet; for "all", every known one.
pub fn parse(asked: &[String]) -> Outcome<Vec<NamedView>> {
    let named = |names: &[&str]| names.iter().map(|name| one(name)).collect();
    match asked {
        [] => named(&SHEET_VIEWS),
        [all] if all == "all" => named(&VIEW_NAMES),
        asked => asked.iter().map(|text| one(text.trim())).collect(),
    }
}

fn one(text: &str) -> Outcome<NamedView> {
    let neutral = View::default();
    let mut vector = neutral.to_vector();
    let mut angles = [0f32; 3];
    let mut numbers = Vec::new();
    for part in text.split('+').map(str::trim) {
        if let Some((name, number)) = part.split_once('=') {
            numbers.push((name.trim(), value(number.trim(), part)?));
            continue;
        }
        let view = View::named(part).ok_or_else(|| {
            Failure::usage(format!(
                "{part:?} is no view; known are {}, and NAME=NUMBER",
                VIEW_NAMES.join(", ")
            ))
        })?;
        // What the part changes is taken over; angles add up, so that the points can follow them.
        let changes = view.to_vector();
        for ((own, new), old) in vector.iter_mut().zip(changes).zip(neutral.to_vector()) {
            if new != old {
                *own = new;
            }
        }
        for (sum, angle) in angles.iter_mut().zip([view.yaw, view.pitch, view.roll]) {
            *sum += angle;
        }
    }
    let mut view = View::from_vector(&vector);
    for (name, number) in numbers {
        let radians = number.to_radians();
        match name {
            "yaw" => angles[0] = radians,
            "pitch" => angles[1] = radians,
            "roll" => angles[2] = radians,
            "gaze_right" => view.gaze[0] = radians,
            "gaze_up" => view.gaze[1] = radians,
            "glasses" => view.glasses = number,
            name => match EXPRESSIONS.iter().position(|known| *known == name) {
                Some(channel) => view.expression[channel] = number,
                None => {
                    return Err(Failure::usage(format!(
                        "{name:?} is no number of a view; known are yaw, pitch, roll, gaze_right, gaze_up, glasses, {}",
                        EXPRESSIONS.join(", ")
                    )))
                }
            },
        }
    }
    Ok(NamedView {
        name: text.to_string(),
        view: view.posed(angles[0], angles[1], angles[2]),
    })
}

fn value(text: &str, part: &str) -> Outcome<f32> {
    text.parse::<f32>()
        .ok()
        .filter(|number| number.abs() <= 180.0)
        .ok_or_else(|| Failure::usage(format!("{part:?}: {text:?} is no number from -180 to 180")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(text: &str) -> View {
        one(text).unwrap().view
    }

    #[test]
    fn names_are_the_presets() {
        for name in VIEW_NAMES {
            assert_eq!(view(name), View::named(name).unwrap(), "{name}");
        }
        assert_eq!(parse(&[]).unwrap().len(), SHEET_VIEWS.len());
        assert_eq!(parse(&["all".to_string()]).unwrap().len(), VIEW_NAMES.len());
    }

    #[test]
    fn parts_join() {
        let joined = view("three-quarter left + smile + glasses=1");
        let turned = View::named("three-quarter left").unwrap();
        assert_eq!((joined.yaw, joined.points), (turned.yaw, turned.points));
        assert_eq!(joined.expression, View::named("smile").unwrap().expression);
        assert_eq!(joined.glasses, 1.0);
        let numbers = view("yaw=-25+jaw_open=0.5+gaze_up=10");
        assert_eq!((numbers.yaw, numbers.points), (view("left").yaw, view("left").points));
        assert_eq!(numbers.expression[2], 0.5);
        assert!((numbers.gaze[1] - 10f32.to_radians()).abs() < 1e-6);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("sideways", "sideways"),
            ("yaw=x", "\"x\""),
            ("yaw=NaN", "NaN"),
            ("ears=1", "ears"),
        ] {
            let Err(Failure::Usage(error)) = one(text) else {
                panic!("{text}")
            };
            assert!(error.message().contains(part), "{error}");
        }
    }
}
