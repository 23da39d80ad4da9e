//! Structs filled with arbitrary bytes and arbitrary sizes. Pointers in them are NULL or valid, as the header demands;
//! everything else may be anything. Used by a test with random bytes and by the fuzz target `capi_structs`.

use omniid_capi::*;
use std::ffi::{c_void, CString};
use std::path::Path;
use std::ptr::{null, null_mut};

/// Two structs of the largest size that the library reads.
#[repr(C, align(16))]
struct Memory([u8; 8192]);

/// Bytes of the fuzzer, zeros behind their end.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().map_or((0, self.0), |(first, rest)| (*first, rest));
        self.0 = rest;
        first
    }

    fn flag(&mut self) -> bool {
        self.next() & 1 == 1
    }

    /// A struct of arbitrary content. Its stated size is arbitrary in one case of four, else plausible.
    fn fill<T: Copy>(&mut self, memory: &mut Memory) {
        memory.0.fill(0);
        let plausible = size_of::<T>() as u32;
        let size = match self.next() % 8 {
            0 => u32::from_ne_bytes(std::array::from_fn(|_| self.next())),
            1 => u32::from(self.next()) * 8,
            2 => plausible + u32::from(self.next()),
            _ => plausible,
        };
        let filled = if self.flag() {
            size_of::<T>()
        } else {
            memory.0.len() / 2
        };
        // Dense: any bytes. Sparse: mostly zero words, some small numbers, so that calls come past the first check.
        let dense = self.next().is_multiple_of(8);
        for word in memory.0[4..filled].chunks_exact_mut(4) {
            match self.next() % 32 {
                _ if self.0.is_empty() => break,
                kind if dense || kind == 0 => word.fill_with(|| self.next()),
                1 => word[0] = self.next() % 8,
                _ => {}
            }
        }
        memory.0[..4].copy_from_slice(&size.to_ne_bytes());
    }
}

/// Inputs of the small model's two layers.
const MANIFEST: &str = r#"{"format": "omniid-graph", "version": 1, "graph": "a.onnx", "host": "custom",
    "form": "keys_values", "precision": "f32", "scale": "scale", "layers": [
        {"name": "down.attn", "heads": 2, "head_dim": 8, "key": "k0", "value": "v0"},
        {"name": "up.attn", "heads": 4, "head_dim": 8, "key": "k1", "value": "v1"}]}"#;

/// What the structs may point to.
pub struct Session {
    engine: *mut omniid_engine,
    identity: *mut omniid_identity,
    conditioning: *mut omniid_conditioning,
    report: *mut omniid_report,
    graph: *mut omniid_graph,
    path: CString,
    pixels: Vec<u32>,
}

impl Session {
    pub fn new(model: &Path) -> Self {
        let path = CString::new(model.to_str().unwrap()).unwrap();
        let mut session = Self {
            engine: null_mut(),
            identity: null_mut(),
            conditioning: null_mut(),
            report: null_mut(),
            graph: null_mut(),
            path,
            pixels: (0..40_000u32).map(|i| i.wrapping_mul(2_654_435_761) >> 9).collect(),
        };
        // SAFETY: zeros are valid in all three structs; pointers are set to what lives in `session`.
        unsafe {
            let mut options: omniid_engine_options = std::mem::zeroed();
            options.struct_size = size_of::<omniid_engine_options>() as u32;
            options.abi_version = OMNIID_ABI_VERSION;
            options.checkpoint_path = session.path.as_ptr();
            assert_eq!(omniid_engine_open(&options, &mut session.engine), OMNIID_STATUS_OK);
            let mut photo: omniid_photo = std::mem::zeroed();
            photo.struct_size = size_of::<omniid_photo>() as u32;
            (photo.pixels, photo.width, photo.height) = (session.pixels.as_ptr().cast(), 60, 60);
            let mut encode: omniid_encode_options = std::mem::zeroed();
            encode.struct_size = size_of::<omniid_encode_options>() as u32;
            encode.report = &mut session.report;
            assert_eq!(
                omniid_encode(session.engine, &photo, 1, &encode, &mut session.identity),
                OMNIID_STATUS_OK
            );
            let mut input: omniid_conditioning_input = std::mem::zeroed();
            input.struct_size = size_of::<omniid_conditioning_input>() as u32;
            (input.scale, input.identity) = (1.0, session.identity);
            let status = omniid_graph_parse(MANIFEST.as_ptr().cast(), MANIFEST.len(), &mut session.graph);
            assert_eq!(status, OMNIID_STATUS_OK);
            let out = &mut session.conditioning;
            assert_eq!(
                omniid_conditioning_create(session.engine, &input, 1, null(), out),
                OMNIID_STATUS_OK
            );
        }
        session
    }

    /// One call of one function. Returns its status.
    pub fn call(&self, bytes: &[u8]) -> omniid_status {
        let mut bytes = Bytes(bytes);
        let status = match bytes.next() % 6 {
            0 => self.open(&mut bytes),
            1 => self.encode(&mut bytes),
            2 => self.condition(&mut bytes),
            3 => self.inject(&mut bytes),
            4 => self.fill(&mut bytes),
            _ => self.describe(&mut bytes),
        };
        assert_ne!(status, OMNIID_STATUS_INTERNAL, "a defect in the library was reported");
        status
    }

    fn open(&self, bytes: &mut Bytes<'_>) -> omniid_status {
        let (mut memory, mut layers) = (Memory([0; 8192]), Memory([0; 8192]));
        bytes.fill::<omniid_engine_options>(&mut memory);
        bytes.fill::<omniid_host_layer>(&mut layers);
        let host_layer = layers.0.as_mut_ptr().cast::<omniid_host_layer>();
        let options = memory.0.as_mut_ptr().cast::<omniid_engine_options>();
        let mut out = null_mut();
        // SAFETY: both memories are larger than their structs; every pointer in them is set here.
        unsafe {
            (*host_layer).name = if bytes.flag() { c"one".as_ptr() } else { null() };
            let raw = &mut *options;
            if raw.abi_version & 7 != 7 {
                raw.abi_version = OMNIID_ABI_VERSION;
            }
            raw.checkpoint_path = if bytes.next() & 7 != 0 {
                self.path.as_ptr()
            } else {
                null()
            };
            (raw.checkpoint_data, raw.checkpoint_size) = (self.data(bytes), usize::from(bytes.next()));
            raw.image_encoder_path = if bytes.flag() { c"no/such/file".as_ptr() } else { null() };
            (raw.image_encoder_data, raw.image_encoder_size) = (null(), raw.image_encoder_size);
            raw.image_encoder_config = if bytes.flag() { c"{}".as_ptr() } else { null() };
            raw.detector_path = null();
            (raw.detector_data, raw.detector_size) = (self.data(bytes), usize::from(bytes.next()));
            raw.face_recogniser_path = null();
            (raw.face_recogniser_data, raw.face_recogniser_size) = match bytes.next() & 7 {
                0 => (self.data(bytes), usize::from(bytes.next())),
                _ => (null(), 0),
            };
            (raw.face_parser_path, raw.face_parser_data, raw.face_parser_size) = match bytes.next() & 7 {
                0 => (null(), self.data(bytes), usize::from(bytes.next())),
                _ => (null(), null(), 0),
            };
            raw.variant = match bytes.next() & 7 {
                0 => c"faceid".as_ptr(),
                1 => c"\xff".as_ptr(),
                _ => null(),
            };
            raw.host = if bytes.flag() { c"sd15".as_ptr() } else { null() };
            raw.host_layers = if bytes.flag() { host_layer } else { null() };
            raw.host_layer_count = usize::from(bytes.next() % 2);
            (raw.progress, raw.progress_user_data) = (None, null_mut());
            if bytes.next() & 3 != 0 {
                // A combination that makes sense, so that calls come past the checks.
                (raw.image_encoder_path, raw.image_encoder_size) = (null(), 0);
                (raw.image_encoder_config, raw.device_type, raw.device_id) = (null(), 0, 0);
                (raw.checkpoint_data, raw.checkpoint_size) = (null(), 0);
                (raw.detector_data, raw.detector_size) = (null(), 0);
                (raw.host_layers, raw.host_layer_count) = (null(), 0);
            }
            let status = omniid_engine_open(options, &mut out);
            assert_eq!(status == OMNIID_STATUS_OK, !out.is_null());
            omniid_engine_free(out);
            status
        }
    }

    /// NULL or 160 kB, as something that is no file of any kind.
    fn data(&self, bytes: &mut Bytes<'_>) -> *const c_void {
        if bytes.next() & 3 == 0 {
            self.pixels.as_ptr().cast()
        } else {
            null()
        }
    }

    fn encode(&self, bytes: &mut Bytes<'_>) -> omniid_status {
        let (mut photos, mut options) = (Memory([0; 8192]), Memory([0; 8192]));
        bytes.fill::<omniid_photo>(&mut photos);
        bytes.fill::<omniid_encode_options>(&mut options);
        let (photo, raw) = (
            photos.0.as_mut_ptr().cast::<omniid_photo>(),
            options.0.as_mut_ptr().cast::<omniid_encode_options>(),
        );
        let (mut report, mut out) = (null_mut(), null_mut());
        // SAFETY: as in `open`; pixels stay within their 160 kB: 63 rows of 1023 bytes and 63 pixels of 16 bytes.
        unsafe {
            (*photo).path = if bytes.next() & 7 == 0 {
                c"no/such/photo".as_ptr()
            } else {
                null()
            };
            ((*photo).data, (*photo).data_size) = (self.data(bytes), usize::from(bytes.next()));
            (*photo).pixels = if bytes.next() & 7 != 0 {
                self.pixels.as_ptr().cast()
            } else {
                null()
            };
            let least = u32::from(bytes.next() & 32);
            ((*photo).width, (*photo).height) = (((*photo).width % 64) | least, ((*photo).height % 64) | least);
            (*photo).row_stride %= 1024;
            if bytes.next() & 3 != 0 {
                // As in `open`.
                ((*photo).face_hint, (*photo).face_index) = (0, 0);
                ((*photo).face_box, (*photo).face_landmarks) = ([0.0; 4], [0.0; 10]);
                if (*photo).data.is_null() {
                    (*photo).data_size = 0;
                }
                ((*raw).crop_margin, (*raw).crop_scale) = (0.0, 0.0);
            }
            (*photo).name = match bytes.next() % 4 {
                0 => c"photo 1".as_ptr(),
                1 => c"\xff".as_ptr(),
                _ => null(),
            };
            let numbers: [f32; 4] = std::array::from_fn(|_| f32::from_ne_bytes(std::array::from_fn(|_| bytes.next())));
            ((*photo).embedding, (*photo).embedding_size, (*photo).embedding_network) = match bytes.next() & 7 {
                0 => (numbers.as_ptr(), usize::from(bytes.next() % 5), c"sface".as_ptr()),
                1 => (null(), usize::from(bytes.next() % 5), c"\xff".as_ptr()),
                _ => (null(), 0, null()),
            };
            (*photo).face_mask = if bytes.next() & 7 == 0 {
                numbers.as_ptr()
            } else {
                null()
            };
            if !(*photo).face_mask.is_null() || bytes.next() & 3 != 0 {
                let side = |byte: u8| u32::from(byte % 3);
                ((*photo).face_mask_height, (*photo).face_mask_width) = (side(bytes.next()), side(bytes.next()));
            }
            if bytes.next() & 3 != 0 {
                ((*photo).embedding_form, (*photo).reserved_embedding) = (0, 0);
                ((*raw).combine, (*raw).has_shortcut_scale) = (i32::from(bytes.next() % 8), 0);
                ((*raw).shortcut_scale, (*raw).reserved) = (0.0, 0);
            }
            (*raw).label = if bytes.flag() { c"\xff".as_ptr() } else { null() };
            ((*raw).consent, (*raw).report) = (null(), if bytes.flag() { &mut report } else { null_mut() });
            ((*raw).progress, (*raw).progress_user_data) = (None, null_mut());
            let options = if bytes.flag() { raw } else { null_mut() };
            let count = usize::from(!bytes.next().is_multiple_of(8));
            if bytes.next().is_multiple_of(4) {
                let mut features = null_mut();
                let status = omniid_photo_features(self.engine, photo, count, options, &mut features);
                assert_eq!(status == OMNIID_STATUS_OK, !features.is_null());
                omniid_managed_tensor_free(features);
                omniid_report_free(report);
                return status;
            }
            let status = match bytes.flag() {
                true => omniid_identity_extend(self.engine, self.identity, photo, count, options, &mut out),
                false => omniid_encode(self.engine, photo, count, options, &mut out),
            };
            assert_eq!(status == OMNIID_STATUS_OK, !out.is_null());
            omniid_identity_free(out);
            omniid_report_free(report);
            status
        }
    }

    fn condition(&self, bytes: &mut Bytes<'_>) -> omniid_status {
        let (mut inputs, mut options) = (Memory([0; 8192]), Memory([0; 8192]));
        bytes.fill::<omniid_conditioning_input>(&mut inputs);
        bytes.fill::<omniid_conditioning_options>(&mut options);
        let input = inputs.0.as_mut_ptr().cast::<omniid_conditioning_input>();
        let raw = options.0.as_mut_ptr().cast::<omniid_conditioning_options>();
        let numbers: [f32; 2] = std::array::from_fn(|_| f32::from_ne_bytes(std::array::from_fn(|_| bytes.next())));
        let mask: Vec<f32> = (0..63 * 63).map(|i| i as f32 / 4000.0).collect();
        let mut out = null_mut();
        // SAFETY: as in `open`; the mask has as many values as its sizes can ask for. A layer_scale_count other than
        // the number of layers, 2, is refused before anything is read.
        unsafe {
            (*input).identity = if bytes.next() & 7 != 0 { self.identity } else { null() };
            (*input).mask = if bytes.flag() { mask.as_ptr() } else { null() };
            ((*input).mask_height, (*input).mask_width) = ((*input).mask_height % 64, (*input).mask_width % 64);
            (*input).negative = if bytes.flag() { self.identity } else { null() };
            (*input).composition = if bytes.flag() { self.identity } else { null() };
            (*raw).layer_scales = if bytes.flag() { numbers.as_ptr() } else { null() };
            if bytes.next() & 3 != 0 {
                // As in `open`.
                (*input).composition = null();
                if (*input).mask.is_null() || (*input).mask_height == 0 || (*input).mask_width == 0 {
                    (*input).mask = null();
                    ((*input).mask_height, (*input).mask_width) = (0, 0);
                }
                if (*input).step_range == 0 {
                    ((*input).step_start, (*input).step_end) = (0.0, 0.0);
                }
                ((*raw).layer_scales, (*raw).layer_scale_count) = (null(), 0);
            }
            let mut number = || if bytes.flag() { numbers.as_ptr() } else { null() };
            ((*raw).composition_scale, (*raw).style_boost, (*raw).composition_boost) = (number(), number(), number());
            (*raw).siglip_weight = number();
            // There are two numbers.
            ((*raw).timesteps, (*raw).timestep_count) = (number(), (*raw).timestep_count % 3);
            if bytes.next() & 3 != 0 {
                // As in `open`: what this model and the usual weight type refuse.
                ((*raw).composition_scale, (*raw).style_boost, (*raw).composition_boost) = (null(), null(), null());
                ((*raw).timesteps, (*raw).timestep_count) = (null(), 0);
                ((*raw).injection, (*raw).normalise_values) = ((*raw).injection & 1, 0);
            }
            ((*raw).progress, (*raw).progress_user_data) = (None, null_mut());
            let options = if bytes.flag() { raw } else { null_mut() };
            let status = omniid_conditioning_create(self.engine, input, 1, options, &mut out);
            assert_eq!(status == OMNIID_STATUS_OK, !out.is_null());
            omniid_conditioning_free(out);
            status
        }
    }

    fn inject(&self, bytes: &mut Bytes<'_>) -> omniid_status {
        let mut memory = Memory([0; 8192]);
        bytes.fill::<omniid_inject_call>(&mut memory);
        let raw = memory.0.as_mut_ptr().cast::<omniid_inject_call>();
        let mut values = [vec![0.5f32; 9000], vec![0.25f32; 9000]];
        let mut roles = [0i32; 8];
        roles[usize::from(bytes.next() % 8)] = i32::from(bytes.next() as i8);
        let (mut shapes, mut strides) = ([[0i64; 4]; 2], [[0i64; 4]; 2]);
        // Sizes and strides that stay within the memory, or are impossible.
        let mut number = |below: i64| match bytes.next() {
            255 => i64::MIN,
            254 => -1,
            253 => i64::MAX,
            byte => i64::from(byte) % below,
        };
        for dim in 0..4 {
            shapes[0][dim] = [number(3), number(5), number(5), number(9)][dim];
            (strides[0][dim], strides[1][dim]) = (number(250), number(250));
        }
        if number(2) == 0 {
            let by_row = [[1, 4, 2, 8], [2, 3, 16, 1]][number(2).clamp(0, 1) as usize];
            shapes[0] = by_row;
        }
        shapes[1] = shapes[0];
        let mut tensor = |index: usize, bytes: &mut Bytes<'_>| omniid_tensor {
            data: if bytes.next() == 255 {
                null_mut()
            } else {
                values[index].as_mut_ptr().cast()
            },
            device: TensorDevice {
                device_type: if bytes.next() == 9 { 2 } else { 1 },
                device_id: 0,
            },
            ndim: if bytes.flag() { 4 } else { i32::from(bytes.next() % 5) },
            dtype: TensorType {
                code: 2 + (bytes.next() & 2),
                bits: 16 + (bytes.next() & 16),
                lanes: 1,
            },
            shape: shapes[index].as_mut_ptr(),
            strides: if bytes.flag() {
                strides[index].as_mut_ptr()
            } else {
                null_mut()
            },
            byte_offset: u64::from(bytes.next() % 64),
        };
        let (mut query, mut output) = (tensor(0, bytes), tensor(1, bytes));
        if bytes.next() & 3 != 0 {
            // As in `open`: aligned, of one type.
            query.dtype.code = 2;
            output.dtype = query.dtype;
            query.byte_offset &= !3;
            output.byte_offset &= !3;
        }
        // SAFETY: as in `open`; a tensor spans at most (2 + 4 + 4 + 8) * 249 + 1 numbers and 63 bytes, or is refused.
        unsafe {
            (*raw).layer %= 3;
            ((*raw).query, (*raw).output) = (&query, &mut output);
            ((*raw).roles, (*raw).role_count) = (
                if bytes.flag() { roles.as_ptr() } else { null() },
                (*raw).role_count % 9,
            );
            if (*raw).role_count == 0 && bytes.next() & 3 != 0 {
                // As in `open`.
                (*raw).roles = null();
            }
            // Refused by this model's layers, after they were looked at.
            (*raw).image_keys = if bytes.next() & 7 == 1 { &query } else { null() };
            (*raw).image_values = if bytes.next() & 7 == 1 { &output } else { null() };
            omniid_inject(self.conditioning, raw)
        }
    }

    fn fill(&self, bytes: &mut Bytes<'_>) -> omniid_status {
        let (mut call, mut buffers) = (Memory([0; 8192]), Memory([0; 8192]));
        bytes.fill::<omniid_graph_call>(&mut call);
        bytes.fill::<omniid_graph_buffer>(&mut buffers);
        let (raw, buffer) = (
            call.0.as_mut_ptr().cast::<omniid_graph_call>(),
            buffers.0.as_mut_ptr().cast::<omniid_graph_buffer>(),
        );
        let mut roles = [0i32; 8];
        roles[usize::from(bytes.next() % 8)] = i32::from(bytes.next() as i8);
        let shape: [i64; 4] = std::array::from_fn(|_| i64::from(bytes.next() as i8));
        let mut values = vec![0.5f32; 40_000];
        let input = usize::from(bytes.next() % 6);
        // SAFETY: as in `open`; a buffer states the bytes of an input, less than 160 kB with 8 rows.
        unsafe {
            ((*raw).roles, (*raw).role_count) = (
                if bytes.flag() { roles.as_ptr() } else { null() },
                (*raw).role_count % 9,
            );
            if bytes.next() & 3 != 0 {
                // As in `open`.
                ((*raw).roles, (*raw).role_count) = (roles.as_ptr(), 2);
                ((*raw).flags, (*raw).concatenate) = ((*raw).flags & 3, (*raw).concatenate & 1);
                (*buffer).reserved = 0;
            }
            let names = [c"k0", c"v0", c"k1", c"v1", c"scale", c"\xff"];
            let other = if bytes.next() & 7 == 0 { 5 } else { input };
            (*buffer).name = names[other].as_ptr();
            (*buffer).data = match bytes.next() {
                255 => null_mut(),
                _ => values.as_mut_ptr().cast(),
            };
            (*buffer).shape = if bytes.flag() { shape.as_ptr() } else { null() };
            (*buffer).rank %= 5;
            if (*buffer).shape.is_null() && bytes.next() & 3 != 0 {
                (*buffer).rank = 0;
            }
            let mut described: omniid_graph_shape = std::mem::zeroed();
            described.struct_size = size_of::<omniid_graph_shape>() as u32;
            let status = omniid_graph_input_shape(self.graph, self.conditioning, raw, input, &mut described);
            if status != OMNIID_STATUS_OK || bytes.next() & 3 == 0 {
                return status;
            }
            (*buffer).byte_size = described.byte_size as usize;
            omniid_graph_fill(
                self.graph,
                self.conditioning,
                raw,
                buffer,
                usize::from(bytes.next() & 7 != 0),
            )
        }
    }

    fn describe(&self, bytes: &mut Bytes<'_>) -> omniid_status {
        let mut memory = Memory([0; 8192]);
        bytes.fill::<omniid_photo_report>(&mut memory);
        let out = memory.0.as_mut_ptr();
        // SAFETY: the memory is larger than any size that the library accepts, and all bytes may be overwritten.
        unsafe {
            match bytes.next() % 9 {
                6 => omniid_graph_describe(self.graph, out.cast()),
                7 => omniid_graph_describe_layer(self.graph, usize::from(bytes.next() % 3), out.cast()),
                8 => omniid_graph_describe_input(self.graph, usize::from(bytes.next() % 6), out.cast()),
                0 => omniid_engine_describe(self.engine, out.cast()),
                1 => omniid_identity_describe(self.identity, out.cast()),
                2 => omniid_engine_host_layer(self.engine, usize::from(bytes.next()), out.cast()),
                3 => omniid_conditioning_layer(self.conditioning, usize::from(bytes.next()), out.cast()),
                4 => omniid_report_photo(self.report, usize::from(bytes.next()), out.cast()),
                _ => {
                    let mut count = 0;
                    let photo = memory.0.as_mut_ptr().cast::<omniid_photo>();
                    ((*photo).path, (*photo).data, (*photo).pixels) = (null(), null(), self.pixels.as_ptr().cast());
                    (*photo).name = null();
                    ((*photo).embedding, (*photo).embedding_network) = (null(), null());
                    (*photo).face_mask = null();
                    ((*photo).width, (*photo).height, (*photo).row_stride) = (9, 9, 0);
                    omniid_engine_detect_faces(self.engine, photo, null(), null_mut(), 0, &mut count)
                }
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: made by `new`, freed once.
        unsafe {
            omniid_graph_free(self.graph);
            omniid_report_free(self.report);
            omniid_conditioning_free(self.conditioning);
            omniid_identity_free(self.identity);
            omniid_engine_free(self.engine);
        }
    }
}
