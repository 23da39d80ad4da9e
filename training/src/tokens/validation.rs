//! People who are not trained on, always with the same pictures: what every stage is judged with.

use crate::batch::{planes, Draw, Reading, Tone};
use crate::config::{EvaluationConfig, ModelConfig};
use crate::data::Dataset;
use crate::model::IdentityModel;
use crate::random::{stream, Purpose};
use crate::statistics::{area_under_curve, mean_row, token_cosine};
use candle_core::{DType, Device, Tensor};
use omniid::Result;
use rand::seq::SliceRandom;

/// People whose photos are encoded or decoded at once.
pub const AT_ONCE: usize = 16;
/// Photos of a person that are compared one by one.
const SINGLES: usize = 4;

/// Validation people with fixed inputs, second sets of inputs and targets. Plain data.
pub struct JudgedPeople {
    /// Their pictures.
    pub dataset: Dataset,
    /// One per person: two disjoint sets of inputs, and targets.
    pub draws: Vec<Draw>,
    /// For every draw, another draw of the same family: whose tokens are the wrong ones.
    pub others: Vec<usize>,
    model: ModelConfig,
}

impl JudgedPeople {
    /// The first people of `dataset` who have enough pictures. `None` with fewer than two: there is nobody to mix up
    /// with.
    pub fn new(model: &ModelConfig, evaluation: &EvaluationConfig, dataset: Dataset) -> Option<Self> {
        let draws = (0..dataset.people.len())
            .filter_map(|person| draw(&dataset, person, evaluation))
            .take(evaluation.people)
            .collect::<Vec<_>>();
        let others = (0..draws.len())
            .map(|own| {
                let family = |draw: usize| dataset.people[draws[draw].person].family.as_str();
                (1..draws.len())
                    .map(|ahead| (own + ahead) % draws.len())
                    .find(|other| family(*other) == family(own))
                    .unwrap_or((own + 1) % draws.len())
            })
            .collect();
        (draws.len() > 1).then_some(Self {
            dataset,
            draws,
            others,
            model: model.clone(),
        })
    }

    /// Numbers in the tokens of a person.
    pub fn token_numbers(&self) -> usize {
        self.model.queries * self.model.token_width
    }

    /// Tokens of everybody's inputs, `[draws, queries, token width]`, flat.
    ///
    /// # Errors
    /// As [`IdentityModel::tokens`].
    pub fn tokens(&self, model: &IdentityModel, device: &Device) -> Result<Vec<f32>> {
        self.tokens_of(model, device, |draw| &draw.inputs)
    }

    /// What the tokens alone say: verification by single photos and by disjoint sets of photos, and how alike a
    /// person's tokens are to one another, plain and about the mean of all.
    ///
    /// # Errors
    /// As [`IdentityModel::tokens`].
    pub fn token_measures(
        &self,
        model: &IdentityModel,
        tokens: &[f32],
        device: &Device,
    ) -> Result<Vec<(String, f64)>> {
        let (queries, width) = (self.model.queries, self.model.token_width);
        let each = queries * width;
        let mean = mean_row(tokens, each);
        let singles = self.single_photos();
        let places = singles
            .iter()
            .map(|(person, place)| (*person, vec![(*place, Tone::NONE)]))
            .collect::<Vec<_>>();
        let single = self.encode(model, device, &places)?;
        let people = singles.iter().map(|(person, _)| *person).collect::<Vec<_>>();
        let auc_single = verification(&single, &people, &people, &single, each)?;
        let sets = self.tokens_of(model, device, |draw| &draw.second)?;
        let people = self.draws.iter().map(|draw| draw.person).collect::<Vec<_>>();
        let auc_set = verification(tokens, &people, &people, &sets, each)?;
        let centred = tokens
            .chunks_exact(each)
            .flat_map(|person| person.iter().zip(&mean).map(|(value, mean)| value - mean))
            .collect::<Vec<_>>();
        Ok([
            ("auc_single", auc_single),
            ("auc_set", auc_set),
            ("token_cosine", token_cosine(tokens, queries, width)),
            ("token_cosine_centred", token_cosine(&centred, queries, width)),
        ]
        .map(|(name, value)| (name.to_string(), value))
        .into())
    }

    /// Tokens of one of everybody's sets, flat.
    fn tokens_of(
        &self,
        model: &IdentityModel,
        device: &Device,
        inputs: impl Fn(&Draw) -> &Vec<(usize, Tone)>,
    ) -> Result<Vec<f32>> {
        let photos = self
            .draws
            .iter()
            .map(|draw| (draw.person, inputs(draw).clone()))
            .collect::<Vec<_>>();
        self.encode(model, device, &photos)
    }

    /// Tokens of sets of pictures, equally many in each.
    fn encode(
        &self,
        model: &IdentityModel,
        device: &Device,
        sets: &[(usize, Vec<(usize, Tone)>)],
    ) -> Result<Vec<f32>> {
        let size = self.model.image_size;
        let mut tokens = Vec::new();
        for part in sets.chunks(AT_ONCE) {
            let photos = part
                .iter()
                .flat_map(|(person, places)| {
                    let pictures = &self.dataset.people[*person].pictures;
                    places
                        .iter()
                        .map(move |(place, _)| (&pictures[*place], Reading::PLAIN))
                })
                .collect::<Vec<_>>();
            let shape = [part.len(), photos.len() / part.len(), 3, size, size];
            let photos = Tensor::from_vec(planes(&photos, size), &shape[..], device)?;
            let made = model.tokens(&photos)?.to_dtype(DType::F32)?;
            tokens.extend(made.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(tokens)
    }

    /// Person and place of the photos that are compared one by one.
    fn single_photos(&self) -> Vec<(usize, usize)> {
        self.draws
            .iter()
            .flat_map(|draw| {
                let mut places = draw
                    .inputs
                    .iter()
                    .chain(&draw.second)
                    .map(|(place, _)| *place)
                    .collect::<Vec<_>>();
                places.sort_unstable();
                places.dedup();
                places.into_iter().take(SINGLES).map(|place| (draw.person, place))
            })
            .collect()
    }
}

/// The pictures that a person is judged on: inputs, a second set without any of them, targets. `None` with too few.
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

/// Area under the curve of the cosines between rows `a` and rows `b` of `width` numbers, about the mean of all.
/// A pair of one person is genuine; a row is not compared with itself.
fn verification(a: &[f32], people_a: &[usize], people_b: &[usize], b: &[f32], width: usize) -> Result<f64> {
    let same = std::ptr::eq(a, b);
    let mean = mean_row(a, width);
    let unit = |rows: &[f32]| -> Result<Tensor> {
        let mut values = Vec::with_capacity(rows.len());
        for row in rows.chunks_exact(width) {
            let centred = row.iter().zip(&mean).map(|(value, mean)| value - mean);
            let length = centred.clone().map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
            values.extend(centred.map(|value| value / (length.max(1e-12) as f32)));
        }
        Ok(Tensor::from_vec(
            values,
            (rows.len() / width, width),
            &Device::Cpu,
        )?)
    };
    let scores = unit(a)?.matmul(&unit(b)?.t()?)?.to_vec2::<f32>()?;
    let (mut genuine, mut impostor) = (Vec::new(), Vec::new());
    for (i, row) in scores.iter().enumerate() {
        for (j, score) in row.iter().enumerate() {
            if same && j <= i {
                continue;
            }
            if people_a[i] == people_b[j] {
                genuine.push(*score);
            } else {
                impostor.push(*score);
            }
        }
    }
    Ok(area_under_curve(&genuine, &impostor))
}

/// The numbers of row `place`.
pub fn row(rows: &[f32], place: usize, width: usize) -> &[f32] {
    &rows[place * width..(place + 1) * width]
}
