//! From the bytes of an identity to the host's memory: an `.omniid` file is read, conditioned in every way that there is,
//! and injected into memory of every number type, order and spacing.

use crate::draft::{number, pick};
use crate::model;
use arbitrary::Unstructured;
use candle_core::DType;
use half::{bf16, f16};
use omniid::conditioning::{
    Conditioning, ConditioningOptions, EmbedsScaling, Injection, LayerScales, Mask, MaskMode, Role, Step, StepRange,
    Unconditional, WeightType,
};
use omniid::engine::{ConditioningInput, Engine};
use omniid::identity::Identity;
use omniid::inject::{InjectCall, ResidualCall, Scalar, TensorView, TensorViewMut};
use omniid::{Limits, Precision};

type Input<'a, 'b> = &'a mut Unstructured<'b>;

fn flag(input: Input<'_, '_>) -> bool {
    input.arbitrary().unwrap_or(false)
}

/// A plausible number, or now and then one of any kind.
fn real(input: Input<'_, '_>) -> f32 {
    match number(input, 0..=15) {
        15 => input.arbitrary().unwrap_or(f32::NAN),
        step => step as f32 / 8.0,
    }
}

pub fn run(bytes: &[u8]) {
    let mut input = Unstructured::new(bytes);
    let input = &mut input;
    let residual = number(input, 0..=7) == 7;
    let engine = if residual {
        model::residual_engine()
    } else {
        model::engine()
    };
    let Some(identity) = identity(input, engine) else {
        return;
    };
    let Some(conditioning) = conditioning(input, engine, &identity) else {
        return;
    };
    contents(input, &conditioning);
    match number(input, 0..=2) {
        0 => call::<f32>(input, &conditioning, f32::to_bits, |value| value),
        1 => call::<f16>(input, &conditioning, |value| value.to_bits().into(), f16::from_f32),
        _ => call::<bf16>(input, &conditioning, |value| value.to_bits().into(), bf16::from_f32),
    }
}

/// An identity through the bytes of its file, of which one may be damaged.
fn identity(input: Input<'_, '_>, engine: &Engine) -> Option<Identity> {
    let [tokens, width] = model::TOKENS;
    let seed = f32::from(input.arbitrary::<u8>().unwrap_or(1));
    let mut values: Vec<f32> = (0..tokens * width).map(|i| (i as f32 * 0.37 + seed).sin()).collect();
    for _ in 0..number(input, 0..=2) {
        let place = number(input, 0..=tokens * width - 1);
        values[place] = input.arbitrary().unwrap_or(0.0);
    }
    let shape = if number(input, 0..=15) == 15 {
        [width, tokens]
    } else {
        [tokens, width]
    };
    let made = model::identity_of(engine, shape, values).ok()?;
    let mut bytes = made
        .to_bytes(*pick(input, &[Precision::F32, Precision::F16, Precision::Bf16]))
        .ok()?;
    if number(input, 0..=3) == 3 {
        let place = number(input, 0..=bytes.len() - 1);
        bytes[place] = input.arbitrary().unwrap_or(0);
    }
    Identity::load(bytes, &Limits::default()).ok()
}

fn mask(input: Input<'_, '_>) -> Option<Mask> {
    let (height, width) = (number(input, 1..=9), number(input, 1..=9));
    let values: Vec<f32> = (0..height * width)
        .map(|_| number(input, 0..=16) as f32 / 16.0)
        .collect();
    Some(Mask::new(height, width, &values).expect("values from 0 to 1"))
}

fn conditioning(input: Input<'_, '_>, engine: &Engine, identity: &Identity) -> Option<Conditioning> {
    let host = engine.host().expect("the model has a host");
    let types: Vec<WeightType> = WeightType::all().collect();
    let mut options = ConditioningOptions::default()
        .with_weight_type(if flag(input) {
            WeightType::Linear
        } else {
            *pick(input, &types)
        })
        .with_dtype(*pick(
            input,
            &[DType::F32, DType::F16, DType::BF16, DType::F32, DType::F64],
        ))
        .with_mask_mode(*pick(input, &[MaskMode::ComfyUi, MaskMode::Diffusers]))
        .with_injection(*pick(input, &Injection::ALL))
        .with_embeds_scaling(*pick(
            input,
            &[
                EmbedsScaling::ValuesOnly,
                EmbedsScaling::KeysAndValues,
                EmbedsScaling::KeysAndValuesPenalty,
                EmbedsScaling::KeysAndMeanValuesPenalty,
            ],
        ))
        .with_zero_tokens(*pick(
            input,
            &[0, 0, 1, 8, 16, ConditioningOptions::MOST_ZERO_TOKENS + 1],
        ));
    if number(input, 0..=3) == 3 {
        let factors: Vec<f32> = (0..host.layer_count()).map(|_| real(input)).collect();
        options = options.with_layer_scales(LayerScales::per_layer(host, &factors).ok()?);
    }
    if number(input, 0..=7) == 7 {
        options.composition_scale = Some(real(input));
        options.style_boost = flag(input).then(|| real(input));
    }
    let mut people = Vec::new();
    for _ in 0..number(input, 1..=2) {
        let mut person = ConditioningInput::new(identity).with_scale(real(input));
        if number(input, 0..=2) == 2 {
            person.mask = mask(input);
        }
        person.steps = match number(input, 0..=5) {
            4 => StepRange::Sigma {
                start: real(input).into(),
                end: real(input).into(),
            },
            5 => StepRange::Fraction {
                start: real(input).into(),
                end: real(input).into(),
            },
            _ => StepRange::Always,
        };
        person.unconditional = match number(input, 0..=9) {
            0 => Unconditional::None,
            1 => Unconditional::ZeroEmbedding,
            2 => Unconditional::ZeroFeatures,
            3 => Unconditional::ZeroTokens,
            4 => Unconditional::MeanTokens,
            _ => Unconditional::Default,
        };
        person.negative = (number(input, 0..=7) == 7).then_some(identity);
        people.push(person);
    }
    engine.condition(people, &options).ok()
}

fn step(input: Input<'_, '_>) -> Step {
    Step {
        sigma: flag(input).then(|| real(input).into()),
        fraction: flag(input).then(|| real(input).into()),
    }
}

/// What a host can ask of a conditioning.
fn contents(input: Input<'_, '_>, conditioning: &Conditioning) {
    let (layer, person) = (number(input, 0..=3), number(input, 0..=2));
    let role = *pick(input, &[Role::Conditional, Role::Unconditional]);
    let (keys, values) = (
        conditioning.keys(layer, person, role),
        conditioning.values(layer, person, role),
    );
    match (keys, values) {
        (Ok(Some(keys)), Ok(Some(values))) => assert_eq!(keys.dims(), values.dims()),
        (keys, values) => assert_eq!(keys.is_ok(), values.is_ok()),
    }
    let _ = conditioning.factor(layer, person);
    let _ = conditioning.is_active(person, &step(input));
    let latent = flag(input).then(|| (number(input, 0..=12), number(input, 0..=12)));
    let tokens = number(input, 0..=64);
    if let Ok(Some(factors)) = conditioning.mask_factors(person, tokens, latent) {
        assert_eq!(factors.len(), tokens);
    }
}

/// Shape and strides of a view, and how many elements it needs: in any order, with gaps, or repeated.
fn layout(input: Input<'_, '_>, shape: [usize; 4]) -> ([usize; 4], usize) {
    let mut order = [0, 1, 2, 3];
    if flag(input) {
        for place in 0..4 {
            order.swap(place, number(input, place..=3));
        }
    }
    let (mut strides, mut span) = ([0; 4], 1);
    for &dimension in order.iter().rev() {
        strides[dimension] = span;
        span = span * shape[dimension] + if flag(input) { number(input, 0..=3) } else { 0 };
    }
    if number(input, 0..=31) == 31 {
        strides[number(input, 0..=3)] = number(input, 0..=40);
    }
    (strides, span)
}

/// One injection. What is not part of the output's view stays as it is; so does all of it after an error.
fn call<T: Scalar>(
    input: Input<'_, '_>,
    conditioning: &Conditioning,
    bits: impl Fn(T) -> u32,
    from: impl Fn(f32) -> T,
) {
    let layer = number(input, 0..=2);
    let known = conditioning.host().layer(layer).ok();
    let (heads, head_dim) = known.map_or((2, 8), |layer| (layer.heads, layer.head_dim));
    let latent = flag(input).then(|| (number(input, 1..=9), number(input, 1..=9)));
    let rows = match latent {
        Some((height, width)) if flag(input) => height * width,
        _ => number(input, 0..=40),
    };
    let batch = number(input, 0..=3);
    let width = known
        .and_then(|layer| layer.hidden)
        .filter(|_| conditioning.is_residual());
    let mut shape = width.map_or([batch, rows, heads, head_dim], |width| [1, batch, rows, width]);
    if number(input, 0..=15) == 15 {
        shape[number(input, 0..=3)] = number(input, 0..=9);
    }
    let (by_query, needs_query) = layout(input, shape);
    let (by_output, needs_output) = layout(input, shape);
    let level = real(input);
    let odd = if number(input, 0..=31) == 31 { f32::NAN } else { 0.5 };
    let query: Vec<T> = (0..needs_query)
        .map(|i| from(if i == 7 { odd } else { (i as f32 * 0.11).sin() * level }))
        .collect();
    let mut output: Vec<T> = (0..needs_output).map(|i| from((i as f32 * 0.13).cos())).collect();
    let before: Vec<u32> = output.iter().map(|value| bits(*value)).collect();
    let roles: Vec<Role> = (0..number(input, 0..=4))
        .map(|_| {
            if flag(input) {
                Role::Unconditional
            } else {
                Role::Conditional
            }
        })
        .collect();
    let (step, scale, check) = (step(input), real(input), number(input, 0..=7) != 7);
    let part_count = *pick(input, &[1, 1, 1, 2, 3, 0]);
    let part = number(input, 0..=2);
    let outcome = if width.is_some() {
        let [_, batch, rows, width] = shape;
        let last = |strides: [usize; 4]| [strides[1], strides[2], strides[3]];
        let Ok(hidden) = TensorView::new(&query, [batch, rows, width], last(by_query)) else {
            return;
        };
        let Ok(target) = TensorViewMut::new(&mut output, [batch, rows, width], last(by_output)) else {
            return;
        };
        let mut call = ResidualCall::new(layer, target)
            .with_step(step)
            .with_roles(&roles)
            .with_scale(scale);
        call.hidden = flag(input).then_some(hidden);
        (call.latent, call.check_hidden) = (latent, check);
        conditioning.inject_residual(call)
    } else {
        let Ok(view) = TensorView::new(&query, shape, by_query) else {
            return;
        };
        let Ok(target) = TensorViewMut::new(&mut output, shape, by_output) else {
            return;
        };
        let call = InjectCall::new(layer, view, target)
            .with_step(step)
            .with_roles(&roles)
            .with_scale(scale);
        conditioning.inject(
            call.with_latent(latent)
                .with_check_query(check)
                .with_part(part)
                .with_part_count(part_count),
        )
    };
    let changed = |index: usize| bits(output[index]) != before[index];
    let Err(error) = outcome else {
        let inside = elements(shape, by_output, needs_output);
        assert!(
            (0..needs_output).all(|index| !changed(index) || inside[index]),
            "memory between the rows was written"
        );
        return;
    };
    assert!(!error.message().is_empty());
    assert!(
        (0..needs_output).all(|index| !changed(index)),
        "{error}, but the output was written"
    );
}

/// Which places of the memory are elements of a view of this shape.
fn elements([a, b, c, d]: [usize; 4], strides: [usize; 4], count: usize) -> Vec<bool> {
    let mut inside = vec![false; count];
    for i in 0..a {
        for j in 0..b {
            for k in 0..c {
                for l in 0..d {
                    inside[i * strides[0] + j * strides[1] + k * strides[2] + l * strides[3]] = true;
                }
            }
        }
    }
    inside
}
