//! The page of `report`, opened in a browser.

use super::support::Workplace;
use omniid_test_support::{has_tool, skip, Missing};
use std::path::PathBuf;
use std::process::Command;

/// A page in a folder, and Chromium without a window.
struct Browser {
    place: Workplace,
}

impl Browser {
    /// A page with every section, if there is a browser to open it; otherwise the test is recorded as skipped.
    fn with_page() -> Option<Self> {
        if cfg!(windows) {
            skip(
                Missing::Platform,
                "Chromium is driven by its Linux package's program",
                "run it on Linux",
            );
            return None;
        }
        if !has_tool("chromium", "chromium") {
            return None;
        }
        let place = Workplace::new();
        place.add_generator();
        let photos = ["a.png", "b.png", "c.png"];
        let options = [
            "-o",
            "page.html",
            "--views",
            "front,smile",
            "--strengths",
            "0,1",
            "--steps",
            "1",
        ];
        let model = ["-c", "mini.safetensors", "--minihost", "minihost.safetensors"];
        place.ok(&[&["report"], &photos[..], &options, &model].concat());
        Some(Self { place })
    }

    /// The same page whose script may not run: its own policy forbids it.
    fn without_script(self) -> Self {
        let path = self.place.path("page.html");
        let page = std::fs::read_to_string(&path).unwrap();
        let silent = page.replace("script-src 'unsafe-inline'", "script-src 'none'");
        assert_ne!(page, silent);
        std::fs::write(path, silent).unwrap();
        self
    }

    /// What Chromium prints about the page.
    fn run(&self, options: &[&str]) -> String {
        let path = self.place.path("page.html");
        let output = Command::new("chromium")
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--hide-scrollbars",
            ])
            // No name resolves: what the page asked a network for would be missing.
            .args(["--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=10000"])
            .arg(format!("--user-data-dir={}", self.place.path("profile").display()))
            .args(options)
            .arg(format!("file://{}", path.display()))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A picture of the window.
    fn picture(&self, options: &[&str]) -> image::RgbImage {
        let path: PathBuf = self.place.path("window.png");
        let _ = std::fs::remove_file(&path);
        let shot = format!("--screenshot={}", path.display());
        self.run(&[&[shot.as_str(), "--window-size=900,1600"], options].concat());
        image::open(path).unwrap().to_rgb8()
    }
}

/// Different colours in a picture.
fn colours(picture: &image::RgbImage) -> usize {
    let all: std::collections::HashSet<[u8; 3]> = picture.pixels().map(|pixel| pixel.0).collect();
    all.len()
}

/// Start tags of an element, with their attributes.
fn tags<'d>(document: &'d str, element: &str) -> Vec<&'d str> {
    let start = format!("<{element} ");
    let parts = document.split(start.as_str()).skip(1);
    parts.map(|part| part.split_once('>').unwrap().0).collect()
}

#[test]
fn the_script_sets_up_the_sliders() {
    let Some(browser) = Browser::with_page() else { return };
    let document = browser.run(&["--dump-dom"]);
    let sliders: Vec<&str> = tags(&document, "input");
    let texts = ["all queries", "3 photos", "1"];
    assert_eq!(sliders.len(), texts.len());
    for (slider, text) in sliders.iter().zip(texts) {
        assert!(slider.contains(&format!("aria-valuetext=\"{text}\"")), "{slider}");
        let id = slider.split_once("id=\"").unwrap().1.split_once('"').unwrap().0;
        assert!(document.contains(&format!("<label for=\"{id}\">")), "{id}");
    }
    // One of the sets is shown: all photos at the strength next to 1.
    let sets = tags(&document, "div")
        .into_iter()
        .filter(|tag| tag.contains("data-set="));
    let shown: Vec<&str> = sets.filter(|tag| !tag.contains("hidden")).collect();
    assert_eq!(shown.len(), 1);
    assert!(shown[0].contains("data-set=\"3/1\""), "{shown:?}");
    // A map of every photo, painted over the picture of the file.
    let maps = tags(&document, "canvas");
    assert_eq!(maps.len(), 3);
    assert!(maps
        .iter()
        .all(|tag| !tag.contains("hidden") && tag.contains("aria-label=\"Photo ")));
    assert!(document.contains("Share of each photo: "));
}

#[test]
fn the_page_is_drawn_in_light_and_dark_and_without_its_script() {
    let Some(browser) = Browser::with_page() else { return };
    let corner = |picture: &image::RgbImage| picture.get_pixel(2, 2).0[0];
    let light = browser.picture(&["--blink-settings=preferredColorScheme=1"]);
    let dark = browser.picture(&["--blink-settings=preferredColorScheme=0"]);
    let browser = browser.without_script();
    let plain = browser.picture(&["--blink-settings=preferredColorScheme=1"]);
    for picture in [&light, &dark, &plain] {
        assert_eq!(picture.width(), 900);
        // Photos, whose pictures are waves of all colours, and not one plain surface.
        assert!(colours(picture) > 2000, "{} colours", colours(picture));
    }
    // Every set is there, and no control that would do nothing.
    let document = browser.run(&["--dump-dom"]);
    assert!(tags(&document, "input")
        .iter()
        .all(|tag| !tag.contains("aria-valuetext")));
    let sets = tags(&document, "div")
        .into_iter()
        .filter(|tag| tag.contains("data-set="));
    assert!(sets.clone().count() == 6 && !sets.clone().any(|tag| tag.contains("hidden")));
    let controls = tags(&document, "div")
        .into_iter()
        .filter(|tag| tag.contains("class=\"controls\""));
    assert!(controls.clone().count() == 2 && controls.clone().all(|tag| tag.contains("hidden")));
    assert!(
        corner(&light) > 230 && corner(&dark) < 40,
        "{} {}",
        corner(&light),
        corner(&dark)
    );
}
