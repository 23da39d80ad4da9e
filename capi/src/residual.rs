//! Injection into the residual stream: between two blocks of a transformer the host hands over the image's hidden state,
//! and the identities are added to it, in the host's own memory. For PuLID-FLUX and WithAnyone.

use crate::conditioning::omniid_conditioning;
use crate::conditioning_contents::latent_size;
use crate::dlpack::omniid_tensor;
use crate::inject::{roles, step, stream, OMNIID_INJECT_FLAG_UNCHECKED};
use crate::pointer::{self, reserved};
use crate::status::omniid_status;
use crate::structs::{self, CStruct};
use crate::tensor;
use omniid::inject::{ResidualCall, TensorView};
use omniid::Error;
use omniid_capi_export::export;

/// One place of the residual stream at one step, with the defaults that OMNIID_RESIDUAL_CALL_INIT sets.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct omniid_residual_call {
    /// Set by OMNIID_RESIDUAL_CALL_INIT.
    pub struct_size: u32,
    /// Multiplies every identity's weight; 0 leaves the output as it is. OMNIID_RESIDUAL_CALL_INIT sets 1.0f.
    pub scale: f32,
    /// Index of the layer in the host's table.
    pub layer: usize,
    /// The image's hidden state after the block, `[batch, image tokens, hidden]`: f32, f16 or bf16, with any strides that
    /// are not negative. Default: the output itself is read. Otherwise it has the shape, number type and device of the
    /// output and is either the very same tensor or does not overlap it.
    pub hidden: *const omniid_tensor,
    /// What is added to, usually the hidden state itself. Text tokens are not part of it: a host whose single blocks have
    /// one sequence of text and image tokens describes the image's part.
    pub output: *mut omniid_tensor,
    /// The side of guidance of each batch row, OMNIID_ROLE_..., in any order. Default: all rows are conditional.
    pub roles: *const i32,
    /// Number of roles: 0, the batch size, or 1 for one role of all rows.
    pub role_count: usize,
    /// Noise level of the step; not looked at without OMNIID_INJECT_FLAG_SIGMA. Needed by identities that are limited to
    /// a range of it.
    pub sigma: f64,
    /// Fraction of sampling that is done, 0 to 1; not looked at without OMNIID_INJECT_FLAG_FRACTION. Needed likewise.
    pub fraction: f64,
    /// Height of the latent image, here of the grid of image tokens or a multiple of it. Needed by identities with a
    /// mask; others do not look at it.
    pub latent_height: u32,
    /// Width of the latent image. As latent_height; both or none.
    pub latent_width: u32,
    /// The CUDA stream of the tensors in DLPack's numbering, as in omniid_inject_call. Ignored on the CPU.
    /// OMNIID_RESIDUAL_CALL_INIT sets 1.
    pub stream: i64,
    /// Sum of OMNIID_INJECT_FLAG_... Default: none.
    pub flags: u32,
    /// Leave at 0.
    pub reserved: u32,
}

// SAFETY: `repr(C)`, size first, no padding, numbers and pointers.
unsafe impl CStruct for omniid_residual_call {
    const NAME: &'static str = "omniid_residual_call";
}

/// Whether both describe the same elements in the same order.
fn is_same(a: &TensorView<'_>, b: &TensorView<'_>) -> bool {
    let parts = |view: &TensorView<'_>| (view.data(), view.place(), view.element(), view.shape(), view.strides());
    parts(a) == parts(b) && a.dims() == b.dims()
}

/// Adds the identities to the image's hidden state between two blocks of a transformer, in place:
/// output += sum over identities of scale x mask x to_out(softmax(q Kt / sqrt(head_dim)) V), q = to_q(norm(hidden)).
///
/// For adapters that add to the residual stream, PuLID-FLUX and WithAnyone: those whose layers have a `hidden` width
/// (omniid_conditioning_layer). Normalisation and projections run inside. PuLID: after the double blocks 0, 2, ..., 18
/// and the single blocks 0, 4, ..., 36; WithAnyone: after every block.
///
/// Sums are computed in f32 and added once. What is read is read before it is written. Layers without weight, identities
/// outside their step range, rows to which nothing is injected, and errors leave the output as it is, bit for bit. After
/// the first calls with each shape nothing is allocated. On a GPU the hidden state is copied and the work runs on the
/// engine's stream, in order with the call's stream.
///
/// Fails with `OMNIID_STATUS_MISMATCH` when widths or number types differ and for an adapter inside the attention
/// (omniid_inject), with `OMNIID_STATUS_INVALID_ARGUMENT` for a layer that does not exist or a hidden state that is not
/// finite (naming its row), and with `OMNIID_STATUS_UNSUPPORTED` when the tensors are not where the keys and values are.
///
/// # Safety
/// `conditioning` is a live conditioning; `call` is initialised with OMNIID_RESIDUAL_CALL_INIT; hidden and output
/// describe memory that is readable and, for output, writable, and that no other thread writes during the call.
#[export]
pub unsafe extern "C" fn omniid_inject_residual(
    conditioning: *const omniid_conditioning,
    call: *const omniid_residual_call,
) -> omniid_status {
    // SAFETY: the caller's promise, here and below.
    let (handle, call) = unsafe { (pointer::handle(conditioning, "conditioning")?, structs::read(call)?) };
    reserved(call.reserved, "residual call")?;
    // SAFETY: as above.
    let output = unsafe { tensor::view(call.output, "output") }?;
    let mut hidden = None;
    if !call.hidden.is_null() {
        // SAFETY: as above.
        let view = unsafe { tensor::view(call.hidden, "hidden") }?;
        if !is_same(&view, &output) {
            if view.overlaps(&output) {
                return Err(Error::invalid(
                    "hidden and output share memory without being the same tensor; they must be the same or not overlap",
                ));
            }
            hidden = Some(view);
        }
    }
    let stream = stream(call.stream, output.place())?;
    // SAFETY: as above; the hidden state does not overlap, so that the output is used by nobody else.
    let output = unsafe { output.writable() }.map_err(|error| error.context("output"))?;
    let call = ResidualCall::new(call.layer, output)
        .with_hidden(hidden)
        .with_step(step(call.flags, call.sigma, call.fraction)?)
        // SAFETY: as above.
        .with_roles(unsafe { roles(call.roles, call.role_count) }?)
        .with_latent(latent_size(call.latent_height, call.latent_width)?)
        .with_scale(call.scale)
        .with_check_hidden(call.flags & OMNIID_INJECT_FLAG_UNCHECKED == 0)
        .with_stream(stream);
    handle.conditioning.inject_residual(call)
}
