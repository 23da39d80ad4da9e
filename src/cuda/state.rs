//! What a conditioning on a GPU has beside its tensors.

use super::Lease;
use crate::error::Result;
use candle_core::{Device, Tensor};
use std::sync::{Arc, PoisonError, RwLock};

/// Most masks that a conditioning keeps on the device: one per identity and layer size.
const MAX_MASKS: usize = 256;

/// The fence for keys and values, and the masks that were uploaded so far.
#[derive(Debug)]
pub(crate) struct DeviceState {
    pub(crate) lease: Lease,
    masks: RwLock<Vec<Arc<DeviceMask>>>,
}

/// A mask's factors on the device.
#[derive(Debug)]
pub(crate) struct DeviceMask {
    // Before the tensor: its drop is the fence that must come before the release.
    pub(crate) lease: Lease,
    /// `[tokens]` f32.
    pub(crate) values: Tensor,
    /// What was uploaded; keeps the address from being given to another mask.
    source: Arc<[f32]>,
}

impl DeviceState {
    /// For tensors that were made on `device` until now; `None` on the CPU.
    pub(crate) fn new(device: &Device) -> Result<Option<Self>> {
        let Device::Cuda(device) = device else {
            return Ok(None);
        };
        Ok(Some(Self {
            lease: Lease::new(device)?,
            masks: RwLock::default(),
        }))
    }

    /// The mask on the device; uploads it at its first use.
    pub(crate) fn mask(&self, source: Arc<[f32]>) -> Result<Arc<DeviceMask>> {
        let same = |mask: &&Arc<DeviceMask>| Arc::ptr_eq(&mask.source, &source);
        if let Some(found) = self
            .masks
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .find(same)
        {
            return Ok(found.clone());
        }
        let device = self.lease.device();
        let values = Tensor::from_slice(&source, source.len(), &Device::Cuda(device.clone()))?;
        let mask = Arc::new(DeviceMask {
            lease: Lease::new(device)?,
            values,
            source,
        });
        let mut masks = self.masks.write().unwrap_or_else(PoisonError::into_inner);
        if masks.len() >= MAX_MASKS {
            masks.remove(0);
        }
        masks.push(mask.clone());
        Ok(mask)
    }
}
