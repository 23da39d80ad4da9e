//! Filling the identity inputs of a graph: their shapes for a call, and the host's buffers, all at once.

use crate::conditioning::omniid_conditioning;
use crate::engine::{precision, OMNIID_PRECISION_F32};
use crate::graph::omniid_graph;
use crate::inject::{roles, step, OMNIID_INJECT_FLAG_FRACTION, OMNIID_INJECT_FLAG_SIGMA};
use crate::pointer::{self, flag, reserved, unused};
use crate::status::omniid_status;
use crate::structs::{self, CStruct};
use omniid::graph::{GraphBuffer, GraphCall, GraphInputKind};
use omniid::{Error, Result};
use omniid_capi_export::export;
use std::ffi::{c_char, c_void};

/// Most buffers and most roles of a call.
const MOST: usize = 1 << 16;

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
        .with_precision(precision(raw.precision, "precision")?.stored()?)
        .with_shape(shape))
}
