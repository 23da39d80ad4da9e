//! What holds for one filling of a graph's inputs.

use super::Graph;
use crate::conditioning::{Role, Step};
use crate::error::{Error, Result};
use crate::setters::setters;

/// Most batch rows of one call.
const MAX_ROWS: usize = 1 << 16;

/// What the inputs are filled for: the batch and the step.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GraphCall<'a> {
    /// The side of guidance of each batch row, in any order; empty means conditional rows only, as many as the graph
    /// was made for, or one.
    pub roles: &'a [Role],
    /// Where sampling stands. Needed only by identities that are limited to a step range, and by keys and values for
    /// several timesteps.
    pub step: Step,
    /// Multiplies every identity's scale. At 0 the graph gives what it gives without an identity.
    pub scale: f32,
    /// Whether people share one softmax in a graph without masks. It is not what several identities are otherwise (a
    /// sum of attentions), so it has to be asked for. Each one's factor is folded into its values. Identities outside
    /// their step range are left out, so the number of tokens can change from step to step.
    pub concatenate: bool,
}

impl Default for GraphCall<'_> {
    fn default() -> Self {
        Self {
            roles: &[],
            step: Step::default(),
            scale: 1.0,
            concatenate: false,
        }
    }
}

setters!(GraphCall<'a> {
    with_roles: roles = plain &'a [Role],
    with_step: step = plain Step,
    with_scale: scale = plain f32,
    with_concatenate: concatenate = plain bool,
});

impl GraphCall<'_> {
    /// The role of every row of the batch.
    pub(super) fn rows(&self, graph: &Graph) -> Result<Vec<Role>> {
        if !self.scale.is_finite() {
            return Err(Error::invalid(format!(
                "the call's scale is {}; it must be a finite number",
                self.scale
            )));
        }
        if self.roles.len() > MAX_ROWS {
            return Err(Error::invalid(format!(
                "{} roles; at most {MAX_ROWS} rows are taken",
                self.roles.len()
            )));
        }
        match (graph.rows(), self.roles.len()) {
            (rows, 0) => Ok(vec![Role::Conditional; rows.unwrap_or(1)]),
            (Some(rows), given) if rows != given => Err(Error::mismatch(format!(
                "{given} roles, but the graph {:?} was made for {rows} rows",
                graph.file_name()
            ))),
            _ => Ok(self.roles.to_vec()),
        }
    }
}
