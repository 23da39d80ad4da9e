//! Tokens for graphs that have the adapter inside.

use super::plan::Plan;
use super::rows::numbers;
use crate::conditioning::Role;
use crate::error::{Error, Result};
use candle_core::Tensor;

impl Plan<'_> {
    /// The tokens of everybody who takes part, for one role.
    fn tokens_of(&self, role: Role) -> Result<Vec<&Tensor>> {
        let mut found = Vec::new();
        for (number, identity) in self.identities() {
            let Some(tokens) = &identity.tokens else {
                return Err(Error::unsupported(format!(
                    "identity {number}: its weight type or its scaling of keys and values is more than the graph {:?} \
                     can do with tokens, which multiplies each layer's attention with one number",
                    self.graph.file_name()
                )));
            };
            match (role, &tokens.unconditional) {
                (Role::Conditional, _) => found.push(&tokens.conditional),
                (Role::Unconditional, Some(tokens)) => found.push(tokens),
                (Role::Unconditional, None) => {
                    return Err(Error::unsupported(format!(
                        "identity {number} has nothing for unconditional rows; a graph that takes tokens attends to \
                         some in every row"
                    )))
                }
            }
        }
        Ok(found)
    }

    /// Checks that the tokens are those that the graph's adapter was made for, and that their scale reaches it.
    pub(super) fn check_tokens(&self) -> Result<()> {
        let wanted = self.graph.fingerprint();
        if let (Some(wanted), Some(found)) = (wanted, self.conditioning.fingerprint()) {
            if wanted != found {
                return Err(Error::mismatch(format!(
                    "the graph {:?} holds the adapter of model {wanted}, the conditioning was made by model {found}",
                    self.graph.file_name()
                )));
            }
        }
        if self.graph.scale_input().is_none() {
            for (entry, layer) in self.graph.layers().iter().enumerate() {
                let scale = self.scale(entry)?;
                if scale != 1.0 {
                    return Err(Error::unsupported(format!(
                        "layer {:?}: scale {scale}, but the graph {:?} has no input for scales",
                        layer.name,
                        self.graph.file_name()
                    )));
                }
            }
        }
        let wanted = self.graph.width().unwrap_or(0);
        for tokens in self.tokens_of(Role::Conditional)? {
            let width = tokens.dim(1)?;
            if width != wanted {
                return Err(Error::mismatch(format!(
                    "input {:?}: the graph takes [rows, tokens, {wanted}], the identity has tokens {:?}",
                    self.graph.tokens_input().unwrap_or(""),
                    tokens.dims()
                )));
            }
        }
        Ok(())
    }

    /// Number of tokens of the input.
    pub(super) fn token_rows(&self) -> Result<usize> {
        let mut counts = Vec::new();
        for role in self.roles() {
            let lengths = self.tokens_of(role)?.into_iter().map(|tokens| tokens.dim(0));
            let lengths = lengths.collect::<candle_core::Result<Vec<_>>>()?;
            match self.blocks() {
                1 if lengths.is_empty() => {}
                1 => counts.push(lengths.iter().sum()),
                _ => counts.extend(lengths),
            }
        }
        self.common(&counts, &format!("input {:?}", self.graph.tokens_input().unwrap_or("")))
    }

    /// The tokens of a role, one list `[tokens, width]` for each block.
    pub(super) fn token_values(&self, role: Role) -> Result<Vec<Vec<f32>>> {
        let tokens = self.tokens_of(role)?.into_iter().map(numbers);
        let lists = tokens.collect::<Result<Vec<_>>>()?;
        Ok(match self.blocks() {
            1 => vec![lists.concat()],
            _ => lists,
        })
    }
}
