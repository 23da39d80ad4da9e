//! Colour profiles (ICC): pictures in other colour spaces are converted to sRGB, which the encoders were trained on.

use super::PhotoNote;
use image::RgbImage;
use moxcms::{ColorProfile, DataColorSpace, Layout, RenderingIntent, ToneReprCurve, TransformOptions};
use omniid_kernels::ThreadPool;

/// Pixels that are converted at a time.
const PART: usize = 1 << 16;

/// The colours that sRGB's red, green and blue have in a profile: XYZ, adapted to D50 (IEC 61966-2-1 and ICC.1, annex E).
const SRGB: [[f64; 3]; 3] = [
    [0.436_07, 0.222_49, 0.013_92],
    [0.385_15, 0.716_87, 0.097_08],
    [0.143_07, 0.060_61, 0.714_10],
];

/// What the channels of a picture are, as its profile has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Model {
    Grey,
    Rgb,
    Cmyk,
}

/// A profile other than sRGB.
pub(super) struct Profile {
    profile: ColorProfile,
    pub model: Model,
}

impl Profile {
    /// Reads an embedded profile. `Ok(None)` for sRGB, whose pictures need no conversion.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, String> {
        let profile = ColorProfile::new_from_slice(bytes).map_err(|error| error.to_string())?;
        Self::new(profile)
    }

    pub fn new(profile: ColorProfile) -> Result<Option<Self>, String> {
        let model = match profile.color_space {
            DataColorSpace::Rgb => Model::Rgb,
            DataColorSpace::Gray => Model::Grey,
            DataColorSpace::Cmyk => Model::Cmyk,
            other => return Err(format!("colour space {other:?}")),
        };
        if is_srgb(&profile) {
            return Ok(None);
        }
        Ok(Some(Self { profile, model }))
    }

    /// Converts a picture to sRGB. One whose model is grey has equal channels.
    ///
    /// # Errors
    /// What is wrong with the profile, in words; the picture is as it was.
    pub fn convert(&self, image: &mut RgbImage) -> Result<(), String> {
        let (layout, channels) = match self.model {
            Model::Grey => (Layout::Gray, 1),
            Model::Rgb => (Layout::Rgb, 3),
            Model::Cmyk => return Err("it is for inks, and the picture has none".to_owned()),
        };
        let transform = self.transform(layout)?;
        let failed = std::sync::Mutex::new(None);
        ThreadPool::global().fill_parts(image, 3 * PART, &|_, part| {
            let source: Vec<u8> = part.iter().step_by(3 / channels).copied().collect();
            if let Err(error) = transform.transform(&source, part) {
                *failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error.to_string());
            }
        });
        match failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Converts inks, given as the light that they leave, four channels, to sRGB.
    ///
    /// # Errors
    /// What is wrong with the profile, in words.
    pub fn convert_inks(&self, light: &[u8], width: u32, height: u32) -> Result<RgbImage, String> {
        if self.model != Model::Cmyk {
            return Err("it is not for inks, which the picture has".to_owned());
        }
        let transform = self.transform(Layout::Rgba)?;
        let mut image = RgbImage::new(width, height);
        for (source, target) in light.chunks(4 * PART).zip(image.chunks_mut(3 * PART)) {
            let inks: Vec<u8> = source.iter().map(|light| 255 - light).collect();
            transform.transform(&inks, target).map_err(|error| error.to_string())?;
        }
        Ok(image)
    }

    fn transform(&self, layout: Layout) -> Result<std::sync::Arc<moxcms::Transform8BitExecutor>, String> {
        let options = TransformOptions {
            rendering_intent: RenderingIntent::Perceptual,
            ..TransformOptions::default()
        };
        self.profile
            .create_transform_8bit(layout, &ColorProfile::new_srgb(), Layout::Rgb, options)
            .map_err(|error| error.to_string())
    }
}

/// Converts a picture from the space of its profile; the note says when that cannot be done.
pub(super) fn to_srgb(image: &mut RgbImage, grey: bool, profile: &[u8]) -> Option<PhotoNote> {
    let converted = Profile::parse(profile).and_then(|profile| match profile {
        None => Ok(()),
        Some(profile) if profile.model == Model::Grey && !grey => {
            Err("it is for grey, and the picture has colours".to_owned())
        }
        Some(profile) => profile.convert(image),
    });
    converted.err().map(|reason| PhotoNote::ProfileIgnored { reason })
}

/// Whether a profile is sRGB, by its numbers: names say little, and many makers write their own sRGB profile.
fn is_srgb(profile: &ColorProfile) -> bool {
    match profile.color_space {
        DataColorSpace::Gray => profile.gray_trc.as_ref().is_some_and(is_srgb_curve),
        DataColorSpace::Rgb => {
            if profile.lut_a_to_b_perceptual.is_some() || profile.lut_a_to_b_colorimetric.is_some() {
                // The ICC's own sRGB for printing is made of tables, and can be told by its name only.
                let name = format!("{:?}", profile.description);
                return name.contains("sRGB");
            }
            let colorants = [profile.red_colorant, profile.green_colorant, profile.blue_colorant];
            let close = colorants.iter().zip(SRGB).all(|(colorant, expected)| {
                [colorant.x, colorant.y, colorant.z]
                    .iter()
                    .zip(expected)
                    .all(|(value, expected)| (value - expected).abs() < 0.002)
            });
            let curves = [&profile.red_trc, &profile.green_trc, &profile.blue_trc];
            close && curves.iter().all(|curve| curve.as_ref().is_some_and(is_srgb_curve))
        }
        _ => false,
    }
}

/// Whether a curve turns sRGB values into light, to within a step of 8 bits.
fn is_srgb_curve(curve: &ToneReprCurve) -> bool {
    let curve = match curve {
        // An empty table is the identity, one value a power.
        ToneReprCurve::Lut(table) if table.len() < 2 => return false,
        ToneReprCurve::Lut(table) => Box::new(move |x: f64| {
            let place = x * (table.len() - 1) as f64;
            let (low, part) = (place.floor() as usize, place.fract());
            let high = (low + 1).min(table.len() - 1);
            (f64::from(table[low]) * (1.0 - part) + f64::from(table[high]) * part) / 65535.0
        }) as Box<dyn Fn(f64) -> f64>,
        ToneReprCurve::Parametric(values) if values.is_empty() => return false,
        ToneReprCurve::Parametric(values) => {
            let Some(curve) = moxcms::ParametricCurve::new(values) else {
                return false;
            };
            Box::new(move |x: f64| f64::from(curve.eval(x as f32)))
        }
    };
    (0..=32).map(|i| f64::from(i) / 32.0).all(|x| {
        let light = if x <= 0.04045 {
            x / 12.92
        } else {
            ((x + 0.055) / 1.055).powf(2.4)
        };
        // What a step of 8 bits is in light, there.
        let slope = if x <= 0.04045 {
            1.0 / 12.92
        } else {
            2.4 / 1.055 * ((x + 0.055) / 1.055).powf(1.4)
        };
        (curve(x) - light).abs() <= slope / 255.0
    })
}
