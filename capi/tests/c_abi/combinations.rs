//! No field of a struct is ignored without a word: every field of every struct that C fills is set in a combination in
//! which it does not count, and is refused, or is documented as harmless there. A field that a later release adds fails
//! until it has a row.

use crate::support::{model, read, root};
use omniid_capi::*;
use std::collections::BTreeSet;
use std::ffi::{c_char, CStr, CString};
use std::ptr::{null, null_mut};

/// What a call says to a combination.
#[derive(Clone, Copy, PartialEq)]
pub enum Answer {
    /// Refused with `INVALID_ARGUMENT`, or `UNSUPPORTED` for a reserved field, and a message with these words.
    Refused(&'static str),
    /// Accepted; the reason why nothing is lost.
    Harmless(&'static str),
    /// Each of its values counts, or is checked, whatever the other fields are.
    Counts,
}
use Answer::{Counts, Harmless, Refused};

pub struct Row<T> {
    pub field: &'static str,
    pub set: fn(&mut T),
    pub answer: Answer,
}

/// Rows as `field: what is set => the answer;`.
macro_rules! rows {
    ($($field:literal: $set:expr => $answer:expr;)*) => {
        &[$(Row { field: $field, set: $set, answer: $answer }),*]
    };
}
pub(crate) use rows;

pub const fn none<T>(_: &mut T) {}

static NUMBERS: [f32; 4] = [0.5; 4];
static PIXELS: [u8; 64 * 64 * 3] = [90; 64 * 64 * 3];

/// Zeros with the size, as far as the macros set nothing else.
pub fn zeroed<T>(size_field: impl FnOnce(&mut T)) -> T {
    // SAFETY: every bit pattern is a valid value of the header's structs.
    let mut value: T = unsafe { std::mem::zeroed() };
    size_field(&mut value);
    value
}

fn photo() -> omniid_photo {
    zeroed(|photo: &mut omniid_photo| {
        photo.struct_size = size_of::<omniid_photo>() as u32;
        (photo.pixels, photo.width, photo.height) = (PIXELS.as_ptr().cast(), 64, 64);
    })
}

/// The names of a struct's fields in the header.
fn fields(name: &str) -> BTreeSet<String> {
    let header = read(root().join("include/omniid.h"));
    let (_, rest) = header.split_once(&format!("typedef struct {name} {{\n")).unwrap();
    let (body, _) = rest.split_once(&format!("\n}} {name};")).unwrap();
    let lines = body
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.strip_suffix(';'));
    let fields = lines.map(|line| {
        line.split('[')
            .next()
            .unwrap()
            .rsplit([' ', '*'])
            .next()
            .unwrap()
            .to_string()
    });
    fields.collect()
}

/// Makes each row's combination and calls with it.
pub fn check<T>(name: &str, start: impl Fn() -> T, rows: &[Row<T>], call: impl Fn(&T) -> omniid_status) {
    let covered: BTreeSet<String> = rows.iter().map(|row| row.field.to_string()).collect();
    assert_eq!(
        covered,
        fields(name),
        "{name}: the fields in this table and in the header differ"
    );
    for Row { field, set, answer } in rows {
        let mut value = start();
        set(&mut value);
        if *answer == Counts {
            continue;
        }
        let status = call(&value);
        // SAFETY: the library's own text.
        let message = unsafe { CStr::from_ptr(omniid_last_error()) }
            .to_string_lossy()
            .into_owned();
        match *answer {
            Refused(words) => {
                let reserved = status == OMNIID_STATUS_UNSUPPORTED && field.starts_with("reserved");
                assert!(
                    status == OMNIID_STATUS_INVALID_ARGUMENT || reserved,
                    "{name}.{field}: status {status} ({message})"
                );
                assert!(message.contains(words), "{name}.{field}: {message:?}");
            }
            Harmless(reason) => assert_eq!(status, OMNIID_STATUS_OK, "{name}.{field} ({reason}): {message}"),
            Counts => {}
        }
    }
}

/// An engine with an identity and a conditioning of it.
pub struct Objects {
    pub engine: *mut omniid_engine,
    pub identity: *mut omniid_identity,
    pub conditioning: *mut omniid_conditioning,
}

pub fn engine_options() -> omniid_engine_options {
    let path = CString::new(model().to_str().unwrap()).unwrap();
    zeroed(|options: &mut omniid_engine_options| {
        options.struct_size = size_of::<omniid_engine_options>() as u32;
        options.abi_version = OMNIID_ABI_VERSION;
        // Used by every call of this process.
        options.checkpoint_path = Box::leak(path.into_boxed_c_str()).as_ptr();
    })
}

fn encode_options() -> omniid_encode_options {
    zeroed(|options: &mut omniid_encode_options| {
        options.struct_size = size_of::<omniid_encode_options>() as u32;
        options.crop_margin = -1.0;
    })
}

impl Objects {
    pub fn new() -> Self {
        Self::of(&engine_options())
    }

    pub fn of(options: &omniid_engine_options) -> Self {
        let mut objects = Self {
            engine: null_mut(),
            identity: null_mut(),
            conditioning: null_mut(),
        };
        // SAFETY: initialised structs and places of this test.
        unsafe {
            assert_eq!(omniid_engine_open(options, &mut objects.engine), OMNIID_STATUS_OK);
            let status = omniid_encode(objects.engine, &photo(), 1, null(), &mut objects.identity);
            assert_eq!(status, OMNIID_STATUS_OK);
            let status =
                omniid_conditioning_create(objects.engine, &objects.input(), 1, null(), &mut objects.conditioning);
            assert_eq!(status, OMNIID_STATUS_OK);
        }
        objects
    }

    fn input(&self) -> omniid_conditioning_input {
        zeroed(|input: &mut omniid_conditioning_input| {
            input.struct_size = size_of::<omniid_conditioning_input>() as u32;
            (input.scale, input.identity) = (1.0, self.identity);
        })
    }

    fn encode(&self, photo: &omniid_photo, options: &omniid_encode_options) -> omniid_status {
        let mut out = null_mut();
        // SAFETY: initialised structs and places of this test.
        unsafe {
            let status = omniid_encode(self.engine, photo, 1, options, &mut out);
            omniid_identity_free(out);
            status
        }
    }

    fn condition(&self, input: &omniid_conditioning_input, options: &omniid_conditioning_options) -> omniid_status {
        let mut out = null_mut();
        // SAFETY: as above.
        unsafe {
            let status = omniid_conditioning_create(self.engine, input, 1, options, &mut out);
            omniid_conditioning_free(out);
            status
        }
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        // SAFETY: made by `new`, freed once.
        unsafe {
            omniid_conditioning_free(self.conditioning);
            omniid_identity_free(self.identity);
            omniid_engine_free(self.engine);
        }
    }
}

const TEXT: *const c_char = c"{}".as_ptr();

#[test]
fn engine_options_count_or_are_refused() {
    let open = |options: &omniid_engine_options| {
        let mut out = null_mut();
        // SAFETY: an initialised struct of this test.
        unsafe {
            let status = omniid_engine_open(options, &mut out);
            omniid_engine_free(out);
            status
        }
    };
    type Options = omniid_engine_options;
    let own = "a native checkpoint contains its own";
    let rows: &[Row<Options>] = rows![
        "struct_size": |o| o.struct_size -= 8 => Refused("OMNIID_ENGINE_OPTIONS_INIT");
        "struct_size": |o| o.struct_size = 8 => Refused("OMNIID_ENGINE_OPTIONS_INIT");
        "abi_version": none => Counts;
        "checkpoint_path": |o| o.checkpoint_data = PIXELS.as_ptr().cast() => Refused("checkpoint: both");
        "checkpoint_data": none => Counts;
        "checkpoint_size": |o| o.checkpoint_size = 5 => Refused("checkpoint_size is 5");
        "image_encoder_path": |o| o.image_encoder_path = TEXT => Refused(own);
        "image_encoder_data": |o| (o.image_encoder_data, o.image_encoder_size) = (PIXELS.as_ptr().cast(), 9)
            => Refused(own);
        "image_encoder_size": |o| o.image_encoder_size = 7 => Refused("image_encoder_size is 7");
        "image_encoder_config": |o| o.image_encoder_config = TEXT => Refused(own);
        "detector_path": none => Counts;
        "detector_data": none => Counts;
        "detector_size": |o| o.detector_size = 1 => Refused("detector_size is 1");
        "host": |o| o.host = c"sd9".as_ptr() => Refused("sd9");
        "host_layers": |o| o.host_layers = NUMBERS.as_ptr().cast() => Refused("host_layers is set");
        "host_layer_count": |o| o.host_layer_count = 2 => Refused("omniid_host_layer");
        "device_type": |o| o.device_type = 1 => Harmless("the CPU is the default");
        "device_id": |o| o.device_id = 1 => Refused("device_id is 1");
        "precision": |o| o.precision = -1 => Refused("precision: -1");
        "defer_image_encoder": |o| o.defer_image_encoder = 2 => Refused("defer_image_encoder: 2");
        "max_pixels": none => Counts;
        "max_decoded_bytes": none => Counts;
        "max_photo_bytes": none => Counts;
        "max_header_bytes": none => Counts;
        "max_photos": none => Counts;
        "progress": none => Counts;
        "progress_user_data": |o| o.progress_user_data = (&raw const NUMBERS).cast_mut().cast()
            => Harmless("documented: not looked at without progress");
        "face_recogniser_path": |o| (o.face_recogniser_path, o.face_recogniser_data) = (TEXT, PIXELS.as_ptr().cast())
            => Refused("face_recogniser: both");
        "face_recogniser_data": none => Counts;
        "face_recogniser_size": |o| o.face_recogniser_size = 3 => Refused("face_recogniser_size is 3");
        "face_parser_path": |o| o.face_parser_path = TEXT => Refused("face parser");
        "face_parser_data": |o| (o.face_parser_data, o.face_parser_size) = (PIXELS.as_ptr().cast(), 9)
            => Refused("face parser");
        "face_parser_size": |o| o.face_parser_size = 3 => Refused("face_parser_size is 3");
        "variant": |o| o.variant = c"faceid".as_ptr() => Refused("variant faceid is chosen");
        "variant": |o| o.variant = c"faceid-9".as_ptr() => Refused("unknown model variant");
        "variant": |o| o.variant = c"".as_ptr() => Harmless("documented: as NULL");
    ];
    check("omniid_engine_options", engine_options, rows, open);
}

#[test]
fn photos_count_or_are_refused() {
    let objects = Objects::new();
    let rows: &[Row<omniid_photo>] = rows![
        "struct_size": |p| p.struct_size = 64 => Refused("OMNIID_PHOTO_INIT");
        "face_hint": |p| p.face_hint = 4 => Refused("face_hint: 4");
        "path": |p| p.path = TEXT => Refused("more than one");
        "data": |p| p.data = PIXELS.as_ptr().cast() => Refused("more than one");
        "data_size": |p| p.data_size = 3 => Refused("data_size is 3");
        "pixels": |p| p.pixels = null() => Refused("all NULL");
        "row_stride": |p| p.row_stride = 1 => Refused("stride");
        "width": |p| p.width = 0 => Refused("0 x 64");
        "pixel_type": |p| p.pixel_type = 2 => Refused("pixel_type: 2");
        "height": |p| p.height = 0 => Refused("64 x 0");
        "channel_order": |p| p.channel_order = -1 => Refused("channel_order: -1");
        "face_box": |p| p.face_box[3] = 9.0 => Refused("OMNIID_FACE_HINT_BOX");
        "face_landmarks": |p| p.face_landmarks[9] = f32::NAN => Refused("OMNIID_FACE_HINT_LANDMARKS");
        "face_index": |p| p.face_index = 1 => Refused("OMNIID_FACE_HINT_INDEX");
        "reserved": |p| p.reserved = 9 => Refused("reserved is 9");
        "name": |p| p.name = c"\xff".as_ptr() => Refused("name: not UTF-8");
        "name": |p| p.name = c"".as_ptr() => Harmless("documented: as NULL");
        "embedding": |p| (p.embedding, p.embedding_size, p.embedding_network) = (NUMBERS.as_ptr(), 4, c"sface".as_ptr())
            => Refused("no effect");
        "embedding": |p| p.embedding = NUMBERS.as_ptr() => Refused("0 values");
        "embedding_size": |p| p.embedding_size = 4 => Refused("embedding_size is 4");
        "embedding_network": |p| p.embedding_network = c"sface".as_ptr() => Refused("embedding_network is set");
        "embedding_form": |p| p.embedding_form = 1 => Refused("embedding_form is 1");
        "reserved_embedding": |p| p.reserved_embedding = 9 => Refused("reserved is 9");
        "face_mask": |p| (p.face_mask, p.face_mask_height, p.face_mask_width) = (NUMBERS.as_ptr(), 2, 2)
            => Refused("a face mask has no effect");
        "face_mask": |p| p.face_mask = NUMBERS.as_ptr() => Refused("0 values");
        "face_mask_height": |p| p.face_mask_height = 4 => Refused("face_mask_height is 4");
        "face_mask_width": |p| p.face_mask_width = u32::MAX => Refused("face_mask_width is");
    ];
    check("omniid_photo", photo, rows, |photo| {
        objects.encode(photo, &encode_options())
    });
}

#[test]
fn encode_options_count_or_are_refused() {
    let objects = Objects::new();
    let rows: &[Row<omniid_encode_options>] = rows![
        "struct_size": |o| o.struct_size = 16 => Refused("OMNIID_ENCODE_OPTIONS_INIT");
        "crop": |o| o.crop = 5 => Refused("crop: 5");
        "crop_margin": |o| o.crop_margin = 0.1 => Refused("OMNIID_CROP_FACE");
        "crop_margin": |o| o.crop_margin = f32::NAN => Refused("OMNIID_CROP_FACE");
        "crop_margin": |o| (o.crop, o.crop_margin) = (OMNIID_CROP_ALIGNED, 1.0) => Refused("OMNIID_CROP_FACE");
        "crop_margin": |o| o.crop_margin = 0.0 => Harmless("documented: a struct of zeros");
        "crop_scale": |o| o.crop_scale = 0.5 => Refused("OMNIID_CROP_ALIGNED");
        "crop_scale": |o| (o.crop, o.crop_scale) = (OMNIID_CROP_FACE, 2.0) => Refused("OMNIID_CROP_ALIGNED");
        "crop_scale": |o| o.crop_scale = 1.0 => Harmless("the default");
        "batch_size": none => Counts;
        "bad_photo": |o| o.bad_photo = 2 => Refused("bad_photo: 2");
        "drop_features": |o| o.drop_features = 2 => Refused("drop_features: 2");
        "strangers": |o| o.strangers = 3 => Refused("strangers: 3");
        "label": |o| o.label = c"".as_ptr() => Harmless("documented: as NULL");
        "consent": |o| o.consent = c"".as_ptr() => Harmless("documented: as NULL");
        "report": none => Counts;
        "progress": none => Counts;
        "progress_user_data": |o| o.progress_user_data = (&raw const NUMBERS).cast_mut().cast()
            => Harmless("documented: not looked at without progress");
        "combine": |o| o.combine = 7 => Refused("combine: 7");
        "combine": |o| o.combine = -1 => Refused("combine: -1");
        "has_shortcut_scale": |o| o.has_shortcut_scale = 2 => Refused("has_shortcut_scale: 2");
        "shortcut_scale": |o| o.shortcut_scale = 0.5 => Refused("shortcut_scale is 0.5");
        "shortcut_scale": |o| (o.has_shortcut_scale, o.shortcut_scale) = (1, 0.5) => Refused("no effect");
        "shortcut_scale": |o| (o.has_shortcut_scale, o.shortcut_scale) = (1, f32::NAN) => Refused("finite");
        "reserved": |o| o.reserved = 1 => Refused("reserved is 1");
    ];
    check("omniid_encode_options", encode_options, rows, |options| {
        objects.encode(&photo(), options)
    });
}

#[test]
fn detect_options_count_or_are_refused() {
    // The built-in model has a detector; the small one of the other tests has none.
    let mut engine = null_mut();
    let mut options = engine_options();
    options.checkpoint_path = null();
    // SAFETY: an initialised struct of this test.
    assert_eq!(unsafe { omniid_engine_open(&options, &mut engine) }, OMNIID_STATUS_OK);
    let start = || {
        zeroed(|options: &mut omniid_detect_options| {
            options.struct_size = size_of::<omniid_detect_options>() as u32;
        })
    };
    let rows: &[Row<omniid_detect_options>] = rows![
        "struct_size": |o| o.struct_size = 24 => Refused("OMNIID_DETECT_OPTIONS_INIT");
        "score_threshold": |o| o.score_threshold = 1.5 => Refused("score_threshold: 1.5");
        "overlap_threshold": |o| o.overlap_threshold = -0.5 => Refused("overlap_threshold: -0.5");
        "side": none => Counts;
        "fine_side": none => Counts;
        "exhaustive": |o| o.exhaustive = 2 => Refused("exhaustive: 2");
        "upright_only": |o| o.upright_only = -1 => Refused("upright_only: -1");
        "reserved": |o| o.reserved = 1 => Refused("reserved is 1");
    ];
    check("omniid_detect_options", start, rows, |options| {
        let mut count = 0;
        // SAFETY: initialised structs of this test.
        unsafe { omniid_engine_detect_faces(engine, &photo(), options, null_mut(), 0, &mut count) }
    });
    // SAFETY: made above, freed once.
    unsafe { omniid_engine_free(engine) };
}

#[test]
fn conditioning_inputs_count_or_are_refused() {
    let objects = Objects::new();
    let options = conditioning_options();
    let rows: &[Row<omniid_conditioning_input>] = rows![
        "struct_size": |i| i.struct_size = 24 => Refused("OMNIID_CONDITIONING_INPUT_INIT");
        "scale": |i| i.scale = f32::INFINITY => Refused("scale");
        "identity": |i| i.identity = null() => Refused("identity");
        "mask": |i| i.mask = NUMBERS.as_ptr() => Refused("mask: 0 x 0");
        "mask_height": |i| i.mask_height = 2 => Refused("mask_height is 2");
        "mask_width": |i| i.mask_width = 3 => Refused("mask_width is 3");
        "step_range": |i| i.step_range = 3 => Refused("step_range: 3");
        "step_range": |i| (i.step_range, i.step_start, i.step_end) = (OMNIID_STEP_RANGE_SIGMA, 1.0, 10.0)
            => Refused("sigma");
        "step_range": |i| (i.step_range, i.step_start, i.step_end) = (OMNIID_STEP_RANGE_FRACTION, 0.8, 0.2)
            => Refused("fraction");
        "step_start": |i| i.step_start = 0.5 => Refused("step_start is 0.5");
        "step_end": |i| i.step_end = 1.0 => Refused("step_end is 1");
        "unconditional": |i| i.unconditional = 8 => Refused("unconditional: 8");
        "negative": |i| (i.negative, i.unconditional) = (i.identity, OMNIID_UNCONDITIONAL_NONE)
            => Harmless("documented: overrides unconditional");
        "composition": |i| i.composition = i.identity => Refused("weight type \"style and composition\"");
    ];
    check(
        "omniid_conditioning_input",
        || objects.input(),
        rows,
        |input| objects.condition(input, &options),
    );
}

fn conditioning_options() -> omniid_conditioning_options {
    zeroed(|options: &mut omniid_conditioning_options| {
        options.struct_size = size_of::<omniid_conditioning_options>() as u32;
    })
}

#[test]
fn conditioning_options_count_or_are_refused() {
    let objects = Objects::new();
    let rows: &[Row<omniid_conditioning_options>] = rows![
        "struct_size": |o| o.struct_size = 32 => Refused("OMNIID_CONDITIONING_OPTIONS_INIT");
        "weight_type": |o| o.weight_type = 16 => Refused("weight_type: 16");
        "layer_scales": |o| o.layer_scales = NUMBERS.as_ptr() => Refused("layer_scales is set");
        "layer_scale_count": |o| o.layer_scale_count = 2 => Refused("layer_scales");
        "embeds_scaling": |o| o.embeds_scaling = 4 => Refused("embeds_scaling: 4");
        "mask_mode": |o| o.mask_mode = 2 => Refused("mask_mode: 2");
        "mask_mode": |o| o.mask_mode = 1 => Harmless("documented: for identities that have a mask");
        "precision": |o| o.precision = 3 => Refused("precision int8");
        "precision": |o| o.precision = 4 => Refused("precision: 4");
        "reserved": |o| o.reserved = 2 => Refused("reserved is 2");
        "composition_scale": |o| o.composition_scale = NUMBERS.as_ptr() => Refused("composition scale is given");
        "style_boost": |o| o.style_boost = NUMBERS.as_ptr() => Refused("style boost is given");
        "composition_boost": |o| o.composition_boost = NUMBERS.as_ptr() => Refused("composition boost is given");
        "progress": none => Counts;
        "progress_user_data": |o| o.progress_user_data = (&raw const NUMBERS).cast_mut().cast()
            => Harmless("documented: not looked at without progress");
        "zero_tokens": |o| o.zero_tokens = 65_537 => Refused("65537 zero tokens");
        "zero_tokens": |o| o.zero_tokens = 8 => Counts;
        "injection": |o| o.injection = 3 => Refused("injection: 3");
        "normalise_values": |o| o.normalise_values = 2 => Refused("normalise_values: 2");
        "normalise_values": |o| o.normalise_values = 1 => Refused("normalise");
        "timesteps": |o| o.timesteps = NUMBERS.as_ptr() => Refused("timesteps is set");
        "timestep_count": |o| o.timestep_count = 1 => Refused("timesteps");
        "timesteps": |o| (o.timesteps, o.timestep_count) = (NUMBERS.as_ptr(), 1) => Refused("timesteps are given");
        "siglip_weight": |o| o.siglip_weight = NUMBERS.as_ptr() => Harmless("documented: others do not look at it");
    ];
    check("omniid_conditioning_options", conditioning_options, rows, |options| {
        objects.condition(&objects.input(), options)
    });
}

#[test]
fn inject_calls_count_or_are_refused() {
    let objects = Objects::new();
    // Two layers of two heads of 8 in the small model's host.
    let (mut query, mut output) = (vec![0.5f32; 2 * 6 * 16], vec![0.25f32; 2 * 6 * 16]);
    let mut shape = [2i64, 6, 16];
    let mut tensor = |data: &mut [f32]| omniid_tensor {
        data: data.as_mut_ptr().cast(),
        device: TensorDevice {
            device_type: 1,
            device_id: 0,
        },
        ndim: 3,
        dtype: TensorType {
            code: 2,
            bits: 32,
            lanes: 1,
        },
        shape: shape.as_mut_ptr(),
        strides: null_mut(),
        byte_offset: 0,
    };
    let (query, mut output) = (tensor(&mut query), tensor(&mut output));
    let output: *mut omniid_tensor = &mut output;
    let sizes = query.shape;
    let start = || {
        zeroed(|call: &mut omniid_inject_call| {
            call.struct_size = size_of::<omniid_inject_call>() as u32;
            (call.scale, call.stream, call.query, call.output) = (1.0, 1, &query, output);
        })
    };
    static ROLES: [i32; 2] = [0, 1];
    let rows: &[Row<omniid_inject_call>] = rows![
        "struct_size": |c| c.struct_size = 40 => Refused("OMNIID_INJECT_CALL_INIT");
        "scale": |c| c.scale = f32::NAN => Refused("scale");
        "layer": |c| c.layer = 2 => Refused("no layer 2");
        "query": |c| c.query = null() => Refused("query");
        "output": |c| c.output = c.query.cast_mut() => Refused("share memory");
        "layout": |c| c.layout = 2 => Refused("layout: 2");
        "flags": none => Counts;
        "roles": |c| c.roles = ROLES.as_ptr() => Refused("roles is set");
        "role_count": |c| c.role_count = 2 => Refused("roles");
        "role_count": |c| (c.roles, c.role_count) = (ROLES.as_ptr(), 1) => Harmless("documented: one role of all rows, here the default");
        "sigma": |c| c.sigma = 3.0 => Harmless("documented: not looked at without its flag");
        "fraction": |c| c.fraction = 0.5 => Harmless("documented: not looked at without its flag");
        "latent_height": |c| c.latent_height = 4 => Refused("latent size: 4 x 0");
        "latent_width": |c| c.latent_width = 4 => Refused("latent size: 0 x 4");
        "latent_width": |c| (c.latent_height, c.latent_width) = (2, 3)
            => Harmless("documented: identities without a mask do not look at it");
        "stream": |c| c.stream = 7 => Harmless("documented: ignored on the CPU");
        "image_keys": |c| c.image_keys = c.query => Refused("image keys or values are given");
        "image_values": |c| c.image_values = c.output => Refused("image_values and output share memory");
        "image_values": |c| c.image_values = c.query => Refused("image keys or values are given");
        "part": |c| c.part = 1 => Refused("part 1 of 1");
        "part": |c| (c.part, c.part_count) = (3, 3) => Refused("part 3 of 3");
        "part_count": |c| c.part_count = 1 => Harmless("documented: as 0");
        "part_count": |c| c.part_count = 2 => Counts;
    ];
    check("omniid_inject_call", start, rows, |call| {
        // SAFETY: initialised structs of this test.
        unsafe { omniid_inject(objects.conditioning, call) }
    });

    // The shape in the message is the caller's, also for an empty batch.
    // SAFETY: the query points to `shape`, which lives and is used by nobody else.
    unsafe { *sizes = 0 };
    // SAFETY: as above.
    assert_eq!(
        unsafe { omniid_inject(objects.conditioning, &start()) },
        OMNIID_STATUS_INVALID_ARGUMENT
    );
    // SAFETY: the library's own text.
    let message = unsafe { CStr::from_ptr(omniid_last_error()) }.to_str().unwrap();
    assert!(message.contains("the query has shape [0, 6, 16]"), "{message}");
}

/// The sizes of ABI 1.0 on 64-bit systems: programs that were built for it run with every later 1.x.
#[test]
#[cfg(target_pointer_width = "64")]
fn sizes_of_the_first_release_are_accepted() {
    let objects = Objects::new();
    type Described<'a> = Box<dyn Fn(*mut u64) -> omniid_status + 'a>;
    let mut report = null_mut();
    let mut options = encode_options();
    options.report = &mut report;
    assert_eq!(objects.encode(&photo(), &options), OMNIID_STATUS_OK);
    // SAFETY (all closures): 4096 bytes of zeros with the size in front.
    let described: Vec<(u32, Described<'_>)> = vec![
        (
            80,
            Box::new(|out| unsafe { omniid_engine_describe(objects.engine, out.cast()) }),
        ),
        (
            72,
            Box::new(|out| unsafe { omniid_identity_describe(objects.identity, out.cast()) }),
        ),
        (
            24,
            Box::new(|out| unsafe { omniid_engine_host_layer(objects.engine, 0, out.cast()) }),
        ),
        (
            96,
            Box::new(|out| unsafe { omniid_report_photo(report, 0, out.cast()) }),
        ),
    ];
    for (size, describe) in described {
        for (stated, accepted) in [(size, true), (size - 8, false), (8, false), (512, true)] {
            let mut memory = [0u64; 512];
            memory[0] = u64::from(stated);
            let status = describe(memory.as_mut_ptr());
            assert_eq!(
                status == OMNIID_STATUS_OK,
                accepted,
                "size {stated} of {size}: status {status}"
            );
            assert!(memory[size.div_ceil(8).max(stated / 8) as usize..]
                .iter()
                .all(|&word| word == 0));
        }
    }
    // SAFETY: made above, freed once.
    unsafe { omniid_report_free(report) };
    // Photos without a name, as in the first release.
    for (size, accepted) in [(128, true), (120, false), (136, true), (144, false), (184, true)] {
        let mut photo = photo();
        photo.struct_size = size;
        let status = objects.encode(&photo, &encode_options());
        assert_eq!(status == OMNIID_STATUS_OK, accepted, "photo of {size} bytes");
    }
    // Conditioning options without what came with PuLID and SD3.5, as in the first release.
    for (size, accepted) in [(80, true), (88, false), (104, false), (120, true), (128, true)] {
        let mut options = conditioning_options();
        options.struct_size = size;
        let status = objects.condition(&objects.input(), &options);
        assert_eq!(
            status == OMNIID_STATUS_OK,
            accepted,
            "conditioning options of {size} bytes"
        );
    }
    // Options of engines and of encoding without what came with face embeddings, as in the first release.
    for (size, accepted) in [(184, true), (192, false), (240, true)] {
        let (mut options, mut engine) = (engine_options(), null_mut());
        options.struct_size = size;
        // SAFETY: an initialised struct of this test; the engine is made here, freed once.
        let status = unsafe {
            let status = omniid_engine_open(&options, &mut engine);
            omniid_engine_free(engine);
            status
        };
        assert_eq!(status == OMNIID_STATUS_OK, accepted, "engine options of {size} bytes");
    }
    for (size, accepted) in [(72, true), (80, false), (88, true)] {
        let mut options = encode_options();
        options.struct_size = size;
        let status = objects.encode(&photo(), &options);
        assert_eq!(status == OMNIID_STATUS_OK, accepted, "encode options of {size} bytes");
    }
    for (name, size, first) in [
        ("omniid_detect_options", size_of::<omniid_detect_options>(), 32),
        ("omniid_face", size_of::<omniid_face>(), 64),
        ("omniid_conditioning_input", size_of::<omniid_conditioning_input>(), 72),
    ] {
        assert_eq!(
            size, first,
            "{name} has grown: name {first} in EARLIER_SIZES, and try it here"
        );
    }
}
