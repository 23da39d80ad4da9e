//! Damaged, lying, incomplete and unfitting model files.

use super::{config, encode, engine, host, open, options, refused, through, Parts};
use candle_core::{DType, Device, Tensor};
use omniid::checkpoint::safetensors_to_bytes;
use omniid::engine::{Engine, EngineOptions, Source};
use omniid::Precision;
use omniid::{ErrorKind, Limits};

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap()
}

#[test]
fn a_model_cut_anywhere_is_refused() {
    let whole = Parts::sound(1).bytes();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let everywhere = (0..whole.len()).step_by(whole.len() / 300 + 1);
    for cut in everywhere.chain([1, 7, 8, 9, header - 1, header, header + 1, whole.len() - 1]) {
        refused(
            &format!("cut at {cut}"),
            open(whole[..cut].to_vec()),
            ErrorKind::Format,
            &["checkpoint in memory"],
        );
    }
}

/// Replaces text in the header, keeping its length true.
fn with_header(from: &str, to: &str) -> Vec<u8> {
    let whole = Parts::sound(1).bytes();
    let length = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let header = std::str::from_utf8(&whole[8..length]).unwrap();
    assert!(header.contains(from), "{from} is not in {header}");
    let header = header.replacen(from, to, 1);
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(&whole[length..]);
    bytes
}

#[test]
fn lying_headers_are_refused() {
    let queries = "\"encoder.queries\":{\"dtype\":\"F32\",\"shape\":[3,16]";
    let lie = |text: &str| with_header(queries, &format!("\"encoder.queries\":{{{text}"));
    let huge = "18446744073709551615";
    let cases = [
        ("more elements than bytes", lie("\"dtype\":\"F32\",\"shape\":[3,17]")),
        (
            "a product that overflows",
            lie("\"dtype\":\"F32\",\"shape\":[4294967296,4294967296]"),
        ),
        (
            "a product that wraps round to the truth",
            lie("\"dtype\":\"F32\",\"shape\":[3,16,1152921504606846977]"),
        ),
        (
            "a dimension beyond the address space",
            lie(&format!("\"dtype\":\"F32\",\"shape\":[{huge},0]")),
        ),
        ("another element size", lie("\"dtype\":\"F64\",\"shape\":[3,16]")),
        (
            "an element type that does not exist",
            lie("\"dtype\":\"F33\",\"shape\":[3,16]"),
        ),
        (
            "a name used twice",
            with_header("\"encoder.norm_out.bias\"", "\"encoder.norm_out.weight\""),
        ),
    ];
    for (case, bytes) in cases {
        refused(case, open(bytes), ErrorKind::Format, &["checkpoint in memory"]);
    }
    let whole = Parts::sound(1).bytes();
    for claimed in [u64::MAX, 1 << 40, whole.len() as u64] {
        let mut bytes = whole.clone();
        bytes[..8].copy_from_slice(&claimed.to_le_bytes());
        refused("header length", open(bytes), ErrorKind::Format, &[&claimed.to_string()]);
    }
    let limits = Limits::default().with_max_header_bytes(100);
    let opened = Engine::open(options(whole).with_limits(limits));
    refused("long header", opened, ErrorKind::LimitExceeded, &["at most 100"]);
}

/// One tensor of each part of a model, and what it is called in the part.
const ONE_OF_EACH: [&str; 5] = [
    "backbone.vision_model.embeddings.class_embedding",
    "backbone.vision_model.encoder.layers.0.mlp.fc1.weight",
    "encoder.queries",
    "encoder.blocks.0.cross_attention.to_q.weight",
    "adapter.proj.0.weight",
];

#[test]
fn missing_extra_and_misshapen_tensors_are_named() {
    for name in ONE_OF_EACH.into_iter().chain(["adapter.layers.1.to_v.weight"]) {
        let mut parts = Parts::sound(1);
        let tensor = parts.tensors.remove(name).unwrap();
        let short = name.split_once('.').unwrap().1;
        refused("missing", through(parts.open()), ErrorKind::Format, &[short]);

        let mut larger = tensor.dims().to_vec();
        larger[0] += 1;
        parts.tensors.insert(name.into(), zeros(&larger));
        let found = format!("{larger:?}");
        refused(
            "one row too many",
            through(parts.open()),
            ErrorKind::Format,
            &[short, &found],
        );

        parts.tensors.insert(name.into(), tensor);
        let extra = format!("{name}_2");
        parts.tensors.insert(extra.clone(), zeros(&[1]));
        refused("extra", through(parts.open()), ErrorKind::Format, &[&extra]);
    }
    let mut parts = Parts::sound(1);
    parts.tensors.insert("decoder.weight".into(), zeros(&[1]));
    refused(
        "another part",
        parts.open(),
        ErrorKind::Format,
        &["\"decoder.weight\"", "encoder."],
    );
    parts.tensors.clear();
    refused("no tensor at all", parts.open(), ErrorKind::Format, &["is missing"]);
}

#[test]
fn weights_must_be_floating_point_numbers() {
    for name in ONE_OF_EACH {
        for dtype in [DType::U8, DType::I64] {
            let mut parts = Parts::sound(1);
            let tensor = parts.tensors[name].to_dtype(dtype).unwrap();
            parts.tensors.insert(name.into(), tensor);
            let short = name.split_once('.').unwrap().1;
            refused(
                "whole numbers",
                through(parts.open()),
                ErrorKind::Format,
                &[short, &format!("{dtype:?}")],
            );
        }
        let mut parts = Parts::sound(1);
        for dtype in [DType::F64, DType::F16, DType::BF16] {
            let tensor = parts.tensors[name].to_dtype(dtype).unwrap();
            parts.tensors.insert(name.into(), tensor);
            through(parts.open()).unwrap();
        }
    }
}

#[test]
fn weights_that_are_not_finite_do_not_become_an_identity() {
    for value in [f64::NAN, f64::INFINITY] {
        for name in ["encoder.norm_out.weight", "backbone.vision_model.pre_layrnorm.bias"] {
            let mut parts = Parts::sound(1);
            let tensor = (&parts.tensors[name] * 0.0).unwrap();
            parts.tensors.insert(name.into(), (tensor + value).unwrap());
            let error = refused(name, through(parts.open()), ErrorKind::Format, &["weights"]);
            assert!(error.message().contains("not finite"), "{error}");
        }
    }
}

#[test]
fn files_of_another_kind_are_named() {
    let identity = encode(&engine()).unwrap();
    let bytes = identity.to_bytes(Precision::F32).unwrap();
    refused("an identity", open(bytes), ErrorKind::Mismatch, &["OmniID identity"]);
    let other: [(&[u8], ErrorKind, &str); 6] = [
        (b"", ErrorKind::Format, "0 bytes"),
        (b"\x89PNG\r\n\x1a\n", ErrorKind::Format, "PNG"),
        (b"\xff\xd8\xff\xe0 JFIF", ErrorKind::Format, "JPEG"),
        (b"GGUF\x03\0\0\0", ErrorKind::Format, "GGUF"),
        (
            b"version https://git-lfs.github.com/spec/v1",
            ErrorKind::Format,
            "git lfs pull",
        ),
        (b"\x80\x02\x8a\nl\xfc\x9c", ErrorKind::Unsupported, "before 1.6"),
    ];
    for (bytes, kind, word) in other {
        refused(word, open(bytes.to_vec()), kind, &[word]);
    }
    let bytes = safetensors_to_bytes(&[("a".to_string(), zeros(&[1]))], &Default::default()).unwrap();
    refused("unknown layout", open(bytes), ErrorKind::Unsupported, &["\"a\""]);
}

#[test]
fn paths_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str| Engine::open(EngineOptions::new(folder.path().join(name)));
    refused(
        "missing",
        open("absent.safetensors"),
        ErrorKind::Io,
        &["absent.safetensors"],
    );
    refused(
        "a folder",
        open(""),
        ErrorKind::InvalidArgument,
        &[folder.path().to_str().unwrap()],
    );
    std::fs::write(folder.path().join("empty"), b"").unwrap();
    let error = refused("empty", open("empty"), ErrorKind::Format, &["empty", "0 bytes"]);
    let path = folder.path().join("empty").display().to_string();
    assert_eq!(error.message().matches(&path).count(), 1, "the path once: {error}");
}

/// A base IP-Adapter of two layers, in the public layout.
fn public() -> Vec<u8> {
    let tensors = [
        ("image_proj.proj.weight", vec![4 * 20, 16]),
        ("image_proj.proj.bias", vec![4 * 20]),
        ("image_proj.norm.weight", vec![20]),
        ("image_proj.norm.bias", vec![20]),
        ("ip_adapter.1.to_k_ip.weight", vec![16, 20]),
        ("ip_adapter.1.to_v_ip.weight", vec![16, 20]),
    ]
    .map(|(name, shape)| (name.to_string(), zeros(&shape)));
    safetensors_to_bytes(&tensors, &Default::default()).unwrap()
}

#[test]
fn parts_that_do_not_belong_together_are_named() {
    let open = |options: EngineOptions| Engine::open(options);
    refused(
        "no image encoder",
        open(options(public())),
        ErrorKind::InvalidArgument,
        &["image encoder"],
    );
    let image_encoder = Source::from(public());
    let opened = open(options(public()).with_image_encoder(image_encoder));
    refused(
        "an adapter as image encoder",
        opened,
        ErrorKind::Mismatch,
        &["image encoder", "IP-Adapter"],
    );
    let detector = Source::from(public());
    let opened = open(options(Parts::sound(1).bytes()).with_detector(detector));
    let error = opened.expect_err("an adapter is no detector");
    assert!(
        matches!(error.kind(), ErrorKind::Format | ErrorKind::Mismatch),
        "{error}"
    );
    assert!(error.message().contains("detector"), "{error}");
    let detector = Source::from(b"\x08\x07".to_vec());
    let opened = open(options(Parts::sound(1).bytes()).with_detector(detector));
    refused("damaged detector", opened, ErrorKind::Format, &["detector"]);
}

#[test]
fn the_configuration_beside_an_image_encoder_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let clip = omniid::vit::VisionTransformer::tensors(&config().backbone.unwrap()).unwrap();
    let tensors: Vec<_> = clip.into_iter().map(|spec| (spec.name, zeros(&spec.shape))).collect();
    omniid::checkpoint::write_safetensors(&path, &tensors, &Default::default()).unwrap();
    let open = |text: &str, limits: Limits| {
        std::fs::write(folder.path().join("config.json"), text).unwrap();
        let image_encoder = Source::from(path.clone());
        Engine::open(options(public()).with_image_encoder(image_encoder).with_limits(limits))
    };
    let short = Limits::default().with_max_header_bytes(10_000);
    refused(
        "long",
        open(&" ".repeat(10_001), short),
        ErrorKind::LimitExceeded,
        &["config.json", "10000 bytes"],
    );
    refused("not JSON", open("{", short), ErrorKind::Format, &["config.json"]);
    let text = serde_json::to_string(&config().backbone).unwrap();
    let wrong = text.replace("\"hidden_size\":16", "\"hidden_size\":32");
    refused(
        "another width",
        open(&wrong, short),
        ErrorKind::Format,
        &["hidden_size 32", "16"],
    );
    // Then it is the encoder that does not fit: it takes the pooled embedding, and this file has no projection.
    refused(
        "no projection",
        open(&text, short),
        ErrorKind::Mismatch,
        &["width 16", "no projection"],
    );
}

#[test]
fn adapters_refuse_another_host() {
    let sound = Parts::sound(1).bytes();
    let with = |host| {
        let options = options(sound.clone()).with_host(host);
        through(Engine::open(options))
    };
    with(host(8, 20)).unwrap();
    refused(
        "wider heads",
        with(host(16, 20)),
        ErrorKind::Mismatch,
        &["first", "[16, 20]", "[32, 20]"],
    );
    refused(
        "another context",
        with(host(8, 24)),
        ErrorKind::Mismatch,
        &["first", "[16, 20]", "[16, 24]"],
    );
    let layers = |count: usize| {
        let names = ["first", "second", "third"];
        let layer = |i: usize| omniid::host::HostLayer::new(names[i], [2, 4, 4][i], 8, 20);
        omniid::host::HostSpec::custom("mine", (0..count).map(layer).collect()).unwrap()
    };
    refused("one layer more", with(layers(3)), ErrorKind::Mismatch, &["third"]);
    refused("one layer less", with(layers(1)), ErrorKind::Mismatch, &["1"]);
    refused(
        "SD 1.5",
        with(omniid::host::HostSpec::sd15()),
        ErrorKind::Mismatch,
        &["sd15"],
    );
}
