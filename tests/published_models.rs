//! Which published identity adapter a file is, from headers of the published sizes. The files have holes in place of
//! weights, so that they take no room on the disk.

use omniid::checkpoint::{recognise, Checkpoint, CheckpointKind, LoraPart, Model, Variant};
use omniid::encoder::{EncoderConfig, EncoderKind};
use omniid::host::{HostFamily, HostSpec};
use omniid::lora::Lora;
use omniid::{ErrorKind, Limits};
use std::io::Write;

type Shapes = Vec<(String, Vec<usize>)>;

/// An opened safetensors file of f16 tensors without weights, and the file that goes when it is dropped.
struct Header {
    checkpoint: Checkpoint,
    _file: tempfile::TempPath,
}

fn header(shapes: &Shapes) -> Header {
    let mut offset = 0usize;
    let entries = shapes.iter().map(|(name, shape)| {
        let end = offset + 2 * shape.iter().product::<usize>();
        let entry = format!("\"{name}\":{{\"dtype\":\"F16\",\"shape\":{shape:?},\"data_offsets\":[{offset},{end}]}}");
        offset = end;
        entry
    });
    let json = format!("{{{}}}", entries.collect::<Vec<_>>().join(","));
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&(json.len() as u64).to_le_bytes()).unwrap();
    file.write_all(json.as_bytes()).unwrap();
    file.as_file().set_len((8 + json.len() + offset) as u64).unwrap();
    // Windows opens no model that somebody may write to.
    let file = file.into_temp_path();
    let checkpoint = Checkpoint::open(&*file, &Limits::default()).unwrap();
    Header {
        checkpoint,
        _file: file,
    }
}

fn named(prefix: &str, shapes: &[(&str, &[usize])]) -> Shapes {
    let shape = |(name, shape): &(&str, &[usize])| (format!("{prefix}{name}"), shape.to_vec());
    shapes.iter().map(shape).collect()
}

/// A linear layer with its bias.
fn affine(name: &str, rows: usize, columns: usize) -> Shapes {
    vec![
        (format!("{name}.weight"), vec![rows, columns]),
        (format!("{name}.bias"), vec![rows]),
    ]
}

fn norm(name: &str, width: usize) -> Shapes {
    ["weight", "bias"]
        .map(|part| (format!("{name}.{part}"), vec![width]))
        .to_vec()
}

fn mlp(embedding: usize, inner: usize, tokens: usize, width: usize) -> Shapes {
    [
        affine("image_proj.proj.0", inner, embedding),
        affine("image_proj.proj.2", tokens * width, inner),
        norm("image_proj.norm", width),
    ]
    .concat()
}

/// The layers of a Resampler without its latents.
fn perceiver(prefix: &str, input: usize, width: usize, heads: usize, output: usize) -> Shapes {
    let mut shapes = [
        affine(&format!("{prefix}proj_in"), width, input),
        affine(&format!("{prefix}proj_out"), output, width),
        norm(&format!("{prefix}norm_out"), output),
    ]
    .concat();
    for layer in 0..4 {
        let prefix = format!("{prefix}layers.{layer}.");
        shapes.extend(norm(&format!("{prefix}0.norm1"), width));
        shapes.extend(norm(&format!("{prefix}0.norm2"), width));
        shapes.extend(named(
            &prefix,
            &[
                ("0.to_q.weight", &[64 * heads, width]),
                ("0.to_kv.weight", &[128 * heads, width]),
                ("0.to_out.weight", &[width, 64 * heads]),
            ],
        ));
        shapes.extend(norm(&format!("{prefix}1.0"), width));
        shapes.extend(named(
            &prefix,
            &[("1.1.weight", &[4 * width, width]), ("1.3.weight", &[width, 4 * width])],
        ));
    }
    shapes
}

fn resampler(input: usize, output: usize) -> Shapes {
    let latents = named("image_proj.", &[("latents", &[1, 16, 1280])]);
    [latents, perceiver("image_proj.", input, 1280, 20, output)].concat()
}

fn face_id_plus(width: usize) -> Shapes {
    let perceiver = perceiver("image_proj.perceiver_resampler.", 1280, width, width / 64, width);
    [mlp(512, 1024, 4, width), perceiver].concat()
}

fn layers(host: &HostSpec, prefix: &str, [k, v]: [&str; 2]) -> Shapes {
    let layer = |layer: &omniid::host::HostLayer| {
        [k, v].map(|part| {
            (
                format!("{prefix}{}.{part}.weight", layer.key),
                vec![layer.inner, layer.context],
            )
        })
    };
    host.layers().iter().flat_map(layer).collect()
}

fn ip_layers(host: &HostSpec) -> Shapes {
    layers(host, "ip_adapter.", ["to_k_ip", "to_v_ip"])
}

/// FaceID's LoRA of rank 128 on every attention processor.
fn lora(host: &HostSpec) -> Shapes {
    let mut shapes = Vec::new();
    for layer in host.layers() {
        for (number, context) in [(layer.key - 1, layer.inner), (layer.key, layer.context)] {
            for part in ["to_q", "to_k", "to_v", "to_out"] {
                let input = if matches!(part, "to_k" | "to_v") {
                    context
                } else {
                    layer.inner
                };
                shapes.push((format!("ip_adapter.{number}.{part}_lora.down.weight"), vec![128, input]));
                shapes.push((
                    format!("ip_adapter.{number}.{part}_lora.up.weight"),
                    vec![layer.inner, 128],
                ));
            }
        }
    }
    shapes
}

fn pulid_mapping(prefix: &str, last: usize) -> Shapes {
    [
        affine(&format!("{prefix}0"), 1024, 1024),
        norm(&format!("{prefix}1"), 1024),
        affine(&format!("{prefix}3"), 1024, 1024),
        norm(&format!("{prefix}4"), 1024),
        affine(&format!("{prefix}6"), last, 1024),
    ]
    .concat()
}

fn pulid_v1(prefix: &str) -> Shapes {
    let mut shapes = [
        affine(&format!("{prefix}body.0"), 1024, 1280),
        norm(&format!("{prefix}body.1"), 1024),
        affine(&format!("{prefix}body.3"), 1024, 1024),
        norm(&format!("{prefix}body.4"), 1024),
        affine(&format!("{prefix}body.6"), 10240, 1024),
    ]
    .concat();
    for level in 0..5 {
        shapes.extend(pulid_mapping(&format!("{prefix}mapping_{level}."), 2048));
        shapes.extend(pulid_mapping(&format!("{prefix}mapping_patch_{level}."), 2048));
    }
    shapes
}

fn id_former(prefix: &str) -> Shapes {
    let mut shapes = named(prefix, &[("latents", &[1, 32, 1024]), ("proj_out", &[1024, 2048])]);
    shapes.extend(affine(&format!("{prefix}id_embedding_mapping.0"), 1024, 1280));
    shapes.extend(norm(&format!("{prefix}id_embedding_mapping.1"), 1024));
    shapes.extend(affine(&format!("{prefix}id_embedding_mapping.3"), 1024, 1024));
    shapes.extend(norm(&format!("{prefix}id_embedding_mapping.4"), 1024));
    shapes.extend(affine(&format!("{prefix}id_embedding_mapping.6"), 5120, 1024));
    for level in 0..5 {
        shapes.extend(pulid_mapping(&format!("{prefix}mapping_{level}."), 1024));
    }
    for layer in 0..10 {
        let layer = format!("{prefix}layers.{layer}.");
        shapes.extend(norm(&format!("{layer}0.norm1"), 1024));
        shapes.extend(norm(&format!("{layer}0.norm2"), 1024));
        shapes.extend(named(
            &layer,
            &[
                ("0.to_q.weight", &[1024, 1024]),
                ("0.to_kv.weight", &[2048, 1024]),
                ("0.to_out.weight", &[1024, 1024]),
            ],
        ));
        shapes.extend(norm(&format!("{layer}1.0"), 1024));
        shapes.extend(named(
            &layer,
            &[("1.1.weight", &[4096, 1024]), ("1.3.weight", &[1024, 4096])],
        ));
    }
    shapes
}

/// Layers of the residual stream.
fn residual(prefix: &str, count: usize, inner: usize, context: usize) -> Shapes {
    let layer = |n: usize| {
        let prefix = format!("{prefix}{n}.");
        [
            norm(&format!("{prefix}norm1"), context),
            norm(&format!("{prefix}norm2"), 3072),
            named(
                &prefix,
                &[
                    ("to_q.weight", &[inner, 3072]),
                    ("to_kv.weight", &[2 * inner, context]),
                    ("to_out.weight", &[3072, inner]),
                ],
            ),
        ]
        .concat()
    };
    (0..count).flat_map(layer).collect()
}

/// Recognises a file and gives its encoder, host and number of layers.
fn adapter(checkpoint: &Checkpoint) -> (EncoderConfig, HostFamily, usize) {
    match recognise(checkpoint).unwrap() {
        CheckpointKind::IpAdapter {
            projection,
            host,
            layers,
            ..
        } => (projection, host, layers.len()),
        other => panic!("{other:?}"),
    }
}

fn model(checkpoint: &Checkpoint) -> Model {
    Model::of(checkpoint, None).unwrap().unwrap()
}

#[test]
fn the_face_id_family() {
    let (sd15, sdxl) = (HostSpec::sd15(), HostSpec::sdxl());
    type Case = (Shapes, Variant, EncoderKind, usize, LoraPart);
    let case = |encoder: Shapes, host: &HostSpec, with_lora: bool, variant, kind, tokens| -> Case {
        let lora = if with_lora { lora(host) } else { Vec::new() };
        let part = if with_lora { LoraPart::Inside } else { LoraPart::None };
        ([encoder, ip_layers(host), lora].concat(), variant, kind, tokens, part)
    };
    let (face_id, plus) = (EncoderKind::FaceId, EncoderKind::FaceIdPlus);
    let unnorm = resampler(512, 2048);
    let cases: [Case; 8] = [
        case(mlp(512, 1024, 4, 768), &sd15, true, Variant::FaceId, face_id, 4),
        case(mlp(512, 1024, 4, 2048), &sdxl, true, Variant::FaceId, face_id, 4),
        case(
            mlp(512, 1024, 16, 768),
            &sd15,
            false,
            Variant::FaceIdPortrait,
            face_id,
            16,
        ),
        case(
            mlp(512, 1024, 16, 2048),
            &sdxl,
            false,
            Variant::FaceIdPortrait,
            face_id,
            16,
        ),
        case(face_id_plus(768), &sd15, true, Variant::FaceIdPlusV2, plus, 4),
        case(face_id_plus(2048), &sdxl, true, Variant::FaceIdPlusV2, plus, 4),
        case(
            unnorm.clone(),
            &sdxl,
            false,
            Variant::InstantId,
            EncoderKind::InstantId,
            16,
        ),
        // A FaceID whose LoRA was taken out of the file is one still.
        (
            [mlp(512, 1024, 4, 768), ip_layers(&sd15)].concat(),
            Variant::FaceId,
            face_id,
            4,
            LoraPart::Elsewhere,
        ),
    ];
    for (shapes, variant, kind, tokens, part) in cases {
        let file = header(&shapes);
        let (encoder, family, count) = adapter(&file.checkpoint);
        let host = if count == 16 { &sd15 } else { &sdxl };
        assert_eq!((encoder.kind(), family), (kind, host.family()), "{variant}");
        assert_eq!(encoder.tokens().of(1, 1), tokens, "{variant}");
        assert_eq!(count, host.layer_count());
        let model = model(&file.checkpoint);
        assert_eq!((model.variant, model.lora), (variant, part));
        let text = file.checkpoint.describe().unwrap().to_string();
        assert_eq!(text.matches("face network").count(), 1, "{text}");
        let reads_image = model.image_encoder.is_some();
        assert_eq!(reads_image, kind == plus, "{variant}");
        let view = file.checkpoint.adapter_view().unwrap();
        let lora = Lora::find(&view, host).unwrap();
        assert_eq!(lora.is_some(), part == LoraPart::Inside);
        if let Some(lora) = lora {
            assert_eq!((lora.layers().len(), lora.rank()), (8 * count, Some(128)));
        }
    }
    assert_eq!(resampler(512, 2048).len() + ip_layers(&sdxl).len(), 51 + 140);
}

/// Whatever the host: the halves of a LoRA must be there, and fit together.
#[test]
fn half_a_lora_is_refused() {
    let host = HostSpec::sd15();
    let whole = [mlp(512, 1024, 4, 768), ip_layers(&host), lora(&host)].concat();
    let up = "ip_adapter.4.to_q_lora.up.weight";
    for (part, change) in [
        ("is missing", None),
        (
            "rank 128, tensor \"ip_adapter.4.to_q_lora.up.weight\" rank 64",
            Some(vec![320, 64]),
        ),
    ] {
        let mut shapes = whole.clone();
        let place = shapes.iter().position(|(name, _)| name == up).unwrap();
        match change {
            Some(shape) => shapes[place].1 = shape,
            None => drop(shapes.remove(place)),
        }
        let file = header(&shapes);
        let error = recognise(&file.checkpoint).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format, "{error}");
        assert!(
            error.message().contains(up) && error.message().contains(part),
            "{error}"
        );
        let description = file.checkpoint.describe().unwrap();
        assert!(description.kind.is_none() && description.problem.unwrap().contains(up));
    }
}

#[test]
fn names_of_training_scripts() {
    let host = HostSpec::sd15();
    let files = |rename: &dyn Fn(&str) -> String| {
        let shapes = [mlp(512, 1024, 4, 768), ip_layers(&host), lora(&host)].concat();
        shapes
            .into_iter()
            .map(|(name, shape)| (rename(&name), shape))
            .collect::<Shapes>()
    };
    let of_accelerate = |name: &str| {
        name.replace("image_proj.", "image_proj_model.")
            .replace("ip_adapter.", "adapter_modules.")
    };
    // The same processors as parts of the UNet, whose own weights are in the file as well.
    let in_unet = |name: &str| match name.strip_prefix("ip_adapter.") {
        None => name.replace("image_proj.", "image_proj_model."),
        Some(rest) => {
            let (number, part) = rest.split_once('.').unwrap();
            let number: usize = number.parse().unwrap();
            let layer = &host.layers()[number / 2].name;
            let layer = layer.replace("attn2", if number.is_multiple_of(2) { "attn1" } else { "attn2" });
            format!("unet.{layer}.processor.{part}")
        }
    };
    let mut with_unet = files(&in_unet);
    with_unet.push(("unet.conv_in.weight".into(), vec![320, 4, 3, 3]));
    let wrapped = |name: &str| format!("module.{}", of_accelerate(name));
    // Each half was saved from a model of its own in DataParallel.
    let inside = |name: &str| {
        name.replace("image_proj.", "image_proj.module.")
            .replace("ip_adapter.", "ip_adapter.module.")
    };
    for shapes in [files(&of_accelerate), files(&wrapped), files(&inside), with_unet] {
        let file = header(&shapes);
        let (encoder, family, count) = adapter(&file.checkpoint);
        assert_eq!(
            (encoder.kind(), family, count),
            (EncoderKind::FaceId, HostFamily::Sd15, 16)
        );
        let view = file.checkpoint.adapter_view().unwrap();
        let lora = Lora::find(&view, &host).unwrap().unwrap();
        assert_eq!(lora.layers().len(), 128);
    }
}

#[test]
fn an_embedding_of_another_width_is_refused() {
    let mut shapes = [mlp(512, 1024, 4, 768), ip_layers(&HostSpec::sd15())].concat();
    shapes[0].1 = vec![1024, 500];
    let error = recognise(&header(&shapes).checkpoint).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Format);
    assert!(error.message().contains("maps 500 values to 1024"), "{error}");
}

#[test]
fn one_of_two_models_with_the_same_tensors_is_chosen() {
    let plus = header(&[face_id_plus(768), ip_layers(&HostSpec::sd15())].concat());
    let found = model(&plus.checkpoint);
    assert_eq!(found.same_tensors, [Variant::FaceIdPlus]);
    let first = Model::of(&plus.checkpoint, Some(Variant::FaceIdPlus)).unwrap().unwrap();
    assert_eq!(first.variant, Variant::FaceIdPlus);
    let text = plus
        .checkpoint
        .describe_as(Some(Variant::FaceIdPlus))
        .unwrap()
        .to_string();
    for part in [
        "FaceID Plus",
        "faceid-plus-v2",
        "ViT-H",
        "w600k_r50",
        "LoRA",
        "research",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let error = Model::of(&plus.checkpoint, Some(Variant::InstantId)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    assert!(error.message().contains("faceid-plus-v2"), "{error}");
    // For SDXL there is only one.
    let sdxl = header(&[face_id_plus(2048), ip_layers(&HostSpec::sdxl())].concat());
    assert!(model(&sdxl.checkpoint).same_tensors.is_empty());
    let unnorm = header(&[resampler(512, 2048), ip_layers(&HostSpec::sdxl())].concat());
    let chosen = Model::of(&unnorm.checkpoint, Some(Variant::FaceIdPortraitUnnorm))
        .unwrap()
        .unwrap();
    assert!(chosen.face_network.unwrap().contains("w600k_r50"));
    assert!(model(&unnorm.checkpoint).face_network.unwrap().contains("glintr100"));
}

#[test]
fn transformers_and_pulid() {
    let instant_x = header(&[mlp(1152, 2304, 128, 4096), ip_layers(&HostSpec::flux_all())].concat());
    let (encoder, family, count) = adapter(&instant_x.checkpoint);
    assert_eq!(
        (encoder.kind(), family, count),
        (EncoderKind::InstantXFlux, HostFamily::Flux, 57)
    );
    assert_eq!(encoder.input_width(), 1152);
    assert_eq!(model(&instant_x.checkpoint).variant, Variant::InstantXFlux);
    // A small one is told from FaceID by its layers.
    let tiny = [
        mlp(8, 16, 2, 32),
        named(
            "ip_adapter.",
            &[
                ("0.to_k_ip.weight", &[16, 32]),
                ("0.to_v_ip.weight", &[16, 32]),
                ("1.to_k_ip.weight", &[16, 32]),
                ("1.to_v_ip.weight", &[16, 32]),
            ],
        ),
    ]
    .concat();
    assert_eq!(adapter(&header(&tiny).checkpoint).0.kind(), EncoderKind::InstantXFlux);

    let (sdxl, ca) = (HostSpec::sdxl(), residual("pulid_ca.", 20, 2048, 2048));
    let id_layers = layers(&sdxl, "id_adapter_attn_layers.", ["id_to_k", "id_to_v"]);
    let arcface = |set: &str| {
        [
            affine(&format!("arcface_in_{set}.0"), 12288, 512),
            norm(&format!("arcface_in_{set}.2"), 12288),
            affine(&format!("arcface_in_{set}.3"), 24576, 12288),
        ]
        .concat()
    };
    let siglip = [
        affine("siglip_in_sig.0", 3072, 768),
        norm("siglip_in_sig.2", 3072),
        affine("siglip_in_sig.3", 3072, 3072),
    ]
    .concat();
    let with_anyone = [
        arcface("arc"),
        arcface("sig"),
        siglip,
        residual("ipa_arc.", 57, 1536, 3072),
        residual("ipa_sig.", 57, 1536, 3072),
    ]
    .concat();
    let mut sd35 = [
        named("image_proj.", &[("latents", &[1, 64, 1280])]),
        affine("image_proj.time_embedding.linear_1", 1280, 320),
        affine("image_proj.time_embedding.linear_2", 1280, 1280),
        perceiver("image_proj.", 1152, 1280, 20, 2432),
        ip_layers(&HostSpec::sd35_large()),
    ]
    .concat();
    for layer in 0..4 {
        sd35.extend(affine(&format!("image_proj.layers.{layer}.2.1"), 5120, 1280));
    }
    for layer in 0..38 {
        sd35.extend(affine(&format!("ip_adapter.{layer}.norm_ip.linear"), 4864, 1280));
        for norm in ["norm_q", "norm_k", "norm_ip_k"] {
            sd35.push((format!("ip_adapter.{layer}.{norm}.weight"), vec![64]));
        }
    }
    for (shapes, variant, needs) in [
        (
            [pulid_v1("id_adapter."), id_layers.clone()].concat(),
            Variant::PulidV1,
            "EVA02",
        ),
        (
            [pulid_v1("image_proj."), ip_layers(&sdxl)].concat(),
            Variant::PulidV1,
            "EVA02",
        ),
        (
            [id_former("id_adapter."), id_layers].concat(),
            Variant::PulidV11,
            "EVA02",
        ),
        ([id_former("pulid_encoder."), ca].concat(), Variant::PulidFlux, "EVA02"),
        (with_anyone, Variant::WithAnyone, "SigLIP base"),
        (sd35, Variant::InstantXSd35, "SigLIP so400m"),
    ] {
        let file = header(&shapes);
        let model = model(&file.checkpoint);
        assert_eq!(model.variant, variant);
        assert!(model.image_encoder.unwrap().contains(needs), "{variant}");
        assert_eq!(model.face_parser.is_some(), needs == "EVA02");
        if variant == Variant::WithAnyone {
            continue;
        }
        let (encoder, family, count) = adapter(&file.checkpoint);
        let (layers, host) = match variant {
            Variant::InstantXSd35 => (38, HostFamily::Sd35),
            Variant::PulidFlux => (20, HostFamily::Flux),
            _ => (70, HostFamily::Sdxl),
        };
        assert_eq!((count, family), (layers, host), "{variant}");
        assert_eq!(encoder.needs_timestep(), variant == Variant::InstantXSd35);
    }
}
