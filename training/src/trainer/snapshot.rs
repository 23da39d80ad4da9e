//! From a trainer to its state and back.

use super::objective::Objective;
use super::state::State;
use super::Trainer;
use crate::optimisation::Buffer;
use candle_core::{Device, Tensor};
use omniid::{Error, Result};
use std::collections::BTreeMap;

impl<O: Objective> Trainer<'_, O> {
    /// Everything that the next step depends on.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](omniid::ErrorKind::Device) from the GPU.
    pub fn state(&self) -> Result<State> {
        let mut tensors = BTreeMap::new();
        for (name, parameter) in self.parameters.iter() {
            let tensor = parameter.tensor();
            tensors.insert(
                format!("weight/{name}"),
                tensor.copy()?.detach().to_device(&Device::Cpu)?,
            );
            let mut add = |kind: &str, buffer: &Buffer| -> Result<()> {
                let tensor = buffer.tensor(tensor.dims())?.to_device(&Device::Cpu)?;
                tensors.insert(format!("{kind}/{name}"), tensor);
                Ok(())
            };
            if let Some([first, second]) = self.optimiser.moments.get(name) {
                add("first", first)?;
                add("second", second)?;
            }
            if let Some(average) = self.average.values.get(name) {
                add("average", average)?;
            }
        }
        Ok(State {
            step: self.step,
            updates: self.optimiser.updates,
            skipped: self.skipped,
            config: self.plan.text.clone(),
            tensors,
        })
    }

    /// Continues from a saved state.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](omniid::ErrorKind::Mismatch) when the state is of another model.
    pub fn restore(&mut self, state: &State) -> Result<()> {
        let names = self
            .parameters
            .iter()
            .map(|(name, parameter)| (name.to_string(), parameter.variable().is_some()))
            .collect::<Vec<_>>();
        let expected = names
            .iter()
            .map(|(_, trained)| if *trained { 4 } else { 1 })
            .sum::<usize>();
        if state.tensors.len() != expected {
            return Err(Error::mismatch(format!(
                "the saved state has {} tensors, a state of this model has {expected}",
                state.tensors.len()
            )));
        }
        let device = self.parameters.device().clone();
        for (name, trained) in names {
            let get = |kind: &str| {
                let key = format!("{kind}/{name}");
                state
                    .tensors
                    .get(&key)
                    .ok_or_else(|| Error::mismatch(format!("the saved state has no tensor {key:?}")))
            };
            self.parameters.set(&name, get("weight")?)?;
            if !trained {
                continue;
            }
            let count = get("weight")?.elem_count();
            let [first, second, average] = [get("first")?, get("second")?, get("average")?];
            if [first, second, average]
                .iter()
                .any(|tensor| tensor.elem_count() != count)
            {
                return Err(Error::mismatch(format!(
                    "the saved means of {name:?} do not have its size"
                )));
            }
            let buffer = |tensor: &Tensor| Buffer::of(tensor, &device);
            self.optimiser
                .moments
                .insert(name.clone(), [buffer(first)?, buffer(second)?]);
            self.average.values.insert(name, buffer(average)?);
        }
        self.step = state.step;
        self.optimiser.updates = state.updates;
        self.skipped = state.skipped;
        Ok(())
    }
}
