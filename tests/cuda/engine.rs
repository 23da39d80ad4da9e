//! A whole engine on the device: photos in, keys and values out.

use crate::gpu;
use crate::host::{noise, stream, Buffer};
use candle_core::{DType, Tensor};
use omniid::conditioning::{Conditioning, ConditioningOptions, Role};
use omniid::cuda::Export;
use omniid::encoder::{EncoderConfig, OmniIdConfig};
use omniid::engine::{write_untrained, DeviceChoice, EncodeOptions, Engine, EngineOptions, HostConfig, NativeConfig};
use omniid::face::CropMode;
use omniid::host::{HostLayer, HostSpec};
use omniid::identity::Identity;
use omniid::inject::InjectCall;
use omniid::photo::{ChannelOrder, Photo, PixelBuffer};
use omniid::vit::{VisionConfig, VisionFamily};
use omniid::Precision;
use omniid_kernels::layers::Activation;
use std::path::Path;

const SIZE: u32 = 56;

fn config() -> NativeConfig {
    NativeConfig {
        name: "test".into(),
        backbone: Some(VisionConfig {
            family: VisionFamily::Clip,
            hidden_size: 32,
            intermediate_size: 64,
            num_hidden_layers: 3,
            num_attention_heads: 4,
            image_size: SIZE as usize,
            patch_size: 14,
            hidden_act: Activation::Gelu,
            layer_norm_eps: 1e-5,
            projection_dim: None,
        }),
        pixels: Default::default(),
        crop: CropMode::None,
        encoder: EncoderConfig::OmniId(OmniIdConfig {
            queries: 6,
            width: 32,
            depth: 2,
            heads: 2,
            head_width: 16,
            feed_forward_multiplier: 2,
            feature_width: 32,
            feature_tokens: 17,
            token_width: 24,
            key_position: true,
            include_class_token: true,
        }),
        recogniser: None,
        parser: None,
        host: Some(HostConfig::from(
            &HostSpec::custom("one layer", vec![HostLayer::new("first", 2, 40, 20)]).unwrap(),
        )),
    }
}

fn open(path: &Path, device: DeviceChoice, precision: Precision) -> Engine {
    let options = EngineOptions::new(path).with_device(device).with_precision(precision);
    Engine::open(options).unwrap()
}

fn encode(engine: &Engine) -> Identity {
    let pictures = [1, 2].map(|seed| {
        let values = noise((SIZE * SIZE * 3) as usize, seed);
        values
            .iter()
            .map(|value| (127.5 + 127.0 * value) as u8)
            .collect::<Vec<_>>()
    });
    let photos = pictures.each_ref().map(|pixels| {
        let buffer = PixelBuffer::new(pixels.as_slice(), SIZE, SIZE, (SIZE * 3) as usize, ChannelOrder::Rgb);
        Photo::from_pixels(buffer.unwrap())
    });
    engine.encode(&photos, &EncodeOptions::default()).unwrap().identity
}

fn condition(engine: &Engine, identity: &Identity) -> Conditioning {
    let options = ConditioningOptions::default();
    engine.condition([identity], &options).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor
        .to_dtype(DType::F32)
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1()
        .unwrap()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn engines_on_both_devices_agree() {
    if gpu().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    write_untrained(&path, &config(), 1).unwrap();
    for (precision, limit) in [(Precision::F32, 2e-5), (Precision::F16, 2e-2), (Precision::Bf16, 1e-1)] {
        let cpu = open(&path, DeviceChoice::Cpu, Precision::F32);
        let gpu = open(&path, DeviceChoice::Cuda(0), precision);
        let (expected, found) = (encode(&cpu), encode(&gpu));
        let difference = largest_difference(found.values(), expected.values());
        println!("identity, {precision:?}: {difference:e}");
        assert!(difference <= limit, "{precision:?}: {difference}");

        // The same identity on both, so that only the projections differ.
        let (expected, found) = (condition(&cpu, &expected), condition(&gpu, &expected));
        for role in [Role::Conditional, Role::Unconditional] {
            let pair = |conditioning: &Conditioning| {
                let keys = conditioning.keys(0, 0, role).unwrap().unwrap();
                (
                    values(&keys),
                    values(&conditioning.values(0, 0, role).unwrap().unwrap()),
                )
            };
            let (expected, found) = (pair(&expected), pair(&found));
            let difference = largest_difference(&found.0, &expected.0).max(largest_difference(&found.1, &expected.1));
            assert!(difference <= limit, "{role:?}, {precision:?}: {difference}");
        }
    }
}

/// Keys and values handed out, run through a plain attention, give what injection gives.
#[test]
fn handed_out_keys_and_values_do_what_injection_does() {
    let Some(device) = gpu() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    write_untrained(&path, &config(), 2).unwrap();
    let engine = open(&path, DeviceChoice::Cuda(0), Precision::F32);
    let conditioning = condition(&engine, &encode(&engine));
    let (own, number) = stream();
    let query = noise(30 * 80, 3);
    let (q, o) = (
        Buffer::new(&own, &query, DType::F32),
        Buffer::new(&own, &[0.0; 2400], DType::F32),
    );
    let shape = [1, 30, 80];
    let call = InjectCall::new(0, q.view(&shape, None), o.output(&shape, None).unwrap()).with_stream(number);
    conditioning.inject(call).unwrap();

    let handed_out = |tensor: Option<Tensor>| {
        let export = Export::new(&tensor.unwrap(), number).unwrap();
        let (tokens, heads, width) = export.tensor().dims3().unwrap();
        assert_eq!((heads, width), (2, 40));
        Tensor::from_vec(values(export.tensor()), (1, tokens, 80), &device).unwrap()
    };
    let keys = handed_out(conditioning.keys(0, 0, Role::Conditional).unwrap());
    let others = handed_out(conditioning.values(0, 0, Role::Conditional).unwrap());
    let queries = Tensor::from_vec(query, (1, 30, 80), &device).unwrap();
    let expected = values(&omniid_kernels::layers::attention(&queries, &keys, &others, 2).unwrap());
    assert!(largest_difference(&o.read(), &expected) <= 1e-5);
}
