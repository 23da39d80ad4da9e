//! The whole host: pictures in and out of the UNet, views to its conditions.

use crate::config::{MinihostConfig, CONTEXT_PREFIX, MAP_PREFIX};
use crate::context::ContextEncoder;
use crate::hook::IdentityHook;
use crate::pixels::{from_tokens, to_tokens};
use crate::unet::{UNet, UNetInput};
use candle_core::{Device, Tensor, D};
use candle_nn::VarBuilder;
use omniid::host::HostSpec;
use omniid::Result;

/// The time that the UNet is told at flow time `t`: 0 is pure noise, 1 the clean picture.
pub const TIME_SCALE: f64 = 1000.0;

/// A diffusion model of faces, conditioned on a [`View`](crate::View), with a hook for identities. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Minihost {
    config: MinihostConfig,
    unet: UNet,
    context: ContextEncoder,
    map: Option<ContextEncoder>,
}

/// What [`Minihost::conditions`] makes of views, once for all steps.
#[derive(Debug, Clone)]
pub struct Conditions {
    /// Context tokens `[batch, tokens, width]`.
    pub context: Tensor,
    /// Class vectors `[batch, 46]`, if the UNet takes them.
    pub class: Option<Tensor>,
    /// The map `[batch, tokens, channels]`, if the UNet takes one: it follows the picture's channels.
    pub map: Option<Tensor>,
}

impl Conditions {
    /// The same conditions once more behind themselves: for a guided pass.
    pub(crate) fn twice(&self) -> Result<Self> {
        let twice = |x: &Tensor| Tensor::cat(&[x, x], 0);
        Ok(Self {
            context: twice(&self.context)?,
            class: self.class.as_ref().map(twice).transpose()?,
            map: self.map.as_ref().map(twice).transpose()?,
        })
    }
}

impl Minihost {
    /// Reads the network; variables make it trainable. To train from new weights, fill the variables with
    /// [`MinihostConfig::tensors`] first.
    ///
    /// # Errors
    /// [`InvalidArgument`](omniid::ErrorKind::InvalidArgument) for sizes that do not fit each other;
    /// [`Format`](omniid::ErrorKind::Format) naming a tensor that is missing or has another shape.
    pub fn load(config: &MinihostConfig, vb: VarBuilder) -> Result<Self> {
        config.check()?;
        let width = config.unet.cross_attention_dim;
        let map = (config.map_channels > 0).then(|| {
            let vb = vb.pp(CONTEXT_PREFIX).pp(MAP_PREFIX);
            ContextEncoder::load(config.context_hidden, config.places(), config.map_channels, vb)
        });
        Ok(Self {
            unet: UNet::load(&config.unet, vb.clone())?,
            map: map.transpose()?,
            context: ContextEncoder::load(
                config.context_hidden,
                config.context_tokens,
                width,
                vb.pp(CONTEXT_PREFIX),
            )?,
            config: config.clone(),
        })
    }

    /// The configuration.
    pub fn config(&self) -> &MinihostConfig {
        &self.config
    }

    /// The network inside.
    pub fn unet(&self) -> &UNet {
        &self.unet
    }

    /// The table of cross-attention layers, in the order of adapter checkpoints.
    pub fn host(&self) -> &HostSpec {
        self.unet.host()
    }

    /// Where the weights are.
    pub fn device(&self) -> &Device {
        self.unet.device()
    }

    /// The UNet's conditions for `views` `[batch, 46]`.
    ///
    /// # Errors
    /// [`Mismatch`](omniid::ErrorKind::Mismatch) for vectors of another length.
    pub fn conditions(&self, views: &Tensor) -> Result<Conditions> {
        Ok(Conditions {
            context: self.context.forward(views)?,
            class: self.config.unet.class_width.map(|_| views.clone()),
            map: self.map.as_ref().map(|encoder| encoder.forward(views)).transpose()?,
        })
    }

    /// The UNet's prediction for noisy pictures as tokens `[batch, tokens, 3 · block²]` at flow times `[batch]` 0…1.
    ///
    /// # Errors
    /// As [`UNet::forward`].
    pub fn predict_tokens(
        &self,
        tokens: &Tensor,
        time: &Tensor,
        conditions: &Conditions,
        hook: Option<&dyn IdentityHook>,
    ) -> Result<Tensor> {
        let side = self.config.size / self.config.block;
        let joined;
        let tokens = match &conditions.map {
            Some(map) => {
                joined = Tensor::cat(&[tokens, &map.to_dtype(tokens.dtype())?], D::Minus1)?;
                &joined
            }
            None => tokens,
        };
        let input = UNetInput {
            tokens,
            size: (side, side),
            time: &(time * TIME_SCALE)?,
            context: &conditions.context,
            class: conditions.class.as_ref(),
        };
        self.unet.forward(&input, hook)
    }

    /// [`Minihost::predict_tokens`] for pictures `[batch, 3, size, size]`.
    ///
    /// # Errors
    /// As [`UNet::forward`].
    pub fn predict(
        &self,
        pictures: &Tensor,
        time: &Tensor,
        conditions: &Conditions,
        hook: Option<&dyn IdentityHook>,
    ) -> Result<Tensor> {
        let tokens = to_tokens(pictures, self.config.block)?;
        let prediction = self.predict_tokens(&tokens, time, conditions, hook)?;
        from_tokens(&prediction, self.config.block, self.config.size, self.config.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{distance, random};
    use crate::prediction::Prediction;
    use crate::testing::{host, views};

    #[test]
    fn the_map_is_joined_behind_the_pictures_channels() -> Result<()> {
        let host = host(Prediction::Sample);
        let conditions = host.conditions(&views(2))?;
        let map = conditions.map.clone().expect("a map of 3 channels");
        assert_eq!(map.dims(), [2, 16, 3]);
        let (tokens, time) = (random("x", &[2, 16, 12]), Tensor::new(&[0.3f32, 0.6], &Device::Cpu)?);
        let found = host.predict_tokens(&tokens, &time, &conditions, None)?;
        let joined = Tensor::cat(&[&tokens, &map], 2)?;
        let input = UNetInput {
            tokens: &joined,
            size: (4, 4),
            time: &(&time * TIME_SCALE)?,
            context: &conditions.context,
            class: conditions.class.as_ref(),
        };
        assert_eq!(distance(&found, &host.unet().forward(&input, None)?)?, 0.0);
        // The guided pass repeats it.
        assert_eq!(conditions.twice()?.map.expect("still a map").dims(), [4, 16, 3]);
        Ok(())
    }
}
