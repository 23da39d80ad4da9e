//! Multi-head attention over strided memory, in place where the host wants it.

mod block;
#[cfg(feature = "gradients")]
mod gradient;
#[cfg(feature = "gradients")]
mod gradient_block;
mod keep;
mod orthogonal;
mod packing;
mod rows;
mod softmax;
mod take;
#[cfg(test)]
mod tests;
mod tile;

#[cfg(feature = "gradients")]
pub(crate) use gradient::{attention_gradient, AttentionGradientInput, AttentionGradients};

use crate::element::Element;
use crate::error::{Error, Result};
use crate::simd::{dispatch, Isa};
use crate::threads::{with_scratch, ThreadPool};
use crate::view::{Place, TensorView, TensorViewMut};
pub(crate) use block::MAX_HEAD_DIM;
use block::{scratch_len, Block, Write, WriteMode};
use orthogonal::{add_orthogonal, Orthogonal};
use rows::head_rows;
use tile::MOST_ROWS;

/// Query rows below which a head is not split further among threads.
const SMALLEST_CHUNK: usize = 96;

/// Most leading tokens: they are in the first block.
const MOST_LEADING_TOKENS: usize = 32;

/// Multiply-adds below which waking the other threads costs more than it brings.
const SERIAL_WORK: usize = 1 << 18;

/// Keys and values that belong together, of one shape: views `[batch, tokens, heads, head_dim]` for [`attention`], or
/// the tensors that own them.
#[derive(Debug, Clone, Copy)]
pub struct KeyValue<T> {
    /// The keys K.
    pub keys: T,
    /// The values V.
    pub values: T,
}

/// What [`attention`] reads.
#[derive(Debug, Clone, Copy)]
pub struct AttentionInput<'a> {
    /// The queries `[batch, rows, heads, head_dim]`.
    pub query: TensorView<'a>,
    /// The sets of keys and values to choose from. A batch of 1 serves every batch row.
    pub key_values: &'a [KeyValue<TensorView<'a>>],
    /// Per batch row the index into `key_values`, or `None` to leave its output alone. Without a table all
    /// rows use the first set.
    pub select: Option<&'a [Option<usize>]>,
    /// Factor on the scores; by default 1/√head_dim.
    pub scale: Option<f32>,
    /// Further tokens whose keys and values are zero. They take part in the softmax: each adds exp(0) to its
    /// denominator. They need no memory.
    pub zero_tokens: usize,
}

/// What [`attention`] does with its result.
#[derive(Debug, Clone, Copy)]
pub enum OutputMode<'a> {
    /// `output = attention`
    Overwrite,
    /// `output[b, s] += factors[b] · row_weights[s] · attention[b, s]`, read, computed in f32 and rounded once
    /// to the output's element type. Where the factor is zero no bit changes.
    Add {
        /// One factor per batch row.
        factors: &'a [f32],
        /// One weight per query row (a mask); without it 1.
        row_weights: Option<&'a [f32]>,
    },
    /// `output[b, s] += factors[b] · row_weights[s] · (attention[b, s] + (share[b, s] - 1) · projection[b, s])`, read,
    /// computed in f32 and rounded once. The projection is the part of the attention along the output: per batch row
    /// and channel Σ output · attention / Σ output · output over all rows s, times the output; zero where the output
    /// is. Where the factor is zero no bit changes.
    ///
    /// The thread that calls keeps working memory of 4 bytes for each value of one batch row of the output.
    AddOrthogonal {
        /// One factor per batch row.
        factors: &'a [f32],
        /// One weight per query row (a mask); without it 1. The sums go over all rows.
        row_weights: Option<&'a [f32]>,
        /// With a number: the share is that of so many tokens, from the first on, in softmax(Q Kᵀ), without the scale,
        /// as the mean over the heads. Zero tokens count as the last tokens. Without: 0.
        leading_tokens: Option<usize>,
    },
}

/// `softmax(scale · Q Kᵀ) V` per batch row and head, written to or added to `output` `[batch, rows, heads, head_dim]`.
///
/// Sums and the softmax are f32 whatever the element types. Where queries, keys and values are all bf16 and the
/// processor multiplies bf16, the products are of bf16 numbers: the probabilities are rounded to bf16 before they weigh
/// the values. A row's result does not depend on the other rows or on the threads.
///
/// The work is shared by the threads of `pool`; no memory is allocated once each thread has its working memory. A NaN
/// or an infinity in a query row makes that row of that head NaN and touches no other; in keys or values it reaches
/// every row of that head. With no
/// tokens at all, `Overwrite` writes zeros and `Add` adds nothing.
///
/// # Errors
/// `InvalidArgument` when shapes, tables or the head dimension (1 to 512) do not fit, `Unsupported` for memory that is
/// not the processor's; nothing is written then.
pub fn attention(
    pool: &ThreadPool,
    input: &AttentionInput<'_>,
    output: &mut TensorViewMut<'_>,
    mode: OutputMode<'_>,
) -> Result<()> {
    let [batch, rows, heads, head_dim] = input.query.shape();
    check(input, output, mode)?;
    if batch == 0 || rows == 0 || heads == 0 {
        return Ok(());
    }
    let isa = Isa::current();
    let output = output.as_view();
    let scale = input.scale.unwrap_or(1.0 / (head_dim as f32).sqrt());
    if let OutputMode::AddOrthogonal {
        factors,
        row_weights,
        leading_tokens,
    } = mode
    {
        let how = Orthogonal {
            factors,
            row_weights,
            leading_tokens,
        };
        add_orthogonal(pool, isa, scale, input, &output, how);
        return Ok(());
    }
    let most_tokens = input
        .key_values
        .iter()
        .map(|set| set.keys.shape()[1])
        .max()
        .unwrap_or(0);
    let pairs = batch * heads;
    let split = chunks(pool, pairs, rows, most_tokens, head_dim);
    let task = |index: usize| {
        let (pair, part) = (index / split.count, index % split.count);
        let (b, h) = (pair / heads, pair % heads);
        let write = match mode {
            OutputMode::Add { factors, row_weights } => Write::add(factors[b], row_weights),
            _ => Write::OVERWRITE,
        };
        let skip = write.factor == 0.0;
        let Some(set) = set_of(input, b).filter(|_| !skip) else {
            return;
        };
        let tokens = set.keys.shape()[1];
        let first = part * split.rows;
        let last = rows.min(first + split.rows);
        let out = head_rows(&output, b, h);
        if tokens == 0 {
            if write.mode == WriteMode::Overwrite {
                // SAFETY: the rows belong to this task alone.
                unsafe { out.zero(first, last, head_dim) };
            }
            return;
        }
        with_scratch(scratch_len(tokens, head_dim), |scratch| {
            let block = Block {
                query: head_rows(&input.query, b, h),
                keys: head_rows(&set.keys, b, h),
                values: head_rows(&set.values, b, h),
                output: out,
                first,
                last,
                tokens,
                head_dim,
                scale,
                zero_tokens: input.zero_tokens as f32,
                write,
                scratch,
            };
            // SAFETY: the views vouch for their memory, the shapes were checked, no other task writes these
            // rows of this head, and the working memory has the length that the block asks for.
            unsafe { dispatch(isa, block) }
        });
    };
    split.run(pool, pairs * split.count, &task);
    Ok(())
}

/// [`attention`] of f32 queries to one set of keys and values: the values of the output, contiguous, in new memory that
/// is not filled with zeros before. One thread would do that while the others wait.
///
/// # Errors
/// As [`attention`].
pub(crate) fn attention_of(
    pool: &ThreadPool,
    query: TensorView<'_>,
    key_value: KeyValue<TensorView<'_>>,
) -> Result<Vec<f32>> {
    let shape = query.shape();
    let len = shape.iter().product();
    let mut output = Vec::<f32>::with_capacity(len);
    let input = AttentionInput {
        query,
        key_values: &[key_value],
        select: None,
        scale: None,
        zero_tokens: 0,
    };
    // SAFETY: the memory takes that many values, and nobody else knows of it. Nothing is read from it: the output is
    // overwritten, all of it, as every batch row has keys and values.
    unsafe {
        let data = output.as_mut_ptr().cast::<u8>().cast_const();
        let mut view = TensorView::from_raw(data, Place::Cpu, Element::F32, &shape, None)?.writable()?;
        attention(pool, &input, &mut view, OutputMode::Overwrite)?;
        output.set_len(len);
    }
    Ok(output)
}

/// How the rows of each head are split among tasks.
struct Split {
    /// Parts of each head.
    count: usize,
    /// Rows of each part; the last one may have fewer.
    rows: usize,
    /// Whether the work is too little for more than one thread.
    serial: bool,
}

impl Split {
    fn run(&self, pool: &ThreadPool, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        if self.serial {
            (0..tasks).for_each(task);
        } else {
            pool.run(tasks, task);
        }
    }
}

/// The split of `pairs` pairs of batch row and head, of `rows` rows each.
fn chunks(pool: &ThreadPool, pairs: usize, rows: usize, tokens: usize, head_dim: usize) -> Split {
    let work = rows
        .saturating_mul(pairs)
        .saturating_mul(tokens)
        .saturating_mul(head_dim);
    let serial = work < SERIAL_WORK;
    let wanted = if serial { 1 } else { 4 * pool.threads() };
    let chunks = wanted.div_ceil(pairs).min(rows.div_ceil(SMALLEST_CHUNK)).max(1);
    // Whole blocks of rows, so that only the last chunk has a rest.
    let chunk = rows.div_ceil(chunks).next_multiple_of(MOST_ROWS);
    Split {
        count: rows.div_ceil(chunk),
        rows: chunk,
        serial,
    }
}

/// The keys and values of a batch row; `None` where nothing is selected.
fn set_of<'s, 'a>(input: &'s AttentionInput<'a>, batch: usize) -> Option<&'s KeyValue<TensorView<'a>>> {
    let index = match input.select {
        Some(select) => select[batch]?,
        None => 0,
    };
    Some(&input.key_values[index])
}

fn check(input: &AttentionInput<'_>, output: &TensorViewMut<'_>, mode: OutputMode<'_>) -> Result<()> {
    let shape @ [batch, rows, heads, head_dim] = input.query.shape();
    let sets = input.key_values.iter();
    let views = sets.flat_map(|set| [set.keys, set.values]);
    for view in views.chain([input.query, output.as_view()]) {
        view.require_cpu()?;
    }
    if output.as_view().shape() != shape {
        let found = output.as_view().shape();
        return Err(Error::invalid(format!(
            "the output has shape {found:?}, the query {shape:?}: they must agree"
        )));
    }
    if !(1..=MAX_HEAD_DIM).contains(&head_dim) {
        return Err(Error::invalid(format!(
            "the head dimension is {head_dim}, it must be 1 to {MAX_HEAD_DIM}"
        )));
    }
    for (index, set) in input.key_values.iter().enumerate() {
        let keys = set.keys.shape();
        let values = set.values.shape();
        if keys != values {
            return Err(Error::invalid(format!(
                "set {index} has keys {keys:?} and values {values:?}"
            )));
        }
        if keys[2] != heads || keys[3] != head_dim || (keys[0] != 1 && keys[0] != batch) {
            return Err(Error::invalid(format!(
                "set {index} has keys {keys:?}, the query {shape:?} needs [1 or {batch}, tokens, {heads}, {head_dim}]"
            )));
        }
    }
    let sets = input.key_values.len();
    match input.select {
        Some(select) if select.len() != batch => {
            let found = select.len();
            return Err(Error::invalid(format!(
                "the selection has {found} entries for a batch of {batch}"
            )));
        }
        Some(select) => {
            if let Some(index) = select.iter().flatten().find(|&&index| index >= sets) {
                return Err(Error::invalid(format!(
                    "set {index} is selected, but there are only {sets}"
                )));
            }
        }
        None if sets == 0 && batch > 0 => return Err(Error::invalid("no keys and values were given")),
        None => {}
    }
    if let OutputMode::AddOrthogonal {
        leading_tokens: Some(count),
        ..
    } = mode
    {
        if count > MOST_LEADING_TOKENS {
            return Err(Error::invalid(format!(
                "{count} leading tokens; at most {MOST_LEADING_TOKENS} are taken"
            )));
        }
        if let Some(scale) = input.scale.filter(|scale| scale.is_nan() || *scale <= 0.0) {
            return Err(Error::invalid(format!(
                "the scale is {scale}; leading tokens need one above 0"
            )));
        }
    }
    if let OutputMode::Add { factors, row_weights }
    | OutputMode::AddOrthogonal {
        factors, row_weights, ..
    } = mode
    {
        if factors.len() != batch {
            let found = factors.len();
            return Err(Error::invalid(format!("{found} factors for a batch of {batch}")));
        }
        if let Some(weights) = row_weights.filter(|weights| weights.len() != rows) {
            let found = weights.len();
            return Err(Error::invalid(format!("{found} row weights for {rows} query rows")));
        }
    }
    Ok(())
}
