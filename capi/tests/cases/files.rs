//! Photos and model files for the tests.

use image::{ImageFormat, RgbImage};
use rand::{rngs::StdRng, Rng, SeedableRng};
use std::fmt::Write as _;
use std::io::Cursor;
use std::path::PathBuf;

/// An example photo: a rendered person.
pub fn example(person: u32, number: u32) -> RgbImage {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let path = root.join(format!("examples/photos/person-{person}/{number:02}.jpg"));
    image::open(path).unwrap().to_rgb8()
}

/// A picture as the bytes of a file.
pub fn encoded(image: &image::DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A tensor's name and shape.
pub type Shapes = Vec<(String, Vec<usize>)>;

fn named(prefix: &str, shapes: &[(&str, &[usize])]) -> Shapes {
    let full = shapes
        .iter()
        .map(|(name, shape)| (format!("{prefix}{name}"), shape.to_vec()));
    full.collect()
}

/// A CLIP vision model of one layer, for pictures of 56 pixels.
pub fn image_encoder() -> Shapes {
    let mut shapes = named(
        "vision_model.",
        &[
            ("embeddings.class_embedding", &[64]),
            ("embeddings.patch_embedding.weight", &[64, 3, 14, 14]),
            ("embeddings.position_embedding.weight", &[17, 64]),
            ("pre_layrnorm.weight", &[64]),
            ("pre_layrnorm.bias", &[64]),
            ("post_layernorm.weight", &[64]),
            ("post_layernorm.bias", &[64]),
        ],
    );
    for part in [
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
        "self_attn.out_proj",
        "mlp.fc1",
        "mlp.fc2",
    ] {
        let prefix = format!("vision_model.encoder.layers.0.{part}.");
        shapes.extend(named(&prefix, &[("weight", &[64, 64]), ("bias", &[64])]));
    }
    for norm in ["layer_norm1", "layer_norm2"] {
        let prefix = format!("vision_model.encoder.layers.0.{norm}.");
        shapes.extend(named(&prefix, &[("weight", &[64]), ("bias", &[64])]));
    }
    shapes.extend(named("", &[("visual_projection.weight", &[32, 64])]));
    shapes
}

/// Its config.json.
pub const IMAGE_ENCODER_CONFIG: &str = r#"{"architectures": ["CLIPVisionModelWithProjection"], "hidden_size": 64,
    "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 1, "image_size": 56, "patch_size": 14,
    "hidden_act": "gelu", "layer_norm_eps": 1e-05, "projection_dim": 32}"#;

/// An IP-Adapter Plus for a host of three layers.
pub fn ip_adapter_plus() -> Shapes {
    let mut shapes = named(
        "image_proj.",
        &[
            ("latents", &[1, 4, 64]),
            ("proj_in.weight", &[64, 64]),
            ("proj_in.bias", &[64]),
            ("proj_out.weight", &[32, 64]),
            ("proj_out.bias", &[32]),
            ("norm_out.weight", &[32]),
            ("norm_out.bias", &[32]),
            ("layers.0.0.norm1.weight", &[64]),
            ("layers.0.0.norm1.bias", &[64]),
            ("layers.0.0.norm2.weight", &[64]),
            ("layers.0.0.norm2.bias", &[64]),
            ("layers.0.0.to_q.weight", &[64, 64]),
            ("layers.0.0.to_kv.weight", &[128, 64]),
            ("layers.0.0.to_out.weight", &[64, 64]),
            ("layers.0.1.0.weight", &[64]),
            ("layers.0.1.0.bias", &[64]),
            ("layers.0.1.1.weight", &[256, 64]),
            ("layers.0.1.3.weight", &[64, 256]),
        ],
    );
    for layer in [0, 1, 2] {
        for part in ["to_k_ip", "to_v_ip"] {
            shapes.extend(named(&format!("ip_adapter.{layer}.{part}."), &[("weight", &[16, 32])]));
        }
    }
    shapes
}

/// A safetensors file with these tensors in f32, random but the same for the same `seed`. `rename` gives their names in
/// the file, `change` sees each tensor's values before they are written.
pub fn safetensors(
    shapes: &Shapes,
    seed: u64,
    rename: impl Fn(&str) -> String,
    mut change: impl FnMut(&str, &mut [f32]),
) -> Vec<u8> {
    let mut random = StdRng::seed_from_u64(seed);
    let (mut header, mut data) = (String::from("{"), Vec::new());
    for (name, shape) in shapes {
        let mut values: Vec<f32> = (0..shape.iter().product())
            .map(|_| random.random_range(-0.3..0.3))
            .collect();
        change(name, &mut values);
        let (start, comma) = (data.len(), if data.is_empty() { "" } else { "," });
        data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        let (name, end) = (rename(name), data.len());
        write!(
            header,
            r#"{comma}"{name}":{{"dtype":"F32","shape":{shape:?},"data_offsets":[{start},{end}]}}"#
        )
        .unwrap();
    }
    header.push('}');
    while header.len() % 8 != 0 {
        header.push(' ');
    }
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
}

/// As it is.
pub fn same(name: &str) -> String {
    name.to_string()
}

/// Nothing is changed.
pub fn unchanged(_: &str, _: &mut [f32]) {}
