//! Losses on pooled tokens, for comparison with the paper's way: contrastive and classifying.

use crate::config::{LossConfig, ModelConfig};
use crate::model::{is_matrix, under};
use crate::optimisation::ParameterSpec;
use candle_core::{DType, Device, Tensor, D};
use candle_nn::{Init, VarBuilder};
use omniid::Result;
use omniid_kernels::layers::{load_parameter, Initial, Linear, TensorSpec};

/// Mean of the tokens, a linear layer, length 1: `[people, embedding width]`.
pub struct Embedding {
    projection: Linear,
}

impl Embedding {
    fn load(config: &LossConfig, model: &ModelConfig, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            projection: Linear::load(model.token_width, config.embedding_width, false, vb)?,
        })
    }

    /// Embeddings `[people, embedding width]` of tokens `[people, tokens, token width]`.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](omniid::ErrorKind::Mismatch) when the width is another.
    pub fn forward(&self, tokens: &Tensor) -> Result<Tensor> {
        normalised(&self.projection.forward(&tokens.mean(1)?)?)
    }
}

/// InfoNCE between two sets of photos of each person (van den Oord et al. 2018; SimCLR's symmetric form).
pub struct ContrastiveHead {
    embedding: Embedding,
    temperature: f64,
}

impl ContrastiveHead {
    /// Loads the head under the prefix of `vb`.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](omniid::ErrorKind::Format) when a tensor is missing or has another shape.
    pub fn load(config: &LossConfig, model: &ModelConfig, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            embedding: Embedding::load(config, model, vb.pp("embedding"))?,
            temperature: config.temperature,
        })
    }

    /// Mean of −log softmax of the right pairing, both ways. Both `[people, tokens, token width]`, row i of both the
    /// same person.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](omniid::ErrorKind::Mismatch) when shapes do not fit.
    pub fn loss(&self, first: &Tensor, second: &Tensor) -> Result<Tensor> {
        let (a, b) = (self.embedding.forward(first)?, self.embedding.forward(second)?);
        let scores = (a.matmul(&b.t()?)? / self.temperature)?;
        let people = scores.dim(0)? as u32;
        let own = Tensor::arange(0, people, scores.device())?;
        let forth = candle_nn::loss::cross_entropy(&scores, &own)?;
        let back = candle_nn::loss::cross_entropy(&scores.t()?.contiguous()?, &own)?;
        Ok(((forth + back)? * 0.5)?)
    }
}

/// Classification with an additive angular margin (ArcFace, Deng et al. 2019).
pub struct ClassifierHead {
    embedding: Embedding,
    /// `[classes, embedding width]`
    classes: Tensor,
    margin: f64,
    scale: f64,
}

impl ClassifierHead {
    /// Loads the head for `classes` people under the prefix of `vb`.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](omniid::ErrorKind::Format) when a tensor is missing or has another shape.
    pub fn load(config: &LossConfig, model: &ModelConfig, classes: usize, vb: VarBuilder) -> Result<Self> {
        let shape = [classes, config.embedding_width];
        Ok(Self {
            embedding: Embedding::load(config, model, vb.pp("embedding"))?,
            classes: load_parameter(&vb.pp("classes"), &shape, "weight", Init::Const(0.0))?,
            margin: config.margin,
            scale: config.scale,
        })
    }

    /// Cross-entropy of the scaled cosines, the right one with the margin added to its angle. `tokens`
    /// `[people, tokens, token width]`, `own` the class of each person.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](omniid::ErrorKind::Mismatch) when shapes do not fit.
    pub fn loss(&self, tokens: &Tensor, own: &[u32], device: &Device) -> Result<Tensor> {
        let cosines = self
            .embedding
            .forward(tokens)?
            .matmul(&normalised(&self.classes)?.t()?)?;
        let count = self.classes.dim(0)?;
        let mut marks = vec![0f32; own.len() * count];
        for (person, class) in own.iter().enumerate() {
            if let Some(mark) = marks.get_mut(person * count + *class as usize) {
                *mark = 1.0;
            }
        }
        let marks = Tensor::from_vec(marks, (own.len(), count), device)?;
        let right = (&cosines * &marks)?.sum_keepdim(D::Minus1)?;
        // cos(θ + m) = cos θ cos m − sin θ sin m; the small number keeps the root's slope finite.
        let sine = ((1.0 - right.sqr()?)?.relu()? + 1e-6)?.sqrt()?;
        let moved = ((&right * self.margin.cos())? - (sine * self.margin.sin())?)?;
        let change = marks.broadcast_mul(&(moved - right)?)?;
        let scores = ((cosines + change)? * self.scale)?;
        let own = Tensor::from_slice(own, own.len(), device)?.to_dtype(DType::U32)?;
        Ok(candle_nn::loss::cross_entropy(&scores, &own)?)
    }
}

/// Rows of length 1.
fn normalised(x: &Tensor) -> Result<Tensor> {
    let length = (x.sqr()?.sum_keepdim(D::Minus1)? + 1e-12)?.sqrt()?;
    Ok(x.broadcast_div(&length)?)
}

/// The tensors of the heads that `config` uses, under `contrastive.` and `classifier.`, in group `group`.
pub fn head_parameters(config: &LossConfig, model: &ModelConfig, classes: usize, group: usize) -> Vec<ParameterSpec> {
    let embedding = |head: &str| {
        TensorSpec::linear(
            format!("{head}.embedding.weight"),
            config.embedding_width,
            model.token_width,
        )
    };
    let mut specs = Vec::new();
    if config.contrastive > 0.0 {
        specs.push(embedding("contrastive"));
    }
    if config.classifier > 0.0 {
        specs.push(embedding("classifier"));
        specs.push(TensorSpec::new(
            "classifier.classes.weight",
            &[classes, config.embedding_width],
            Initial::Normal(1.0),
        ));
    }
    specs
        .into_iter()
        .map(|spec| ParameterSpec {
            decays: is_matrix(&spec),
            trained: true,
            spec: under("heads", spec),
            group,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn model() -> Result<ModelConfig> {
        let text = crate::config::preset("tiny").expect("a preset");
        let mut model = crate::config::RunConfig::from_toml(text)?.model;
        model.token_width = 2;
        Ok(model)
    }

    fn config() -> LossConfig {
        LossConfig {
            embedding_width: 2,
            temperature: 0.5,
            margin: 0.4,
            scale: 3.0,
            ..LossConfig::default()
        }
    }

    fn builder() -> Result<VarBuilder<'static>> {
        let device = Device::Cpu;
        let tensors = HashMap::from([
            (
                "embedding.weight".to_string(),
                Tensor::new(&[[1f32, 0.0], [0.0, 1.0]], &device)?,
            ),
            (
                "classes.weight".to_string(),
                Tensor::new(&[[2f32, 0.0], [0.0, 1.0], [-1.0, 0.0]], &device)?,
            ),
        ]);
        Ok(VarBuilder::from_tensors(tensors, DType::F32, &device))
    }

    /// Two people whose pooled tokens point along angles `a` and `b`.
    fn tokens(a: f32, b: f32) -> Result<Tensor> {
        let rows = [[[a.cos(), a.sin()]], [[b.cos(), b.sin()]]];
        Ok(Tensor::new(&rows, &Device::Cpu)?)
    }

    #[test]
    fn the_contrastive_loss_is_its_formula() -> Result<()> {
        let head = ContrastiveHead::load(&config(), &model()?, builder()?)?;
        let (first, second) = ([0.1f32, 1.2], [0.3f32, 2.0]);
        let loss = head
            .loss(&tokens(first[0], first[1])?, &tokens(second[0], second[1])?)?
            .to_scalar::<f32>()?;
        let score = |i: usize, j: usize| f64::from(first[i] - second[j]).cos() / 0.5;
        let part = |own: f64, other: f64| -(own - (own.exp() + other.exp()).ln());
        let forth = part(score(0, 0), score(0, 1)) + part(score(1, 1), score(1, 0));
        let back = part(score(0, 0), score(1, 0)) + part(score(1, 1), score(0, 1));
        assert!((f64::from(loss) - (forth + back) / 4.0).abs() < 1e-5);
        Ok(())
    }

    #[test]
    fn the_margin_widens_the_right_angle() -> Result<()> {
        let head = ClassifierHead::load(&config(), &model()?, 3, builder()?)?;
        let angles = [0.5f32, 1.0];
        let loss = head
            .loss(&tokens(angles[0], angles[1])?, &[0, 1], &Device::Cpu)?
            .to_scalar::<f32>()?;
        let classes = [0.0f64, std::f64::consts::FRAC_PI_2, std::f64::consts::PI];
        let person = |n: usize| {
            let scores = (0..3)
                .map(|class| {
                    let angle = (f64::from(angles[n]) - classes[class]).abs();
                    3.0 * (angle + if class == n { 0.4 } else { 0.0 }).cos()
                })
                .collect::<Vec<_>>();
            scores.iter().map(|score| score.exp()).sum::<f64>().ln() - scores[n]
        };
        let expected = (person(0) + person(1)) / 2.0;
        assert!((f64::from(loss) - expected).abs() < 1e-4, "{loss} against {expected}");
        Ok(())
    }
}
