//! Injection: at each attention layer and step the host hands over its queries, and the identities' attention is
//! added to the layer's output, in the host's own memory.

use crate::conditioning::omniid_conditioning;
use crate::conditioning_contents::{latent_size, role};
use crate::dlpack::omniid_tensor;
use crate::pointer::{self, unused};
use crate::status::omniid_status;
use crate::structs::{self, CStruct};
use crate::tensor;
use omniid::conditioning::{Role, Step};
use omniid::inject::{HostStream, InjectCall, Place, TensorView};
use omniid::{Error, Result};
use omniid_capi_export::export;

/// `[batch, rows, heads * head_dim]` or `[batch, rows, heads, head_dim]`.
pub const OMNIID_LAYOUT_ROWS_FIRST: i32 = 0;
/// `[batch, heads, rows, head_dim]`.
pub const OMNIID_LAYOUT_HEADS_FIRST: i32 = 1;

/// The call's sigma is set.
pub const OMNIID_INJECT_FLAG_SIGMA: u32 = 1;
/// The call's fraction is set.
pub const OMNIID_INJECT_FLAG_FRACTION: u32 = 2;
/// The query or hidden state is not searched for values that are not finite. The search costs less than one percent of
/// the attention.
pub const OMNIID_INJECT_FLAG_UNCHECKED: u32 = 4;

/// One attention layer at one step, with the defaults that OMNIID_INJECT_CALL_INIT sets.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct omniid_inject_call {
    /// Set by OMNIID_INJECT_CALL_INIT.
    pub struct_size: u32,
    /// Multiplies every identity's weight; 0 leaves the output as it is. OMNIID_INJECT_CALL_INIT sets 1.0f.
    pub scale: f32,
    /// Index of the layer in the host's table.
    pub layer: usize,
    /// The layer's queries: f32, f16 or bf16, with any strides that are not negative.
    pub query: *const omniid_tensor,
    /// What the identities' attention is added to. It has the shape, number type and device of the query and must not
    /// overlap it. In a UNet: the layer's text attention, before its output projection. In FLUX with XLabs' adapter: the
    /// image stream behind the block, after its MLP was added; the query is that of the image, after the block's
    /// normalisation and before RoPE. With InstantX's adapter for FLUX: the attention, before its output projection.
    pub output: *mut omniid_tensor,
    /// Order of the dimensions of query and output, OMNIID_LAYOUT_... Default: rows first.
    pub layout: i32,
    /// Sum of OMNIID_INJECT_FLAG_... Default: none.
    pub flags: u32,
    /// The side of guidance of each batch row, OMNIID_ROLE_..., in any order. Default: all rows are conditional.
    pub roles: *const i32,
    /// Number of roles: 0, the batch size, or 1 for one role of all rows.
    pub role_count: usize,
    /// Noise level of the step; not looked at without OMNIID_INJECT_FLAG_SIGMA. Needed by identities that are limited to
    /// a range of it, and by conditionings for several timesteps (SD3.5), where it is a thousandth of the timestep.
    pub sigma: f64,
    /// Fraction of sampling that is done, 0 to 1; not looked at without OMNIID_INJECT_FLAG_FRACTION. Needed likewise.
    pub fraction: f64,
    /// Height of the latent image. Needed by identities with a mask; others do not look at it.
    pub latent_height: u32,
    /// Width of the latent image. As latent_height; both or none.
    pub latent_width: u32,
    /// The CUDA stream of query and output in DLPack's numbering: 1 the legacy default stream, 2 the per-thread default
    /// stream, -1 to wait until the work is done, otherwise the stream's handle; 0 is refused. Ignored on the CPU.
    /// OMNIID_INJECT_CALL_INIT sets 1.
    pub stream: i64,
    /// For SD3.5, whose layers attend to the image and the identity together: the keys that the layer makes of the
    /// image, before it normalises them, in the layout of the query; the query is that before it is normalised too.
    /// Default: none.
    pub image_keys: *const omniid_tensor,
    /// The values that the layer makes of the image. As image_keys; both or none.
    pub image_values: *const omniid_tensor,
    /// Which part of the work this call does, below part_count. For hosts whose own threads share a layer: each makes the
    /// same call with a part of its own, at any time, and the parts together give to the bit what one whole call gives. A
    /// part works on the calling thread; one with PuLID's orthogonal injection is whole batch rows, and parts beyond the
    /// batch do nothing. An error of one part leaves the others' results. Only on the CPU. Default: 0.
    pub part: u32,
    /// Number of parts. 0 and 1: the whole call, shared by the library's own threads. Default: 0.
    pub part_count: u32,
}

// SAFETY: `repr(C)`, size first, no padding, numbers and pointers.
unsafe impl CStruct for omniid_inject_call {
    const NAME: &'static str = "omniid_inject_call";
    const EARLIER_SIZES: &'static [usize] = &[std::mem::offset_of!(omniid_inject_call, image_keys)];
}

/// A tensor of the host as `[batch, rows, heads, head_dim]` or `[batch, rows, heads * head_dim]`.
fn rows_first<'a>(view: TensorView<'a>, layout: i32, name: &str) -> Result<TensorView<'a>> {
    match (layout, view.dims().len()) {
        (OMNIID_LAYOUT_ROWS_FIRST, _) => Ok(view),
        (OMNIID_LAYOUT_HEADS_FIRST, 4) => view.transpose(1, 2),
        (OMNIID_LAYOUT_HEADS_FIRST, _) => Err(Error::invalid(format!(
            "{name}: shape {:?}, expected [batch, heads, rows, head_dim]",
            view.dims()
        ))),
        (other, _) => Err(Error::invalid(format!(
            "layout: {other}, expected 0 (rows first) or 1 (heads first)"
        ))),
    }
}

/// The roles of a call, without a copy.
///
/// # Safety
/// `roles` is NULL or points to `count` numbers valid for `'a`.
pub(crate) unsafe fn roles<'a>(roles: *const i32, count: usize) -> Result<&'a [Role]> {
    unused(!roles.is_null() && count == 0, "set", "roles", "a role_count above 0")?;
    if count == 0 {
        return Ok(&[]);
    }
    // SAFETY: the caller's promise.
    let numbers = unsafe { pointer::slice(roles, count, "roles") }?;
    for (row, number) in numbers.iter().enumerate() {
        role(*number, "roles").map_err(|error| error.context(format!("batch row {row}")))?;
    }
    // SAFETY: `Role` is `repr(i32)`, and every number was checked to be one of its two values.
    Ok(unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast::<Role>(), numbers.len()) })
}

/// Position of the call in sampling.
pub(crate) fn step(flags: u32, sigma: f64, fraction: f64) -> Result<Step> {
    let known = OMNIID_INJECT_FLAG_SIGMA | OMNIID_INJECT_FLAG_FRACTION | OMNIID_INJECT_FLAG_UNCHECKED;
    if flags & !known != 0 {
        return Err(Error::unsupported(format!(
            "flags: {flags:#x}, this release knows {known:#x}"
        )));
    }
    let given = |flag: u32, value: f64| (flags & flag != 0).then_some(value);
    Ok(Step {
        sigma: given(OMNIID_INJECT_FLAG_SIGMA, sigma),
        fraction: given(OMNIID_INJECT_FLAG_FRACTION, fraction),
    })
}

/// The stream of a call whose tensors are at `place`.
pub(crate) fn stream(number: i64, place: Place) -> Result<HostStream> {
    match place {
        Place::Cpu => Ok(HostStream::default()),
        Place::Cuda(_) => HostStream::from_dlpack(Some(number)),
    }
}

/// Adds the identities' attention to a layer's output, in place:
/// output += sum over identities of scale x mask x softmax(query Kt / sqrt(head_dim)) V.
///
/// Softmax and sums are computed in f32. Layers without weight, identities outside their step range, rows to which
/// nothing is injected, and errors leave the output as it is, bit for bit. After the first call with each shape nothing
/// is allocated.
///
/// On a GPU the attention runs on the call's stream, in order with the host's own work there; the call does not wait
/// for it. Device memory is allocated for masks only. The first call compiles the kernel, which takes about a second.
/// The query is not searched for values that are not finite. Before a capture into a CUDA graph, make one call outside
/// of it; the graph must not outlive the conditioning. Otherwise the conditioning may be freed as soon as the call
/// returns.
///
/// Fails with `OMNIID_STATUS_MISMATCH` when shapes or number types of query, output and layer differ and for an adapter
/// of the residual stream (omniid_inject_residual), with `OMNIID_STATUS_INVALID_ARGUMENT` for a layer that does not
/// exist, a query that is not finite (naming layer and row), a sigma that an SD3.5 conditioning has no timestep for, and
/// image keys or values that are missing there or given elsewhere, and with `OMNIID_STATUS_UNSUPPORTED` when the tensors are
/// not where the keys and values are.
///
/// # Safety
/// `conditioning` is a live conditioning; `call` is initialised with OMNIID_INJECT_CALL_INIT; query and output describe
/// memory that is readable and, for output, writable, and that no other thread writes during the call, except other parts
/// of the same call.
#[export]
pub unsafe extern "C" fn omniid_inject(
    conditioning: *const omniid_conditioning,
    call: *const omniid_inject_call,
) -> omniid_status {
    // SAFETY: the caller's promise, here and below.
    let (handle, call) = unsafe { (pointer::handle(conditioning, "conditioning")?, structs::read(call)?) };
    // SAFETY: as above.
    let (query, output) = unsafe { (tensor::view(call.query, "query")?, tensor::view(call.output, "output")?) };
    if query.overlaps(&output) {
        return Err(Error::invalid(
            "query and output share memory; the output must be a tensor of its own, usually the layer's text attention",
        ));
    }
    let image = |pointer: *const omniid_tensor, name: &str| -> Result<Option<TensorView<'_>>> {
        if pointer.is_null() {
            return Ok(None);
        }
        // SAFETY: as above.
        let view = unsafe { tensor::view(pointer, name) }?;
        if view.overlaps(&output) {
            return Err(Error::invalid(format!("{name} and output share memory")));
        }
        rows_first(view, call.layout, name).map(Some)
    };
    let image_keys = image(call.image_keys, "image_keys")?;
    let image_values = image(call.image_values, "image_values")?;
    let query = rows_first(query, call.layout, "query")?;
    let output = rows_first(output, call.layout, "output")?;
    // SAFETY: as above; the two do not overlap, so that the output is used by nobody else.
    let output = unsafe { output.writable() }.map_err(|error| error.context("output"))?;
    let stream = stream(call.stream, query.place())?;
    let call = InjectCall::new(call.layer, query, output)
        .with_image_keys(image_keys)
        .with_image_values(image_values)
        .with_step(step(call.flags, call.sigma, call.fraction)?)
        // SAFETY: as above.
        .with_roles(unsafe { roles(call.roles, call.role_count) }?)
        .with_latent(latent_size(call.latent_height, call.latent_width)?)
        .with_scale(call.scale)
        .with_check_query(call.flags & OMNIID_INJECT_FLAG_UNCHECKED == 0)
        .with_stream(stream)
        .with_part(call.part as usize)
        .with_part_count(call.part_count.max(1) as usize);
    handle.conditioning.inject(call)
}
