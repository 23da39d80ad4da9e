//! convert native, full-face, onnx, diffusers, comfyui, gguf.

use super::support::{host, Workplace};
use omniid::checkpoint::{Checkpoint, OutputTensor, SafetensorsWriter};
use omniid::engine::{Engine, EngineOptions};
use omniid::identity::Identity;
use omniid::Limits;

fn open(place: &Workplace, name: &str) -> Checkpoint {
    Checkpoint::open(place.path(name), &Limits::default()).unwrap()
}

#[test]
fn identities_stay_valid_across_number_types() {
    let place = Workplace::new();
    place.ok(&["encode", "a.png", "-c", "model.safetensors", "-o", "a.omniid"]);
    for dtype in ["f16", "bf16"] {
        let output = format!("{dtype}.safetensors");
        let done = place.json(&[
            "convert",
            "native",
            "-c",
            "model.safetensors",
            "--dtype",
            dtype,
            "-o",
            &output,
            "--json",
        ]);
        let original = place.json(&["inspect", "a.omniid", "--json"]);
        assert_eq!(done["model"], original[0]["model"]);
        let file = open(&place, &output);
        assert!(file
            .names()
            .all(|name| format!("{:?}", file.info(name).unwrap().dtype).to_lowercase() == dtype));
        place.ok(&[
            "extend",
            "a.omniid",
            "b.png",
            "-c",
            &output,
            "-o",
            &format!("{dtype}.omniid"),
        ]);
        // Rounded weights, nearly the same identity.
        let both = place.json(&[
            "compare",
            "-c",
            "model.safetensors",
            "a.png",
            &format!("{dtype}.omniid"),
            "--json",
        ]);
        assert!(both["similarity"][0][1].as_f64().unwrap() <= 1.0);
    }
    // Back to f32: what f16 can hold comes back exactly.
    place.ok(&[
        "convert",
        "native",
        "-c",
        "f16.safetensors",
        "--dtype",
        "f32",
        "-o",
        "back.safetensors",
    ]);
    let (half, back) = (open(&place, "f16.safetensors"), open(&place, "back.safetensors"));
    let values = |file: &Checkpoint, name: &str| {
        let tensor = file
            .tensor(name, candle_core::DType::F32, &candle_core::Device::Cpu)
            .unwrap();
        tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    for name in half.names() {
        assert_eq!(values(&half, name), values(&back, name), "{name}");
    }
}

#[test]
fn a_public_checkpoint_becomes_one_file_with_the_same_numbers() {
    let place = Workplace::new();
    place.add_public();
    let public = [
        "-c",
        "plus.safetensors",
        "--image-encoder",
        "clip/model.safetensors",
        "--host",
        "host.json",
    ];
    let done = place.json(&[&["convert", "native", "-o", "one.safetensors", "--json"], &public[..]].concat());
    assert_eq!(
        (done["adapter"].as_bool(), done["detector"].as_bool()),
        (Some(true), Some(false))
    );
    place.ok(&[&["encode", "a.png", "b.png", "-o", "public.omniid"], &public[..]].concat());
    place.ok(&[
        "encode",
        "a.png",
        "b.png",
        "-c",
        "one.safetensors",
        "-o",
        "native.omniid",
    ]);
    let values = |name: &str| open(&place, name).bytes("tokens").unwrap().into_owned();
    assert_eq!(values("public.omniid"), values("native.omniid"));
    assert!(place
        .ok(&["compare", "public.omniid", "native.omniid"])
        .contains("1.000"));
    let args = ["convert", "native", "-c", "plus.safetensors", "-o", "x.safetensors"];
    place.fails(&args, 2, "image encoder");
    let without_host = ["-c", "plus.safetensors", "--image-encoder", "clip/model.safetensors"];
    place.fails(
        &[&["convert", "native", "-o", "x.safetensors"], &without_host[..]].concat(),
        1,
        "host",
    );
    place.fails(
        &["convert", "full-face", "-c", "one.safetensors", "-o", "x.safetensors"],
        1,
        "full-face",
    );
}

#[test]
fn the_full_face_file_has_the_public_names_and_the_same_bytes() {
    let place = Workplace::new();
    place.ok(&[
        "convert",
        "full-face",
        "-c",
        "model.safetensors",
        "-o",
        "ff.safetensors",
    ]);
    let (native, file) = (open(&place, "model.safetensors"), open(&place, "ff.safetensors"));
    let mut pairs = Vec::new();
    for rest in ["0.weight", "0.bias", "2.weight", "2.bias", "3.weight", "3.bias"] {
        pairs.push((format!("adapter.proj.{rest}"), format!("image_proj.proj.{rest}")));
    }
    // Cross-attention layers have the odd numbers, the middle block the last one.
    for (place, layer) in host().layers().iter().enumerate() {
        assert_eq!(layer.key, 2 * place + 1);
        for side in ["k", "v"] {
            let name = format!("ip_adapter.{}.to_{side}_ip.weight", layer.key);
            pairs.push((format!("adapter.layers.{place}.to_{side}.weight"), name));
        }
    }
    assert_eq!(file.len(), pairs.len());
    for (ours, theirs) in pairs {
        assert_eq!(native.shape(&ours), file.shape(&theirs), "{theirs}");
        assert_eq!(native.bytes(&ours).unwrap(), file.bytes(&theirs).unwrap(), "{theirs}");
    }
    let seen = place.json(&["inspect", "ff.safetensors", "--json"]);
    assert_eq!(seen[0]["kind"]["projection"]["kind"], "full_face");
}

/// Writes the example's model as `file`, with one more tensor.
fn save_with(place: &Workplace, name: &str, tensor: &candle_core::Tensor, file: &str) {
    let model = open(place, "model.safetensors");
    let mut tensors = OutputTensor::all_of(&model, Some(candle_core::DType::F32)).unwrap();
    tensors.push(OutputTensor::new(name, tensor));
    let writer = SafetensorsWriter::new(tensors, model.metadata()).unwrap();
    writer.save(&place.path(file), |_, _| Ok(())).unwrap();
}

#[test]
fn the_mean_identity_stands_on_the_negative_side() {
    use candle_core::{DType, Device, Tensor};
    let place = Workplace::new();
    let mean = Tensor::arange(0f32, 144.0, &Device::Cpu)
        .unwrap()
        .reshape((6, 24))
        .unwrap();
    save_with(&place, "encoder.token_mean", &mean, "mean.safetensors");
    place.ok(&["encode", "a.png", "-c", "mean.safetensors", "-o", "a.omniid"]);
    place.ok(&[
        "convert",
        "diffusers",
        "a.omniid",
        "--negative-mean",
        "mean.safetensors",
        "-o",
        "m.safetensors",
    ]);
    let found = open(&place, "m.safetensors")
        .tensor("image_embeds", DType::F32, &Device::Cpu)
        .unwrap();
    let negative = found.get(0).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(negative, (0..144).map(|value| value as f32).collect::<Vec<_>>());
    // Another model's mean does not fit.
    place.ok(&["encode", "a.png", "-c", "model.safetensors", "-o", "b.omniid"]);
    let args = [
        "convert",
        "diffusers",
        "b.omniid",
        "--negative-mean",
        "mean.safetensors",
        "-o",
        "x.safetensors",
    ];
    place.fails(&args, 1, "error[mismatch]");
}

#[test]
fn directions_of_comparison_are_kept_and_identities_stay_valid() {
    use candle_core::{DType, Device, Tensor};
    let place = Workplace::new();
    // One direction: everybody is like everybody, or the opposite.
    let projection = Tensor::arange(0f32, 144.0, &Device::Cpu)
        .unwrap()
        .reshape((1, 144))
        .unwrap();
    save_with(&place, "similarity.projection", &projection, "projected.safetensors");
    let convert = ["convert", "native", "-c", "projected.safetensors", "--dtype", "f16"];
    place.ok(&[&convert[..], &["-o", "small.safetensors"]].concat());
    let kept = open(&place, "small.safetensors")
        .tensor("similarity.projection", DType::F32, &Device::Cpu)
        .unwrap();
    assert_eq!(kept.to_vec2::<f32>().unwrap(), projection.to_vec2::<f32>().unwrap());

    for photo in ["a", "b"] {
        let (picture, identity) = (format!("{photo}.png"), format!("{photo}.omniid"));
        place.ok(&["encode", &picture, "-c", "model.safetensors", "-o", &identity]);
    }
    for (checkpoint, alone) in [
        ("model.safetensors", false),
        ("projected.safetensors", true),
        ("small.safetensors", true),
    ] {
        let found = place.json(&["compare", "a.omniid", "b.omniid", "-c", checkpoint, "--json"]);
        let similarity = found["similarity"][0][1].as_f64().unwrap();
        assert_eq!(
            (similarity.abs() - 1.0).abs() < 1e-6,
            alone,
            "{checkpoint}: {similarity}"
        );
    }
}

#[test]
fn embeddings_hold_the_tokens_with_the_negative_first() {
    let place = Workplace::new();
    for (photo, identity) in [("a.png", "a.omniid"), ("b.png", "b.omniid")] {
        place.ok(&["encode", photo, "-c", "model.safetensors", "-o", identity]);
    }
    let bytes = |file: &str, tensor: &str| open(&place, file).bytes(tensor).unwrap().into_owned();
    let (a, b) = (bytes("a.omniid", "tokens"), bytes("b.omniid", "tokens"));
    let done = place.json(&["convert", "diffusers", "a.omniid", "-o", "a.safetensors", "--json"]);
    assert_eq!(done["shape"], serde_json::json!([2, 1, 6, 24]));
    assert_eq!(
        bytes("a.safetensors", "image_embeds"),
        [vec![0; a.len()], a.clone()].concat()
    );
    place.ok(&[
        "convert",
        "diffusers",
        "a.omniid",
        "--negative",
        "b.omniid",
        "-o",
        "n.safetensors",
    ]);
    assert_eq!(bytes("n.safetensors", "image_embeds"), [b.clone(), a.clone()].concat());
    place.ok(&[
        "convert",
        "diffusers",
        "a.omniid",
        "b.omniid",
        "--no-guidance",
        "-o",
        "ab.safetensors",
    ]);
    assert_eq!(bytes("ab.safetensors", "image_embeds"), [a.clone(), b.clone()].concat());
    let mean = [
        "convert",
        "diffusers",
        "a.omniid",
        "--negative-mean",
        "model.safetensors",
        "-o",
        "m.safetensors",
    ];
    place.fails(&mean, 1, "no mean identity");
    // The two other forms are PyTorch archives whose elements lie in the file as they are.
    let holds = |file: &str, elements: &[u8]| {
        let content = std::fs::read(place.path(file)).unwrap();
        assert_eq!(content[..4], *b"PK\x03\x04", "{file}");
        content.windows(elements.len()).any(|window| window == elements)
    };
    place.ok(&["convert", "diffusers", "a.omniid", "-o", "a.pt"]);
    assert!(holds("a.pt", &a));
    place.ok(&[
        "convert",
        "comfyui",
        "a.omniid",
        "-o",
        "a.ipadpt",
        "--negative",
        "b.omniid",
    ]);
    assert!(holds("a.ipadpt", &a) && holds("a-negative.ipadpt", &b));
    let seen = place.json(&["inspect", "a.ipadpt", "a.pt", "a.safetensors", "--json"]);
    let expected = [
        ("tensor", vec![1, 6, 24]),
        ("0", vec![2, 1, 6, 24]),
        ("image_embeds", vec![2, 1, 6, 24]),
    ];
    for (index, (name, shape)) in expected.into_iter().enumerate() {
        assert_eq!(seen[index]["type"], "embeddings");
        assert_eq!(seen[index]["tensors"][name]["shape"], serde_json::json!(shape));
    }
    place.fails(&["convert", "comfyui", "a.omniid", "-o", "a.ipadpt"], 2, "--force");
    place.fails(
        &[
            "convert",
            "comfyui",
            "a.omniid",
            "-o",
            "c.ipadpt",
            "--negative-output",
            "c.ipadpt",
        ],
        2,
        "both",
    );
    place.fails(
        &["convert", "diffusers", "model.safetensors", "-o", "c.pt"],
        1,
        "model.safetensors",
    );
}

#[test]
fn the_lora_of_a_face_id_becomes_files_of_other_programs() {
    let place = Workplace::new();
    let host = omniid::host::HostSpec::sd15();
    let tensor = |rows: usize, columns: usize| {
        candle_core::Tensor::zeros((rows, columns), candle_core::DType::F16, &candle_core::Device::Cpu).unwrap()
    };
    let row = |width: usize| tensor(1, width).squeeze(0).unwrap();
    // Narrow layers; that the host is SD 1.5 is told by their numbers and context.
    let width = 4;
    let mut tensors = vec![
        ("image_proj.proj.0.weight".to_string(), tensor(16, 8)),
        ("image_proj.proj.0.bias".to_string(), row(16)),
        ("image_proj.proj.2.weight".to_string(), tensor(4 * 768, 16)),
        ("image_proj.proj.2.bias".to_string(), row(4 * 768)),
        ("image_proj.norm.weight".to_string(), row(768)),
        ("image_proj.norm.bias".to_string(), row(768)),
    ];
    for layer in host.layers() {
        for side in ["k", "v"] {
            tensors.push((
                format!("ip_adapter.{}.to_{side}_ip.weight", layer.key),
                tensor(width, 768),
            ));
        }
        for (number, context) in [(layer.key - 1, width), (layer.key, 768)] {
            for (part, input) in [("to_q", width), ("to_k", context), ("to_v", context), ("to_out", width)] {
                let name = format!("ip_adapter.{number}.{part}_lora");
                tensors.push((format!("{name}.down.weight"), tensor(2, input)));
                tensors.push((format!("{name}.up.weight"), tensor(width, 2)));
            }
        }
    }
    omniid::checkpoint::write_safetensors(&place.path("faceid.safetensors"), &tensors, &Default::default()).unwrap();
    for (kind, count, naming, name) in [
        (
            "lora-kohya",
            3 * 128,
            "kohya",
            "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_out_0.lora_up.weight",
        ),
        (
            "lora-diffusers",
            2 * 128,
            "diffusers",
            "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0.lora_B.weight",
        ),
    ] {
        let done = place.json(&["convert", kind, "-c", "faceid.safetensors", "-o", kind, "--json"]);
        assert_eq!(done["tensors"], count);
        assert_eq!(open(&place, kind).shape(name), Some(&[width, 2][..]), "{kind}");
        let found = &place.json(&["inspect", kind, "--json"])[0];
        assert_eq!(
            (&found["kind"]["naming"], &found["kind"]["rank"]),
            (&naming.into(), &2.into())
        );
    }
    let found = &place.json(&["inspect", "faceid.safetensors", "--json"])[0]["model"];
    assert_eq!(
        (&found["variant"], &found["lora"]),
        (&"faceid".into(), &"inside".into())
    );
    assert!(found["licence"]["name"].as_str().unwrap().contains("research"));
    place.fails(
        &[
            "convert",
            "lora-kohya",
            "-c",
            "model.safetensors",
            "-o",
            "no.safetensors",
        ],
        1,
        "no LoRA",
    );
}

#[test]
fn gguf_has_what_the_projections_of_keys_and_values_read() {
    let place = Workplace::new();
    place.ok(&["encode", "a.png", "-c", "model.safetensors", "-o", "a.omniid"]);
    let engine = Engine::open(EngineOptions::new(place.path("model.safetensors"))).unwrap();
    let identity = Identity::load(place.path("a.omniid"), &Limits::default()).unwrap();
    let (unconditional, own) = engine.host_tokens(&identity).unwrap();
    let convert = ["convert", "gguf", "a.omniid", "-c", "model.safetensors", "-o"];
    let report = place.json(&[&convert[..], &["a.gguf", "--json"]].concat());
    let dims = own.dims2().unwrap();
    assert_eq!(report["shape"], serde_json::json!([dims.0, dims.1]));
    let file = std::fs::read(place.path("a.gguf")).unwrap();
    assert_eq!(report["bytes"], file.len());
    assert!(file.starts_with(b"GGUF\x03"));
    // The sizes of the small model are multiples of the alignment: the two tensors end the file.
    let values = [own, unconditional].map(|tokens| tokens.flatten_all().unwrap().to_vec1::<f32>().unwrap());
    let bytes: Vec<u8> = values.concat().iter().flat_map(|value| value.to_le_bytes()).collect();
    assert_eq!(bytes.len() % 64, 0);
    assert!(file.ends_with(&bytes));
    assert_ne!(values[0], values[1]);
    // Another identity on the unconditional side, and half the size.
    place.ok(&[&convert[..], &["b.gguf", "--negative", "a.omniid", "--dtype", "f16"]].concat());
    let half = std::fs::read(place.path("b.gguf")).unwrap();
    let side = (bytes.len() / 4).next_multiple_of(32);
    let (front, back) = half[half.len() - 2 * side..].split_at(side);
    assert_eq!(front, back);
    place.fails(&[&convert[..], &["a.gguf"]].concat(), 2, "a.gguf");
}

#[test]
fn encoders_become_a_graph_with_its_description() {
    let place = Workplace::new();
    place.add_public();
    let graph = ["convert", "onnx", "-c", "model.safetensors", "-o", "encoder.onnx"];
    let text = place.ok(&graph);
    assert!(
        text.contains("encoder.onnx.encoder.json says how photos are prepared"),
        "{text}"
    );
    place.fails(&graph, 2, "--force");
    std::fs::remove_file(place.path("encoder.onnx")).unwrap();
    place.fails(&graph, 2, "encoder.onnx.encoder.json");
    let done = place.json(&[&graph[..], &["--force", "--json", "--dtype", "f16"]].concat());
    let text = std::fs::read(place.path("encoder.onnx.encoder.json")).unwrap();
    let description: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(done["model"], description["model"]);
    assert_eq!(
        (&description["format"], &description["precision"]),
        (&"omniid-encoder".into(), &"f16".into())
    );
    assert!(done["data"].is_null());
    let public = ["-c", "plus.safetensors", "--image-encoder", "clip/model.safetensors"];
    place.ok(&[&["convert", "onnx", "-o", "plus.onnx"], &public[..]].concat());
    place.fails(
        &["convert", "onnx", "-c", "plus.safetensors", "-o", "x.onnx"],
        2,
        "image encoder",
    );
}
