//! Properties of masks, layer scales and step ranges, for arbitrary arguments.

use super::mask::MaskGrids;
use super::{LayerScales, Mask, MaskMode, NoiseSchedule, Step, StepRange};
use crate::host::HostSpec;
use proptest::prelude::*;

fn modes() -> impl Strategy<Value = MaskMode> {
    prop_oneof![Just(MaskMode::ComfyUi), Just(MaskMode::Diffusers)]
}

fn masks() -> impl Strategy<Value = Mask> {
    (1..20_usize, 1..20_usize).prop_flat_map(|(height, width)| {
        prop::collection::vec(0.0..=1.0_f32, height * width)
            .prop_map(move |values| Mask::new(height, width, &values).unwrap())
    })
}

fn hosts() -> impl Strategy<Value = HostSpec> {
    prop_oneof![Just(HostSpec::sd15()), Just(HostSpec::sdxl()), Just(HostSpec::flux())]
}

fn schedules() -> impl Strategy<Value = NoiseSchedule> {
    prop_oneof![
        Just(NoiseSchedule::stable_diffusion()),
        (1.0..10.0_f64).prop_map(|shift| NoiseSchedule::Flow { shift }),
        (0.0..2.0_f64).prop_map(|mu| NoiseSchedule::Flux { mu }),
    ]
}

fn at_sigma(sigma: f64) -> Step {
    Step {
        sigma: Some(sigma),
        fraction: None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_mask_has_one_factor_per_token(
        mask in masks(),
        mode in modes(),
        (height, width) in (1..40_usize, 1..40_usize),
        reduction in 1..9_usize,
    ) {
        let tokens = height.div_ceil(reduction) * width.div_ceil(reduction);
        let latent = Some((height, width));
        let factors = mask.token_factors(mode, tokens, latent).unwrap();
        prop_assert_eq!(factors.len(), tokens);
        // Bicubic resampling overshoots by less than a half; bilinear resampling and padding stay within 0 to 1.
        let limits = if mode == MaskMode::ComfyUi { -1e-6..=1.000_001 } else { -0.5..=1.5 };
        prop_assert!(factors.iter().all(|factor| limits.contains(factor)), "{:?}", factors);
        let kept = MaskGrids::new(mask, mode);
        prop_assert_eq!(&kept.factors(tokens, latent).unwrap()[..], &factors[..]);
        prop_assert_eq!(&kept.factors(tokens, latent).unwrap()[..], &factors[..]);
    }

    #[test]
    fn a_constant_mask_stays_constant(
        value in 0.0..=1.0_f32,
        mode in modes(),
        (height, width) in (1..20_usize, 1..20_usize),
        (rows, columns) in (1..20_usize, 1..20_usize),
    ) {
        let mask = Mask::new(height, width, &vec![value; height * width]).unwrap();
        let factors = mask.token_factors(mode, rows * columns, Some((rows, columns))).unwrap();
        // Tokens beyond a grid that does not hold them all are padded with zeros.
        prop_assert!(factors.iter().all(|factor| (factor - value).abs() < 1e-5 || *factor == 0.0));
        prop_assert!(value == 0.0 || factors.iter().any(|factor| *factor != 0.0));
    }

    #[test]
    fn absurd_calls_of_a_mask_are_answered(
        mask in masks(),
        mode in modes(),
        tokens in 0..100_000_usize,
        latent in prop::option::of(prop_oneof![
            (0..300_usize, 0..300_usize),
            (any::<usize>(), any::<usize>()),
        ]),
    ) {
        if let Ok(factors) = mask.token_factors(mode, tokens, latent) {
            prop_assert!(factors.len() == tokens && factors.iter().all(|factor| factor.is_finite()));
        }
    }

    #[test]
    fn layer_scales_survive_as_text(
        host in hosts(),
        factors in prop::collection::btree_map(0..30_usize, -4.0..4.0_f32, 1..8),
    ) {
        let pairs: Vec<_> = factors.into_iter().collect();
        let text: Vec<_> = pairs.iter().map(|(t, factor)| format!("{t}: {factor}")).collect();
        let parsed = LayerScales::parse(&host, &text.join(", "));
        let expected = LayerScales::by_transformer(&host, &pairs);
        let known = pairs.iter().all(|(t, _)| *t < host.transformer_count());
        prop_assert_eq!((parsed.is_ok(), expected.is_ok()), (known, known));
        if let (Ok(parsed), Ok(expected)) = (parsed, expected) {
            prop_assert_eq!(parsed, expected);
        }
    }

    #[test]
    fn layer_scales_are_finite_and_one_per_layer(
        host in hosts(),
        text in prop_oneof![".{0,40}", "[0-9:., e+-]{0,30}", r#"[\[\]{}":,0-9a-z_. -]{0,60}"#],
        numbers in prop::collection::vec(any::<f32>(), 0..90),
    ) {
        let any = [
            LayerScales::parse(&host, &text),
            LayerScales::from_diffusers(&host, &text),
            LayerScales::per_layer(&host, &numbers),
        ];
        for scales in any.into_iter().flatten() {
            prop_assert_eq!(scales.factors().len(), host.layer_count());
            prop_assert!(scales.factors().iter().all(|factor| factor.is_finite()));
        }
        let finite: Vec<f32> = (0..host.layer_count()).map(|i| i as f32 * 0.5 - 3.0).collect();
        let json = format!("{finite:?}");
        prop_assert_eq!(
            LayerScales::from_diffusers(&host, &json).unwrap(),
            LayerScales::per_layer(&host, &finite).unwrap()
        );
    }

    #[test]
    fn step_ranges_hold_what_lies_between_their_ends(
        (start, end, at) in (any::<f64>(), any::<f64>(), any::<f64>()),
    ) {
        let range = StepRange::Sigma { start, end };
        if range.check().is_ok() {
            prop_assert_eq!(range.contains(&at_sigma(at)).ok(), Some(end <= at && at <= start).filter(|_| !at.is_nan()));
            prop_assert!(range.contains(&at_sigma(start)).unwrap() && range.contains(&at_sigma(end)).unwrap());
            prop_assert!(range.contains(&Step::default()).is_err());
        }
        let range = StepRange::Fraction { start, end };
        let step = Step { sigma: None, fraction: Some(at) };
        prop_assert_eq!(range.check().is_ok(), 0.0 <= start && start <= end && end <= 1.0);
        if range.check().is_ok() && !at.is_nan() {
            prop_assert_eq!(range.contains(&step).unwrap(), start <= at && at <= end);
        }
        prop_assert!(StepRange::Always.contains(&step).unwrap());
    }

    #[test]
    fn noise_falls_with_the_fraction_of_sampling(
        schedule in schedules(),
        mut fractions in prop::array::uniform3(0.0..=1.0_f64),
    ) {
        fractions.sort_by(f64::total_cmp);
        let [first, middle, last] = fractions;
        let sigmas = fractions.map(|fraction| schedule.percent_to_sigma(fraction));
        prop_assert!(sigmas.iter().all(|sigma| sigma.is_finite() && *sigma >= 0.0));
        prop_assert!(sigmas.is_sorted_by(|a, b| *a >= *b - 1e-12 * b.abs()), "{:?}", sigmas);
        // Rounding may exchange two fractions that lie closer together than that.
        if first + 1e-9 < middle && middle + 1e-9 < last {
            let range = StepRange::from_percent(first, last, &schedule).unwrap();
            prop_assert!(range.contains(&at_sigma(sigmas[1])).unwrap());
        }
    }
}
