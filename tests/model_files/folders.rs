//! Folders, indices and shards.

use super::*;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Writes the encoder in shards with an index, and its config.json, as transformers does. Gives the shards' names.
pub fn write_shards(folder: &Path, stem: &str, index: &str, count: usize) -> Vec<String> {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("config.json"), serde_json::to_string(&vision()).unwrap()).unwrap();
    let tensors = clip();
    let size = tensors.len().div_ceil(count);
    let mut map = BTreeMap::new();
    let names: Vec<String> = (0..count)
        .map(|n| format!("{stem}-{:05}-of-{count:05}.safetensors", n + 1))
        .collect();
    for (part, name) in tensors.chunks(size).zip(&names) {
        save(&folder.join(name), &part.to_vec());
        map.extend(part.iter().map(|(tensor, _)| (tensor.clone(), name.clone())));
    }
    let text = serde_json::json!({"metadata": {"total_size": 1}, "weight_map": map});
    std::fs::write(folder.join(index), text.to_string()).unwrap();
    names
}

/// An engine whose configuration of the image encoder must come from the folder.
fn engine(encoder: PathBuf) -> omniid::Result<Engine> {
    let options = EngineOptions::new(bytes(&adapter()))
        .with_image_encoder(encoder)
        .with_host(host());
    Engine::open(options)
}

#[test]
fn folders_with_one_model_are_opened() {
    let folder = tempfile::tempdir().unwrap();
    let config = serde_json::to_string(&vision()).unwrap();
    let layouts = [
        "a/model.safetensors",
        "b/model.fp16.safetensors",
        "c/image_encoder/model.safetensors",
        "d/models/image_encoder/model.safetensors",
        "e/CLIP-ViT-toy.safetensors",
        "f/open_clip_model.safetensors",
    ];
    for layout in layouts {
        let path = folder.path().join(layout);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        save(&path, &clip());
        std::fs::write(path.with_file_name("config.json"), &config).unwrap();
        std::fs::write(path.with_file_name("preprocessor_config.json"), "{}").unwrap();
        let root = folder.path().join(&layout[..1]);
        assert_eq!(results(&engine(root).unwrap()).unwrap(), reference(), "{layout}");
    }
    // A cache of Hugging Face, by the folder of the repository.
    let cache = folder.path().join("models--a--b");
    let snapshot = cache.join("snapshots/0123abcd");
    std::fs::create_dir_all(&snapshot).unwrap();
    std::fs::create_dir_all(cache.join("refs")).unwrap();
    std::fs::write(cache.join("refs/main"), "0123abcd").unwrap();
    save(&snapshot.join("model.safetensors"), &clip());
    std::fs::write(snapshot.join("config.json"), &config).unwrap();
    assert_eq!(results(&engine(cache).unwrap()).unwrap(), reference());
    // The output of accelerate: the model beside the state of the optimiser.
    let run = folder.path().join("checkpoint-1000");
    std::fs::create_dir(&run).unwrap();
    save(&run.join("model.safetensors"), &adapter());
    std::fs::write(run.join("optimizer.bin"), "x").unwrap();
    std::fs::write(run.join("random_states_0.pkl"), "x").unwrap();
    let engine = Engine::open(options(run, bytes(&clip()))).unwrap();
    assert_eq!(results(&engine).unwrap(), reference());
}

#[test]
fn shards_are_one_model() {
    let folder = tempfile::tempdir().unwrap();
    let layouts = [
        ("two", "model", "model.safetensors.index.json", 2),
        ("five", "model", "model.safetensors.index.json", 5),
        ("variant", "model.fp16", "model.safetensors.index.fp16.json", 3),
    ];
    for (name, stem, index, count) in layouts {
        let root = folder.path().join(name);
        let shards = write_shards(&root, stem, index, count);
        for given in [root.clone(), root.join(index)] {
            assert_eq!(results(&engine(given).unwrap()).unwrap(), reference(), "{name}");
        }
        // Closed at once: not every system removes a file that is open.
        let text = Checkpoint::open(root.join(index), &Limits::default())
            .unwrap()
            .describe()
            .unwrap()
            .to_string();
        assert!(text.contains(&format!("safetensors in {count} files")), "{text}");
        // One of them alone.
        let words = [format!("1 of {count} shards"), ".index.json".to_string()];
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        refused(name, engine(root.join(&shards[0])), ErrorKind::Unsupported, &words);
        // All of them without the index.
        let text = std::fs::read(root.join(index)).unwrap();
        std::fs::remove_file(root.join(index)).unwrap();
        refused(
            name,
            engine(root.clone()),
            ErrorKind::InvalidArgument,
            &[&shards[0][..5], "without their index"],
        );
        std::fs::write(root.join(index), text).unwrap();
        // One of them missing.
        std::fs::remove_file(root.join(&shards[1])).unwrap();
        let words = [shards[1].as_str(), &format!("1 of {count} files")];
        refused(name, engine(root.clone()), ErrorKind::Io, &words);
    }
}

#[test]
fn an_index_must_fit_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let index = "model.safetensors.index.json";
    let root = folder.path().join("m");
    let shards = write_shards(&root, "model", index, 2);
    let sound = std::fs::read_to_string(root.join(index)).unwrap();
    let tensor = "visual_projection.weight";
    let entry = |file: &str| format!("\"{tensor}\":\"{file}\"");
    let of = shards.iter().find(|shard| sound.contains(&entry(shard))).unwrap();
    let other = shards.iter().find(|shard| *shard != of).unwrap();
    let with = |text: String| {
        std::fs::write(root.join(index), text).unwrap();
        Checkpoint::open(root.join(index), &Limits::default())
    };
    for outside in [
        "../m.safetensors",
        "/etc/passwd",
        "a/../../b",
        "..\\\\m.safetensors",
        "C:m.safetensors",
        "",
    ] {
        let text = sound.replace(&entry(of), &entry(outside));
        refused(outside, with(text), ErrorKind::Format, &["outside of its folder"]);
    }
    let twice = sound.replace(&entry(of), &format!("{},{}", entry(of), entry(other)));
    refused("twice", with(twice), ErrorKind::Format, &[tensor, "listed twice"]);
    let missing = sound.replace(&entry(of), &format!("{},\"more.weight\":\"{of}\"", entry(of)));
    refused("missing", with(missing), ErrorKind::Format, &["more.weight", of]);
    refused(
        "cut",
        with(sound[..sound.len() - 3].to_string()),
        ErrorKind::Format,
        &["index of shards"],
    );
    refused(
        "empty",
        with("{\"weight_map\":{}}".to_string()),
        ErrorKind::Format,
        &["0 files"],
    );
    with(sound.clone()).unwrap();
    // The same tensor in both files.
    let tensors = [clip(), vec![]].concat();
    let double: Tensors = tensors.into_iter().filter(|(name, _)| name == tensor).collect();
    save(&root.join(other), &double);
    refused("double", with(sound), ErrorKind::Format, &[tensor, "is in two files"]);
}

#[test]
fn folders_that_do_not_tell_list_what_they_hold() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let open = |path: &Path| engine(path.to_path_buf());
    refused(
        "empty",
        open(root),
        ErrorKind::InvalidArgument,
        &["without a model file", "model.safetensors"],
    );
    for name in ["ip-adapter_sd15.safetensors", "ip-adapter-plus_sd15.bin"] {
        std::fs::write(root.join(name), "x").unwrap();
    }
    std::fs::write(root.join("readme.md"), "x").unwrap();
    let words = [
        "2 model files",
        "ip-adapter_sd15.safetensors",
        "ip-adapter-plus_sd15.bin",
    ];
    refused("two", open(root), ErrorKind::InvalidArgument, &words);
    // Two image encoders below: the first IP-Adapter's repository.
    for sub in ["models/image_encoder", "sdxl_models/image_encoder"] {
        std::fs::create_dir_all(root.join(sub)).unwrap();
        save(&root.join(sub).join("model.safetensors"), &clip());
    }
    refused(
        "two encoders",
        open(root),
        ErrorKind::InvalidArgument,
        &["models/image_encoder", "sdxl_models"],
    );
    // As a checkpoint, the folders of image encoders are no answer, but they are named.
    let sub = root.join("models");
    let opened = Engine::open(options(sub, bytes(&clip())));
    refused(
        "models",
        opened,
        ErrorKind::InvalidArgument,
        &["there are model files in", "image_encoder"],
    );
    let loaded = omniid::identity::Identity::load(root, &Limits::default());
    refused(
        "identity",
        loaded,
        ErrorKind::InvalidArgument,
        &["expected an identity file (.omniid)"],
    );
}
