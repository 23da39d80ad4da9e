//! LoRAs: tensors with names of trainers and hosts, ranks and shapes that fit or not, found, written and read again.

use crate::draft::safetensors;
use arbitrary::Unstructured;
use omniid::checkpoint::{recognise, Checkpoint};
use omniid::host::{HostLayer, HostSpec};
use omniid::lora::{Lora, LoraFormat};
use omniid::Limits;
use std::sync::OnceLock;

/// Pieces of names.
const PARTS: [&str; 20] = [
    "lora_unet_",
    "unet.",
    "base_model.model.",
    "ip_adapter.",
    "0.",
    "1.",
    "31.",
    "down_blocks.0.attentions.0.transformer_blocks.0.attn2.",
    "down_blocks_0_attentions_0_transformer_blocks_0_attn2_",
    "mid_block.attentions.0.transformer_blocks.0.attn1.",
    "to_q",
    "to_k",
    "to_v",
    "to_out.0",
    "to_out_0",
    ".lora_down.weight",
    ".lora_up.weight",
    ".lora_A.weight",
    "_lora.down.weight",
    "_lora.up.weight",
];

/// Whether the LoRA of the whole host is there besides, its rank, and tensors: the pieces of a name, the sides, and
/// whether there is only one.
type Input = (bool, u8, Vec<([u8; 4], [u8; 2], bool)>);

/// A host of two layers, whose LoRA is small.
fn host() -> &'static HostSpec {
    static HOST: OnceLock<HostSpec> = OnceLock::new();
    HOST.get_or_init(|| {
        let layer = |block: usize| {
            let name = format!("down_blocks.{block}.attentions.0.transformer_blocks.0.attn2");
            HostLayer {
                ldm_name: Some(format!("input_blocks.{block}.1.transformer_blocks.0.attn2")),
                ..HostLayer::new(name, 2, 2, 4)
            }
        };
        HostSpec::custom("two layers", vec![layer(0), layer(1)]).expect("a sound host")
    })
}

pub fn run(bytes: &[u8]) {
    let Ok((whole, rank, named)) = Unstructured::new(bytes).arbitrary::<Input>() else {
        return;
    };
    let mut tensors: Vec<(String, Vec<usize>)> = Vec::new();
    if whole {
        let rank = 1 + usize::from(rank % 2);
        for index in 0..2 * host().layer_count() {
            for side in ["to_q", "to_k", "to_v", "to_out"] {
                for (end, shape) in [("down", [rank, 4]), ("up", [4, rank])] {
                    tensors.push((format!("ip_adapter.{index}.{side}_lora.{end}.weight"), shape.to_vec()));
                }
            }
        }
    }
    for (parts, shape, flat) in named.iter().take(12) {
        let name: String = parts
            .iter()
            .map(|part| PARTS[usize::from(*part) % PARTS.len()])
            .collect();
        let shape = shape.map(|side| usize::from(side % 9));
        let shape = if *flat { vec![shape[0]] } else { shape.to_vec() };
        match tensors.iter_mut().find(|(other, _)| *other == name) {
            Some((_, other)) => *other = shape,
            None => tensors.push((name, shape)),
        }
    }
    let Ok(checkpoint) = Checkpoint::open(safetensors(&tensors), &Limits::default()) else {
        return;
    };
    let _ = recognise(&checkpoint);
    let _ = checkpoint.describe().map(|description| description.to_string());
    let Ok(Some(lora)) = Lora::find(&checkpoint, host()) else {
        return;
    };
    for layer in lora.layers().iter().take(2) {
        let [down, up] = lora.matrices(layer).expect("the matrices were found");
        assert_eq!(down.dims()[0], up.dims()[1]);
    }
    for format in [LoraFormat::Kohya, LoraFormat::Diffusers] {
        let written = lora
            .to_bytes(format, None)
            .expect("the host names its layers as diffusers does");
        let read = Checkpoint::open(written, &Limits::default()).expect("what was written");
        assert!(read.len() >= 2 * lora.layers().len());
    }
}
