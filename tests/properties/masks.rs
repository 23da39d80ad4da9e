use omniid::conditioning::{Mask, MaskMode};
use omniid::ErrorKind;
use proptest::prelude::*;

const MODES: [MaskMode; 2] = [MaskMode::ComfyUi, MaskMode::Diffusers];

/// Height, width and values of a mask.
fn mask() -> impl Strategy<Value = (usize, usize, Vec<f32>)> {
    (1usize..24, 1usize..24).prop_flat_map(|(height, width)| {
        let values = prop::collection::vec(0.0f32..=1.0, height * width);
        (Just(height), Just(width), values)
    })
}

/// Latent height and width, and the rows and columns of a layer that sees them reduced and rounded up.
fn latent() -> impl Strategy<Value = ((usize, usize), (usize, usize))> {
    (1usize..160, 1usize..160, 0u32..5).prop_map(|(height, width, halvings)| {
        let reduction = 1usize << halvings;
        ((height, width), (height.div_ceil(reduction), width.div_ceil(reduction)))
    })
}

proptest! {
    #[test]
    fn a_mask_holds_what_it_was_made_of((height, width, values) in mask()) {
        let mask = Mask::new(height, width, &values).unwrap();
        prop_assert_eq!((mask.height(), mask.width(), mask.values()), (height, width, &values[..]));
    }

    #[test]
    fn one_bad_value_is_found_wherever_it_is(
        (height, width, mut values) in mask(),
        place in any::<prop::sample::Index>(),
        bad in prop_oneof![Just(f32::NAN), Just(f32::INFINITY), -9.0f32..-1e-6, 1.0001f32..9.0],
    ) {
        let place = place.index(values.len());
        values[place] = bad;
        let error = Mask::new(height, width, &values).unwrap_err();
        prop_assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        let named = format!("row {}, column {} ", place / width, place % width);
        prop_assert!(error.message().contains(&named), "{}", error);
    }

    #[test]
    fn every_layer_of_a_picture_gets_a_factor_per_token(
        (height, width, values) in mask(),
        (latent, (rows, columns)) in latent(),
    ) {
        let mask = Mask::new(height, width, &values).unwrap();
        for mode in MODES {
            let factors = mask.token_factors(mode, rows * columns, Some(latent)).unwrap();
            prop_assert_eq!(factors.len(), rows * columns);
            prop_assert!(factors.iter().all(|factor| factor.is_finite()));
            // Bilinear resampling stays between the values; bicubic overshoots.
            if mode == MaskMode::ComfyUi {
                prop_assert!(factors.iter().all(|factor| (-1e-6..=1.0 + 1e-6).contains(factor)));
            }
        }
    }

    #[test]
    fn a_constant_mask_is_that_constant_or_padding(
        constant in 0.0f32..=1.0,
        (height, width) in (1usize..40, 1usize..40),
        (latent, (rows, columns)) in latent(),
    ) {
        let mask = Mask::new(height, width, &vec![constant; height * width]).unwrap();
        for mode in MODES {
            let factors = mask.token_factors(mode, rows * columns, Some(latent)).unwrap();
            prop_assert!(factors.iter().all(|factor| *factor == 0.0 || (factor - constant).abs() < 1e-5));
        }
    }

    #[test]
    fn numbers_that_fit_no_picture_are_refused(
        (height, width, values) in mask(),
        tokens in any::<usize>(),
        latent in (any::<usize>(), any::<usize>()),
    ) {
        let mask = Mask::new(height, width, &values).unwrap();
        for mode in MODES {
            if let Err(error) = mask.token_factors(mode, tokens, Some(latent)) {
                prop_assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            }
        }
    }
}
