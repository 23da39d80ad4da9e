//! training/ablations/compare with the real program, in its smallest setting: nothing is learnt, but everything happens.
//! training/ablations/test_compare.py tests the rest of it without the program.

use super::support::{assets, Workplace};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

#[test]
fn encoders_are_trained_frozen_and_drawn_by_the_same_generator() {
    let Some(assets) = assets("ict_facekit") else {
        return;
    };
    if !omniid_test_support::has_tool("python3", "python3") {
        return;
    }
    let place = Workplace::new();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../training/ablations/compare");
    let output = Command::new("python3")
        .arg(script)
        .args(["toy", "--out", "out", "--seeds", "1", "--no-verifier", "--program"])
        .args([
            env!("CARGO_BIN_EXE_omniid"),
            "--encoders",
            "omni-id,contrastive,classifier",
            "--assets",
        ])
        .arg(&assets)
        .current_dir(place.path("."))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    let text = std::fs::read_to_string(place.path("out/comparison.json")).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["missing"], serde_json::json!([]));
    for (encoder, photos) in [("omni-id", 4), ("averaged", 4), ("contrastive", 4), ("classifier", 4)] {
        let numbers = &report["encoders"][encoder];
        assert_eq!(numbers["photos"].as_object().unwrap().len(), photos, "{encoder}");
        // The table has what the program itself says of all people.
        let evaluated = if encoder == "averaged" { "omni-id" } else { encoder };
        let path = format!("out/seed-1/{evaluated}/evaluation/evaluation.json");
        let evaluation: Value = serde_json::from_str(&std::fs::read_to_string(place.path(&path)).unwrap()).unwrap();
        let kind = if encoder == "averaged" { "averaged" } else { "photos" };
        let results = evaluation["people"][0]["generation"]["results"].as_array().unwrap();
        let result = results.iter().find(|row| row["drawn"][kind] == 3).unwrap();
        let measured = result["all"]["measured"].as_array().unwrap();
        let l1 = measured.iter().find(|row| row["measure"] == "l1_head").unwrap();
        let (said, own) = (&numbers["photos"]["3"]["l1_head"], &l1["estimate"]);
        let value = |of: &Value| of["value"].as_f64().unwrap();
        assert!((value(said) - value(own)).abs() < 1e-9, "{encoder}: {said} and {own}");
    }
}
