//! Conditioning of adapters whose tokens depend on the denoising timestep.

use super::condition::ConditioningInput;
use super::record::PhotoRecord;
use super::Engine;
use crate::adapter::Adapter;
use crate::conditioning::{Conditioning, ConditioningOptions, IdentityInput, TimestepTokens, Unconditional};
use crate::encoder::{EncodeSettings, Features};
use crate::error::{Error, Result};
use crate::host::HostSpec;
use crate::identity::{Combine, Identity};
use crate::progress::ProgressFn;

impl Engine {
    /// The tokens of each timestep from the features that the identities kept, and their keys and values.
    pub(super) fn condition_at_timesteps(
        &self,
        adapter: &Adapter,
        host: &HostSpec,
        identities: &[ConditioningInput<'_>],
        options: &ConditioningOptions,
        progress: ProgressFn<'_>,
    ) -> Result<Conditioning> {
        let tokens = identities.iter().enumerate().map(|(index, input)| {
            self.timestep_tokens(input, &options.timesteps)
                .map_err(|error| error.context(format!("conditioning, identity {index}")))
        });
        let tokens = tokens.collect::<Result<Vec<_>>>()?;
        let own = identities.iter().map(|input| self.tokens(input.identity));
        let own = own.collect::<Result<Vec<_>>>()?;
        let inputs: Vec<IdentityInput<'_>> = identities
            .iter()
            .zip(own.iter().zip(&tokens))
            .map(|(input, (own, timesteps))| {
                IdentityInput::new(own)
                    .with_scale(input.scale)
                    .with_mask(input.mask.clone())
                    .with_steps(input.steps)
                    .with_timesteps(timesteps)
            })
            .collect();
        Conditioning::new_with_progress(adapter, host, &inputs, options, progress)
    }

    fn timestep_tokens(&self, input: &ConditioningInput<'_>, timesteps: &[f32]) -> Result<Vec<TimestepTokens>> {
        let features = self.kept_features(input.identity)?;
        let negative = input
            .negative
            .map(|negative| self.kept_features(negative))
            .transpose()?;
        let encoder = &self.inner.encoder;
        let at = |&timestep: &f32| -> Result<TimestepTokens> {
            let settings = EncodeSettings {
                timestep: Some(timestep),
                ..EncodeSettings::default()
            };
            let tokens = encoder.encode_with(&features, &settings)?;
            let unconditional = match (&negative, &input.unconditional) {
                (Some(negative), _) => Some(encoder.encode_with(negative, &settings)?),
                (None, Unconditional::None) => None,
                // As diffusers: features of zeros through the encoder.
                (None, Unconditional::Default | Unconditional::ZeroFeatures) => {
                    let (count, device) = (self.feature_tokens(), &self.inner.device);
                    Some(encoder.encode_zeros_with(count, device, &settings)?)
                }
                (None, Unconditional::ZeroTokens) => Some(tokens.zeros_like()?),
                (None, _) => {
                    return Err(Error::unsupported(format!(
                        "the {} encoder's tokens depend on the denoising timestep: unconditional rows may see nothing, \
                         zero features, zero tokens or another identity",
                        self.inner.info.kind.name()
                    )))
                }
            };
            let embedding = encoder.time_embedding(timestep)?;
            Ok(TimestepTokens {
                tokens,
                unconditional,
                embedding: embedding.ok_or_else(|| Error::internal("an encoder without its time embedding"))?,
            })
        };
        timesteps.iter().map(at).collect()
    }

    /// What the encoder reads of an identity's photos.
    fn kept_features(&self, identity: &Identity) -> Result<Vec<Features>> {
        let photos = identity.provenance().photos;
        if identity.features().len() != photos {
            return Err(Error::unsupported(format!(
                "{}: its tokens depend on the denoising timestep, and the features of its {photos} photos, of which they \
                 are made, were not kept; encode all photos again with features kept",
                identity.title()
            )));
        }
        let records = PhotoRecord::of_kept(identity.kept(), photos);
        let features: Vec<Features> = records
            .iter()
            .map(|record| self.features_of(record))
            .collect::<Result<_>>()?;
        match identity.making().combine {
            Combine::Concatenate => Ok(features),
            combine => Ok(vec![self.combined(&features, combine)?]),
        }
    }
}
