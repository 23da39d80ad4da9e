//! Synthetic people as a folder of pictures, in the layout of real photo sets: `folder/<person>/<picture>.png`.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use omniid::checkpoint::save_bytes_atomically;
use omniid::{Error, ErrorKind, Result};
use omniid_minihost::View;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::assets::Assets;
use super::draw::check_size;
use super::family::Family;
use super::people::RenderConfig;
use crate::data::Role;
use crate::pictures;

/// The file beside the people's folders that says what every picture shows: a [`TruthLine`] per line.
pub const TRUTH_FILE: &str = "truth.jsonl";

/// What a rendered picture shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TruthLine {
    /// Path below the folder that [`TRUTH_FILE`] lies in, with `/` between its parts.
    pub path: String,
    /// Generator of the head.
    pub family: Family,
    /// Seed of the person within the family.
    pub seed: u64,
    /// "input" for a picture in which everything varies, "target" for a studio picture that its view determines.
    pub role: String,
    /// Pose, expression, gaze, light, background, glasses.
    pub view: View,
    /// Eye at image left, eye at image right, nose tip, mouth corner left, mouth corner right of this person, −1…1
    /// from the left and upper to the right and lower edge.
    pub points: [[f32; 2]; 5],
    /// The 68 landmarks, on the same scale.
    pub landmarks: Vec<[f32; 2]>,
}

impl TruthLine {
    /// Whether it is a studio picture, which a generator can be asked to draw.
    pub fn is_target(&self) -> bool {
        self.role == "target"
    }
}

/// Renders people into `folder`: `<family>-<seed>/<n>.png`, inputs first, numbered from 1, and [`TRUTH_FILE`] last.
/// The same configuration gives the same bytes, whatever the number of threads. Files of an earlier run are replaced.
/// Returns the number of pictures. `progress` as for [`render_people`](super::render_people).
///
/// # Errors
/// As [`render_people`](super::render_people); [`ErrorKind::Io`] naming the path.
pub fn render_folder(
    assets: &Assets,
    config: &RenderConfig,
    folder: &Path,
    progress: &(dyn Fn(usize, usize) -> bool + Sync),
) -> Result<usize> {
    check_size(config.size)?;
    let done = AtomicUsize::new(0);
    let lines = config
        .who(assets)
        .into_par_iter()
        .map(|(family, seed)| {
            let lines = person(assets, config, folder, family, seed)?;
            let count = done.fetch_add(1, Ordering::Relaxed) + 1;
            if progress(count, config.people) {
                Ok(lines)
            } else {
                Err(Error::new(
                    ErrorKind::Cancelled,
                    format!("rendering was stopped after {count} of {} people", config.people),
                ))
            }
        })
        .collect::<Result<Vec<_>>>()?
        .concat();
    let text = lines
        .iter()
        .map(|line| serde_json::to_string(line).map(|json| json + "\n"))
        .collect::<serde_json::Result<String>>()
        .map_err(|error| Error::internal(format!("{TRUTH_FILE}: {error}")))?;
    std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
    save_bytes_atomically(&folder.join(TRUTH_FILE), text.as_bytes())?;
    Ok(lines.len())
}

fn person(assets: &Assets, config: &RenderConfig, folder: &Path, family: Family, seed: u64) -> Result<Vec<TruthLine>> {
    let people = config.moments(assets, seed, family)?;
    let name = format!("{}-{seed}", family.name());
    let own = folder.join(&name);
    std::fs::create_dir_all(&own).map_err(|error| Error::io(&own, error))?;
    let relative = |point: [f32; 2]| point.map(|value| 2.0 * value / config.size as f32 - 1.0);
    config
        .photos()
        .enumerate()
        .map(|(number, (role, index, distribution))| {
            let person = &people[index % people.len()];
            let photo = person.photo(&distribution, role, index);
            let rendered = person.render(&photo, config.size)?;
            let file = format!("{}.png", number + 1);
            pictures::save(&rendered.image, &own.join(&file))?;
            Ok(TruthLine {
                path: format!("{name}/{file}"),
                family,
                seed,
                role: if role == Role::Target { "target" } else { "input" }.to_string(),
                view: rendered.view,
                points: rendered.points5.map(relative),
                landmarks: rendered.landmarks68.map(relative).to_vec(),
            })
        })
        .collect()
}

/// Reads a [`TRUTH_FILE`].
///
/// # Errors
/// [`ErrorKind::Io`] when it cannot be read, [`ErrorKind::Format`] naming the line that is none.
pub fn read_truth(path: &Path) -> Result<Vec<TruthLine>> {
    let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
    text.lines()
        .enumerate()
        .map(|(number, line)| {
            serde_json::from_str(line)
                .map_err(|error| Error::format(format!("{}, line {}: {error}", path.display(), number + 1)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::render_people;

    #[test]
    fn the_folder_holds_the_pictures_of_the_data_set() -> Result<()> {
        let Some(root) = omniid_test_support::assets("ict_facekit") else {
            return Ok(());
        };
        let assets = Assets::open(&root)?;
        let config = RenderConfig {
            people: 3,
            first_seed: 70,
            inputs_per_person: 2,
            targets_per_person: 2,
            size: 24,
            ..RenderConfig::default()
        };
        let folder = tempfile::tempdir().expect("temporary folder");
        let count = render_folder(&assets, &config, folder.path(), &|_, _| true)?;
        let lines = read_truth(&folder.path().join(TRUTH_FILE))?;
        assert_eq!((count, lines.len()), (12, 12));
        let dataset = render_people(&assets, &config, &|_, _| true)?;
        let pictures = dataset
            .people
            .iter()
            .flat_map(|person| person.pictures.iter().map(move |picture| (person, picture)));
        for (line, (person, picture)) in lines.iter().zip(pictures) {
            let image = image::open(folder.path().join(&line.path))
                .expect("a picture")
                .to_rgb8();
            assert_eq!(image.into_raw(), picture.pixels, "{}", line.path);
            assert_eq!((line.view, line.points), (picture.view, picture.points));
            assert_eq!(line.is_target(), picture.role == Role::Target);
            assert!(line.path.starts_with(&format!("{}-{}/", person.family, person.name)));
            // The nose tip is the 31st of the 68 points.
            assert_eq!(line.landmarks[30], line.points[2]);
        }
        let stopped = render_folder(&assets, &config, &folder.path().join("more"), &|done, _| done < 2);
        assert_eq!(stopped.expect_err("it was stopped").kind(), ErrorKind::Cancelled);
        assert!(!folder.path().join("more").join(TRUTH_FILE).exists());
        Ok(())
    }

    #[test]
    fn a_damaged_line_is_named() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join(TRUTH_FILE);
        std::fs::write(&path, "{\"path\": 3}\n").expect("writable");
        let error = read_truth(&path).expect_err("it is damaged");
        assert_eq!(error.kind(), ErrorKind::Format);
        assert!(error.message().contains("line 1"), "{error}");
    }
}
