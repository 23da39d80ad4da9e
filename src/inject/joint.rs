//! Attention to the image's own keys and the identity's together, on the CPU: InstantX' adapter for SD3.5.
//!
//! Head by head: its queries, keys and values are widened and normalised in working memory of the conditioning, the
//! identity's follow the image's, and the attention is added to the host's output.

use super::cpu::{check_finite, with_set};
use super::{role_of, InjectCall, Pass};
use crate::adapter::JOINT_EPSILON;
use crate::conditioning::{Conditioning, Joint, Role};
use crate::error::{Error, Result};
use crate::host::HostLayer;
use crate::remedy;
use omniid_kernels::{
    attention, rms_norm, AttentionInput, KeyValue, OutputMode, TensorView, TensorViewMut, ThreadPool,
};

impl<'a> InjectCall<'a> {
    /// The host's image keys and values, which are like the query.
    fn image(&self, layer: &HostLayer) -> Result<KeyValue<TensorView<'a>>> {
        let (Some(keys), Some(values)) = (self.image_keys, self.image_values) else {
            return Err(Error::invalid(format!(
                "layer {:?}: the image's keys and values take part in its attention, but the call does not bring both",
                layer.name
            ))
            .with_remedy(remedy::IMAGE_KEYS));
        };
        let query = self.query;
        for (name, view) in [("image keys", keys), ("image values", values)] {
            let like = [view.shape() == query.shape(), view.element() == query.element()];
            if like != [true; 2] || view.place() != query.place() {
                return Err(Error::mismatch(format!(
                    "{name}: {:?} {:?} on {}, the query is {:?} {:?} on {}; they must be alike",
                    view.element(),
                    view.dims(),
                    view.place(),
                    query.element(),
                    query.dims(),
                    query.place()
                )));
            }
        }
        Ok(KeyValue { keys, values })
    }
}

pub(super) fn inject(conditioning: &Conditioning, joint: &Joint, mut call: InjectCall<'_>) -> Result<()> {
    let image = call.image(conditioning.host().layer(call.layer)?)?;
    let norms = joint.norms(call.layer)?;
    let name = conditioning.layer_name(call.layer)?;
    let (part, part_count) = (call.part, call.part_count);
    let mut unchecked = call.check_query;
    let mut work = || {
        for pass in conditioning.passes(&call)? {
            if std::mem::take(&mut unchecked) {
                check_finite(name, &call.query, 0)?;
            }
            let layer = Layer {
                joint,
                norms,
                image,
                part,
                part_count,
            };
            layer.attend(call.query, &mut call.output, call.roles, &pass?)?;
        }
        Ok(())
    };
    match part_count > 1 {
        true => ThreadPool::in_place(work),
        false => work(),
    }
}

struct Layer<'a> {
    joint: &'a Joint,
    /// Of queries and of keys.
    norms: &'a [Vec<f32>; 2],
    image: KeyValue<TensorView<'a>>,
    /// Every `part_count`th head is worked on, from `part` on.
    part: usize,
    part_count: usize,
}

impl Layer<'_> {
    /// out[b, s] += factor · mask[s] · softmax(q [K_image; K]ᵀ / √d) [V_image; V] for the batch rows that have keys.
    fn attend(
        &self,
        query: TensorView<'_>,
        output: &mut TensorViewMut<'_>,
        roles: &[Role],
        pass: &Pass<'_>,
    ) -> Result<()> {
        let shape @ [batch, ..] = query.shape();
        for row in 0..batch {
            let role = role_of(roles, row);
            let Some(pair) = pass.entry.side(role) else {
                continue;
            };
            with_set(pair, shape, |identity| {
                self.attend_row(row, query, identity, output, pass)
            })?;
        }
        Ok(())
    }

    fn attend_row(
        &self,
        row: usize,
        query: TensorView<'_>,
        identity: KeyValue<TensorView<'_>>,
        output: &mut TensorViewMut<'_>,
        pass: &Pass<'_>,
    ) -> Result<()> {
        let [_, rows, heads, width] = query.shape();
        let [_, tokens, ..] = identity.keys.shape();
        let (pool, all) = (ThreadPool::global(), rows + tokens);
        let [query_norm, key_norm] = self.norms;
        self.joint.memory.with((rows + 2 * all) * width, |memory| {
            let (queries, memory) = memory.split_at_mut(rows * width);
            let (keys, values) = memory.split_at_mut(all * width);
            for head in (self.part..heads).step_by(self.part_count) {
                widen(query, row, head, queries)?;
                rms_norm(pool, queries, query_norm, JOINT_EPSILON as f32)?;
                let (own, other) = keys.split_at_mut(rows * width);
                widen(self.image.keys, row, head, own)?;
                rms_norm(pool, own, key_norm, JOINT_EPSILON as f32)?;
                widen(identity.keys, 0, head, other)?;
                let (own, other) = values.split_at_mut(rows * width);
                widen(self.image.values, row, head, own)?;
                widen(identity.values, 0, head, other)?;
                let set = KeyValue {
                    keys: TensorView::contiguous(keys, [1, all, 1, width])?,
                    values: TensorView::contiguous(values, [1, all, 1, width])?,
                };
                let input = AttentionInput {
                    query: TensorView::contiguous(queries, [1, rows, 1, width])?,
                    key_values: &[set],
                    select: None,
                    scale: None,
                    zero_tokens: 0,
                };
                let mode = OutputMode::Add {
                    factors: &[pass.factor],
                    row_weights: pass.mask.as_deref(),
                };
                attention(pool, &input, &mut output.head(row, head)?, mode)?;
            }
            Ok(())
        })
    }
}

/// One head of one batch entry as f32, `[rows, width]`.
fn widen(view: TensorView<'_>, row: usize, head: usize, values: &mut [f32]) -> Result<()> {
    let view = view.head(row, head)?.transpose(1, 2)?;
    let [_, _, rows, _] = view.shape();
    view.widen_rows(ThreadPool::global(), 0, 0..rows, values)
}
