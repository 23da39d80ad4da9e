//! The checked-in corpus, through the functions that libFuzzer drives: what was found once stays mended.

use omniid_fuzz::TARGETS;
use std::path::{Path, PathBuf};

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    files.sort();
    files
}

#[test]
fn the_corpus_is_survived() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut count = 0;
    for (name, run) in TARGETS {
        let inputs = files(&corpus.join(name));
        assert!(!inputs.is_empty(), "the target {name} has no corpus");
        for input in inputs {
            // Shown when the input fails.
            println!("{}", input.display());
            run(&std::fs::read(&input).expect("a readable file"));
            count += 1;
        }
    }
    for folder in files(&corpus) {
        let name = folder
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a plain name")
            .to_string();
        assert!(
            TARGETS.iter().any(|(known, _)| *known == name),
            "the corpus {name} has no target"
        );
    }
    println!("{count} inputs of {} targets", TARGETS.len());
}
