//! Recognising checkpoints by keys and shapes. Layouts and sizes are those of the published files; only the inner
//! width of the adapter's layers, which recognition does not read, is cut to keep the files small.

use candle_core::{DType, Device, Tensor};
use omniid::checkpoint::{recognise, safetensors_to_bytes, Checkpoint, CheckpointKind, IDENTITY_KEY, NATIVE_KEY};
use omniid::encoder::{EncoderConfig, FullFaceConfig, ProjectionConfig, ResamplerConfig};
use omniid::host::HostFamily;
use omniid::{ErrorKind, Limits};

type Shapes = Vec<(String, Vec<usize>)>;

fn file(shapes: &Shapes) -> Checkpoint {
    file_with(shapes, &[])
}

fn file_with(shapes: &Shapes, metadata: &[(&str, &str)]) -> Checkpoint {
    let tensor = |shape: &Vec<usize>| Tensor::zeros(shape.as_slice(), DType::F16, &Device::Cpu).unwrap();
    let tensors: Vec<_> = shapes
        .iter()
        .map(|(name, shape)| (name.clone(), tensor(shape)))
        .collect();
    let metadata = metadata.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    Checkpoint::open(safetensors_to_bytes(&tensors, &metadata).unwrap(), &Limits::default()).unwrap()
}

fn named(prefix: &str, shapes: &[(&str, &[usize])]) -> Shapes {
    shapes
        .iter()
        .map(|(name, shape)| (format!("{prefix}{name}"), shape.to_vec()))
        .collect()
}

/// Layers 1, 3, 5 … of a UNet adapter.
fn layers(prefix: &str, count: usize, context: usize) -> Shapes {
    let layer =
        |n: usize| ["k", "v"].map(|part| (format!("{prefix}{}.to_{part}_ip.weight", 2 * n + 1), vec![2, context]));
    (0..count).flat_map(layer).collect()
}

fn resampler(tokens: usize, width: usize, heads: usize, depth: usize, input: usize, output: usize) -> Shapes {
    let mut shapes = named(
        "image_proj.",
        &[
            ("latents", &[1, tokens, width]),
            ("proj_in.weight", &[width, input]),
            ("proj_in.bias", &[width]),
            ("proj_out.weight", &[output, width]),
            ("proj_out.bias", &[output]),
            ("norm_out.weight", &[output]),
            ("norm_out.bias", &[output]),
        ],
    );
    for layer in 0..depth {
        shapes.extend(named(
            &format!("image_proj.layers.{layer}."),
            &[
                ("0.to_q.weight", &[64 * heads, width]),
                ("0.to_out.weight", &[width, 64 * heads]),
                ("1.1.weight", &[4 * width, width]),
                ("1.3.weight", &[width, 4 * width]),
            ],
        ));
    }
    shapes
}

#[test]
fn published_ip_adapters_are_recognised() {
    let odd = |count: usize| (0..count).map(|n| 2 * n + 1).collect::<Vec<_>>();
    let kind = |projection, host, count, context| CheckpointKind::IpAdapter {
        projection,
        host,
        layers: odd(count),
        context,
    };
    let plus = [resampler(16, 768, 12, 4, 1280, 768), layers("ip_adapter.", 16, 768)].concat();
    let expected = EncoderConfig::Resampler(ResamplerConfig {
        feature_width: 1280,
        width: 768,
        depth: 4,
        heads: 12,
        head_width: 64,
        inner_width: 4 * 768,
        tokens: 16,
        token_width: 768,
    });
    assert_eq!(
        recognise(&file(&plus)).unwrap(),
        kind(expected, HostFamily::Sd15, 16, 768)
    );
    let plus = [
        resampler(16, 1280, 20, 4, 1280, 2048),
        layers("adapter_modules.", 70, 2048),
    ]
    .concat();
    let expected = EncoderConfig::Resampler(ResamplerConfig {
        feature_width: 1280,
        width: 1280,
        depth: 4,
        heads: 20,
        head_width: 64,
        inner_width: 4 * 1280,
        tokens: 16,
        token_width: 2048,
    });
    assert_eq!(
        recognise(&file(&plus)).unwrap(),
        kind(expected, HostFamily::Sdxl, 70, 2048)
    );
    let base = named(
        "image_proj.",
        &[("proj.weight", &[3072, 1024]), ("norm.weight", &[768])],
    );
    let base = [base, layers("ip_adapter.", 16, 768)].concat();
    let expected = EncoderConfig::Projection(ProjectionConfig {
        feature_width: 1024,
        tokens: 4,
        token_width: 768,
    });
    assert_eq!(
        recognise(&file(&base)).unwrap(),
        kind(expected, HostFamily::Sd15, 16, 768)
    );
    let full: [(&str, &[usize]); 4] = [
        ("proj.0.weight", &[1280, 1280]),
        ("proj.2.weight", &[768, 1280]),
        ("proj.3.weight", &[768]),
        ("proj.3.bias", &[768]),
    ];
    let full = [named("image_proj.", &full), layers("ip_adapter.", 16, 768)].concat();
    let expected = EncoderConfig::FullFace(FullFaceConfig {
        feature_width: 1280,
        inner_width: 1280,
        token_width: 768,
    });
    assert_eq!(
        recognise(&file(&full)).unwrap(),
        kind(expected, HostFamily::Sd15, 16, 768)
    );
    let tiny = [resampler(3, 8, 1, 2, 20, 32), layers("ip_adapter.", 2, 32)].concat();
    let expected = EncoderConfig::Resampler(ResamplerConfig {
        feature_width: 20,
        width: 8,
        depth: 2,
        heads: 1,
        head_width: 64,
        inner_width: 4 * 8,
        tokens: 3,
        token_width: 32,
    });
    let described = file(&tiny).describe().unwrap();
    assert_eq!(described.kind, Some(kind(expected, HostFamily::Other, 2, 32)));
    let text = described.to_string();
    for part in ["IP-Adapter Plus", "3 per photo", "depth 2", "F16", "fingerprint"] {
        assert!(text.contains(part), "{text}");
    }
    let parameters: usize = tiny.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
    assert_eq!(
        (described.parameters, described.bytes),
        (parameters as u64, 2 * parameters as u64)
    );
}

fn xlabs(native: bool, blocks: usize, context: usize, tokens: usize) -> Shapes {
    let (projection, block, key, value) = match native {
        true => {
            let name = |part: &str| format!("processor.ip_adapter_double_stream_{part}_proj");
            ("ip_adapter_proj_model.", "double_blocks.", name("k"), name("v"))
        }
        false => (
            "image_proj.",
            "ip_adapter.",
            "to_k_ip".to_string(),
            "to_v_ip".to_string(),
        ),
    };
    let mut shapes = named(
        projection,
        &[
            ("proj.weight", &[tokens * context, 8]),
            ("proj.bias", &[tokens * context]),
            ("norm.weight", &[context]),
            ("norm.bias", &[context]),
        ],
    );
    for index in 0..blocks {
        for part in [&key, &value] {
            shapes.push((format!("{block}{index}.{part}.weight"), vec![2, context]));
            shapes.push((format!("{block}{index}.{part}.bias"), vec![2]));
        }
    }
    shapes
}

#[test]
fn xlabs_flux_is_recognised_in_both_spellings() {
    for native in [true, false] {
        let checkpoint = file(&xlabs(native, 19, 4096, 4));
        let expected = CheckpointKind::XlabsFlux {
            projection: EncoderConfig::Projection(ProjectionConfig {
                feature_width: 8,
                tokens: 4,
                token_width: 4096,
            }),
            host: HostFamily::Flux,
            layers: (0..19).collect(),
            context: 4096,
        };
        assert_eq!(recognise(&checkpoint).unwrap(), expected, "native names: {native}");
        let view = checkpoint.adapter_view().unwrap();
        for name in [
            "image_proj.proj.weight",
            "ip_adapter.0.to_k_ip.bias",
            "ip_adapter.18.to_v_ip.weight",
        ] {
            assert!(view.contains(name), "{name}");
        }
        let small = recognise(&file(&xlabs(native, 2, 16, 3))).unwrap();
        assert!(
            matches!(
                small,
                CheckpointKind::XlabsFlux {
                    host: HostFamily::Other,
                    ..
                }
            ),
            "{small:?}"
        );
    }
    let both = [xlabs(true, 2, 16, 3), xlabs(false, 2, 16, 3)].concat();
    assert_eq!(recognise(&file(&both)).unwrap_err().kind(), ErrorKind::Format);
}

#[test]
fn families_that_do_not_run_are_named() {
    let face: [(&str, &[usize]); 3] = [
        ("norm.weight", &[4096]),
        ("proj.0.weight", &[4, 512]),
        ("proj.2.weight", &[8, 4]),
    ];
    let face = named("image_proj.", &face);
    let kolors = named(
        "image_proj.perceiver_resampler.",
        &[("proj_in.weight", &[8, 4]), ("layers.0.0.to_out.weight", &[4096, 4])],
    );
    let kolors = [face, kolors, layers("ip_adapter.", 16, 768)].concat();
    let cases: [(&str, Shapes); 8] = [
        ("Kolors IP-Adapter FaceID Plus", kolors),
        ("InfiniteYou", resampler(2, 64, 1, 1, 512, 4096)),
        (
            "a Kolors IP-Adapter,",
            [resampler(2, 2048, 1, 1, 1024, 2048), layers("ip_adapter.", 2, 2048)].concat(),
        ),
        (
            "Lynx",
            named(
                "",
                &[("0.to_k_ip.weight", &[5120, 2]), ("0.to_v_ip.weight", &[5120, 2])],
            ),
        ),
        (
            "Resampler of Lynx",
            named("", &[("latents", &[1, 16, 8]), ("proj_in.weight", &[8, 512])]),
        ),
        (
            "one half of a WithAnyone",
            named(
                "",
                &[("arcface_in.0.weight", &[4, 512]), ("ipa.0.to_q.weight", &[4, 8])],
            ),
        ),
        (
            "PhotoMaker",
            named("id_encoder.", &[("visual_projection_2.weight", &[4, 4])]),
        ),
        (
            "SigLIP",
            named(
                "vision_model.embeddings.",
                &[
                    ("patch_embedding.weight", &[4, 3, 2, 2]),
                    ("patch_embedding.bias", &[4]),
                ],
            ),
        ),
    ];
    for (name, shapes) in cases {
        let checkpoint = file(&shapes);
        let error = recognise(&checkpoint).expect_err(name);
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{name}: {error}");
        assert!(error.message().contains(name), "{name}: {error}");
        assert!(checkpoint.describe().unwrap().to_string().contains(name));
    }
}

#[test]
fn incomplete_and_contradictory_adapters_are_format_errors() {
    let projection = resampler(2, 8, 1, 1, 20, 32);
    let unet = layers("ip_adapter.", 2, 32);
    let mut without_value = [projection.clone(), unet.clone()].concat();
    without_value.retain(|(name, _)| name != "ip_adapter.3.to_v_ip.weight");
    let mut narrow = [projection.clone(), unet.clone()].concat();
    narrow
        .iter_mut()
        .filter(|(name, _)| name == "ip_adapter.3.to_k_ip.weight")
        .for_each(|(_, s)| *s = vec![2, 31]);
    let mut vector = [projection.clone(), unet.clone()].concat();
    vector
        .iter_mut()
        .filter(|(name, _)| name == "ip_adapter.1.to_k_ip.weight")
        .for_each(|(_, s)| *s = vec![64]);
    let mut flat = [projection.clone(), unet.clone()].concat();
    flat.iter_mut()
        .filter(|(name, _)| name == "image_proj.latents")
        .for_each(|(_, s)| *s = vec![16]);
    let cases = [
        ("image_proj half", projection.clone()),
        ("image_proj", unet),
        ("ip_adapter.3.to_v_ip.weight", without_value),
        ("ip_adapter.3.to_k_ip.weight", narrow),
        ("ip_adapter.1.to_k_ip.weight", vector),
        ("image_proj.latents", flat),
        ("width 32", [projection, layers("ip_adapter.", 2, 48)].concat()),
    ];
    for (part, shapes) in cases {
        let error = recognise(&file(&shapes)).expect_err(part);
        assert_eq!(error.kind(), ErrorKind::Format, "{part}: {error}");
        assert!(error.message().contains(part), "{part}: {error}");
    }
}

#[test]
fn own_formats_and_the_detector_are_recognised() {
    let any = named("", &[("tokens", &[2, 3])]);
    assert_eq!(
        recognise(&file_with(&any, &[(NATIVE_KEY, "1")])).unwrap(),
        CheckpointKind::Native
    );
    assert_eq!(
        recognise(&file_with(&any, &[(IDENTITY_KEY, "1")])).unwrap(),
        CheckpointKind::Identity
    );
    let error = recognise(&file(&any)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("\"tokens\""), "{error}");
    let detector = named(
        "",
        &[
            ("backbone.stem.weight", &[4, 3, 3, 3]),
            ("head.kps0.pointwise.weight", &[10, 4, 1, 1]),
        ],
    );
    assert_eq!(recognise(&file(&detector)).unwrap(), CheckpointKind::YuNet);
}
