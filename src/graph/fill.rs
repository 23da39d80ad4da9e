//! Filling the host's buffers.

use super::buffer::byte_size;
use super::plan::Plan;
use super::rows::{check_range, write, write_blocks, Half};
use super::{Graph, GraphBuffer, GraphCall, GraphForm, GraphInput, GraphInputKind};
use crate::conditioning::{Conditioning, Role};
use crate::error::{Error, Result};
use crate::precision::Precision;
use std::collections::HashSet;

impl Graph {
    /// Shape of an input for a call. Rows are those of the call; tokens are as many as the identity has, or the number
    /// that the graph was made for.
    ///
    /// # Errors
    /// As [`fill`](Self::fill), without those of buffers.
    pub fn shape(&self, conditioning: &Conditioning, call: &GraphCall<'_>, name: &str) -> Result<Vec<usize>> {
        let input = self.input(name)?;
        Plan::new(self, conditioning, call)?.shape(input.kind)
    }

    /// Number of bytes of an input for a call.
    ///
    /// # Errors
    /// As [`shape`](Self::shape).
    pub fn byte_size(&self, conditioning: &Conditioning, call: &GraphCall<'_>, name: &str) -> Result<usize> {
        let precision = self.input_precision(self.input(name)?.kind);
        byte_size(&self.shape(conditioning, call, name)?, precision)
    }

    /// Fills the host's buffers for any of the graph's identity inputs, in any order: each is named after its input.
    ///
    /// Keys, values and tokens stay valid for all steps of sampling, and only scales and masks have to be filled for
    /// each step, unless people are concatenated and have step ranges, the graph has no input for scales, or keys and
    /// values depend on the timestep (SD3.5). Everything is checked before anything is written.
    ///
    /// # Errors
    /// Nothing is written after an error. [`Mismatch`](crate::ErrorKind::Mismatch), naming the layer and both shapes,
    /// when graph and conditioning are for different hosts, differ in layers, heads or head width, for a buffer of
    /// another shape, number type or size, for an identity whose tokens do not fit into those that the graph was made
    /// for, or another number of roles than the graph's rows; [`InvalidArgument`](crate::ErrorKind::InvalidArgument)
    /// for an input that the graph does not have or that is named twice, a scale that is not finite, and a step that an
    /// identity's range needs and that is missing; [`Unsupported`](crate::ErrorKind::Unsupported) for conditionings
    /// whose layers do more than the graph's (orthogonal injection, adapters of the residual stream), for masks without
    /// an input for them or in ComfyUI's mode, for several people in a graph with one softmax unless they are to be
    /// concatenated, and for numbers that its number type cannot hold.
    pub fn fill(
        &self,
        conditioning: &Conditioning,
        call: &GraphCall<'_>,
        buffers: &mut [GraphBuffer<'_>],
    ) -> Result<()> {
        let plan = Plan::new(self, conditioning, call)?;
        plan.check_masks()?;
        if self.form() == GraphForm::Tokens {
            plan.check_tokens()?;
        }
        let mut named = HashSet::new();
        let mut inputs = Vec::with_capacity(buffers.len());
        for buffer in buffers.iter() {
            let input = self.input(buffer.name)?;
            if !named.insert(buffer.name) {
                return Err(Error::invalid(format!(
                    "there are two buffers for input {:?}",
                    buffer.name
                )));
            }
            let shape = plan.shape(input.kind)?;
            buffer.check(self, input, &shape)?;
            // Keys and tokens of the library are finite, and f32 holds them; values may be multiplied with a factor.
            let has_factor = matches!(input.kind, GraphInputKind::Values(_) | GraphInputKind::Scale);
            if self.precision() != Precision::F32 || has_factor {
                plan.check_numbers(input)?;
            }
            inputs.push((input, shape));
        }
        for (buffer, (input, shape)) in buffers.iter_mut().zip(inputs) {
            plan.write(input, &shape, buffer.bytes)?;
        }
        Ok(())
    }
}

impl Plan<'_> {
    /// The numbers of an input for one role: for keys, values and tokens a list `[tokens, width]` for each block, which
    /// is empty for zeros; else one list.
    fn numbers(&self, kind: GraphInputKind, role: Role) -> Result<Vec<Vec<f32>>> {
        match kind {
            GraphInputKind::Keys(entry) => self.rows_of(entry, role)?.values(Half::Keys),
            GraphInputKind::Values(entry) => self.rows_of(entry, role)?.values(Half::Values),
            GraphInputKind::Tokens => self.token_values(role),
            GraphInputKind::Scale => {
                let scales = (0..self.graph.layers().len()).map(|entry| self.scale(entry));
                Ok(vec![scales.collect::<Result<_>>()?])
            }
            GraphInputKind::Mask => Ok(vec![self.masks()?]),
        }
    }

    fn check_numbers(&self, input: &GraphInput) -> Result<()> {
        let to = self.graph.input_precision(input.kind);
        for role in self.roles() {
            for numbers in self.numbers(input.kind, role)? {
                check_range(&numbers, to, &self.graph.describe(input))?;
            }
        }
        Ok(())
    }

    fn write(&self, input: &GraphInput, shape: &[usize], out: &mut [u8]) -> Result<()> {
        let to = self.graph.input_precision(input.kind);
        let (sizes, bytes) = match (input.kind, shape) {
            (GraphInputKind::Scale, _) => {
                write(&self.numbers(input.kind, Role::Conditional)?.concat(), to, out);
                return Ok(());
            }
            (GraphInputKind::Mask, [rows, ..]) => (None, out.len() / (*rows).max(1)),
            (_, &[rows, heads, tokens, head_dim]) => (Some([heads, tokens, head_dim]), out.len() / rows.max(1)),
            (_, &[rows, tokens, width]) => (Some([1, tokens, width]), out.len() / rows.max(1)),
            _ => return Err(Error::internal("an input of an unknown shape")),
        };
        for role in self.roles() {
            let rows = self.rows.iter().zip(out.chunks_exact_mut(bytes.max(1)));
            let mut first: Option<&mut [u8]> = None;
            for (_, place) in rows.filter(|(found, _)| **found == role) {
                if let Some(first) = &first {
                    place.copy_from_slice(first);
                    continue;
                }
                let numbers = self.numbers(input.kind, role)?;
                match sizes {
                    Some(sizes) => write_blocks(&numbers, sizes, to, place),
                    None => write(&numbers.concat(), to, place),
                }
                first = Some(place);
            }
        }
        Ok(())
    }
}
