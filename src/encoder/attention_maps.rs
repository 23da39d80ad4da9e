//! Where the queries of an Omni-ID encoder look.

use super::OmniId;
use crate::error::{Error, Result};
use candle_core::{DType, Device, Tensor};

impl OmniId {
    /// The share of its attention that each query gives to each feature token of each photo, block by block, the
    /// mean over heads: one `[photos, queries, key tokens]` per block, in f32 on the CPU. For one query the shares
    /// over all photos and tokens have sum 1.
    ///
    /// `photos` are features `[feature tokens, feature width]` as for [`OmniId::forward`]. Key tokens are the feature
    /// tokens, without the class token if the encoder does not read it.
    ///
    /// # Errors
    /// As [`OmniId::forward`].
    pub fn attention_maps(&self, photos: &[Tensor]) -> Result<Vec<Tensor>> {
        if photos.is_empty() {
            return Err(Error::invalid(
                "attention maps need the features of at least one photo, got none",
            ));
        }
        let features = Tensor::stack(photos, 0)?.unsqueeze(0)?;
        let mut maps = Vec::with_capacity(self.config().depth);
        self.forward_watched(&features, |cross, x, z, position| {
            let weights = cross.weights(x, z, position)?.squeeze(0)?;
            let (queries, keys) = weights.dims2()?;
            let weights = weights.to_dtype(DType::F32)?.to_device(&Device::Cpu)?.reshape((
                queries,
                photos.len(),
                keys / photos.len(),
            ))?;
            maps.push(weights.transpose(0, 1)?.contiguous()?);
            Ok(())
        })?;
        Ok(maps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::OmniIdConfig;
    use candle_nn::{VarBuilder, VarMap};
    use omniid_kernels::layers::{Initial, TensorSpec};

    fn config(key_position: bool, include_class_token: bool) -> OmniIdConfig {
        OmniIdConfig {
            queries: 5,
            width: 8,
            depth: 2,
            heads: 2,
            head_width: 4,
            feed_forward_multiplier: 2,
            feature_width: 6,
            feature_tokens: 10,
            token_width: 8,
            key_position,
            include_class_token,
        }
    }

    fn photo(name: &str) -> Result<Tensor> {
        TensorSpec::new(name, &[10, 6], Initial::Normal(1.0)).tensor(3)
    }

    #[test]
    fn shares_cover_all_photos_and_add_up() -> Result<()> {
        for (position, class, keys) in [(true, true, 10), (false, false, 9)] {
            let store = VarMap::new();
            let vb = VarBuilder::from_varmap(&store, DType::F32, &Device::Cpu);
            let encoder = OmniId::load(&config(position, class), vb)?;
            let maps = encoder.attention_maps(&[photo("a")?, photo("b")?, photo("c")?])?;
            assert_eq!(maps.len(), 2);
            for map in &maps {
                assert_eq!(map.dims(), [3, 5, keys]);
                for sum in map.sum(2)?.sum(0)?.to_vec1::<f32>()? {
                    assert!((sum - 1.0).abs() < 1e-5, "{sum}");
                }
            }
        }
        Ok(())
    }

    #[test]
    fn maps_follow_their_photos() -> Result<()> {
        let store = VarMap::new();
        let vb = VarBuilder::from_varmap(&store, DType::F32, &Device::Cpu);
        let encoder = OmniId::load(&config(true, true), vb)?;
        let (a, b) = (photo("a")?, photo("b")?);
        let maps = encoder.attention_maps(&[a.clone(), b.clone()])?;
        let swapped = encoder.attention_maps(&[b, a])?;
        for (map, swapped) in maps.iter().zip(&swapped) {
            let difference = (map.get(0)? - swapped.get(1)?)?.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(difference < 1e-6, "{difference}");
        }
        Ok(())
    }
}
