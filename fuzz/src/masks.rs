//! Masks of any size and value, placed on any number of image tokens in both modes; face masks.

use arbitrary::Unstructured;
use omniid::conditioning::{Mask, MaskMode};
use omniid::photo::FaceMask;

/// Height and width of the mask, whether they are to be plausible, tokens, height and width of the latent picture, the
/// layer's reduction, values.
type Input = ([u16; 2], bool, u16, Option<[u16; 2]>, u8, Vec<u8>);

pub fn run(bytes: &[u8]) {
    let Ok((size, plausible, tokens, latent, reduction, values)) = Unstructured::new(bytes).arbitrary::<Input>() else {
        return;
    };
    let [mut height, mut width] = size.map(usize::from);
    if plausible {
        height = 1 + height % 24;
        width = values.len() / height;
    }
    // From -0.1 to 1.17, and one value that is no number.
    let number = |byte: &u8| match byte {
        255 => f32::NAN,
        byte if plausible => f32::from(*byte) / 254.0,
        byte => f32::from(*byte) / 200.0 - 0.1,
    };
    let values: Vec<f32> = values.iter().take(height * width).map(number).collect();
    let _ = FaceMask::new(width as u32, height as u32, &values[..]);
    let Ok(mask) = Mask::new(height, width, &values) else {
        return;
    };
    let latent = latent.map(|sides| sides.map(|side| usize::from(side) % 400));
    let tokens = match (latent, reduction % 9) {
        // As many tokens as a layer sees of that latent picture.
        (Some([height, width]), reduction @ 1..) => {
            let reduction = usize::from(reduction);
            height.div_ceil(reduction) * width.div_ceil(reduction)
        }
        _ => usize::from(tokens),
    };
    for mode in [MaskMode::ComfyUi, MaskMode::Diffusers] {
        let Ok(factors) = mask.token_factors(mode, tokens, latent.map(|[height, width]| (height, width))) else {
            continue;
        };
        assert_eq!(factors.len(), tokens);
        // Bicubic may leave 0 to 1.
        assert!(factors.iter().all(|factor| (-1.0..=2.0).contains(factor)));
        assert!(mode == MaskMode::Diffusers || factors.iter().all(|factor| (0.0..=1.0 + 1e-5).contains(factor)));
    }
}
