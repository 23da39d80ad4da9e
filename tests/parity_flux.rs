//! Adapters of FLUX against reference modules: golden files written by `tests/parity/cases/flux.py`; and the names and
//! shapes of the public files against the full-size hosts.
//!
//! `OMNIID_PARITY_FIXTURES` names another folder of golden files, made with a fresh seed or other sizes.

use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use omniid::adapter::{Adapter, AdapterLayout, AdapterSpelling};
use omniid::checkpoint::{Checkpoint, Shapes};
use omniid::conditioning::{Conditioning, ConditioningOptions, IdentityInput, Mask, MaskMode, Role};
use omniid::host::{HostLayer, HostSpec};
use omniid::inject::{InjectCall, ResidualCall, Scalar, TensorView, TensorViewMut};
use omniid::Limits;
use std::path::PathBuf;

/// Softmax and sums are f32 throughout: the half types differ by the rounding of what goes in and out.
const LIMITS: [(DType, f32); 3] = [(DType::F32, 1e-5), (DType::F16, 1e-3), (DType::BF16, 6e-3)];

fn open(name: &str) -> Checkpoint {
    let root = std::env::var_os("OMNIID_PARITY_FIXTURES").map(PathBuf::from);
    let root = root.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity"));
    Checkpoint::open(root.join("flux").join(name), &Limits::default()).unwrap()
}

fn tensor(file: &Checkpoint, name: &str) -> Tensor {
    file.tensor(name, DType::F32, &Device::Cpu).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn adapter(file: &str, host: &HostSpec, change: impl FnOnce(&mut AdapterLayout)) -> Adapter {
    let checkpoint = open(file).adapter_view().unwrap();
    let mut layout = AdapterLayout::infer(&checkpoint).unwrap().unwrap();
    change(&mut layout);
    let (weights, _) = checkpoint.var_builder(DType::F32, &Device::Cpu);
    Adapter::load(&layout, host, weights).unwrap()
}

/// What `inject` adds to zeros, with all memory in the number type `dtype`.
fn added(dtype: DType, input: &[f32], inject: &impl Injection) -> Vec<f32> {
    match dtype {
        DType::F16 => added_as(input, inject, f16::from_f32, f16::to_f32),
        DType::BF16 => added_as(input, inject, bf16::from_f32, bf16::to_f32),
        _ => added_as(input, inject, |value| value, |value| value),
    }
}

fn added_as<T: Scalar>(input: &[f32], inject: &impl Injection, narrow: fn(f32) -> T, widen: fn(T) -> f32) -> Vec<f32> {
    let input: Vec<T> = input.iter().map(|value| narrow(*value)).collect();
    let mut output = vec![narrow(0.0); input.len()];
    inject.run(&input, &mut output);
    output.into_iter().map(widen).collect()
}

/// One call, for any number type.
trait Injection {
    fn run<T: Scalar>(&self, input: &[T], output: &mut [T]);
}

fn check(what: &str, dtype: DType, limit: f32, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    assert!(expected.iter().any(|value| value.abs() > 0.01), "{what}: no effect");
    let distance = |(a, b): (&f32, &f32)| (a - b).abs();
    let worst = found.iter().zip(expected).map(distance).fold(0f32, f32::max);
    println!("{what} {dtype:?}: {worst:e}");
    assert!(worst <= limit, "{what} {dtype:?}: {worst:e} is over {limit:e}");
}

struct Attention<'a> {
    conditioning: &'a Conditioning,
    layer: usize,
    shape: [usize; 3],
}

impl Injection for Attention<'_> {
    fn run<T: Scalar>(&self, input: &[T], output: &mut [T]) {
        let query = TensorView::contiguous(input, self.shape).unwrap();
        let output = TensorViewMut::contiguous(output, self.shape).unwrap();
        self.conditioning
            .inject(InjectCall::new(self.layer, query, output))
            .unwrap();
    }
}

/// In double blocks the image's queries, in single blocks those of text and image; with keys normalised, and with values.
#[test]
fn instantx_normalises_keys_per_head() {
    let double = (0..2).map(|i| format!("transformer_blocks.{i}.attn"));
    let single = (0..3).map(|i| format!("single_transformer_blocks.{i}.attn"));
    let layers = double
        .chain(single)
        .map(|name| HostLayer::new(name, 2, 16, 24))
        .collect();
    let host = HostSpec::custom("small flux", layers).unwrap();
    let adapter = adapter("instantx/ip-adapter.safetensors", &host, |_| {});
    assert!(adapter.normalises_keys());
    let golden = open("instantx/golden.safetensors");
    let tokens = tensor(&golden, "tokens");
    for (prefix, normalise_values, scale) in [("delta", false, 1.0), ("delta_v_norm", true, 0.4)] {
        for (dtype, limit) in LIMITS {
            let options = ConditioningOptions::default()
                .with_dtype(dtype)
                .with_normalise_values(normalise_values);
            let input = IdentityInput::new(&tokens).with_scale(scale);
            let conditioning = Conditioning::new(&adapter, &host, &[input], &options).unwrap();
            for (index, layer) in host.layers().iter().enumerate() {
                let query = tensor(&golden, &format!("query.{}", layer.name));
                let (batch, rows, inner) = query.dims3().unwrap();
                let text = if layer.name.starts_with("single") { 5 } else { 0 };
                assert_eq!((batch, rows, inner), (1, 48 + text, 32));
                let call = Attention {
                    conditioning: &conditioning,
                    layer: index,
                    shape: [batch, rows, inner],
                };
                let found = added(dtype, &values(&query), &call);
                let name = format!("{prefix}.{}", layer.name);
                check(&name, dtype, limit, &found, &values(&tensor(&golden, &name)));
            }
        }
    }
    // Without the normalisation the result is another one, so that the test can fail.
    let plain = adapter.with_key_norm(false);
    let conditioning = Conditioning::new(
        &plain,
        &host,
        &[IdentityInput::new(&tokens)],
        &ConditioningOptions::default(),
    )
    .unwrap();
    let query = tensor(&golden, "query.transformer_blocks.1.attn");
    let call = Attention {
        conditioning: &conditioning,
        layer: 1,
        shape: [1, 48, 32],
    };
    let found = added(DType::F32, &values(&query), &call);
    let expected = values(&tensor(&golden, "delta.transformer_blocks.1.attn"));
    assert!(found.iter().zip(expected).any(|(a, b)| (a - b).abs() > 0.01));
}

struct Residual<'a> {
    conditioning: &'a Conditioning,
    layer: usize,
    shape: [usize; 3],
    roles: &'a [Role],
}

impl Injection for Residual<'_> {
    fn run<T: Scalar>(&self, input: &[T], output: &mut [T]) {
        let output = TensorViewMut::contiguous(output, self.shape).unwrap();
        let call = ResidualCall::new(self.layer, output)
            .with_hidden(TensorView::contiguous(input, self.shape).unwrap())
            .with_roles(self.roles)
            .with_latent(Some((6, 8)));
        self.conditioning.inject_residual(call).unwrap();
    }
}

/// Compares every layer with `after.{layer}` or whatever `name` says, for each number type.
fn check_residual(golden: &Checkpoint, conditioning: impl Fn(DType) -> Conditioning, roles: &[Role], name: &str) {
    let hidden = tensor(golden, "hidden");
    let (batch, rows, width) = hidden.dims3().unwrap();
    for (dtype, limit) in LIMITS {
        let conditioning = conditioning(dtype);
        assert!(conditioning.is_residual());
        for layer in 0..2 {
            let call = Residual {
                conditioning: &conditioning,
                layer,
                shape: [batch, rows, width],
                roles,
            };
            let found = added(dtype, &values(&hidden), &call);
            let name = name.replace('#', &layer.to_string());
            let expected = values(&(tensor(golden, &name) - &hidden).unwrap());
            check(&name, dtype, limit, &found, &expected);
        }
    }
}

/// A host of two places in the residual stream.
fn two_places(context: usize) -> HostSpec {
    let place = |i: usize| HostLayer::new(format!("transformer_blocks.{i}"), 3, 8, context);
    HostSpec::custom("small flux", (0..2).map(place).collect()).unwrap()
}

#[test]
fn pulid_adds_to_the_hidden_state() {
    let golden = open("pulid/golden.safetensors");
    let (tokens, none) = (tensor(&golden, "tokens"), tensor(&golden, "unconditional"));
    let host = two_places(tokens.dim(1).unwrap());
    let adapter = adapter("pulid/pulid_flux.safetensors", &host, |layout| {
        assert_eq!(layout.spelling, AdapterSpelling::PulidFlux);
    });
    let condition = |dtype| {
        let input = IdentityInput::new(&tokens).with_unconditional(&none).with_scale(0.8);
        let options = ConditioningOptions::default().with_dtype(dtype);
        Conditioning::new(&adapter, &host, &[input], &options).unwrap()
    };
    check_residual(&golden, condition, &[Role::Unconditional, Role::Conditional], "after.#");
}

/// Two people as one identity share each softmax, as in the reference without boxes; as two identities with masks they
/// are the reference with boxes.
#[test]
fn with_anyone_adds_both_token_sets() {
    let golden = open("with_anyone/golden.safetensors");
    let people = [tensor(&golden, "tokens.0"), tensor(&golden, "tokens.1")];
    let host = two_places(people[0].dim(1).unwrap());
    let adapter = adapter("with_anyone/withanyone.safetensors", &host, |layout| {
        assert_eq!(layout.spelling, AdapterSpelling::WithAnyone);
        layout.residual.as_mut().unwrap().token_sets = vec![2, 6];
    });
    let everyone = Tensor::cat(&people, 0).unwrap();
    let masks = tensor(&golden, "masks");
    for weight in [0.25, 1.0] {
        let options = |dtype| {
            let options = ConditioningOptions::default()
                .with_dtype(dtype)
                .with_siglip_weight(weight);
            options.with_mask_mode(MaskMode::Diffusers)
        };
        let joint =
            |dtype| Conditioning::new(&adapter, &host, &[IdentityInput::new(&everyone)], &options(dtype)).unwrap();
        check_residual(&golden, joint, &[], &format!("joint.#.{weight:?}"));
        let apart = |dtype| {
            let inputs = [0, 1].map(|person| {
                let mask = masks.get(person).unwrap();
                IdentityInput::new(&people[person]).with_mask(Mask::new(6, 8, &values(&mask)).unwrap())
            });
            Conditioning::new(&adapter, &host, &inputs, &options(dtype)).unwrap()
        };
        check_residual(&golden, apart, &[], &format!("masked.#.{weight:?}"));
    }
}

/// The names and shapes of a public file, and the layers that they become.
fn public(tensors: impl IntoIterator<Item = (String, Vec<usize>)>, host: &HostSpec) -> (AdapterLayout, Vec<String>) {
    let layout = AdapterLayout::infer(tensors.into_iter().collect::<Shapes>())
        .unwrap()
        .unwrap();
    assert_eq!(layout.host().as_ref(), Some(host));
    assert_eq!(&HostSpec::named(host.name()).unwrap(), host);
    let tensors = Adapter::tensors(&layout, host).unwrap();
    (layout, tensors.into_iter().map(|spec| spec.name).collect())
}

fn residual_tensors(prefix: &str, layer: usize, [inner, hidden, context]: [usize; 3]) -> Vec<(String, Vec<usize>)> {
    let shapes: [(&str, &[usize]); 7] = [
        ("norm1.weight", &[context]),
        ("norm1.bias", &[context]),
        ("norm2.weight", &[hidden]),
        ("norm2.bias", &[hidden]),
        ("to_q.weight", &[inner, hidden]),
        ("to_kv.weight", &[2 * inner, context]),
        ("to_out.weight", &[hidden, inner]),
    ];
    let shapes = shapes.iter();
    shapes
        .map(|(name, shape)| (format!("{prefix}.{layer}.{name}"), shape.to_vec()))
        .collect()
}

#[test]
fn public_names_are_the_full_size_hosts_layers() {
    // InstantX: 57 layers, no biases; keys are normalised.
    let sides = (0..57).flat_map(|i| ["k", "v"].map(|side| format!("ip_adapter.{i}.to_{side}_ip.weight")));
    let host = HostSpec::flux_all();
    let (layout, names) = public(sides.clone().map(|name| (name, vec![3072, 4096])), &host);
    assert!(layout.normalises_keys(&host) && layout.residual.is_none());
    assert_eq!(names, sides.collect::<Vec<_>>());
    // XLabs: 19 layers with biases; keys are not.
    let parts = |i: usize| {
        ["k", "v"].into_iter().flat_map(move |side| {
            let name = move |part: &str| format!("ip_adapter.{i}.to_{side}_ip.{part}");
            [(name("weight"), vec![3072, 4096]), (name("bias"), vec![3072])]
        })
    };
    let (layout, _) = public((0..19).flat_map(parts), &HostSpec::flux());
    assert!(!layout.normalises_keys(&HostSpec::flux()) && layout.bias);
    // PuLID-FLUX: place i of 20.
    let host = HostSpec::pulid_flux();
    let sizes = [2048, 3072, 2048];
    let (layout, names) = public((0..20).flat_map(|i| residual_tensors("pulid_ca", i, sizes)), &host);
    let residual = layout.residual.unwrap();
    assert_eq!(
        (residual.hidden, residual.token_sets.len(), names.len()),
        (3072, 0, 140)
    );
    assert!(names.iter().any(|name| name == "pulid_ca.19.to_kv.weight"));
    let [tenth, eleventh] = [9, 10].map(|i: usize| host.layers()[i].name.as_str());
    assert_eq!(
        [tenth, eleventh],
        ["transformer_blocks.18", "single_transformer_blocks.0"]
    );
    // WithAnyone: two sets of 57; the numbers of tokens stand in the projections.
    let host = HostSpec::with_anyone();
    let layers = ["ipa_arc", "ipa_sig"]
        .into_iter()
        .flat_map(|set| (0..57).flat_map(move |i| residual_tensors(set, i, [1536, 3072, 3072])));
    let projections =
        ["arcface_in_arc", "arcface_in_sig"].map(|name| (format!("image_proj.{name}.3.weight"), vec![24_576, 12_288]));
    let (layout, names) = public(layers.chain(projections), &host);
    assert_eq!(layout.residual.unwrap().token_sets, [8, 264]);
    assert_eq!(names.len(), 2 * 57 * 7);
}

/// PuLID's layers for SDXL are those of an IP-Adapter under other names, in both published files and ComfyUI's.
#[test]
fn pulid_for_sdxl_is_an_ip_adapter() {
    use omniid::checkpoint::safetensors_to_bytes;
    let zero = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let names = [
        ("id_adapter.body.0.weight", "image_proj.body.0.weight"),
        ("id_adapter_attn_layers.1.id_to_k.weight", "ip_adapter.1.to_k_ip.weight"),
        ("id_adapter_attn_layers.1.id_to_v.weight", "ip_adapter.1.to_v_ip.weight"),
        (
            "id_adapter_attn_layers.139.id_to_k.weight",
            "ip_adapter.139.to_k_ip.weight",
        ),
        (
            "id_adapter_attn_layers.139.id_to_v.weight",
            "ip_adapter.139.to_v_ip.weight",
        ),
    ];
    let tensors: Vec<_> = names
        .iter()
        .map(|(name, _)| (name.to_string(), zero(&[4, 8])))
        .collect();
    let bytes = safetensors_to_bytes(&tensors, &Default::default()).unwrap();
    let view = Checkpoint::open(bytes, &Limits::default())
        .unwrap()
        .adapter_view()
        .unwrap();
    let mut expected: Vec<_> = names.iter().map(|(_, name)| name.to_string()).collect();
    expected.sort();
    let mut found: Vec<_> = view.names().map(str::to_string).collect();
    found.sort();
    assert_eq!(found, expected);
    let layout = AdapterLayout::infer(&view).unwrap().unwrap();
    assert_eq!(
        layout.shapes.iter().map(|shape| shape.key).collect::<Vec<_>>(),
        [1, 139]
    );
}
