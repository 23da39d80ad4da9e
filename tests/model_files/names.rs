//! One model under many names gives the same tokens, keys and values to the bit.

use super::*;
use omniid::checkpoint::{recognise, CheckpointKind};

/// Opens both files and compares what comes out.
fn same(case: &str, adapter: Tensors, clip: Tensors) {
    let engine = Engine::open(options(bytes(&adapter), bytes(&clip))).unwrap_or_else(|error| panic!("{case}: {error}"));
    assert_eq!(results(&engine).unwrap(), reference(), "{case}");
}

#[test]
fn what_wrappers_put_before_all_names_is_taken_off() {
    let wrappers = [
        "module.",
        "model.",
        "state_dict.",
        "_orig_mod.",
        "state_dict.model.",
        "module._orig_mod.",
        "ema_model.module.",
        "net.",
    ];
    for wrapper in wrappers {
        let wrapped = |tensors: &Tensors| renamed(tensors, |name| format!("{wrapper}{name}"));
        same(wrapper, wrapped(&adapter()), wrapped(&clip()));
        for tensors in [adapter(), clip()] {
            let file = open(&wrapped(&tensors));
            assert_eq!(file.prefix(), wrapper);
            let text = file.describe().unwrap().to_string();
            assert!(
                text.contains(&format!("{wrapper:?}, which stands before the names")),
                "{text}"
            );
            assert_eq!(
                file.fingerprint(&[]).unwrap(),
                open(&tensors).fingerprint(&[]).unwrap(),
                "{wrapper}"
            );
        }
    }
}

#[test]
fn a_model_is_found_beside_the_rest_of_a_training() {
    for wrapper in ["state_dict.", "state_dict.model.", "model.", "pipeline.adapter."] {
        let mut file = renamed(&adapter(), |name| format!("{wrapper}{name}"));
        for beside in [
            "optimizer_states.0.state.0.exp_avg",
            "optimizer.state.3.exp_avg_sq",
            "scaler.scale",
        ] {
            file.push((beside.to_string(), random(&[4, 5], 3)));
        }
        same(wrapper, file, clip());
    }
    // A moving average beside the model: the model counts, as in other programs.
    for (plain, average) in [("model.", "model_ema."), ("state_dict.", "ema_state_dict.")] {
        let mut file = renamed(&adapter(), |name| format!("{plain}{name}"));
        let averages = renamed(&adapter(), |name| format!("{average}{name}")).into_iter();
        file.extend(averages.map(|(name, tensor)| (name, (tensor * 0.5).unwrap())));
        same(average, file.clone(), clip());
        let description = open(&file).describe().unwrap();
        assert_eq!((description.prefix.as_str(), description.left_out), (plain, 24));
    }
    // The average alone is better than nothing.
    same(
        "ema alone",
        renamed(&adapter(), |name| format!("model_ema.{name}")),
        clip(),
    );
}

#[test]
fn native_checkpoints_and_detectors_may_be_wrapped_too() {
    let sound = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/models/omniid-mini.safetensors")).unwrap();
    let plain = Checkpoint::open(sound.clone(), &Limits::default()).unwrap();
    let read = |name: &str| {
        plain
            .tensor(name, plain.info(name).unwrap().dtype, &Device::Cpu)
            .unwrap()
    };
    let tensors: Tensors = plain.names().map(|name| (name.to_string(), read(name))).collect();
    let expected = results(&Engine::open(EngineOptions::new(sound)).unwrap()).unwrap();
    for wrapper in ["module.", "state_dict.model.", "mine.own."] {
        let wrapped = renamed(&tensors, |name| format!("{wrapper}{name}"));
        let file = safetensors_to_bytes(&wrapped, plain.metadata()).unwrap();
        let engine = Engine::open(EngineOptions::new(file)).unwrap_or_else(|error| panic!("{wrapper}: {error}"));
        assert_eq!(results(&engine).unwrap(), expected, "{wrapper}");
        let detector = plain.sub("detector");
        let detector: Tensors = detector
            .names()
            .map(|name| (format!("{wrapper}{name}"), read(&format!("detector.{name}"))))
            .collect();
        if !detector.is_empty() {
            omniid::face::FaceDetector::from_bytes(&bytes(&detector), &Limits::default()).unwrap();
        }
    }
}

#[test]
fn two_models_in_one_file_are_an_error_that_names_both() {
    let mut file = renamed(&clip(), |name| format!("first.{name}"));
    file.extend(renamed(&clip(), |name| format!("second.{name}")));
    let opened = Engine::open(options(bytes(&adapter()), bytes(&file)));
    refused(
        "two encoders",
        opened,
        ErrorKind::Unsupported,
        &["\"first.\" and \"second.\""],
    );
    let mut file = renamed(&adapter(), |name| format!("a.{name}"));
    file.extend(renamed(&adapter(), |name| format!("b.{name}")));
    let opened = Engine::open(options(bytes(&file), bytes(&clip())));
    refused("two adapters", opened, ErrorKind::Unsupported, &["\"a.\" and \"b.\""]);
}

#[test]
fn what_training_scripts_save_is_read() {
    let script = |name: &str| match name.strip_prefix("image_proj.") {
        Some(rest) => format!("image_proj_model.{rest}"),
        None => name.replacen("ip_adapter.", "adapter_modules.", 1),
    };
    let unet = ("unet.conv_in.weight".to_string(), random(&[4, 4, 3, 3], 9));
    let mut file = renamed(&adapter(), script);
    file.push(unet.clone());
    same("modules", file.clone(), clip());
    assert_eq!(open(&file).describe().unwrap().left_out, 1);
    same(
        "modules of DistributedDataParallel",
        renamed(&file, |name| format!("module.{name}")),
        clip(),
    );
    // The same layers as attention processors of a UNet. The file's order is not that of diffusers.
    let places = [
        "down_blocks.0.attentions.0.transformer_blocks.0",
        "up_blocks.1.attentions.0.transformer_blocks.0",
        "mid_block.attentions.0.transformer_blocks.0",
    ];
    let processor = |name: &str| match name.strip_prefix("ip_adapter.") {
        Some(rest) => {
            let (number, part) = rest.split_once('.').unwrap();
            let place = LAYERS.iter().position(|layer| layer.to_string() == number).unwrap();
            format!("unet.{}.attn2.processor.{part}", places[place])
        }
        None => script(name),
    };
    let bare = |name: &str| {
        processor(name)
            .replacen("unet.", "ip_adapter.", 1)
            .replace(".processor.", ".")
    };
    same("processors under ip_adapter", renamed(&adapter(), bare), clip());
    let mut file = renamed(&adapter(), processor);
    file.push(unet);
    same("processors", file.clone(), clip());
    // Both spellings, which share their memory in a PyTorch file.
    file.extend(
        renamed(&adapter(), script)
            .into_iter()
            .filter(|(name, _)| name.starts_with("adapter_modules.")),
    );
    same("both", file, clip());
}

/// A UNet as diffusers 0.42 saves it with an adapter loaded: the names of its own modules.
#[test]
fn a_unet_that_diffusers_saved_with_an_adapter_is_that_adapter() {
    let places = [
        "down_blocks.0.attentions.0",
        "up_blocks.1.attentions.0",
        "mid_block.attentions.0",
    ];
    let mut layers: Tensors = vec![("conv_in.weight".to_string(), random(&[4, 4, 3, 3], 9))];
    for (seed, place) in places.iter().enumerate() {
        for side in ["k", "v"] {
            let name = format!("{place}.transformer_blocks.0.attn2.processor.to_{side}_ip.0.weight");
            layers.push((name, random(&[16, 32], seed)));
        }
        let own = format!("{place}.transformer_blocks.0.attn2.to_k.weight");
        layers.push((own, random(&[16, 32], 20)));
    }
    type Names<'a> = &'a [(&'a str, &'a str, &'a [usize])];
    let base: Names = &[
        ("image_embeds.weight", "proj.weight", &[128, 48]),
        ("image_embeds.bias", "proj.bias", &[128]),
        ("norm.weight", "norm.weight", &[32]),
        ("norm.bias", "norm.bias", &[32]),
    ];
    let full: Names = &[
        ("ff.net.0.proj.weight", "proj.0.weight", &[48, 48]),
        ("ff.net.0.proj.bias", "proj.0.bias", &[48]),
        ("ff.net.2.weight", "proj.2.weight", &[32, 48]),
        ("ff.net.2.bias", "proj.2.bias", &[32]),
        ("norm.weight", "proj.3.weight", &[32]),
        ("norm.bias", "proj.3.bias", &[32]),
    ];
    let face_id: Names = &[
        ("ff.net.0.proj.weight", "proj.0.weight", &[24, 12]),
        ("ff.net.0.proj.bias", "proj.0.bias", &[24]),
        ("ff.net.2.weight", "proj.2.weight", &[128, 24]),
        ("ff.net.2.bias", "proj.2.bias", &[128]),
        ("norm.weight", "norm.weight", &[32]),
        ("norm.bias", "norm.bias", &[32]),
    ];
    for (kind, names) in [("projection", base), ("full_face", full), ("face_id", face_id)] {
        for prefix in ["", "unet."] {
            let projection = names.iter().enumerate().map(|(seed, (found, _, shape))| {
                let name = format!("encoder_hid_proj.image_projection_layers.0.{found}");
                (name, random(shape, seed))
            });
            let file: Tensors = layers.iter().cloned().chain(projection).collect();
            let file = renamed(&file, |name| format!("{prefix}{name}"));
            let checkpoint = open(&file);
            let view = checkpoint.adapter_view().unwrap();
            for (seed, (_, own, shape)) in names.iter().enumerate() {
                let got = view
                    .tensor(&format!("image_proj.{own}"), DType::F32, &Device::Cpu)
                    .unwrap();
                let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                assert_eq!(flat(&got), flat(&random(shape, seed)), "{own}");
            }
            for number in [1, 3, 5] {
                assert!(
                    view.contains(&format!("ip_adapter.{number}.to_v_ip.weight")),
                    "{number}"
                );
            }
            let encoder = omniid::encoder::EncoderConfig::infer(&view.sub("image_proj")).unwrap();
            assert_eq!(encoder.kind().name(), kind);
        }
    }
    // Two of them, and one with a Resampler.
    for (more, says) in [
        (
            "encoder_hid_proj.image_projection_layers.1.norm.weight",
            "several IP-Adapters",
        ),
        ("encoder_hid_proj.image_projection_layers.0.latents", "Resampler"),
    ] {
        let mut file = layers.clone();
        for name in ["encoder_hid_proj.image_projection_layers.0.norm.weight", more] {
            file.push((name.to_string(), random(&[32], 0)));
        }
        let error = open(&file).adapter_view().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains(says), "{error}");
    }
}

#[test]
fn layers_of_a_unet_are_counted_as_diffusers_does() {
    // Blocks of an SDXL-like order: ten transformers and more, two digits sort by number.
    let mut places = Vec::new();
    for (block, attentions, transformers) in [("down_blocks.1", 2, 2), ("up_blocks.0", 3, 11), ("mid_block", 1, 2)] {
        for attention in 0..attentions {
            for transformer in 0..transformers {
                places.push(format!(
                    "{block}.attentions.{attention}.transformer_blocks.{transformer}"
                ));
            }
        }
    }
    let mut file: Tensors = adapter()
        .into_iter()
        .filter(|(name, _)| name.starts_with("image_proj."))
        .collect();
    for (place, layer) in places.iter().enumerate() {
        for side in ["k", "v"] {
            let name = format!("unet.{layer}.attn2.processor.to_{side}_ip.weight");
            file.push((name, random(&[16, 32], place)));
        }
    }
    let view = open(&file).adapter_view().unwrap();
    for (place, name) in places.iter().enumerate() {
        let got = view.tensor(
            &format!("ip_adapter.{}.to_k_ip.weight", 2 * place + 1),
            DType::F32,
            &Device::Cpu,
        );
        let expected = random(&[16, 32], place).to_vec2::<f32>().unwrap();
        assert_eq!(got.unwrap().to_vec2::<f32>().unwrap(), expected, "{name}");
    }
}

/// The tower under OpenCLIP's names, `in_proj` fused and the projection transposed.
fn open_clip_tower() -> Tensors {
    let tensors: std::collections::BTreeMap<String, Tensor> = clip().into_iter().collect();
    let get = |name: &str| tensors[name].clone();
    let layer = |name: &str| get(&format!("vision_model.encoder.layers.0.{name}"));
    let fused = |kind: &str| {
        let parts = ["q", "k", "v"].map(|part| layer(&format!("self_attn.{part}_proj.{kind}")));
        Tensor::cat(&parts, 0).unwrap()
    };
    let mut tower = vec![
        ("class_embedding", get("vision_model.embeddings.class_embedding")),
        ("conv1.weight", get("vision_model.embeddings.patch_embedding.weight")),
        (
            "positional_embedding",
            get("vision_model.embeddings.position_embedding.weight"),
        ),
        (
            "proj",
            get("visual_projection.weight").t().unwrap().contiguous().unwrap(),
        ),
        ("transformer.resblocks.0.attn.in_proj_weight", fused("weight")),
        ("transformer.resblocks.0.attn.in_proj_bias", fused("bias")),
    ];
    let pairs = [
        ("ln_pre", "vision_model.pre_layrnorm"),
        ("ln_post", "vision_model.post_layernorm"),
        (
            "transformer.resblocks.0.ln_1",
            "vision_model.encoder.layers.0.layer_norm1",
        ),
        (
            "transformer.resblocks.0.ln_2",
            "vision_model.encoder.layers.0.layer_norm2",
        ),
        (
            "transformer.resblocks.0.attn.out_proj",
            "vision_model.encoder.layers.0.self_attn.out_proj",
        ),
        (
            "transformer.resblocks.0.mlp.c_fc",
            "vision_model.encoder.layers.0.mlp.fc1",
        ),
        (
            "transformer.resblocks.0.mlp.c_proj",
            "vision_model.encoder.layers.0.mlp.fc2",
        ),
    ];
    let both: Vec<(String, Tensor)> = pairs
        .iter()
        .flat_map(|(ours, theirs)| {
            ["weight", "bias"].map(|kind| (format!("{ours}.{kind}"), get(&format!("{theirs}.{kind}"))))
        })
        .collect();
    tower
        .drain(..)
        .map(|(name, tensor)| (name.to_string(), tensor))
        .chain(both)
        .collect()
}

#[test]
fn image_encoders_are_read_under_all_their_names() {
    let flat = |name: &str| name.strip_prefix("vision_model.").unwrap_or(name).to_string();
    same("flat", adapter(), renamed(&clip(), flat));
    for prefix in ["clip.", "image_encoder.", "pipe.image_encoder.clip."] {
        same(prefix, adapter(), renamed(&clip(), |name| format!("{prefix}{name}")));
        same(
            prefix,
            adapter(),
            renamed(&clip(), |name| format!("{prefix}{}", flat(name))),
        );
    }
    let tower = open_clip_tower();
    same("OpenCLIP", adapter(), renamed(&tower, |name| format!("visual.{name}")));
    same("OpenCLIP's tower", adapter(), tower.clone());
    for prefix in ["state_dict.module.", "conditioner.embedders.0.model."] {
        let mut file = renamed(&tower, |name| format!("{prefix}visual.{name}"));
        file.push((format!("{prefix}token_embedding.weight"), random(&[9, 4], 2)));
        file.push((format!("{prefix}transformer.resblocks.0.ln_1.weight"), random(&[4], 2)));
        file.push(("optimizer.state.0.exp_avg".into(), random(&[4], 2)));
        same(prefix, adapter(), file);
    }
    // A whole CLIP, and old files with a table of position numbers.
    let mut whole = clip();
    whole.push((
        "text_model.embeddings.token_embedding.weight".into(),
        random(&[9, 4], 2),
    ));
    whole.push(("text_projection.weight".into(), random(&[4, 4], 2)));
    let ids = Tensor::arange(0i64, 17, &Device::Cpu).unwrap();
    whole.push(("vision_model.embeddings.position_ids".into(), ids));
    same("whole", adapter(), whole.clone());
    assert_eq!(open(&whole).describe().unwrap().left_out, 3);
    // The adapter and the encoder in one file: each role finds its own.
    let both = [renamed(&clip(), |name| format!("image_encoder.{name}")), adapter()].concat();
    same("both in one file", both.clone(), both);
}

#[test]
fn kinds_are_told_from_the_names_that_remain() {
    let flat = renamed(&clip(), |name| {
        name.strip_prefix("vision_model.").unwrap_or(name).to_string()
    });
    assert!(matches!(
        recognise(&open(&flat)),
        Ok(CheckpointKind::ClipVision {
            layers: 1,
            tokens: 17,
            ..
        })
    ));
    // A word of an anchor inside of another name is none.
    let words = vec![("my_image_proj.latents".to_string(), random(&[1, 4, 64], 1))];
    let error = recognise(&open(&words)).unwrap_err();
    assert!(error.message().contains("unknown layout"), "{error}");
}
