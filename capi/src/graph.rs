//! Graphs: hosts that run a whole model, such as ONNX Runtime, Unity's Inference Engine, Unreal's NNE and TensorRT,
//! take the identity as inputs of the graph. A manifest beside the graph lists them.

use crate::pointer;
use crate::status::{c_text, omniid_status};
use crate::structs::{self, CStruct};
use omniid::graph::{Graph, GraphForm, GraphInputKind};
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

/// The identity inputs of a graph. Immutable; may be used from any number of threads at once.
pub struct omniid_graph {
    pub(crate) graph: Graph,
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
    /// Name and kind of an input.
    pub(crate) fn input(&self, input: usize) -> Result<(&CString, GraphInputKind)> {
        match (self.texts.inputs.get(input), self.graph.inputs().get(input)) {
            (Some(name), Some(found)) => Ok((name, found.kind)),
            _ => Err(Error::invalid(format!(
                "there is no identity input {input}: the graph has {}",
                self.texts.inputs.len()
            ))),
        }
    }
}
