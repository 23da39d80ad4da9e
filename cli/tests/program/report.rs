//! report.

use super::support::Workplace;
use serde_json::Value;

const MODEL: [&str; 4] = ["-c", "mini.safetensors", "--minihost", "minihost.safetensors"];

fn place() -> Workplace {
    let place = Workplace::new();
    place.add_generator();
    place
}

fn report(place: &Workplace, more: &[&str]) -> (Value, String) {
    let json = place.json(&[&["report", "-o", "report.html", "--json", "--force"], more].concat());
    let page = std::fs::read_to_string(place.path("report.html")).unwrap();
    assert_eq!(json["bytes"].as_u64(), Some(page.len() as u64));
    (json, page)
}

fn sections(json: &Value) -> Vec<&str> {
    json["sections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one.as_str().unwrap())
        .collect()
}

/// The text between two marks, first found.
fn between<'a>(page: &'a str, start: &str, end: &str) -> &'a str {
    let after = page.split_once(start).unwrap_or_else(|| panic!("no {start}")).1;
    after.split_once(end).unwrap().0
}

#[test]
fn a_page_shows_everything_and_needs_nothing_else() {
    let place = place();
    std::fs::write(place.path("broken.png"), b"\x89PNG\r\n\x1a\nno more").unwrap();
    // The name of a file may be markup.
    let name = if cfg!(windows) {
        "b&amp.png"
    } else {
        "<b onload='x'>&.png"
    };
    std::fs::copy(place.path("b.png"), place.path(name)).unwrap();
    let options = ["--views", "front,smile", "--strengths", "0,1", "--steps", "1"];
    let (json, page) = report(
        &place,
        &[
            &["a.png", "broken.png", name, "--compare", "c.png"],
            &options[..],
            &MODEL,
        ]
        .concat(),
    );
    assert_eq!(sections(&json), ["photos", "similarity", "attention", "generated"]);
    assert_eq!(json["photos"], 2);
    assert!(json["left_out"][0].as_str().unwrap().contains("broken.png"));
    assert!(
        page.contains("<p class=\"state\">Left out</p>") && page.matches("<p class=\"state\">Used</p>").count() == 2
    );
    assert!(
        !page.contains("<b onload")
            && page.contains(if cfg!(windows) {
                "b&amp;amp.png"
            } else {
                "&lt;b onload="
            })
    );
    // Nothing of elsewhere: all sources are inside, and the policy forbids the rest.
    assert!(page.contains("default-src &#39;none&#39;") || page.contains("default-src 'none'"));
    for piece in page.split("src=\"").skip(1) {
        assert!(piece.starts_with("data:image/jpeg;base64,"), "{}", &piece[..40]);
    }
    assert!(!page.contains("http:") && !page.contains("https:"));
    // Every picture has an alternative; only the hidden base of a map has none to read.
    assert_eq!(page.matches("<img ").count(), page.matches(" alt=\"").count());
    assert_eq!(page.matches(" alt=\"\"").count(), 2);
    // Two identities (1 photo and both) in two strengths, two views each.
    assert!(page.contains("data-counts=\"1,2\" data-strengths=\"0,1\""));
    assert_eq!(page.matches("class=\"generated\"").count(), 8);
    // The matrix is what `compare` says.
    let matrix = place.json(&["compare", "a.png", name, "c.png", "-c", "mini.safetensors", "--json"]);
    let table = between(&page, "<table class=\"heat\">", "</table>");
    let cells: Vec<&str> = table
        .split("<td style=")
        .skip(1)
        .map(|cell| between(cell, ">", "<"))
        .collect();
    let expected: Vec<String> = matrix["similarity"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|row| row.as_array().unwrap())
        .map(|value| format!("{:.2}", value.as_f64().unwrap()))
        .collect();
    assert_eq!(cells, expected);
    // The maps of the script: a byte for each patch of the mean and of every query, in each photo.
    let data: Value = serde_json::from_str(between(&page, "id=\"attention-data\">", "</script>")).unwrap();
    let number = |key: &str| data[key].as_u64().unwrap() as usize;
    let bytes = 2 * (number("queries") + 1) * number("side") * number("side");
    assert_eq!(data["maps"].as_str().unwrap().len(), bytes.div_ceil(3) * 4);
    assert_eq!(data["places"].as_array().unwrap().len(), number("queries") + 1);
}

#[test]
fn what_a_model_cannot_show_is_said() {
    let place = place();
    let (json, page) = report(&place, &["a.png", "-c", "model.safetensors"]);
    assert_eq!(sections(&json), ["photos", "attention"]);
    let missing: Vec<&str> = json["missing"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one.as_str().unwrap())
        .collect();
    assert!(
        missing[0].starts_with("Similarity: ") && missing[1].starts_with("Generated views: "),
        "{missing:?}"
    );
    assert!(page.contains("Not in this report:") && page.contains("--minihost"));
    let (json, _) = report(&place, &["a.png", "b.png", "-c", "model.safetensors", "--no-pictures"]);
    assert_eq!(sections(&json), ["photos", "similarity", "attention"]);
    assert_eq!(json["missing"], serde_json::json!([]));
}

#[test]
fn evaluations_become_curves() {
    let place = place();
    let estimate = |value: f64| serde_json::json!({"value": value, "low": value - 0.05, "high": value + 0.05});
    let means = |value: f64| {
        serde_json::json!({"pictures": 4, "measured": [
            {"measure": "similarity", "estimate": estimate(value)},
            {"measure": "impostor", "estimate": estimate(0.125)},
            {"measure": "other_view", "estimate": estimate(0.875)},
        ]})
    };
    let result = |count: u32, value: f64| serde_json::json!({"drawn": {"photos": count}, "all": means(value), "frontal": means(value)});
    let angle = |count: u32, value: f64| serde_json::json!({"drawn": {"photos": count}, "from": 0.0, "to": 15.0, "means": means(value)});
    let evaluation = serde_json::json!({
        "format": omniid_training::evaluate::FORMAT_VERSION, "version": "1", "commit": "abc",
        "model": {"name": "tiny", "fingerprint": "f"}, "minihost": null, "verifier": {"name": "judge", "fingerprint": "v"},
        "first_seed": 1, "resamples": 10, "seconds": 1.0,
        "people": [{
            "name": "Some <people>", "data": "4 people", "verification": [], "tokens": [], "not_drawn": null,
            "generation": {
                "people": 4, "pictures": 8, "size": 16, "steps": 1, "guidance": 1.0,
                "results": [result(1, 0.25), result(7, 0.625)], "truth": [means(0.875), means(0.875)],
                "angles": [angle(1, 0.5), angle(7, 0.75)], "differences": [],
            },
        }],
    });
    std::fs::create_dir(place.path("evaluated")).unwrap();
    std::fs::write(place.path("evaluated/evaluation.json"), evaluation.to_string()).unwrap();
    let arguments = ["a.png", "-c", "model.safetensors", "--evaluation", "evaluated"];
    let (json, page) = report(&place, &arguments);
    assert!(sections(&json).contains(&"evaluation"));
    assert!(page.contains("<td>0.625 (0.575 to 0.675)</td>") && page.contains("Some &lt;people&gt;"));
    assert!(page.contains("two true pictures of one person") && page.contains("0 to 15"));
    std::fs::write(place.path("evaluated/evaluation.json"), "{}").unwrap();
    let run = place.run(&[&["report", "-o", "other.html"], &arguments[..]].concat());
    assert_eq!(run.code, 2);
    assert!(
        run.stderr.contains("expected evaluation.json of omniid evaluate"),
        "{}",
        run.stderr
    );
    assert!(!place.path("other.html").exists());
}

#[test]
fn contradictions_are_refused_before_the_work() {
    let place = place();
    for (more, reason) in [
        (&["--scale", "2"][..], "weights of --strengths"),
        (&["--no-pictures", "--strengths", "1"], "--strengths has no effect"),
        (&["--strengths", "NaN"], "NaN"),
        (&["--views", "sideways"], "is no view"),
    ] {
        let run = place.run(&[&["report", "a.png", "-o", "new.html"], more, &MODEL].concat());
        assert_eq!(run.code, 2, "{more:?}");
        assert!(run.stderr.contains(reason), "{more:?}: {}", run.stderr);
        assert!(!place.path("new.html").exists());
    }
    std::fs::write(place.path("there.html"), "mine").unwrap();
    let run = place.run(&[&["report", "a.png", "-o", "there.html"], &MODEL[..]].concat());
    assert_eq!(run.code, 2);
    assert_eq!(std::fs::read_to_string(place.path("there.html")).unwrap(), "mine");
}
