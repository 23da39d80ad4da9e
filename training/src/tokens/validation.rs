//! Validation: people who are not trained on, always with the same pictures.

use super::encode;
use crate::batch::{Draw, Tone};
use crate::config::{EvaluationConfig, ModelConfig};
use crate::data::{next_of_family, Dataset};
use crate::model::IdentityModel;
use crate::pictures::{levels, Grid};
use crate::random::{stream, Purpose};
use crate::statistics::{mean, token_cosine, Pair, ScoredPairs};
use candle_core::{Device, Tensor};
use image::RgbImage;
use omniid::Result;
use rand::seq::SliceRandom;

/// People whose photos are encoded or decoded at once.
pub const AT_ONCE: usize = 16;
/// Photos of a person that are compared one by one.
const SINGLES: usize = 4;
/// Rows of a preview.
const PREVIEWED: usize = 8;

/// Validation people with fixed inputs, second sets of inputs and targets. Plain data.
pub struct ValidationPeople {
    /// Their pictures.
    pub dataset: Dataset,
    /// One per person: two disjoint sets of inputs, and targets.
    pub draws: Vec<Draw>,
    /// For every draw, another draw of the same family.
    others: Vec<usize>,
    model: ModelConfig,
}

/// Whose tokens a picture is drawn from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Whose {
    /// The person's own.
    Right,
    /// Another person's, of the same family if there is one.
    Other,
    /// Nobody's: the mean of all.
    Mean,
}

impl Whose {
    /// All of them with their names in metrics.
    pub const ALL: [(Self, &'static str); 3] = [(Self::Right, "right"), (Self::Other, "other"), (Self::Mean, "mean")];
}

/// The tokens of all validation people, and their mean.
pub struct ValidationTokens<'a> {
    people: &'a ValidationPeople,
    /// `[draws, queries · token width]`
    rows: Vec<Vec<f32>>,
    mean: Vec<f32>,
}

impl ValidationTokens<'_> {
    /// The tokens that `draws` get, `[draws, queries, token width]`.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](omniid::ErrorKind::Device) from the GPU.
    pub fn tensor(&self, whose: Whose, draws: impl ExactSizeIterator<Item = usize>, device: &Device) -> Result<Tensor> {
        let ModelConfig {
            queries, token_width, ..
        } = self.people.model;
        let shape = (draws.len(), queries, token_width);
        let values: Vec<f32> = draws
            .flat_map(|draw| match whose {
                Whose::Right => &self.rows[draw],
                Whose::Other => &self.rows[self.people.others[draw]],
                Whose::Mean => &self.mean,
            })
            .copied()
            .collect();
        Ok(Tensor::from_vec(values, shape, device)?)
    }
}

impl ValidationPeople {
    /// The first people of `dataset` who have enough pictures. `None` with fewer than two: there is nobody to confuse
    /// them with.
    pub fn new(model: &ModelConfig, evaluation: &EvaluationConfig, dataset: Dataset) -> Option<Self> {
        let draws = (0..dataset.people.len())
            .filter_map(|person| draw(&dataset, person, evaluation))
            .take(evaluation.people)
            .collect::<Vec<_>>();
        let families = draws.iter().map(|draw| dataset.people[draw.person].family.as_str());
        let others = next_of_family(&families.collect::<Vec<_>>());
        (draws.len() > 1).then_some(Self {
            dataset,
            draws,
            others,
            model: model.clone(),
        })
    }

    /// Up to `count` places among the draws from all over the set, so that every family is there.
    pub fn spread(&self, count: usize) -> Vec<usize> {
        let stride = (self.draws.len() / count).max(1);
        (0..self.draws.len()).step_by(stride).take(count).collect()
    }

    /// The places among the draws that a preview shows.
    pub fn previewed(&self) -> Vec<usize> {
        self.spread(PREVIEWED)
    }

    /// Tokens of everybody's inputs.
    ///
    /// # Errors
    /// As [`IdentityModel::tokens`].
    pub fn tokens(&self, model: &IdentityModel, device: &Device) -> Result<ValidationTokens<'_>> {
        let rows = self.tokens_of(model, device, |draw| &draw.inputs)?;
        Ok(ValidationTokens {
            people: self,
            mean: mean(&rows),
            rows,
        })
    }

    /// What the tokens alone say: verification by single photos and by disjoint sets of photos, and how alike a
    /// person's tokens are to one another, plain and about the mean of all.
    ///
    /// # Errors
    /// As [`IdentityModel::tokens`].
    pub fn token_metrics(
        &self,
        model: &IdentityModel,
        tokens: &ValidationTokens<'_>,
        device: &Device,
    ) -> Result<Vec<(String, f64)>> {
        let singles = self.single_photos();
        let places = singles
            .iter()
            .map(|(person, place)| (*person, vec![*place]))
            .collect::<Vec<_>>();
        let single = self.encode(model, device, &places)?;
        let people = singles.iter().map(|(person, _)| *person).collect::<Vec<_>>();
        let auc_single = verification(&single, &people, None)?;
        let sets = self.tokens_of(model, device, |draw| &draw.second)?;
        let people = self.draws.iter().map(|draw| draw.person).collect::<Vec<_>>();
        let auc_set = verification(&tokens.rows, &people, Some(&sets))?;
        let centred = tokens
            .rows
            .iter()
            .map(|row| row.iter().zip(&tokens.mean).map(|(value, mean)| value - mean).collect())
            .collect::<Vec<Vec<f32>>>();
        let width = self.model.token_width;
        Ok([
            ("auc_single", auc_single),
            ("auc_set", auc_set),
            ("token_cosine", token_cosine(&tokens.rows, width)),
            ("token_cosine_centred", token_cosine(&centred, width)),
        ]
        .map(|(name, value)| (name.to_string(), value))
        .into())
    }

    /// A row of pictures for each of [`ValidationPeople::previewed`]: inputs, the first target, and what `drawn` makes
    /// of the draw, all `[size, size, 3]`.
    ///
    /// # Errors
    /// Those of `drawn`.
    pub fn preview(&self, mut drawn: impl FnMut(usize) -> Result<Vec<Vec<f32>>>) -> Result<RgbImage> {
        let size = self.dataset.size;
        let mut grid = Grid::new(size, (96 / size).max(1));
        for place in self.previewed() {
            let draw = &self.draws[place];
            let pictures = &self.dataset.people[draw.person].pictures;
            let shown = draw.inputs.iter().map(|(input, _)| input).chain(draw.targets.first());
            let mut cells: Vec<_> = shown.map(|shown| levels(&pictures[*shown].pixels)).collect();
            cells.extend(drawn(place)?);
            grid.push(cells);
        }
        Ok(grid.picture())
    }

    /// Tokens of one of everybody's sets.
    fn tokens_of(
        &self,
        model: &IdentityModel,
        device: &Device,
        inputs: impl Fn(&Draw) -> &Vec<(usize, Tone)>,
    ) -> Result<Vec<Vec<f32>>> {
        let photos = self
            .draws
            .iter()
            .map(|draw| (draw.person, inputs(draw).iter().map(|(place, _)| *place).collect()))
            .collect::<Vec<_>>();
        self.encode(model, device, &photos)
    }

    /// Tokens of sets of pictures (person and places), equally many in each.
    fn encode(&self, model: &IdentityModel, device: &Device, sets: &[(usize, Vec<usize>)]) -> Result<Vec<Vec<f32>>> {
        let mut tokens = Vec::with_capacity(sets.len());
        for sets in sets.chunks(AT_ONCE) {
            tokens.extend(encode(model, &self.dataset, sets, device)?.to_vec2::<f32>()?);
        }
        Ok(tokens)
    }

    /// Person and place of the photos that are compared one by one.
    fn single_photos(&self) -> Vec<(usize, usize)> {
        self.draws
            .iter()
            .flat_map(|draw| {
                let inputs = draw.inputs.iter().chain(&draw.second);
                let mut places = inputs.map(|(place, _)| *place).collect::<Vec<_>>();
                places.sort_unstable();
                places.dedup();
                places.into_iter().take(SINGLES).map(|place| (draw.person, place))
            })
            .collect()
    }
}

/// The pictures that stand for a person: inputs, a second set without any of them, targets. `None` with too few.
fn draw(dataset: &Dataset, person: usize, config: &EvaluationConfig) -> Option<Draw> {
    let pictures = &dataset.people[person];
    let mut generator = stream(0, Purpose::Evaluation, person as u64);
    let mut inputs = pictures.inputs();
    inputs.shuffle(&mut generator);
    let mut targets = pictures.targets();
    targets.shuffle(&mut generator);
    // Pictures that serve as either are shared out: targets first, as they are the fewest.
    let own = targets.iter().filter(|target| !inputs.contains(target)).count();
    if own < config.targets {
        targets.sort_by_key(|target| inputs.contains(target));
    }
    targets.truncate(config.targets);
    inputs.retain(|input| !targets.contains(input));
    if targets.len() < config.targets || inputs.len() < 2 * config.inputs {
        return None;
    }
    let toned = |places: &[usize]| places.iter().map(|place| (*place, Tone::NONE)).collect();
    Some(Draw {
        person,
        inputs: toned(&inputs[..config.inputs]),
        second: toned(&inputs[config.inputs..2 * config.inputs]),
        targets,
        grey: false,
        mirrored: false,
    })
}

/// Area under the curve of the cosines between `rows` and `others`, about the mean of `rows`. Both have one row for
/// each of `people`; a pair of one person is genuine. Without `others`, rows are compared with each other.
fn verification(rows: &[Vec<f32>], people: &[usize], others: Option<&[Vec<f32>]>) -> Result<f64> {
    let mean = mean(rows);
    let unit = |rows: &[Vec<f32>]| -> Result<Tensor> {
        let mut values = Vec::with_capacity(rows.len() * mean.len());
        for row in rows {
            let centred = row.iter().zip(&mean).map(|(value, mean)| value - mean);
            let length = centred.clone().map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
            values.extend(centred.map(|value| value / (length.max(1e-12) as f32)));
        }
        Ok(Tensor::from_vec(values, (rows.len(), mean.len()), &Device::Cpu)?)
    };
    let scores = unit(rows)?
        .matmul(&unit(others.unwrap_or(rows))?.t()?)?
        .to_vec2::<f32>()?;
    let mut pairs = Vec::new();
    for (i, row) in scores.iter().enumerate() {
        let first = if others.is_some() { 0 } else { i + 1 };
        pairs.extend(row.iter().enumerate().skip(first).map(|(j, score)| Pair {
            score: *score,
            first: people[i] as u32,
            second: people[j] as u32,
        }));
    }
    let count = people.iter().max().map_or(0, |last| last + 1);
    Ok(ScoredPairs::new(pairs, count).map_or(f64::NAN, |pairs| pairs.curve().auc))
}
