//! Masks for graphs that resample them to the size of each layer.

use super::plan::Plan;
use crate::conditioning::{Mask, MaskMode};
use crate::error::{Error, Result};

impl Plan<'_> {
    /// Masks have to reach the graph, which resamples them as diffusers does.
    pub(super) fn check_masks(&self) -> Result<()> {
        for (number, identity) in self.identities() {
            let Some((mask, mode)) = identity.mask.as_ref().map(|grids| (grids.mask(), grids.mode())) else {
                continue;
            };
            if self.graph.mask_input().is_none() {
                return Err(Error::unsupported(format!(
                    "identity {number} has a mask of {} × {}, but the graph {:?} has no input for it",
                    mask.height(),
                    mask.width(),
                    self.graph.file_name()
                )));
            }
            if mode != MaskMode::Diffusers {
                return Err(Error::unsupported(format!(
                    "identity {number}: its mask is to be placed as ComfyUI does, but a graph resamples masks as \
                     diffusers does, bicubic; condition with mask mode \"diffusers\""
                )));
            }
        }
        self.mask_factors()?;
        self.mask_size().map(|_| ())
    }

    /// Height and width of the masks; 1 × 1 where there is none.
    pub(super) fn mask_size(&self) -> Result<(usize, usize)> {
        let mut found: Option<(usize, (usize, usize))> = None;
        for (number, identity) in self.identities() {
            let Some(mask) = identity.mask.as_ref().map(|grids| grids.mask()) else {
                continue;
            };
            let size = (mask.height(), mask.width());
            match found {
                Some((first, other)) if other != size => {
                    return Err(Error::mismatch(format!(
                        "identity {first} has a mask of {} × {}, identity {number} one of {} × {}; one input holds \
                         masks of one size",
                        other.0, other.1, size.0, size.1
                    )))
                }
                Some(_) => {}
                None => found = Some((number, size)),
            }
        }
        Ok(found.map_or((1, 1), |(_, size)| size))
    }

    /// The masks of all people, `[people, height, width]`: 1 for those without one, 0 for those outside their steps.
    pub(super) fn masks(&self) -> Result<Vec<f32>> {
        let (height, width) = self.mask_size()?;
        let count = height * width;
        let mut all = Vec::with_capacity(self.blocks() * count);
        let factors = self.mask_factors()?;
        for ((number, identity), factor) in self.identities().zip(factors) {
            let mask: Option<&Mask> = identity.mask.as_ref().map(|grids| grids.mask());
            match (self.is_active(number)?, mask) {
                (false, _) => all.resize(all.len() + count, 0.0),
                (true, None) => all.resize(all.len() + count, factor),
                (true, Some(mask)) => all.extend(mask.values().iter().map(|value| value * factor)),
            }
        }
        // Nobody is there: their values are zeros.
        all.resize(self.blocks() * count, 1.0);
        Ok(all)
    }
}
