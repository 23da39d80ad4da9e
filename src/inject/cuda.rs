//! Injection into memory of a GPU, on the host's stream.

use super::{role_of, InjectCall};
use crate::conditioning::Conditioning;
use crate::cuda::{self, AttentionRow, DeviceState, QueryWeights};
use crate::error::Result;

pub(super) fn inject(conditioning: &Conditioning, state: &DeviceState, mut call: InjectCall<'_>) -> Result<()> {
    let [batch, ..] = call.query.shape();
    for pass in conditioning.passes(&call)? {
        let pass = pass?;
        let mask = pass.mask.map(|mask| state.mask(mask)).transpose()?;
        let rows: Vec<_> = (0..batch)
            .filter_map(|batch| {
                let role = role_of(call.roles, batch);
                let pair = pass.entry.side(role)?;
                Some(AttentionRow {
                    batch,
                    keys: &pair.keys,
                    values: &pair.values,
                    factor: pass.factor,
                })
            })
            .collect();
        let weights = mask.as_ref().map(|mask| QueryWeights {
            values: &mask.values,
            lease: &mask.lease,
        });
        let zeros = conditioning.zero_tokens();
        cuda::inject(
            &state.lease,
            &rows,
            weights,
            zeros,
            &call.query,
            &mut call.output,
            call.stream,
        )?;
    }
    Ok(())
}
