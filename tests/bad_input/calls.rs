//! Encoding and conditioning with arguments that cannot work.

use super::{encode, engine, host, options, photo, refused, Parts};
use candle_core::{DType, Device, Tensor};
use omniid::conditioning::{ConditioningOptions, LayerScales, Mask, StepRange, Unconditional, WeightType};
use omniid::engine::{BadPhoto, ConditioningInput, EncodeOptions, Engine};
use omniid::face::{CropMode, DetectOptions, FaceBox, Landmarks};
use omniid::identity::Identity;
use omniid::photo::{ChannelOrder, FaceHint, Photo, PixelBuffer};
use omniid::{ErrorKind, Limits};

fn try_encode(engine: &Engine, photos: &[Photo<'_>], options: &EncodeOptions) -> omniid::Result<Identity> {
    let encoded = engine.encode(photos, options)?;
    Ok(encoded.identity)
}

#[test]
fn counts_and_limits_of_photos() {
    let engine = engine();
    let identity = encode(&engine).unwrap();
    let plain = EncodeOptions::default();
    refused(
        "zero photos",
        try_encode(&engine, &[], &plain),
        ErrorKind::InvalidArgument,
        &["0 photos"],
    );
    let extended = engine.extend(&identity, [] as [Photo<'_>; 0], &plain);
    refused("extending by none", extended, ErrorKind::InvalidArgument, &["0 photos"]);
    let none_together = plain.clone().with_batch_size(0);
    refused(
        "batch of none",
        try_encode(&engine, &[photo(1)], &none_together),
        ErrorKind::InvalidArgument,
        &["batch size 0"],
    );

    let limited = |limits: Limits| Engine::open(options(Parts::sound(1).bytes()).with_limits(limits)).unwrap();
    let two = limited(Limits::default().with_max_photos(2));
    let photos = [photo(1), photo(2), photo(3)];
    refused(
        "three of two",
        try_encode(&two, &photos, &plain),
        ErrorKind::LimitExceeded,
        &["3 photos", "at most 2"],
    );
    let extended = two.extend(&identity, &photos[..2], &plain);
    refused(
        "one and two of two",
        extended,
        ErrorKind::LimitExceeded,
        &["3 photos", "at most 2"],
    );
    let small = limited(Limits::default().with_max_pixels(40 * 30 - 1));
    refused(
        "pixels",
        try_encode(&small, &photos, &plain),
        ErrorKind::LimitExceeded,
        &["1200 pixels", "1199"],
    );
}

#[test]
fn photos_and_crops_that_cannot_work() {
    let engine = engine();
    let strict = EncodeOptions::default().with_bad_photo(BadPhoto::Fail);
    let with =
        |photo: Photo<'_>, crop: Option<CropMode>| try_encode(&engine, &[photo], &strict.clone().with_crop(crop));
    let mut samples = vec![0.5f32; 12];
    samples[7] = f32::NAN;
    let not_finite = Photo::from_pixels(PixelBuffer::new(samples, 2, 2, 0, ChannelOrder::Rgb).unwrap());
    refused(
        "NaN in a photo",
        with(not_finite, None),
        ErrorKind::InvalidArgument,
        &["photo in memory", "NaN"],
    );
    refused(
        "text as photo",
        with(Photo::from_bytes(b"text"), None),
        ErrorKind::Format,
        &["photo in memory"],
    );

    let face = Some(CropMode::face());
    let hinted = |left, top, right, bottom| {
        let bounds = FaceBox {
            left,
            top,
            right,
            bottom,
        };
        photo(1).with_face(FaceHint::Box(bounds))
    };
    with(hinted(5.0, 2.0, 35.0, 28.0), face).unwrap();
    // Only the part inside the photo counts.
    with(hinted(-3e38, -3e38, 3e38, 3e38), face).unwrap();
    for (case, bounds) in [
        ("NaN in the box", hinted(f32::NAN, 2.0, 35.0, 28.0)),
        ("infinite box", hinted(f32::NEG_INFINITY, 2.0, f32::INFINITY, 28.0)),
        ("inside-out box", hinted(35.0, 28.0, 5.0, 2.0)),
        ("empty box", hinted(5.0, 5.0, 5.0, 5.0)),
        ("box outside", hinted(500.0, 500.0, 530.0, 530.0)),
    ] {
        refused(case, with(bounds, face), ErrorKind::InvalidArgument, &["face"]);
    }
    for margin in [f32::NAN, f32::INFINITY, -0.1, 1e9] {
        let crop = Some(CropMode::Face { margin });
        refused(
            "margin",
            with(hinted(5.0, 2.0, 35.0, 28.0), crop),
            ErrorKind::InvalidArgument,
            &["margin"],
        );
    }
    let points = |point: [f32; 2]| photo(1).with_face(FaceHint::Landmarks(Landmarks([point; 5])));
    for point in [[20.0, 15.0], [f32::NAN, 15.0], [f32::INFINITY, 1.0]] {
        refused(
            "landmarks",
            with(points(point), Some(CropMode::aligned())),
            ErrorKind::InvalidArgument,
            &["landmark"],
        );
    }
    for scale in [f32::NAN, 0.0, -1.0, 1e9] {
        let crop = Some(CropMode::Aligned {
            scale,
            center: [56.0; 2],
        });
        refused(
            "scale",
            with(points([1.0, 1.0]), crop),
            ErrorKind::InvalidArgument,
            &["scale"],
        );
    }
    // This engine was opened without a detector: the built-in one looks for the faces.
    let counted = || photo(1).with_face(FaceHint::Index(usize::MAX));
    refused(
        "no such face",
        with(counted(), face),
        ErrorKind::NoFace,
        &["no face found"],
    );
    refused(
        "no such face of a whole photo",
        with(counted(), None),
        ErrorKind::NoFace,
        &["no face found"],
    );
    for whole in [CropMode::None, CropMode::Center] {
        refused(
            "a face of a photo that is taken whole",
            with(counted(), Some(whole)),
            ErrorKind::InvalidArgument,
            &["crop mode face"],
        );
    }
    let options = DetectOptions::default();
    assert_eq!(engine.detect_faces(&image::RgbImage::new(9, 9), &options).unwrap(), []);
    refused(
        "score threshold",
        engine.detect_faces(&image::RgbImage::new(9, 9), &options.with_score_threshold(1.5)),
        ErrorKind::InvalidArgument,
        &["score threshold 1.5"],
    );
}

fn condition(engine: &Engine, input: ConditioningInput<'_>, options: &ConditioningOptions) -> omniid::Result<()> {
    engine.condition([input], options).map(drop)
}

#[test]
fn identities_of_another_model() {
    let (ours, theirs) = (engine(), Parts::sound(2).open().unwrap());
    let (own, foreign) = (encode(&ours).unwrap(), encode(&theirs).unwrap());
    let both = [ours.info().fingerprint.as_str(), &theirs.info().fingerprint];
    assert_ne!(both[0], both[1]);
    let plain = ConditioningOptions::default();
    let input = ConditioningInput::new(&own);
    condition(&ours, input.clone(), &plain).unwrap();
    let cases = [
        ("identity", ConditioningInput::new(&foreign)),
        ("negative", input.clone().with_negative(&foreign)),
        ("composition", input.with_composition(&foreign)),
    ];
    for (case, input) in cases {
        refused(case, condition(&ours, input, &plain), ErrorKind::Mismatch, &both);
    }
    let extended = ours.extend(&foreign, &[photo(1)], &EncodeOptions::default());
    refused("extend", extended, ErrorKind::Mismatch, &both);
    refused(
        "similarity",
        ours.similarity(&own, &foreign),
        ErrorKind::Mismatch,
        &both,
    );
    refused(
        "similarity",
        ours.similarity(&foreign, &own),
        ErrorKind::Mismatch,
        &both,
    );
    let bare = own.without_features();
    let extended = ours.extend(&bare, &[photo(1)], &EncodeOptions::default());
    refused(
        "without features",
        extended,
        ErrorKind::Unsupported,
        &["features", "1 photos"],
    );
}

/// A file can claim the right model and yet hold tokens or features of other sizes.
#[test]
fn identities_that_claim_the_right_model() {
    let engine = engine();
    let sound = encode(&engine).unwrap();
    let forged = |shape: [usize; 2], feature: [usize; 2]| {
        let values = vec![0.5; shape[0] * shape[1]];
        let photo = Tensor::full(0.5f32, feature.as_slice(), &Device::Cpu).unwrap();
        Identity::new(sound.kind(), shape, values, vec![photo], sound.provenance().clone()).unwrap()
    };
    let plain = ConditioningOptions::default();
    let sizes = [("narrow tokens", [3, 11]), ("wide tokens", [3, 13])];
    for (case, shape) in sizes {
        let identity = forged(shape, [5, 16]);
        let width = shape[1].to_string();
        refused(
            case,
            condition(&engine, ConditioningInput::new(&identity), &plain),
            ErrorKind::Mismatch,
            &[&width, "12"],
        );
        refused(case, engine.similarity(&sound, &identity), ErrorKind::Mismatch, &["36"]);
    }
    for (case, feature) in [("feature width", [5, 8]), ("feature tokens", [6, 16])] {
        let identity = forged([3, 12], feature);
        let extended = engine.extend(&identity, &[photo(1)], &EncodeOptions::default());
        refused(case, extended, ErrorKind::Mismatch, &[&format!("{feature:?}")]);
    }
}

#[test]
fn conditioning_that_cannot_work() {
    let engine = engine();
    let identity = encode(&engine).unwrap();
    let input = ConditioningInput::new(&identity);
    let plain = ConditioningOptions::default();
    let none = engine.condition(&[], &plain);
    refused("no identity", none, ErrorKind::InvalidArgument, &["0 identities"]);
    for scale in [f32::NAN, f32::INFINITY] {
        let outcome = condition(&engine, input.clone().with_scale(scale), &plain);
        refused(
            "scale",
            outcome,
            ErrorKind::InvalidArgument,
            &["identity 0", &scale.to_string()],
        );
    }
    for steps in [
        StepRange::Sigma { start: 1.0, end: 2.0 },
        StepRange::Sigma {
            start: f64::NAN,
            end: 0.0,
        },
        StepRange::Fraction { start: 0.5, end: 1.5 },
        StepRange::Fraction {
            start: 0.5,
            end: f64::NAN,
        },
    ] {
        let outcome = condition(&engine, input.clone().with_steps(steps), &plain);
        refused(
            "steps",
            outcome,
            ErrorKind::InvalidArgument,
            &["identity 0", "step range"],
        );
    }
    let tokens = |shape: (usize, usize)| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    for shape in [(3, 11), (0, 12), (200_000, 12)] {
        let negative = tokens(shape);
        let unconditional = Unconditional::Tokens(&negative);
        let outcome = condition(&engine, input.clone().with_unconditional(unconditional), &plain);
        refused(
            "unconditional",
            outcome,
            ErrorKind::Mismatch,
            &["unconditional", &format!("[{}, {}]", shape.0, shape.1)],
        );
    }
    let options = ConditioningOptions::default().with_dtype(DType::I64);
    refused(
        "dtype",
        condition(&engine, input.clone(), &options),
        ErrorKind::Unsupported,
        &["I64"],
    );
    let scales = LayerScales::per_layer(&omniid::host::HostSpec::sd15(), &[1.0; 16]).unwrap();
    let options = ConditioningOptions::default().with_layer_scales(scales);
    refused(
        "layer scales",
        condition(&engine, input.clone(), &options),
        ErrorKind::Mismatch,
        &["16 layer scales", "2 layers"],
    );
    refused(
        "layer scale",
        LayerScales::per_layer(&host(8, 20), &[1.0, f32::NAN]),
        ErrorKind::InvalidArgument,
        &["layer 1", "NaN"],
    );
    let options = ConditioningOptions::default()
        .with_style_boost(f32::NAN)
        .with_weight_type(WeightType::Linear);
    refused(
        "boost",
        condition(&engine, input, &options),
        ErrorKind::InvalidArgument,
        &["style boost", "NaN"],
    );
}

#[test]
fn masks_that_cannot_work() {
    for (case, mask, word) in [
        ("no rows", Mask::new(0, 4, &[]), "0 × 4"),
        ("absurd", Mask::new(usize::MAX, usize::MAX, &[]), "18446744073709551615"),
        ("short", Mask::new(2, 2, &[1.0; 3]), "3 values"),
        ("NaN", Mask::new(1, 2, &[1.0, f32::NAN]), "column 1 is NaN"),
        ("negative", Mask::new(1, 2, &[-0.5, 1.0]), "-0.5"),
    ] {
        refused(case, mask, ErrorKind::InvalidArgument, &[word]);
    }
}
