use super::*;
use crate::recogniser::EmbeddingForm;
use crate::ErrorKind;
use candle_core::Var;
use candle_nn::{VarBuilder, VarMap};
use omniid_kernels::layers::{random_tensors, Initial};
use std::collections::HashMap;

fn native(key_position: bool, include_class_token: bool) -> OmniIdConfig {
    OmniIdConfig {
        queries: 6,
        width: 16,
        depth: 2,
        heads: 2,
        head_width: 8,
        feed_forward_multiplier: 4,
        feature_width: 24,
        feature_tokens: 10,
        token_width: 20,
        key_position,
        include_class_token,
    }
}

fn configs() -> Vec<EncoderConfig> {
    vec![
        EncoderConfig::OmniId(native(true, true)),
        EncoderConfig::OmniId(native(false, false)),
        EncoderConfig::Resampler(ResamplerConfig {
            feature_width: 24,
            width: 32,
            depth: 2,
            heads: 1,
            head_width: 64,
            inner_width: 128,
            tokens: 4,
            token_width: 20,
        }),
        EncoderConfig::FullFace(FullFaceConfig::new(24, 20)),
        EncoderConfig::Projection(ProjectionConfig {
            feature_width: 24,
            tokens: 4,
            token_width: 20,
        }),
        EncoderConfig::FaceId(FaceIdConfig {
            inner_width: 512,
            ..FaceIdConfig::new(4, 20)
        }),
        EncoderConfig::FaceIdPlus(FaceIdPlusConfig {
            projection_width: 512,
            feature_width: 24,
            depth: 2,
            heads: 1,
            ..FaceIdPlusConfig::new(20, true)
        }),
        EncoderConfig::InstantId(face_resampler()),
        EncoderConfig::FaceIdPortraitUnnorm(face_resampler()),
    ]
}

fn face_resampler() -> ResamplerConfig {
    ResamplerConfig {
        feature_width: 512,
        heads: 1,
        inner_width: 128,
        ..ResamplerConfig::plus(32, 4, 20)
    }
}

fn load(config: &EncoderConfig) -> Result<Encoder> {
    let tensors: HashMap<String, Tensor> = random_tensors(&config.tensors()?, 11)?.into_iter().collect();
    Encoder::load(config, VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu))
}

/// The features of photo `n`.
fn photo(config: &EncoderConfig, n: usize) -> Result<Features> {
    let random = |what, shape| TensorSpec::new(format!("{what} {n}"), shape, Initial::Normal(1.0)).tensor(12);
    let image = match config.input() {
        EncoderInput::Penultimate => Some(random("photo", &[10, 24])?),
        EncoderInput::ImageEmbeds => Some(random("photo", &[24])?),
        EncoderInput::Nothing => None,
        input => panic!("no test reads {input:?}"),
    };
    let embedding = match config.face() {
        Some(face) => Some(random("embedding", &[face.dimension])?),
        None => None,
    };
    Ok(Features {
        image,
        embedding,
        ..Features::default()
    })
}

fn stack(photos: &[Features]) -> Result<Tensor> {
    let images = photos.iter().map(|photo| photo.image().cloned());
    Ok(Tensor::stack(&images.collect::<Result<Vec<_>>>()?, 0)?)
}

fn difference(a: &Tensor, b: &Tensor) -> Result<f32> {
    assert_eq!(a.dims(), b.dims());
    Ok((a - b)?.abs()?.flatten_all()?.max(0)?.to_scalar()?)
}

#[test]
fn photo_order_does_not_change_an_omni_id_identity() -> Result<()> {
    for config in configs()
        .into_iter()
        .filter(|config| config.kind() == EncoderKind::OmniId)
    {
        let encoder = load(&config)?;
        let photos = (0..3).map(|n| photo(&config, n)).collect::<Result<Vec<_>>>()?;
        let tokens = encoder.encode(&photos)?;
        assert_eq!(tokens.dims(), [6, 20]);
        for order in [[0, 2, 1], [2, 1, 0], [1, 2, 0]] {
            let shuffled = order.map(|n| photos[n].clone());
            assert_eq!(difference(&tokens, &encoder.encode(&shuffled)?)?, 0.0);
            // Sorting only takes away the last bits; the architecture itself knows no order.
            let Encoder::OmniId(encoder) = &encoder else {
                panic!("filtered above")
            };
            let as_given = encoder.forward_batch(&stack(&shuffled)?.unsqueeze(0)?)?.squeeze(0)?;
            assert!(difference(&tokens, &as_given)? <= 1e-5);
        }
        // Another photo does change it, so the test above is not empty.
        assert!(difference(&tokens, &encoder.encode(&photos[..2])?)? > 1e-3);
    }
    Ok(())
}

#[test]
fn the_other_encoders_concatenate_photos() -> Result<()> {
    for config in configs().into_iter().filter(|config| !config.kind().is_fixed_size()) {
        let encoder = load(&config)?;
        let (first, second) = (photo(&config, 0)?, photo(&config, 1)?);
        let both = encoder.encode(&[first.clone(), second.clone()])?;
        let each = Tensor::cat(&[&encoder.encode(&[first])?, &encoder.encode(&[second])?], 0)?;
        assert!(difference(&both, &each)? <= 1e-6, "{:?}", config.kind());
        assert_eq!(both.dim(0)?, config.tokens().of(2, 10));
        assert_eq!(both.dim(1)?, config.token_width());
    }
    Ok(())
}

#[test]
fn a_resampler_takes_a_batch_of_photos() -> Result<()> {
    let config = &configs()[2];
    let Encoder::Resampler(encoder) = load(config)? else {
        panic!("the third configuration is a Resampler")
    };
    let batch = stack(&[photo(config, 0)?, photo(config, 1)?])?;
    let together = encoder.forward(&batch)?;
    for n in 0..2 {
        let alone = encoder.forward(&batch.narrow(0, n, 1)?)?;
        assert!(difference(&together.narrow(0, n, 1)?, &alone)? <= 1e-6);
    }
    Ok(())
}

#[test]
fn public_kinds_are_found_by_their_tensors() -> Result<()> {
    // Portrait (unnorm) has the tensors of InstantID; an option tells them apart.
    for config in configs().into_iter().filter(|config| config.kind().key().is_some()) {
        let prefixed = |spec: TensorSpec| (format!("image_proj.{}", spec.name), spec.shape);
        let shapes: Shapes = config.tensors()?.into_iter().map(prefixed).collect();
        assert_eq!(EncoderConfig::infer(shapes.sub("image_proj"))?, config);
    }
    let error = EncoderConfig::infer(Shapes::default()).expect_err("nothing is there");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let partial = [("perceiver_resampler.proj_in.weight".to_string(), vec![8, 8])];
    let error = EncoderConfig::infer(Shapes::from_iter(partial)).expect_err("the rest is missing");
    assert_eq!(error.kind(), ErrorKind::Format);
    assert!(error.message().contains("proj.0.weight"), "{error}");
    Ok(())
}

#[test]
fn sizes_of_the_published_files() -> Result<()> {
    // Parameter counts read from the reference classes (IP-Adapter, diffusers).
    let plus = |width, tokens, out| EncoderConfig::Resampler(ResamplerConfig::plus(width, tokens, out));
    let base = |feature_width, token_width| {
        EncoderConfig::Projection(ProjectionConfig {
            feature_width,
            tokens: 4,
            token_width,
        })
    };
    for (config, expected) in [
        (plus(768, 16, 768), 29_918_208),
        (plus(768, 256, 768), 30_102_528),
        (plus(1280, 16, 2048), 82_961_664),
        (plus(1280, 256, 2048), 83_268_864),
        (base(1024, 768), 3_150_336),
        (base(1280, 2048), 10_498_048),
        (EncoderConfig::FullFace(FullFaceConfig::new(1280, 768)), 2_625_024),
        (EncoderConfig::FaceId(FaceIdConfig::new(4, 768)), 3_675_648),
        (EncoderConfig::FaceId(FaceIdConfig::new(4, 2048)), 8_926_208),
        (EncoderConfig::FaceId(FaceIdConfig::new(16, 768)), 13_122_048),
        (EncoderConfig::FaceId(FaceIdConfig::new(16, 2048)), 34_116_608),
        (EncoderConfig::FaceIdPlus(FaceIdPlusConfig::new(768, true)), 33_581_568),
        (
            EncoderConfig::FaceIdPlus(FaceIdPlusConfig::new(2048, true)),
            217_125_888,
        ),
    ] {
        let specs = config.tensors()?;
        let count: usize = specs.iter().map(|spec| spec.shape.iter().product::<usize>()).sum();
        assert_eq!(count, expected, "{config:?}");
    }
    Ok(())
}

#[test]
fn a_gradient_reaches_queries_and_positions() -> Result<()> {
    let EncoderConfig::OmniId(config) = configs().remove(0) else {
        panic!("the first configuration is Omni-ID")
    };
    let variables = VarMap::new();
    for (name, tensor) in random_tensors(&OmniId::tensors(&config)?, 3)? {
        let variable = Var::from_tensor(&tensor)?;
        variables
            .data()
            .lock()
            .expect("nobody panicked with the lock")
            .insert(name, variable);
    }
    let encoder = OmniId::load(&config, VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu))?;
    let features = TensorSpec::new("features", &[2, 3, 10, 24], Initial::Normal(1.0)).tensor(4)?;
    let weights = TensorSpec::new("weights", &[2, 6, 20], Initial::Normal(1.0)).tensor(5)?;
    let loss = || -> Result<Tensor> { Ok((encoder.forward_batch(&features)? * &weights)?.sum_all()?) };
    let gradients = loss()?.backward()?;
    let variables = variables.data().lock().expect("nobody panicked with the lock");
    let new = OmniId::tensors(&config)?.iter().filter(|spec| !spec.optional).count();
    assert_eq!(variables.len(), new);
    for (name, variable) in variables.iter() {
        let gradient = gradients
            .get(variable)
            .unwrap_or_else(|| panic!("no gradient for {name}"));
        let size = gradient.abs()?.sum_all()?.to_scalar::<f32>()?;
        assert!(size.is_finite() && size > 0.0, "gradient of {name} is {size}");
    }
    // The gradient of one query element equals the slope of the loss.
    let queries = &variables["queries"];
    let slope = gradients.get(queries).expect("checked above").to_vec2::<f32>()?[1][2];
    let start = queries.as_tensor().copy()?;
    let at = |step: f32| -> Result<f32> {
        let mut values = start.to_vec2::<f32>()?;
        values[1][2] += step;
        queries.set(&Tensor::new(values, &Device::Cpu)?)?;
        Ok(loss()?.to_scalar::<f32>()?)
    };
    let difference = (at(1e-2)? - at(-1e-2)?) / 2e-2;
    assert!(
        (difference - slope).abs() < 1e-2 * (1.0 + slope.abs()),
        "{difference} against {slope}"
    );
    Ok(())
}

#[test]
fn anchored_queries_first_look_at_their_own_place() -> Result<()> {
    // 16 queries on 16 patches: with the initial weights the score of query i must be highest at patch i.
    let config = OmniIdConfig {
        queries: 16,
        width: 64,
        depth: 1,
        heads: 2,
        head_width: 64,
        feature_width: 96,
        feature_tokens: 17,
        token_width: 64,
        ..native(true, true)
    };
    let tensors: HashMap<String, Tensor> = random_tensors(&OmniId::tensors(&config)?, 1)?.into_iter().collect();
    let query = tensors["queries"].matmul(&tensors["blocks.0.cross_attention.to_q.weight"].t()?)?;
    let key = tensors["key_position"].matmul(&tensors["blocks.0.cross_attention.to_k.weight"].t()?)?;
    let best = query.matmul(&key.t()?)?.argmax(1)?.to_vec1::<u32>()?;
    assert_eq!(best, (1..17).collect::<Vec<u32>>());
    Ok(())
}

#[test]
fn wrong_features_are_refused() -> Result<()> {
    for config in configs() {
        let encoder = load(&config)?;
        assert_eq!(
            encoder.encode(&[]).expect_err("no photos").kind(),
            ErrorKind::InvalidArgument
        );
        let wide = Tensor::zeros((10, 25), DType::F32, &Device::Cpu)?;
        let mut photos = Vec::new();
        if config.input() != EncoderInput::Nothing {
            let image = Some(wide);
            photos.push(Features {
                image,
                ..photo(&config, 0)?
            });
        }
        if config.face().is_some() {
            let embedding = Some(Tensor::zeros(511, DType::F32, &Device::Cpu)?);
            photos.push(Features {
                embedding,
                ..photo(&config, 0)?
            });
            let image = photo(&config, 0)?.image;
            let alone = Features {
                image,
                ..Features::default()
            };
            let error = encoder.encode(&[alone]).expect_err("no embedding");
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        }
        for wrong in photos {
            let error = encoder.encode(&[wrong]).expect_err("width 25 or 511");
            assert_eq!(error.kind(), ErrorKind::Mismatch);
        }
        let scalar = Tensor::zeros((), DType::F32, &Device::Cpu)?;
        assert!(encoder.encode(&[scalar.into()]).is_err());
        let short = Tensor::zeros((9, 24), DType::F32, &Device::Cpu)?;
        if config.kind() == EncoderKind::OmniId {
            let mixed = [photo(&config, 0)?, short.into()];
            assert_eq!(
                encoder.encode(&mixed).expect_err("9 and 10").kind(),
                ErrorKind::Mismatch
            );
        }
    }
    Ok(())
}

#[test]
fn zero_features_give_the_zero_identity() -> Result<()> {
    for config in configs() {
        let encoder = load(&config)?;
        let tokens = encoder.encode_zeros(10, &Device::Cpu)?;
        assert_eq!(tokens.dims(), [config.tokens().of(1, 10), 20]);
        if config.kind() == EncoderKind::Projection {
            // Biases start at zero, so LayerNorm sees zeros and gives zeros.
            assert_eq!(tokens.abs()?.sum_all()?.to_scalar::<f32>()?, 0.0);
        }
    }
    Ok(())
}

#[test]
fn impossible_sizes_are_refused() {
    for config in [
        OmniIdConfig {
            queries: 0,
            ..native(true, true)
        },
        OmniIdConfig {
            width: usize::MAX,
            ..native(true, true)
        },
        OmniIdConfig {
            feature_tokens: 1,
            ..native(true, false)
        },
    ] {
        assert_eq!(
            OmniId::tensors(&config).expect_err("impossible").kind(),
            ErrorKind::Format
        );
    }
    let json = r#"{"queries": 256, "with": 1280}"#;
    assert!(
        serde_json::from_str::<OmniIdConfig>(json).is_err(),
        "a misspelt key must not pass"
    );
    let partial: OmniIdConfig = serde_json::from_str(r#"{"depth": 6}"#).expect("the rest has defaults");
    assert_eq!(
        partial,
        OmniIdConfig {
            depth: 6,
            ..OmniIdConfig::default()
        }
    );
}

#[test]
fn the_form_of_an_embedding_is_the_one_that_an_encoder_was_trained_on() -> Result<()> {
    for config in configs().into_iter().filter(|config| config.face().is_some()) {
        let encoder = load(&config)?;
        let first = photo(&config, 0)?;
        // So much shorter that a layer norm does not hide it: new networks have no biases.
        let shorter = Features {
            embedding: Some((first.embedding()? * 1e-3)?),
            ..first.clone()
        };
        let tokens = encoder.encode(std::slice::from_ref(&first))?;
        let same = difference(&tokens, &encoder.encode(&[shorter])?)?;
        let normalised = Features {
            form: EmbeddingForm::Normalised,
            ..first
        };
        match config.face().map(|face| face.form) {
            Some(EmbeddingForm::Normalised) => assert!(same <= 1e-5, "{:?}: {same}", config.kind()),
            _ => {
                assert!(same > 1e-3, "{:?}: {same}", config.kind());
                let error = encoder.encode(&[normalised]).expect_err("the length is lost");
                assert_eq!(error.kind(), ErrorKind::Mismatch);
            }
        }
    }
    Ok(())
}

#[test]
fn published_pulid_and_sd35_encoders_are_known_by_their_shapes() -> Result<()> {
    // Parameters of the reference modules at the published sizes, counted with torch 2.15.
    for (config, expected) in [
        (EncoderConfig::PulidV1(PulidV1Config::published()), 54_886_400usize),
        (EncoderConfig::IdFormer(IdFormerConfig::published()), 151_398_400),
        (
            EncoderConfig::TimeResampler(TimeResamplerConfig::published()),
            111_637_376,
        ),
    ] {
        let specs = config.tensors()?;
        let count: usize = specs.iter().map(|spec| spec.shape.iter().product::<usize>()).sum();
        assert_eq!(count, expected, "{:?}", config.kind());
        assert_eq!(EncoderConfig::infer(specs.into_iter().collect::<Shapes>())?, config);
    }
    Ok(())
}
