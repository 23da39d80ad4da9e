//! Projection of identities to the keys and values of every layer.

use super::{
    layer_weight, ConditionedIdentity, ConditionedLayer, Conditioning, ConditioningOptions, EmbedsScaling,
    IdentityInput, Injection, Inner, MaskGrids, TokenSource, WeightType, Weights,
};
use crate::adapter::{Adapter, AdapterLayer};
use crate::error::{Error, Result};
use crate::host::HostSpec;
use crate::progress::{report, ProgressFn, Stage};
use candle_core::{DType, Tensor};
use omniid_kernels::KeyValue;
use std::sync::Arc;

/// Width that the "C penalty" takes as 1: the widest layers of SD1.5 and SDXL.
const PENALTY_WIDTH: f32 = 1280.0;

/// Most tokens of one identity. 4096 photos of 257 tokens are beyond it; keys and values would fill terabytes.
const MAX_TOKENS: usize = 1 << 17;

pub(super) fn build(
    adapter: &Adapter,
    host: &HostSpec,
    identities: &[IdentityInput<'_>],
    options: &ConditioningOptions,
    progress: ProgressFn<'_>,
) -> Result<Conditioning> {
    adapter.check_host(host)?;
    check_options(options, host)?;
    if identities.is_empty() {
        return Err(Error::invalid("conditioning needs at least one identity"));
    }
    let total = identities.len().saturating_mul(host.layer_count());
    let mut done = 0;
    let mut conditioned = Vec::with_capacity(identities.len());
    for (number, input) in identities.iter().enumerate() {
        let name = |error: Error| error.context(format!("identity {number}"));
        if input.composition.is_some() && !WeightType::WITH_COMPOSITION.contains(&options.weight_type) {
            let error = not_of_weight_type(
                "a composition identity",
                options.weight_type,
                WeightType::WITH_COMPOSITION,
            );
            return Err(name(error));
        }
        let contexts = Contexts::new(adapter, input).map_err(name)?;
        let mut layers = Vec::with_capacity(host.layer_count());
        for (index, weights) in adapter.layers().iter().enumerate() {
            layers.push(condition_layer(host, index, weights, input, &contexts, options).map_err(name)?);
            done += 1;
            report(progress, Stage::Condition, done, total)?;
        }
        let mask = input.mask.clone().map(|mask| MaskGrids::new(mask, options.mask_mode));
        conditioned.push(ConditionedIdentity {
            steps: input.steps,
            mask,
            layers,
        });
    }
    let device = adapter.device().clone();
    let inner = Inner {
        #[cfg(feature = "cuda")]
        device_state: crate::cuda::DeviceState::new(&device)?,
        host: host.clone(),
        dtype: options.dtype,
        injection: options.injection,
        zero_tokens: options.zero_tokens,
        device,
        identities: conditioned,
    };
    Ok(Conditioning { inner: Arc::new(inner) })
}

fn check_options(options: &ConditioningOptions, host: &HostSpec) -> Result<()> {
    if !matches!(options.dtype, DType::F32 | DType::F16 | DType::BF16) {
        return Err(Error::unsupported(format!(
            "keys and values of type {:?}; they can be f32, f16 or bf16",
            options.dtype
        )));
    }
    if options.zero_tokens > ConditioningOptions::MOST_ZERO_TOKENS {
        return Err(Error::invalid(format!(
            "{} zero tokens; at most {} are taken",
            options.zero_tokens,
            ConditioningOptions::MOST_ZERO_TOKENS
        )));
    }
    // Until the kernel that does it is there.
    if options.injection != Injection::Add {
        return Err(Error::unsupported(format!(
            "{} injection is not there yet",
            options.injection.name()
        )));
    }
    if options.normalise_values {
        return Err(Error::invalid(
            "normalise_values is set, but this adapter has no normalisation of keys that values could share",
        ));
    }
    let numbers = [
        ("composition scale", options.composition_scale),
        ("style boost", options.style_boost),
        ("composition boost", options.composition_boost),
    ];
    for (name, number) in numbers {
        if let Some(number) = number.filter(|number| !number.is_finite()) {
            return Err(Error::invalid(format!(
                "the {name} is {number}; it must be a finite number"
            )));
        }
    }
    let kind = options.weight_type;
    for (name, number, kinds) in [
        (
            "composition scale",
            options.composition_scale,
            WeightType::WITH_COMPOSITION,
        ),
        (
            "style boost",
            options.style_boost,
            &[WeightType::StyleTransferPrecise][..],
        ),
        (
            "composition boost",
            options.composition_boost,
            &[WeightType::CompositionPrecise],
        ),
    ] {
        if number.is_some() && !kinds.contains(&kind) {
            return Err(not_of_weight_type(&format!("the {name}"), kind, kinds));
        }
    }
    match &options.layer_scales {
        Some(scales) if scales.factors().len() != host.layer_count() => Err(Error::mismatch(format!(
            "{} layer scales for host {:?}, which has {} layers",
            scales.factors().len(),
            host.name(),
            host.layer_count()
        ))),
        _ => Ok(()),
    }
}

/// The error for what only counts with some weight types.
fn not_of_weight_type(what: &str, kind: WeightType, kinds: &[WeightType]) -> Error {
    let kinds: Vec<String> = kinds.iter().map(|kind| format!("{:?}", kind.name())).collect();
    Error::invalid(format!(
        "{what} is given, but it only counts with weight type {}, not with {:?}",
        kinds.join(" or "),
        kind.name()
    ))
}

/// The context tokens of one identity, `[tokens, context]` f32.
struct Contexts {
    conditional: Tensor,
    unconditional: Option<Tensor>,
    composition: Option<Tensor>,
}

impl Contexts {
    fn new(adapter: &Adapter, input: &IdentityInput<'_>) -> Result<Self> {
        if !input.scale.is_finite() {
            return Err(Error::invalid(format!(
                "the scale is {}; it must be a finite number",
                input.scale
            )));
        }
        input.steps.check()?;
        Ok(Self {
            conditional: context(adapter, "tokens", input.tokens)?,
            unconditional: input
                .unconditional
                .map(|t| context(adapter, "unconditional tokens", t))
                .transpose()?,
            composition: input
                .composition
                .map(|t| context(adapter, "composition tokens", t))
                .transpose()?,
        })
    }
}

fn context(adapter: &Adapter, what: &str, tokens: &Tensor) -> Result<Tensor> {
    let width = adapter.token_width().unwrap_or(0);
    match *tokens.dims() {
        [count, found] if found == width && (1..=MAX_TOKENS).contains(&count) => {}
        ref dims => {
            return Err(Error::mismatch(format!(
                "{what} have shape {dims:?}; the adapter takes [1 to {MAX_TOKENS}, {width}]"
            )));
        }
    }
    adapter.context(&tokens.to_device(adapter.device())?.to_dtype(DType::F32)?)
}

fn condition_layer(
    host: &HostSpec,
    index: usize,
    weights: &AdapterLayer,
    input: &IdentityInput<'_>,
    contexts: &Contexts,
    options: &ConditioningOptions,
) -> Result<Option<ConditionedLayer>> {
    let layer = host.layer(index)?;
    let spread = Weights {
        identity: input.scale,
        composition: options.composition_scale,
        style_boost: options.style_boost,
        composition_boost: options.composition_boost,
    };
    let plan = layer_weight(options.weight_type, host, layer, &spread)?;
    let scale = options
        .layer_scales
        .as_ref()
        .and_then(|scales| scales.factors().get(index))
        .copied()
        .unwrap_or(1.0);
    // A scale of 0 leaves the identity out, even where a boost would give a layer its own weight.
    let weight = if input.scale == 0.0 { 0.0 } else { plan.weight * scale };
    if weight == 0.0 {
        return Ok(None);
    }
    let zero;
    let (conditional, unconditional) = match plan.source {
        TokenSource::Identity => (&contexts.conditional, contexts.unconditional.as_ref()),
        TokenSource::Composition => (
            contexts.composition.as_ref().unwrap_or(&contexts.conditional),
            contexts.unconditional.as_ref(),
        ),
        TokenSource::Swapped => {
            zero = contexts.conditional.zeros_like()?;
            (&zero, Some(&contexts.conditional))
        }
    };
    let project = |context: &Tensor| project(weights, context, weight, options, layer.inner);
    // Without biases, zero tokens have zero values: their attention adds nothing.
    let silent = plan.source == TokenSource::Swapped && !weights.to_v.has_bias();
    Ok(Some(ConditionedLayer {
        factor: if options.embeds_scaling == EmbedsScaling::ValuesOnly {
            weight
        } else {
            1.0
        },
        conditional: if silent { None } else { Some(project(conditional)?) },
        unconditional: unconditional.map(project).transpose()?,
    }))
}

fn project(
    layer: &AdapterLayer,
    context: &Tensor,
    weight: f32,
    options: &ConditioningOptions,
    inner: usize,
) -> Result<KeyValue<Tensor>> {
    let mut keys = layer.to_k.forward(context)?;
    let mut values = layer.to_v.forward(context)?;
    let penalised = f64::from(weight * inner as f32 / PENALTY_WIDTH);
    match options.embeds_scaling {
        EmbedsScaling::ValuesOnly => {}
        EmbedsScaling::KeysAndValues => {
            keys = (keys * f64::from(weight))?;
            values = (values * f64::from(weight))?;
        }
        EmbedsScaling::KeysAndValuesPenalty => {
            keys = (keys * penalised)?;
            values = (values * penalised)?;
        }
        EmbedsScaling::KeysAndMeanValuesPenalty => {
            keys = (keys * penalised)?;
            let mean = values.mean_keepdim(0)?;
            values = values.broadcast_sub(&mean)?.broadcast_add(&(mean * penalised)?)?;
        }
    }
    Ok(KeyValue {
        keys: keys.to_dtype(options.dtype)?.contiguous()?,
        values: values.to_dtype(options.dtype)?.contiguous()?,
    })
}
