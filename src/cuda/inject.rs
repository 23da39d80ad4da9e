//! The identity's attention, added to a host's output on the host's stream.

use super::compile::{function, Kernel};
use super::device::{check_pointer, driver_error, finish, resolve, CurrentContext};
use super::launch::Launch;
use super::lease::Lease;
use super::stream::HostStream;
use super::transfer::address;
use crate::error::{Error, Result};
use candle_core::cuda_backend::cudarc::driver::{DeviceRepr, LaunchConfig, PushKernelArg};
use candle_core::{DType, Tensor};
use omniid_kernels::{Element, TensorView, TensorViewMut};

/// Entries of one launch; a call with more batch rows launches again. `MAX_ROWS` in inject.cu.
const MAX_ROWS: usize = 64;

/// What one row of the host's batch gets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttentionRow<'a> {
    /// Index of the row in the host's batch.
    pub batch: usize,
    /// Keys `[tokens, heads · head_dim]`, contiguous, on the engine's device.
    pub keys: &'a Tensor,
    /// Values, same shape and dtype as the keys.
    pub values: &'a Tensor,
    /// Strength. Rows of strength 0 may be left out; their output is not touched either way.
    pub factor: f32,
}

/// Weights of the query tokens, from an identity's mask.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueryWeights<'a> {
    /// `[tokens]` f32, contiguous, on the engine's device.
    pub values: &'a Tensor,
    /// Covers `values`.
    pub lease: &'a Lease,
}

/// `RowTable` in inject.cu.
#[repr(C)]
struct RowTable {
    keys: [u64; MAX_ROWS],
    values: [u64; MAX_ROWS],
    factor: [f32; MAX_ROWS],
    batch: [i32; MAX_ROWS],
    tokens: [i32; MAX_ROWS],
}

/// `Geometry` in inject.cu.
#[repr(C)]
struct Geometry {
    query: [i64; 4],
    output: [i64; 4],
    key_token: i64,
    key_head: i64,
    weight_batch: i64,
    weight_token: i64,
    queries: i32,
    head_dim: i32,
    scale: f32,
    zero_tokens: f32,
}

// What the CUDA compiler makes of their namesakes.
const _: () = assert!(size_of::<RowTable>() == 1792 && size_of::<Geometry>() == 112);

// SAFETY: both are plain C structs without pointers of the CPU, laid out like their namesakes in inject.cu.
unsafe impl DeviceRepr for RowTable {}
// SAFETY: as above.
unsafe impl DeviceRepr for Geometry {}

/// `output += factor · weight · softmax(query · Kᵀ / √head_dim) · V`, in place, on the host's stream.
///
/// `zero_tokens` further tokens have zero keys and values: each adds exp(0) to the softmax's denominator.
///
/// `query` and `output` are the host's memory on the device of the keys, of one shape `[batch, rows, heads, head_dim]`.
/// All keys must have one dtype. `lease` covers keys and values. Nothing is copied or allocated on the device, and the
/// call does not wait for the GPU (except with [`HostStream::Blocking`]). Any number of threads may call at once.
///
/// # Errors
/// `InvalidArgument`, `Mismatch`, `Unsupported`: a tensor, a row or a stream that does not fit, named. `Device`: the
/// driver or NVRTC failed. The output is unchanged after an error, unless it is of kind `Device`.
pub(crate) fn inject(
    lease: &Lease,
    rows: &[AttentionRow<'_>],
    weights: Option<QueryWeights<'_>>,
    zero_tokens: usize,
    query: &TensorView<'_>,
    output: &mut TensorViewMut<'_>,
    stream: HostStream,
) -> Result<()> {
    let output = output.as_view();
    let Some(first) = rows.iter().find(|row| row.factor != 0.0) else {
        return Ok(());
    };
    let [batch, queries, heads, head_dim] = query.shape();
    let inner = heads.saturating_mul(head_dim);
    let key = Element::try_from(first.keys.dtype())?;
    let tables = tables(rows, first.keys.dtype(), inner, batch)?;
    let weight = weights
        .map(|weights| weight_address(weights.values, queries))
        .transpose()?
        .unwrap_or(0);

    let device = lease.device();
    let _context = CurrentContext::enter(device)?;
    check_pointer(query, device, "query")?;
    check_pointer(&output, device, "output")?;
    let target = resolve(stream, device)?;
    let launches = tables
        .iter()
        .map(|(_, count)| Launch::new(queries, heads, *count, head_dim))
        .collect::<Result<Vec<_>>>()?;
    let Some(&Launch { groups, .. }) = launches.first() else {
        return Ok(());
    };
    let kernel = Kernel::Inject {
        query: query.element(),
        output: output.element(),
        key,
        groups,
    };
    let function = function(kernel, target.context())?;
    lease.acquire_on(&target)?;
    if let Some(weights) = weights {
        weights.lease.acquire_on(&target)?;
    }

    // A view's extent fits isize, and with it every stride.
    let (query_address, output_address) = (query.data().addr() as u64, output.data().addr() as u64);
    let geometry = Geometry {
        query: query.strides().map(|stride| stride as i64),
        output: output.strides().map(|stride| stride as i64),
        key_token: inner as i64,
        key_head: head_dim as i64,
        weight_batch: 0,
        weight_token: 1,
        queries: queries as i32,
        head_dim: head_dim as i32,
        scale: 1.0 / (head_dim as f32).sqrt(),
        zero_tokens: zero_tokens as f32,
    };
    for ((table, _), launch) in tables.iter().zip(launches) {
        let config = LaunchConfig {
            grid_dim: launch.grid,
            block_dim: (launch.threads, 1, 1),
            shared_mem_bytes: launch.shared_bytes,
        };
        let mut arguments = target.launch_builder(&function);
        arguments
            .arg(&query_address)
            .arg(&output_address)
            .arg(&weight)
            .arg(table)
            .arg(&geometry);
        // SAFETY: the arguments are those of `omniid_inject`, in type and order. The views and `tables` have checked
        // that every index the kernel forms lies in the tensors as the caller describes them; batch rows are below
        // the batch size; keys, values and weights are contiguous tensors of the checked shapes on this device,
        // complete because of `acquire_on` and kept until this launch is done by the leases' drop.
        unsafe { arguments.launch(config) }.map_err(driver_error("launching the attention kernel"))?;
    }
    finish(stream, &target)
}

/// The rows that get anything, in tables of one launch each, with the number of entries.
fn tables(rows: &[AttentionRow<'_>], dtype: DType, inner: usize, batch: usize) -> Result<Vec<(RowTable, usize)>> {
    let active: Vec<_> = rows.iter().filter(|row| row.factor != 0.0).collect();
    let mut tables = Vec::with_capacity(active.len().div_ceil(MAX_ROWS));
    for chunk in active.chunks(MAX_ROWS) {
        let mut table = RowTable {
            keys: [0; MAX_ROWS],
            values: [0; MAX_ROWS],
            factor: [0.0; MAX_ROWS],
            batch: [0; MAX_ROWS],
            tokens: [0; MAX_ROWS],
        };
        for (place, row) in chunk.iter().enumerate() {
            let (tokens, width) = row.keys.dims2()?;
            if row.batch >= batch {
                return Err(Error::mismatch(format!(
                    "batch row {} does not exist: the batch has {batch}",
                    row.batch
                )));
            }
            if width != inner || tokens == 0 || row.values.dims() != row.keys.dims() {
                return Err(Error::internal(format!(
                    "keys {:?} and values {:?} do not fit width {inner}",
                    row.keys.dims(),
                    row.values.dims()
                )));
            }
            let index = |value: usize, what: &str| {
                let fits = i32::try_from(value).ok().filter(|value| *value < i32::MAX - 32);
                fits.ok_or_else(|| Error::unsupported(format!("{value} {what} are more than the GPU kernel counts")))
            };
            table.keys[place] = address(row.keys, dtype)?;
            table.values[place] = address(row.values, dtype)?;
            table.factor[place] = row.factor;
            table.batch[place] = index(row.batch, "batch rows")?;
            table.tokens[place] = index(tokens, "tokens")?;
        }
        tables.push((table, chunk.len()));
    }
    Ok(tables)
}

fn weight_address(weights: &Tensor, queries: usize) -> Result<u64> {
    if weights.dims() != [queries] {
        return Err(Error::mismatch(format!(
            "weights of shape {:?} for {queries} query tokens",
            weights.dims()
        )));
    }
    address(weights, DType::F32)
}
