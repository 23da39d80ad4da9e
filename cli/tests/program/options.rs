//! Options that have no effect together are refused: nothing that is asked for is passed over in silence.

use super::support::Workplace;

/// A command, and words of the message with which it is refused (exit code 2).
const REFUSED: &[(&str, &str)] = &[
    // Crops and faces.
    ("encode a.png -o x -c model.safetensors --margin 1", "--crop"),
    (
        "encode a.png -o x -c model.safetensors --crop none --margin 1",
        "--margin belongs to --crop face",
    ),
    (
        "encode a.png -o x -c model.safetensors --crop center --margin 1",
        "--margin belongs to --crop face",
    ),
    (
        "encode a.png -o x -c model.safetensors --crop aligned --margin 1",
        "--margin belongs to --crop face",
    ),
    (
        "encode a.png -o x -c model.safetensors --crop face --margin 9",
        "face margin 9",
    ),
    (
        "encode a.png -o x -c model.safetensors --crop none --face 1",
        "give --crop face or --crop aligned",
    ),
    (
        "encode a.png -o x -c model.safetensors --crop center --face 0",
        "give --crop face or --crop aligned",
    ),
    (
        "encode a.png -o x --crop none --detector y.onnx",
        "the photos are taken whole",
    ),
    (
        "encode a.png -o x -c model.safetensors --detector DETECTOR",
        "the photos are taken whole",
    ),
    (
        "attention a.png -o x.png -c model.safetensors --detector DETECTOR",
        "the photos are taken whole",
    ),
    // Parts of a model that the model has itself, or does not have.
    (
        "encode a.png -o x -c model.safetensors --image-encoder clip/model.safetensors",
        "contains its own",
    ),
    (
        "encode a.png -o x --image-encoder clip/model.safetensors",
        "--checkpoint",
    ),
    (
        "encode a.png -o x -c model.safetensors --image-encoder-config clip/config.json",
        "--image-encoder",
    ),
    (
        "convert native -o x -c model.safetensors --precision f16",
        "--precision has no effect",
    ),
    (
        "convert native -o x -c model.safetensors --device=cpu",
        "--device has no effect",
    ),
    (
        "convert full-face -o x -c model.safetensors --detector y.onnx",
        "--detector has no effect",
    ),
    (
        "convert gguf a.omniid -o x -c model.safetensors --detector y.onnx",
        "--detector has no effect",
    ),
    (
        "convert onnx -o x -c model.safetensors --detector y.onnx",
        "--detector has no effect",
    ),
    ("convert onnx -o x -c model.safetensors --dtype bf16", "bf16"),
    // Photos' options without photos.
    ("compare a.omniid b.omniid --crop face", "--crop is about photos"),
    ("compare a.omniid b.omniid --face 1", "--face is about photos"),
    ("compare a.omniid b.omniid --strict", "--strict is about photos"),
    ("generate a.omniid -o x.png --crop=face", "--crop is about photos"),
    // Two ways to say what is shown or written.
    ("attention a.png -o x.png --query 1 --columns 2", "--columns"),
    ("compare a.omniid b.omniid --json --csv", "--csv"),
    ("generate a -o x.png --truth t.jsonl --views front", "--views"),
    ("generate a -o x.png --truth t.jsonl --crop face", "--crop"),
    ("generate a -o x.png --truth t.jsonl --face 1", "--face"),
    ("faces a.png -o x.png --output-folder y", "--output-folder"),
    ("extend a.omniid a.png --in-place -o x.omniid", "--output"),
    // Runs.
    ("train tiny -o run --people 5 --data x.safetensors", "--data"),
    ("train tiny -o run --people 5 --photos x", "--photos"),
    ("train tiny -o run --allow-changes", "--resume"),
    ("train tiny -o run --detector y.onnx", "--detector has no effect"),
    ("train --print-preset tiny --steps 5", "--steps"),
    (
        "evaluate -o run --photos x --no-pictures --drawn 5",
        "--drawn has no effect",
    ),
    (
        "evaluate -o run --photos x --no-pictures --guidance 2",
        "--guidance has no effect",
    ),
    (
        "evaluate -o run --photos x --people 0 --first-seed 5",
        "--first-seed has no effect",
    ),
    ("evaluate -o run --averaged 2", "--averaged 2 is none of --inputs"),
    ("evaluate -o run --photos x --people 0 --style lifelike", "--style"),
    ("evaluate -o run --detector y.onnx", "--detector has no effect"),
];

#[test]
fn options_without_effect_are_refused() {
    let place = Workplace::new();
    place.add_public();
    for (photo, identity) in [("a.png", "a.omniid"), ("b.png", "b.omniid")] {
        place.ok(&["encode", photo, "-c", "model.safetensors", "-o", identity]);
    }
    let model = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/omniid-mini.safetensors");
    for (command, words) in REFUSED {
        let detector = model.to_str().unwrap();
        let args: Vec<&str> = command
            .split(' ')
            .map(|argument| if argument == "DETECTOR" { detector } else { argument })
            .collect();
        place.fails(&args, 2, words);
    }
}

#[test]
fn a_host_that_the_adapter_is_not_for_is_refused() {
    let place = Workplace::new();
    let args = ["encode", "a.png", "-c", "model.safetensors", "-o", "x.omniid", "--host"];
    for host in ["sd15", "sdxl", "flux"] {
        let run = place.run(&[&args[..], &[host]].concat());
        assert_eq!(run.code, 1, "{host}: {}{}", run.stdout, run.stderr);
        assert!(
            run.stderr.contains("error[mismatch]") && run.stderr.contains(host),
            "{}",
            run.stderr
        );
    }
}
