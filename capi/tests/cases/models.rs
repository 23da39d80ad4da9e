//! Model files as people have them.

use crate::calls::{c_path, c_text, pixels, Engine, Refusal};
use crate::files::{example, image_encoder, ip_adapter_plus, safetensors, same, unchanged, IMAGE_ENCODER_CONFIG};
use image::{imageops, RgbImage};
use omniid_capi::*;
use std::io::Write;
use std::path::Path;

/// The layers of the small adapter's host.
fn layers() -> Vec<omniid_host_layer> {
    ["one", "two", "three"]
        .map(|name| omniid_host_layer {
            struct_size: size_of::<omniid_host_layer>() as u32,
            heads: 1,
            head_dim: 16,
            context: 32,
            name: c_text(name),
            hidden: 0,
            reserved: 0,
        })
        .to_vec()
}

/// Opens an adapter with an image encoder, both by path.
fn open(adapter: &Path, encoder: &Path) -> Result<Engine, Refusal> {
    let layers = layers();
    Engine::open(|options| {
        options.checkpoint_path = c_path(adapter);
        options.image_encoder_path = c_path(encoder);
        (options.host_layers, options.host_layer_count) = (layers.as_ptr(), layers.len());
    })
}

/// A folder with an adapter and, in a folder of its own, an image encoder in the layout of Hugging Face.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(
        path.join("plus.safetensors"),
        safetensors(&ip_adapter_plus(), 1, same, unchanged),
    )
    .unwrap();
    std::fs::create_dir(path.join("image_encoder")).unwrap();
    std::fs::write(path.join("image_encoder/config.json"), IMAGE_ENCODER_CONFIG).unwrap();
    let encoder = safetensors(&image_encoder(), 2, same, unchanged);
    std::fs::write(path.join("image_encoder/model.safetensors"), encoder).unwrap();
    folder
}

fn tokens(engine: &Engine, image: &RgbImage) -> Vec<f32> {
    engine.encode(&[pixels(image)], |_| {}).unwrap().identity.tokens()
}

#[test]
fn a_prefix_that_all_names_share_is_taken_off() {
    let folder = folder();
    let (path, photo) = (folder.path(), example(1, 1));
    let encoder = path.join("image_encoder/model.safetensors");
    let expected = tokens(&open(&path.join("plus.safetensors"), &encoder).unwrap(), &photo);
    for prefix in ["state_dict.", "module.", "model.ip_adapter_model.", "_orig_mod."] {
        let wrapped = path.join("wrapped.safetensors");
        let rename = |name: &str| format!("{prefix}{name}");
        std::fs::write(&wrapped, safetensors(&ip_adapter_plus(), 1, rename, unchanged)).unwrap();
        let engine = open(&wrapped, &encoder).unwrap_or_else(|refusal| panic!("{prefix}: {}", refusal.message));
        assert_eq!(tokens(&engine, &photo), expected, "{prefix}");
        let other = path.join("other/model.safetensors");
        std::fs::create_dir_all(path.join("other")).unwrap();
        std::fs::write(path.join("other/config.json"), IMAGE_ENCODER_CONFIG).unwrap();
        std::fs::write(&other, safetensors(&image_encoder(), 2, rename, unchanged)).unwrap();
        let engine = open(&path.join("plus.safetensors"), &other)
            .unwrap_or_else(|refusal| panic!("image encoder, {prefix}: {}", refusal.message));
        assert_eq!(tokens(&engine, &photo), expected, "image encoder, {prefix}");
    }
}

#[test]
fn folders_are_opened_as_hugging_face_lays_them_out() {
    let folder = folder();
    let (path, photo) = (folder.path(), example(2, 1));
    let adapter = path.join("plus.safetensors");
    let expected = tokens(
        &open(&adapter, &path.join("image_encoder/model.safetensors")).unwrap(),
        &photo,
    );
    assert_eq!(
        tokens(&open(&adapter, &path.join("image_encoder")).unwrap(), &photo),
        expected
    );

    // The same tensors in two shards with an index.
    let sharded = path.join("sharded");
    std::fs::create_dir(&sharded).unwrap();
    std::fs::write(sharded.join("config.json"), IMAGE_ENCODER_CONFIG).unwrap();
    let shapes = image_encoder();
    // Every tensor has its random numbers, whichever shard it is in.
    let mut values = std::collections::BTreeMap::new();
    safetensors(&shapes, 2, same, |name, numbers| {
        drop(values.insert(name.to_string(), numbers.to_vec()))
    });
    let mut map = String::new();
    for (number, part) in shapes.chunks(shapes.len().div_ceil(2)).enumerate() {
        let file = format!("model-0000{}-of-00002.safetensors", number + 1);
        let bytes = safetensors(&part.to_vec(), 9, same, |name, numbers| {
            numbers.copy_from_slice(&values[name])
        });
        std::fs::write(sharded.join(&file), bytes).unwrap();
        for (name, _) in part {
            let comma = if map.is_empty() { "" } else { "," };
            map += &format!("{comma}\"{name}\": \"{file}\"");
        }
    }
    let index = sharded.join("model.safetensors.index.json");
    std::fs::write(&index, format!("{{\"metadata\": {{}}, \"weight_map\": {{{map}}}}}")).unwrap();
    for encoder in [&sharded, &index] {
        let engine =
            open(&adapter, encoder).unwrap_or_else(|refusal| panic!("{}: {}", encoder.display(), refusal.message));
        assert_eq!(tokens(&engine, &photo), expected, "{}", encoder.display());
    }
    std::fs::remove_file(sharded.join("model-00002-of-00002.safetensors")).unwrap();
    let refusal = open(&adapter, &index).err().expect("a shard is missing");
    assert!(
        refusal.message.contains("model-00002-of-00002.safetensors"),
        "{}",
        refusal.message
    );
}

#[test]
fn weights_that_are_all_zeros_are_refused_at_opening() {
    let folder = folder();
    let path = folder.path();
    let (adapter, encoder) = (
        path.join("plus.safetensors"),
        path.join("image_encoder/model.safetensors"),
    );
    let whole = std::fs::read(&adapter).unwrap();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let from = |share: f64| {
        let mut bytes = whole.clone();
        let start = header + ((bytes.len() - header) as f64 * share) as usize;
        bytes[start..].fill(0);
        bytes
    };
    let no_keys = safetensors(&ip_adapter_plus(), 1, same, |name, values| {
        if name.contains("to_k_ip") {
            values.fill(0.0);
        }
    });
    for (name, bytes) in [
        ("all", from(0.0)),
        ("from the half on", from(0.5)),
        ("no keys", no_keys),
    ] {
        std::fs::write(&adapter, bytes).unwrap();
        // At opening, or at the latest when the layers are used.
        let refusal = match open(&adapter, &encoder) {
            Err(refusal) => refusal,
            Ok(engine) => {
                let image = example(1, 1);
                let encoded = engine.encode(&[pixels(&image)], |_| {}).unwrap();
                engine
                    .keys(&encoded.identity)
                    .err()
                    .unwrap_or_else(|| panic!("{name}: used without a word"))
            }
        };
        let words = ["zero", "are 0"];
        let named = words.iter().any(|words| refusal.message.contains(words));
        assert!(named, "{name}: {}", refusal.message);
    }
}

#[test]
fn what_is_no_checkpoint_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let refused = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let refusal = Engine::open(|options| options.checkpoint_path = c_path(&path)).err();
        refusal.expect("this is no checkpoint").message
    };
    for (bytes, words) in [
        (&b""[..], "empty"),
        (
            b"{\"error\": \"Access to this model is restricted\"}",
            "Access to this model is restricted",
        ),
        (b"Repository not found\n", "Repository not found"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
            "git lfs pull",
        ),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "HTML"),
        (b"GGUF\x03\0\0\0\0\0\0\0", "GGUF"),
    ] {
        let message = refused(bytes);
        assert!(
            message.contains(words) && message.contains("model.safetensors"),
            "{words}: {message}"
        );
    }
}

#[test]
fn a_model_file_that_changes_does_not_end_the_program() {
    let folder = folder();
    let (path, photo) = (folder.path(), example(3, 1));
    let encoder = path.join("image_encoder/model.safetensors");
    let adapter = path.join("plus.safetensors");
    let whole = std::fs::read(&adapter).unwrap();
    let expected = {
        let engine = open(&adapter, &encoder).unwrap();
        let encoded = engine.encode(&[pixels(&photo)], |_| {}).unwrap();
        engine.keys(&encoded.identity).unwrap()
    };
    type Damage = fn(&mut std::fs::File, &[u8]);
    let damages: [(&str, Damage); 4] = [
        ("emptied", |file, _| file.set_len(0).unwrap()),
        ("cut", |file, whole| file.set_len(whole.len() as u64 / 2).unwrap()),
        ("overwritten", |file, whole| {
            file.write_all(&vec![0x55; whole.len()]).unwrap()
        }),
        ("rewritten", |file, whole| {
            file.set_len(0).unwrap();
            file.write_all(whole).unwrap();
        }),
    ];
    for (name, damage) in damages {
        std::fs::write(&adapter, &whole).unwrap();
        let engine = open(&adapter, &encoder).unwrap();
        let encoded = engine.encode(&[pixels(&photo)], |_| {}).unwrap();
        // In place, as `cp` does it. Windows refuses the writer.
        match std::fs::OpenOptions::new().write(true).open(&adapter) {
            Ok(mut file) => damage(&mut file, &whole),
            Err(error) => assert!(cfg!(windows) && error.raw_os_error() == Some(32), "{name}: {error}"),
        }
        match engine.keys(&encoded.identity) {
            Ok(keys) => assert_eq!(keys, expected, "{name}: other numbers without a word"),
            Err(refusal) => assert!(
                [OMNIID_STATUS_IO, OMNIID_STATUS_FORMAT, OMNIID_STATUS_MISMATCH].contains(&refusal.status),
                "{name}: {refusal:?}"
            ),
        }
    }
}

#[test]
fn the_chosen_face_counts_with_public_checkpoints() {
    let folder = folder();
    let path = folder.path();
    let engine = open(&path.join("plus.safetensors"), &path.join("image_encoder")).unwrap();
    for (first, second) in [((1, 1), (4, 1)), ((2, 1), (5, 2)), ((3, 1), (6, 1))] {
        let (left, right) = (example(first.0, first.1), example(second.0, second.1));
        let mut group = RgbImage::new(left.width() + right.width(), left.height().max(right.height()));
        imageops::replace(&mut group, &left, 0, 0);
        imageops::replace(&mut group, &right, i64::from(left.width()), 0);
        let face = |index: u32, crop: i32| {
            let mut photo = pixels(&group);
            (photo.face_hint, photo.face_index) = (OMNIID_FACE_HINT_INDEX, index);
            engine.encode(&[photo], |options| options.crop = crop)
        };
        let faces = [0, 1].map(|index| face(index, OMNIID_CROP_FACE).unwrap().identity.tokens());
        assert_ne!(faces[0], faces[1]);
        let refusal = face(7, OMNIID_CROP_FACE).err().expect("there are two");
        assert!(refusal.message.contains('7'), "{}", refusal.message);
        // The model's own crop is the whole photo: the choice counts all the same, or is refused.
        for crop in [OMNIID_CROP_DEFAULT, OMNIID_CROP_NONE, OMNIID_CROP_CENTER] {
            match [0, 1].map(|index| face(index, crop)) {
                [Ok(first), Ok(second)] => assert_ne!(first.identity.tokens(), second.identity.tokens(), "crop {crop}"),
                [first, second] => {
                    let refusal = first.err().or(second.err()).unwrap();
                    assert_eq!(refusal.status, OMNIID_STATUS_INVALID_ARGUMENT, "{}", refusal.message);
                }
            }
        }
    }
}
