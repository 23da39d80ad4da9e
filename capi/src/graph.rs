//! Graphs: hosts that run a whole model, such as ONNX Runtime, Unity's Inference Engine, Unreal's NNE and TensorRT,
//! take the identity as inputs of the graph. A manifest beside the graph lists them, and one call fills the host's
//! buffers for all layers at once.

use crate::conditioning::omniid_conditioning;
use crate::engine::{precision, OMNIID_PRECISION_F32};
use crate::inject::{roles, step, OMNIID_INJECT_FLAG_FRACTION, OMNIID_INJECT_FLAG_SIGMA};
use crate::pointer::{self, flag, reserved, unused};
use crate::status::{c_text, omniid_status};
use crate::structs::{self, CStruct};
use omniid::graph::{Graph, GraphBuffer, GraphCall, GraphForm, GraphInputKind};
use omniid::{Error, Result};
use omniid_capi_export::export;
use std::ffi::{c_char, c_void, CString};

/// The graph takes keys and values of every layer.
pub const OMNIID_GRAPH_FORM_KEYS_VALUES: i32 = 0;
/// The graph has the adapter inside and takes identity tokens.
pub const OMNIID_GRAPH_FORM_TOKENS: i32 = 1;

/// Keys of a layer, `[rows, heads, tokens, head_dim]`.
pub const OMNIID_GRAPH_INPUT_KEYS: i32 = 0;
/// Values of a layer, of the same shape.
pub const OMNIID_GRAPH_INPUT_VALUES: i32 = 1;
/// Identity tokens, `[rows, tokens, width]`.
pub const OMNIID_GRAPH_INPUT_TOKENS: i32 = 2;
/// A factor for each layer of the manifest, `[layers]`, f32.
pub const OMNIID_GRAPH_INPUT_SCALE: i32 = 3;
/// A mask for each person, `[rows, people, height, width]`.
pub const OMNIID_GRAPH_INPUT_MASK: i32 = 4;

/// Most buffers and most roles of a call.
const MOST: usize = 1 << 16;

/// The identity inputs of a graph. Immutable; may be used from any number of threads at once.
pub struct omniid_graph {
    graph: Graph,
    texts: Texts,
}

/// What the structs point to.
struct Texts {
    file_name: CString,
    path: Option<CString>,
    host: CString,
    scale: Option<CString>,
    mask: Option<CString>,
    tokens: Option<CString>,
    fingerprint: Option<CString>,
    /// Name, keys and values of each layer.
    layers: Vec<[CString; 3]>,
    inputs: Vec<CString>,
}

impl Texts {
    fn new(graph: &Graph) -> Self {
        let text = |text: Option<&str>| text.map(c_text);
        let empty = |text: &Option<String>| c_text(text.as_deref().unwrap_or(""));
        let layers = graph.layers().iter();
        Self {
            file_name: c_text(graph.file_name()),
            path: graph.path().map(path_text),
            host: c_text(graph.host().name()),
            scale: text(graph.scale_input()),
            mask: text(graph.mask_input()),
            tokens: text(graph.tokens_input()),
            fingerprint: text(graph.fingerprint()),
            layers: layers
                .map(|layer| [c_text(&layer.name), empty(&layer.key), empty(&layer.value)])
                .collect(),
            inputs: graph.inputs().iter().map(|input| c_text(&input.name)).collect(),
        }
    }
}

/// A path as the caller may hand it to the system again.
fn path_text(path: &std::path::Path) -> CString {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        CString::new(path.as_os_str().as_bytes()).unwrap_or_default()
    }
    #[cfg(not(unix))]
    c_text(&path.to_string_lossy())
}

/// What a graph is, as its manifest says.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct omniid_graph_info {
    /// Set by OMNIID_GRAPH_INFO_INIT.
    pub struct_size: u32,
    /// What it takes, OMNIID_GRAPH_FORM_...
    pub form: i32,
    /// Name of the graph's file, which lies beside the manifest.
    pub file_name: *const c_char,
    /// Path of that file; NULL when the manifest came from memory.
    pub path: *const c_char,
    /// The model that the graph is: "sd15", "sdxl", "sd3", "flux" or "custom".
    pub host: *const c_char,
    /// Number type of keys, values, tokens and masks, OMNIID_PRECISION_... Scales are f32.
    pub precision: i32,
    /// 0.
    pub reserved: u32,
    /// Number of layers in the manifest, which is the length of the input of scales.
    pub layer_count: u64,
    /// Number of identity inputs.
    pub input_count: u64,
    /// Number of batch rows that the graph was made for; 0 for any.
    pub rows: u64,
    /// Number of identity tokens, of all people together, that the graph was made for; 0 for any.
    pub tokens: u64,
    /// Width of the tokens that the graph takes; 0 for one that takes keys and values.
    pub width: u64,
    /// Name of the input of scales; NULL when there is none, and scales are part of the values.
    pub scale_input: *const c_char,
    /// Name of the input of masks; NULL when there is none, and one softmax for all tokens.
    pub mask_input: *const c_char,
    /// Name of the input of tokens; NULL for a graph that takes keys and values.
    pub tokens_input: *const c_char,
    /// Fingerprint of the model whose tokens the graph takes; NULL where any will do.
    pub fingerprint: *const c_char,
}

// SAFETY: `repr(C)`, size first, no padding, numbers and pointers.
unsafe impl CStruct for omniid_graph_info {
    const NAME: &'static str = "omniid_graph_info";
}

/// One attention layer of a graph.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct omniid_graph_layer {
    /// Set by OMNIID_GRAPH_LAYER_INIT.
    pub struct_size: u32,
    /// Number of attention heads.
    pub heads: u32,
    /// Width of one head.
    pub head_dim: u32,
    /// 0.
    pub reserved: u32,
    /// The layer's name in the host.
    pub name: *const c_char,
    /// Name of the input of its keys; NULL in a graph that takes tokens.
    pub key_input: *const c_char,
    /// Name of the input of its values; NULL in a graph that takes tokens.
    pub value_input: *const c_char,
}

// SAFETY: `repr(C)`, size first, no padding, integers and pointers.
unsafe impl CStruct for omniid_graph_layer {
    const NAME: &'static str = "omniid_graph_layer";
}

/// One identity input of a graph.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct omniid_graph_input {
    /// Set by OMNIID_GRAPH_INPUT_INIT.
    pub struct_size: u32,
    /// What it carries, OMNIID_GRAPH_INPUT_...
    pub kind: i32,
    /// Its name in the graph.
    pub name: *const c_char,
    /// Index of the layer in the manifest whose keys or values it carries; 0 for other inputs.
    pub layer: u64,
}

// SAFETY: `repr(C)`, size first, no padding, integers and a pointer.
unsafe impl CStruct for omniid_graph_input {
    const NAME: &'static str = "omniid_graph_input";
}

/// Shape of an identity input for a call.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct omniid_graph_shape {
    /// Set by OMNIID_GRAPH_SHAPE_INIT.
    pub struct_size: u32,
    /// Number of dimensions, at most 4.
    pub rank: u32,
    /// The dimensions; those beyond rank are 0.
    pub shape: [i64; 4],
    /// Number of bytes in the input's number type.
    pub byte_size: u64,
    /// That number type, OMNIID_PRECISION_...
    pub precision: i32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: `repr(C)`, size first, no padding, integers.
unsafe impl CStruct for omniid_graph_shape {
    const NAME: &'static str = "omniid_graph_shape";
}

/// What inputs are filled for, with the defaults that OMNIID_GRAPH_CALL_INIT sets.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct omniid_graph_call {
    /// Set by OMNIID_GRAPH_CALL_INIT.
    pub struct_size: u32,
    /// Multiplies every identity's weight; at 0 the graph gives what it gives without an identity.
    /// OMNIID_GRAPH_CALL_INIT sets 1.0f.
    pub scale: f32,
    /// The side of guidance of each batch row, OMNIID_ROLE_..., in any order. Default: conditional rows only, as many
    /// as the graph was made for, or one.
    pub roles: *const i32,
    /// Number of roles, which is the number of rows; at most 65536.
    pub role_count: usize,
    /// Noise level of the step; not looked at without OMNIID_INJECT_FLAG_SIGMA. Needed by identities that are limited
    /// to a range of it.
    pub sigma: f64,
    /// Fraction of sampling that is done, 0 to 1; not looked at without OMNIID_INJECT_FLAG_FRACTION. Needed likewise.
    pub fraction: f64,
    /// Sum of OMNIID_INJECT_FLAG_SIGMA and OMNIID_INJECT_FLAG_FRACTION. Default: none.
    pub flags: u32,
    /// 1: in a graph without masks several people share one softmax, each one's weight multiplied into its values. That
    /// is not what several identities are otherwise, a sum of attentions. Default: 0, which refuses several people
    /// there.
    pub concatenate: i32,
}

// SAFETY: `repr(C)`, size first, no padding, numbers and a pointer.
unsafe impl CStruct for omniid_graph_call {
    const NAME: &'static str = "omniid_graph_call";
}

/// The host's memory for one input, with the defaults that OMNIID_GRAPH_BUFFER_INIT sets.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct omniid_graph_buffer {
    /// Set by OMNIID_GRAPH_BUFFER_INIT.
    pub struct_size: u32,
    /// The buffer's number type, OMNIID_PRECISION_..., which has to be the input's: the graph's, for scales f32.
    /// Default: f32.
    pub precision: i32,
    /// Name of the input.
    pub name: *const c_char,
    /// Where to write: in host memory, of any alignment.
    pub data: *mut c_void,
    /// Bytes of data, which have to be as many as the input has.
    pub byte_size: usize,
    /// The buffer's shape, to be compared with the input's. Default: only the bytes are compared.
    pub shape: *const i64,
    /// Number of dimensions of shape; 0 without one.
    pub rank: u32,
    /// Leave at 0.
    pub reserved: u32,
}

// SAFETY: `repr(C)`, size first, no padding, integers and pointers.
unsafe impl CStruct for omniid_graph_buffer {
    const NAME: &'static str = "omniid_graph_buffer";
}

// The numbers of the header are those of the library.
const _: () = {
    assert!(GraphForm::KeysValues as i32 == OMNIID_GRAPH_FORM_KEYS_VALUES);
    assert!(GraphForm::Tokens as i32 == OMNIID_GRAPH_FORM_TOKENS);
};

fn hand_over(graph: Graph, out: *mut *mut omniid_graph) {
    let texts = Texts::new(&graph);
    // SAFETY: the callers have checked `out`.
    unsafe { out.write(Box::into_raw(Box::new(omniid_graph { graph, texts }))) }
}

/// Reads the manifest of a graph. `path` is the manifest's, or that of the graph beside which it lies as
/// `unet.onnx.identity.json` or `unet.identity.json`.
///
/// Fails with `OMNIID_STATUS_IO` when it cannot be read, with `OMNIID_STATUS_FORMAT` when it is no manifest, and with
/// `OMNIID_STATUS_UNSUPPORTED` when it is one of another version.
///
/// # Safety
/// `path` is NUL-terminated; `out` is writable.
#[export]
pub unsafe extern "C" fn omniid_graph_open(path: *const c_char, out: *mut *mut omniid_graph) -> omniid_status {
    // SAFETY: the caller's promise, here and below.
    let out = unsafe { pointer::out_handle(out, "out") }?;
    // SAFETY: as above.
    let path = unsafe { pointer::path(path, "path") }?;
    hand_over(Graph::open(path)?, out);
    Ok(())
}

/// Reads a manifest from memory: `size` bytes of JSON in UTF-8, copied. For hosts that keep files in archives of their
/// own.
///
/// # Safety
/// `data` points to `size` readable bytes; `out` is writable.
#[export]
pub unsafe extern "C" fn omniid_graph_parse(
    data: *const c_void,
    size: usize,
    out: *mut *mut omniid_graph,
) -> omniid_status {
    // SAFETY: the caller's promise, here and below.
    let out = unsafe { pointer::out_handle(out, "out") }?;
    if data.is_null() {
        return Err(pointer::null("data"));
    }
    // SAFETY: as above.
    let json = unsafe { pointer::slice(data.cast::<u8>(), size, "data") }?;
    hand_over(Graph::parse(json)?, out);
    Ok(())
}

/// Frees a graph; NULL is ignored.
///
/// # Safety
/// `graph` is NULL or came from `omniid_graph_open` or `omniid_graph_parse`, and no call uses it any more.
#[export]
pub unsafe extern "C" fn omniid_graph_free(graph: *mut omniid_graph) {
    // SAFETY: the caller's promise.
    unsafe { pointer::free(graph) }
}

fn optional(text: &Option<CString>) -> *const c_char {
    text.as_ref().map_or(std::ptr::null(), |text| text.as_ptr())
}

/// Describes a graph. The texts live as long as it.
///
/// # Safety
/// `graph` is a live graph; `out` is initialised with OMNIID_GRAPH_INFO_INIT.
#[export]
pub unsafe extern "C" fn omniid_graph_describe(
    graph: *const omniid_graph,
    out: *mut omniid_graph_info,
) -> omniid_status {
    // SAFETY: the caller's promise.
    let omniid_graph { graph, texts } = unsafe { pointer::handle(graph, "graph") }?;
    let count = |count: Option<usize>| count.unwrap_or(0) as u64;
    let described = omniid_graph_info {
        struct_size: size_of::<omniid_graph_info>() as u32,
        form: graph.form() as i32,
        file_name: texts.file_name.as_ptr(),
        path: optional(&texts.path),
        host: texts.host.as_ptr(),
        precision: graph.precision() as i32,
        reserved: 0,
        layer_count: graph.layers().len() as u64,
        input_count: graph.inputs().len() as u64,
        rows: count(graph.rows()),
        tokens: count(graph.tokens()),
        width: count(graph.width()),
        scale_input: optional(&texts.scale),
        mask_input: optional(&texts.mask),
        tokens_input: optional(&texts.tokens),
        fingerprint: optional(&texts.fingerprint),
    };
    // SAFETY: the caller's promise.
    unsafe { structs::write(out, &described) }
}

/// Describes layer `layer` of a graph, in the order of its scales. The names live as long as the graph.
///
/// # Safety
/// `graph` is a live graph; `out` is initialised with OMNIID_GRAPH_LAYER_INIT.
#[export]
pub unsafe extern "C" fn omniid_graph_describe_layer(
    graph: *const omniid_graph,
    layer: usize,
    out: *mut omniid_graph_layer,
) -> omniid_status {
    // SAFETY: the caller's promise.
    let omniid_graph { graph, texts } = unsafe { pointer::handle(graph, "graph") }?;
    let (Some(described), Some([name, key, value])) = (graph.layers().get(layer), texts.layers.get(layer)) else {
        return Err(Error::invalid(format!(
            "there is no layer {layer}: the graph has {}",
            graph.layers().len()
        )));
    };
    let input = |name: &Option<String>, text: &CString| match name {
        Some(_) => text.as_ptr(),
        None => std::ptr::null(),
    };
    let described = omniid_graph_layer {
        struct_size: size_of::<omniid_graph_layer>() as u32,
        heads: described.heads as u32,
        head_dim: described.head_dim as u32,
        reserved: 0,
        name: name.as_ptr(),
        key_input: input(&described.key, key),
        value_input: input(&described.value, value),
    };
    // SAFETY: the caller's promise.
    unsafe { structs::write(out, &described) }
}

/// Describes identity input `input` of a graph. Its name lives as long as the graph.
///
/// # Safety
/// `graph` is a live graph; `out` is initialised with OMNIID_GRAPH_INPUT_INIT.
#[export]
pub unsafe extern "C" fn omniid_graph_describe_input(
    graph: *const omniid_graph,
    input: usize,
    out: *mut omniid_graph_input,
) -> omniid_status {
    // SAFETY: the caller's promise.
    let handle = unsafe { pointer::handle(graph, "graph") }?;
    let (name, found) = handle.input(input)?;
    let (kind, layer) = match found {
        GraphInputKind::Keys(layer) => (OMNIID_GRAPH_INPUT_KEYS, layer),
        GraphInputKind::Values(layer) => (OMNIID_GRAPH_INPUT_VALUES, layer),
        GraphInputKind::Tokens => (OMNIID_GRAPH_INPUT_TOKENS, 0),
        GraphInputKind::Scale => (OMNIID_GRAPH_INPUT_SCALE, 0),
        GraphInputKind::Mask => (OMNIID_GRAPH_INPUT_MASK, 0),
        _ => return Err(Error::internal("an input without a number")),
    };
    let described = omniid_graph_input {
        struct_size: size_of::<omniid_graph_input>() as u32,
        kind,
        name: name.as_ptr(),
        layer: layer as u64,
    };
    // SAFETY: the caller's promise.
    unsafe { structs::write(out, &described) }
}

impl omniid_graph {
    fn input(&self, input: usize) -> Result<(&CString, GraphInputKind)> {
        match (self.texts.inputs.get(input), self.graph.inputs().get(input)) {
            (Some(name), Some(found)) => Ok((name, found.kind)),
            _ => Err(Error::invalid(format!(
                "there is no identity input {input}: the graph has {}",
                self.texts.inputs.len()
            ))),
        }
    }
}

/// A call of the caller; NULL for the default.
///
/// # Safety
/// `call` is NULL or initialised with OMNIID_GRAPH_CALL_INIT, with roles that live for `'a`.
unsafe fn call<'a>(call: *const omniid_graph_call) -> Result<GraphCall<'a>> {
    if call.is_null() {
        return Ok(GraphCall::default());
    }
    // SAFETY: the caller's promise.
    let call = unsafe { structs::read(call) }?;
    if call.role_count > MOST {
        return Err(Error::invalid(format!(
            "role_count: {}; at most {MOST} rows are taken",
            call.role_count
        )));
    }
    let known = OMNIID_INJECT_FLAG_SIGMA | OMNIID_INJECT_FLAG_FRACTION;
    if call.flags & !known != 0 {
        return Err(Error::unsupported(format!(
            "flags: {:#x}, this release knows {known:#x}",
            call.flags
        )));
    }
    Ok(GraphCall::default()
        .with_scale(call.scale)
        .with_step(step(call.flags, call.sigma, call.fraction)?)
        .with_concatenate(flag(call.concatenate, "concatenate")?)
        // SAFETY: the caller's promise.
        .with_roles(unsafe { roles(call.roles, call.role_count) }?))
}

/// Gives the shape of identity input `input` for a call: rows as many as the call has roles, tokens as many as the
/// identity has, or the number that the graph was made for. `call` may be NULL. Fails as `omniid_graph_fill`.
///
/// # Safety
/// `graph` is a live graph; `conditioning` is a live conditioning; `call` is NULL or initialised with
/// OMNIID_GRAPH_CALL_INIT; `out` is initialised with OMNIID_GRAPH_SHAPE_INIT.
#[export]
pub unsafe extern "C" fn omniid_graph_input_shape(
    graph: *const omniid_graph,
    conditioning: *const omniid_conditioning,
    call: *const omniid_graph_call,
    input: usize,
    out: *mut omniid_graph_shape,
) -> omniid_status {
    // SAFETY: the caller's promise, here and below.
    let (graph, conditioning) = unsafe {
        (
            pointer::handle(graph, "graph")?,
            &pointer::handle(conditioning, "conditioning")?.conditioning,
        )
    };
    // SAFETY: as above.
    let call = unsafe { self::call(call) }?;
    let (name, kind) = graph.input(input)?;
    let precision = match kind {
        GraphInputKind::Scale => OMNIID_PRECISION_F32,
        _ => graph.graph.precision() as i32,
    };
    let name = name.to_str().map_err(|_| Error::internal("a name that is not UTF-8"))?;
    let sizes = graph.graph.shape(conditioning, &call, name)?;
    let byte_size = graph.graph.byte_size(conditioning, &call, name)? as u64;
    let mut shape = [0; 4];
    for (place, size) in shape.iter_mut().zip(&sizes) {
        *place = *size as i64;
    }
    let described = omniid_graph_shape {
        struct_size: size_of::<omniid_graph_shape>() as u32,
        rank: sizes.len() as u32,
        shape,
        byte_size,
        precision,
        reserved: 0,
    };
    // SAFETY: as above.
    unsafe { structs::write(out, &described) }
}

/// Fills the host's buffers for identity inputs of a graph, in its order of layers, its layout and its number type: all
/// of them or some, in any order, each named after its input. `call` may be NULL.
///
/// Keys, values and tokens serve for all steps of sampling, and only scales and masks have to be filled for each step,
/// unless people are concatenated and have step ranges, the graph has no input of scales, or keys and values depend on
/// the timestep (SD3.5).
///
/// Zeros are written where nothing is injected. The shorter side of guidance, and an identity with fewer tokens than
/// the graph was made for, is repeated as a whole, which does not change the attention to it. In a graph with masks
/// people stand one after the other, and each has a softmax and a mask.
///
/// Everything is checked before anything is written. Fails with `OMNIID_STATUS_MISMATCH`, naming the layer and both
/// shapes, when graph and conditioning are for different hosts or differ in layers, heads or head width, for a buffer
/// of another shape, number type or size, for an identity that does not fit into the tokens that the graph was made
/// for, and for another number of roles than the graph has rows; with `OMNIID_STATUS_INVALID_ARGUMENT` for an input
/// that does not exist or is named twice, for buffers that overlap, and for a missing step position; with
/// `OMNIID_STATUS_UNSUPPORTED` for conditionings that do more in a layer than the graph (orthogonal injection, adapters
/// of the residual stream), for masks without an input for them or in ComfyUI's mode, for several people in a graph
/// without masks unless they are to be concatenated, and for numbers that its number type cannot hold.
///
/// # Safety
/// `graph` is a live graph; `conditioning` is a live conditioning; `call` is NULL or initialised with
/// OMNIID_GRAPH_CALL_INIT; `buffers` points to `buffer_count` structs initialised with OMNIID_GRAPH_BUFFER_INIT, whose
/// memory is writable and used by no other thread during the call.
#[export]
pub unsafe extern "C" fn omniid_graph_fill(
    graph: *const omniid_graph,
    conditioning: *const omniid_conditioning,
    call: *const omniid_graph_call,
    buffers: *const omniid_graph_buffer,
    buffer_count: usize,
) -> omniid_status {
    // SAFETY: the caller's promise, here and below.
    let (graph, conditioning) = unsafe {
        (
            &pointer::handle(graph, "graph")?.graph,
            &pointer::handle(conditioning, "conditioning")?.conditioning,
        )
    };
    if buffers.is_null() {
        return Err(pointer::null("buffers"));
    }
    if buffer_count > MOST {
        return Err(Error::invalid(format!(
            "buffer_count: {buffer_count}; at most {MOST} are taken"
        )));
    }
    // SAFETY: as above.
    let (call, raw) = unsafe { (self::call(call)?, structs::read_array(buffers, buffer_count)?) };
    check_overlap(&raw)?;
    let shapes = raw.iter().enumerate().map(|(index, raw)| {
        // SAFETY: as above.
        unsafe { shape(raw) }.map_err(|error| error.context(format!("buffer {index}")))
    });
    let shapes = shapes.collect::<Result<Vec<_>>>()?;
    let buffers = raw.iter().zip(&shapes).enumerate().map(|(index, (raw, shape))| {
        // SAFETY: as above; no two overlap.
        unsafe { buffer(raw, shape) }.map_err(|error| error.context(format!("buffer {index}")))
    });
    let mut buffers = buffers.collect::<Result<Vec<_>>>()?;
    graph.fill(conditioning, &call, &mut buffers)
}

/// Two buffers in one memory would overwrite each other.
fn check_overlap(buffers: &[omniid_graph_buffer]) -> Result<()> {
    let mut spans: Vec<(usize, usize, usize)> = buffers
        .iter()
        .enumerate()
        .map(|(index, buffer)| (buffer.data.addr(), buffer.byte_size, index))
        .filter(|(begin, size, _)| *begin != 0 && *size != 0)
        .collect();
    spans.sort_unstable();
    for pair in spans.windows(2) {
        let ((begin, size, first), (next, _, second)) = (pair[0], pair[1]);
        if next - begin < size {
            return Err(Error::invalid(format!("buffers {first} and {second} overlap")));
        }
    }
    Ok(())
}

/// The shape that a caller states.
///
/// # Safety
/// `raw.shape` is NULL or points to `raw.rank` numbers.
unsafe fn shape(raw: &omniid_graph_buffer) -> Result<Vec<usize>> {
    const MOST_DIMENSIONS: usize = 8;
    reserved(raw.reserved, "graph buffer")?;
    unused(raw.shape.is_null() && raw.rank != 0, raw.rank, "rank", "shape")?;
    unused(!raw.shape.is_null() && raw.rank == 0, "set", "shape", "a rank above 0")?;
    // SAFETY: the caller's promise.
    let sizes = unsafe { pointer::slice_of_at_most(raw.shape, raw.rank as usize, MOST_DIMENSIONS, "shape") }?;
    let size = |size: &i64| {
        usize::try_from(*size).map_err(|_| Error::invalid(format!("shape: {sizes:?} has a dimension below 0")))
    };
    sizes.iter().map(size).collect()
}

/// A buffer of the caller.
///
/// # Safety
/// `raw.data` points to `raw.byte_size` bytes that are writable and used by nobody else for `'a`.
unsafe fn buffer<'a>(raw: &omniid_graph_buffer, shape: &'a [usize]) -> Result<GraphBuffer<'a>> {
    if raw.name.is_null() {
        return Err(pointer::null("name"));
    }
    if raw.data.is_null() {
        return Err(pointer::null("data"));
    }
    if raw.byte_size > isize::MAX as usize {
        return Err(Error::invalid(format!(
            "byte_size: {} bytes do not fit into memory",
            raw.byte_size
        )));
    }
    // SAFETY: not NULL, not too large; the rest is the caller's promise.
    let (name, bytes) = unsafe {
        (
            pointer::text(raw.name, "name")?,
            std::slice::from_raw_parts_mut(raw.data.cast::<u8>(), raw.byte_size),
        )
    };
    Ok(GraphBuffer::new(name, bytes)
        .with_precision(precision(raw.precision, "precision")?)
        .with_shape(shape))
}
