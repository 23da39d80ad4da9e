//! Which identities fill a graph's inputs, with what factors and how many tokens.

use super::matching::{check_formula, places};
use super::rows::{Block, Rows};
use super::{Graph, GraphCall, GraphForm, GraphInputKind};
use crate::conditioning::{ConditionedIdentity, ConditionedLayer, Conditioning, Role};
use crate::error::{Error, Result};
use crate::remedy;

/// Most tokens of one input.
const MAX_TOKENS: usize = 1 << 17;

/// A checked call: graph, conditioning and call belong together.
pub(super) struct Plan<'a> {
    pub(super) graph: &'a Graph,
    pub(super) conditioning: &'a Conditioning,
    pub(super) call: &'a GraphCall<'a>,
    /// The role of each batch row.
    pub(super) rows: Vec<Role>,
    /// For each entry of the graph's layers, the layer of the host.
    places: Vec<usize>,
    /// Place in the table of timesteps.
    timestep: usize,
    /// The identities that take part, in order.
    pub(super) people: Vec<usize>,
    /// How they share the tokens.
    sharing: Sharing,
}

/// How several people share the tokens of an input.
#[derive(Clone, Copy, PartialEq)]
enum Sharing {
    /// There is at most one.
    Alone,
    /// Each has a softmax and a mask.
    Separate,
    /// One softmax for all.
    Together,
}

impl<'a> Plan<'a> {
    pub(super) fn new(graph: &'a Graph, conditioning: &'a Conditioning, call: &'a GraphCall<'a>) -> Result<Self> {
        check_formula(graph, conditioning)?;
        let identities = conditioning.identities();
        let has_weight = |number: &usize| {
            let identity = identities.get(*number);
            identity.is_some_and(|identity| identity.layers.iter().any(Option::is_some))
        };
        let mut plan = Self {
            graph,
            conditioning,
            call,
            rows: call.rows(graph)?,
            places: places(graph, conditioning)?,
            timestep: conditioning.table_place(&call.step)?,
            people: (0..identities.len()).filter(has_weight).collect(),
            sharing: Sharing::Alone,
        };
        plan.share()?;
        Ok(plan)
    }

    /// Decides how people share the tokens.
    fn share(&mut self) -> Result<()> {
        let Some(second) = self.people.get(1).copied() else {
            return Ok(());
        };
        let name = self.graph.file_name();
        match (self.graph.mask_input().is_some(), self.call.concatenate) {
            (true, false) => self.sharing = Sharing::Separate,
            (true, true) => {
                return Err(Error::invalid(format!(
                    "people are to be concatenated, but the graph {name:?} has a softmax for each of them"
                )))
            }
            (false, true) if self.conditioning.needs_image_keys() => {
                return Err(Error::unsupported(
                    "people are to be concatenated, but in SD3.5 each one's factor holds for the image's part, too",
                ))
            }
            (false, true) => {
                self.sharing = Sharing::Together;
                let mut active = Vec::new();
                for number in &self.people {
                    if self.is_active(*number)? {
                        active.push(*number);
                    }
                }
                self.people = active;
            }
            (false, false) => {
                return Err(Error::unsupported(format!(
                    "identity {second}: the graph {name:?} has one softmax in each layer, and a sum of attentions \
                     cannot be written as one"
                ))
                .with_remedy(remedy::GRAPH_PEOPLE))
            }
        }
        Ok(())
    }

    pub(super) fn is_active(&self, number: usize) -> Result<bool> {
        self.conditioning.is_active(number, &self.call.step)
    }

    /// The identities that take part.
    pub(super) fn identities(&self) -> impl Iterator<Item = (usize, &'a ConditionedIdentity)> + '_ {
        let identities = self.conditioning.identities();
        let numbers = self.people.iter();
        numbers.filter_map(move |number| Some((*number, identities.get(*number)?)))
    }

    /// Parts of the tokens that have a softmax of their own: people in a graph with masks, else one.
    pub(super) fn blocks(&self) -> usize {
        match self.sharing {
            Sharing::Separate => self.people.len().max(1),
            _ => 1,
        }
    }

    /// The identities' parts of an entry; `None` where one has no weight.
    fn parts(&self, entry: usize) -> Result<Vec<(usize, Option<&'a ConditionedLayer>)>> {
        let Some(layer) = self.places.get(entry).copied() else {
            return Err(Error::internal("an entry without its place"));
        };
        let layer = |identity: &'a ConditionedIdentity| identity.layer(self.timestep, layer);
        Ok(self
            .identities()
            .map(|(number, identity)| (number, layer(identity)))
            .collect())
    }

    fn name(&self, entry: usize) -> &'a str {
        self.graph.layers().get(entry).map_or("", |layer| &layer.name)
    }

    /// The number for an entry in the input of scales.
    pub(super) fn scale(&self, entry: usize) -> Result<f32> {
        let mut parts = self.parts(entry)?.into_iter();
        let parts = parts.by_ref().filter_map(|(number, part)| Some((number, part?)));
        let parts: Vec<_> = parts.collect();
        let Some((number, part)) = parts.first() else {
            return Ok(0.0);
        };
        if self.sharing != Sharing::Alone && self.graph.form() == GraphForm::KeysValues {
            return match self.conditioning.needs_image_keys() {
                // Those of people are in the masks.
                true => Ok(self.factor(entry, self.reference()?.1)? * self.call.scale),
                // Factors are in the values.
                false => Ok(self.call.scale),
            };
        }
        let scale = part.factor * self.call.scale;
        if let Some((other, differs)) = parts.iter().find(|(_, other)| other.factor != part.factor) {
            return Err(Error::unsupported(format!(
                "layer {:?}: identity {number} has scale {scale}, identity {other} {}; a graph that takes tokens has \
                 one scale for all people",
                self.name(entry),
                differs.factor * self.call.scale
            )));
        }
        match self.sharing == Sharing::Alone && !self.is_active(*number)? {
            true => Ok(0.0),
            false => Ok(scale),
        }
    }

    /// Factor of a person, by the place in `people`, in an entry.
    fn factor(&self, entry: usize, place: usize) -> Result<f32> {
        let parts = self.parts(entry)?;
        Ok(parts
            .get(place)
            .and_then(|(_, part)| *part)
            .map_or(0.0, |part| part.factor))
    }

    /// The entry and the person with the largest factor.
    fn reference(&self) -> Result<(usize, usize)> {
        let mut found = ((0, 0), 0.0);
        for entry in 0..self.places.len() {
            for place in 0..self.people.len() {
                let size = self.factor(entry, place)?.abs();
                if size > found.1 {
                    found = ((entry, place), size);
                }
            }
        }
        Ok(found.0)
    }

    /// What the masks of the people are multiplied with. Where the image takes part in a person's softmax, the factor
    /// cannot be in the values: it is the product of a number for the layer, in the scales, and one for the person,
    /// here.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) when factors are no such products.
    pub(super) fn mask_factors(&self) -> Result<Vec<f32>> {
        let count = self.people.len().max(1);
        if self.sharing != Sharing::Separate || !self.conditioning.needs_image_keys() {
            return Ok(vec![1.0; count]);
        }
        let (entry, person) = self.reference()?;
        let largest = self.factor(entry, person)?;
        let shares = (0..count).map(|place| Ok(self.factor(entry, place)? / largest));
        let shares = shares.collect::<Result<Vec<f32>>>()?;
        for entry in 0..self.places.len() {
            for (place, share) in shares.iter().enumerate() {
                let (wanted, product) = (self.factor(entry, place)?, share * self.factor(entry, person)?);
                if (wanted - product).abs() > 1e-6 * largest.abs() {
                    return Err(Error::unsupported(format!(
                        "layer {:?}: identity {} has factor {wanted}, which is not in the proportion to identity {} that \
                         other layers have; in SD3.5 the people of a graph have one proportion",
                        self.name(entry),
                        self.people[place],
                        self.people[person]
                    )));
                }
            }
        }
        Ok(shares)
    }

    /// What the values of an identity are multiplied with.
    fn value_factor(&self, number: usize, part: &ConditionedLayer) -> Result<f32> {
        if self.conditioning.needs_image_keys() {
            return Ok(1.0);
        }
        let has_scale = self.graph.scale_input().is_some();
        Ok(match (self.sharing, has_scale) {
            (Sharing::Alone, true) => 1.0,
            (_, true) => part.factor,
            (Sharing::Alone, false) if !self.is_active(number)? => 0.0,
            (_, false) => part.factor * self.call.scale,
        })
    }

    /// What the rows of a role get in an entry.
    pub(super) fn rows_of(&self, entry: usize, role: Role) -> Result<Rows<'a>> {
        let mut blocks = Vec::with_capacity(self.blocks());
        let (mut present, mut absent) = (None, None);
        for (number, part) in self.parts(entry)? {
            let pair = part.and_then(|part| Some((part, part.side(role)?)));
            let mut block = Block::default();
            match pair {
                Some((part, pair)) => {
                    block.push(pair, self.value_factor(number, part)?)?;
                    present = Some(number);
                }
                None => absent = Some(number),
            }
            blocks.push(block);
        }
        if let (Some(absent), true) = (absent, self.conditioning.needs_image_keys()) {
            return Err(Error::unsupported(format!(
                "layer {:?}: identity {absent} has nothing for rows of one side of guidance; in SD3.5 zeros would still \
                 add the image's attention to itself",
                self.name(entry)
            )));
        }
        if self.sharing == Sharing::Together {
            if let (Some(present), Some(absent)) = (present, absent) {
                let role = match role {
                    Role::Conditional => "conditional",
                    Role::Unconditional => "unconditional",
                };
                return Err(Error::unsupported(format!(
                    "layer {:?}: identity {absent} has nothing for {role} rows, identity {present} has; concatenated, \
                     one would dilute the other",
                    self.name(entry)
                )));
            }
            blocks = vec![Block::joined(blocks)];
        }
        for block in &mut blocks {
            block.push_zeros(self.conditioning.zero_tokens());
        }
        Ok(Rows { blocks })
    }

    /// Number of tokens of an entry's keys and values.
    fn tokens(&self, entry: usize) -> Result<usize> {
        let mut counts = Vec::new();
        for role in self.roles() {
            counts.extend(self.rows_of(entry, role)?.lengths());
        }
        self.common(&counts, &format!("layer {:?}", self.name(entry)))
    }

    /// The roles that rows have.
    pub(super) fn roles(&self) -> impl Iterator<Item = Role> + '_ {
        let all = [Role::Conditional, Role::Unconditional];
        all.into_iter().filter(|role| self.rows.contains(role))
    }

    /// The length that blocks of `counts` tokens are repeated to, times the number of blocks.
    pub(super) fn common(&self, counts: &[usize], what: &str) -> Result<usize> {
        let common = counts
            .iter()
            .fold(1, |common, count| least_common_multiple(common, (*count).max(1)));
        let blocks = self.blocks();
        let least = common.saturating_mul(blocks);
        // A repeated token would count twice beside those of the image.
        let exact = self.conditioning.needs_image_keys() && !counts.is_empty();
        if exact && counts.iter().any(|count| *count != common) {
            return Err(Error::unsupported(format!(
                "{what}: the sides of guidance and the people have {} tokens; in SD3.5 all must have as many",
                listed(counts)
            )));
        }
        match self.graph.tokens() {
            Some(tokens) if tokens == least || !exact && tokens.is_multiple_of(least) => Ok(tokens),
            Some(tokens) => Err(Error::mismatch(format!(
                "{what}: the graph {:?} was made for {tokens} identity tokens, {}",
                self.graph.file_name(),
                match blocks {
                    1 => format!("the identity has {}", listed(counts)),
                    blocks => format!("{blocks} people have {}", listed(counts)),
                }
            ))
            .with_remedy(remedy::GRAPH_TOKENS)),
            None if least > MAX_TOKENS => Err(Error::unsupported(format!(
                "{what}: {} tokens repeated to a common length are more than {MAX_TOKENS}",
                listed(counts)
            ))),
            None => Ok(least),
        }
    }

    /// Shape of an input.
    pub(super) fn shape(&self, kind: GraphInputKind) -> Result<Vec<usize>> {
        Ok(match kind {
            GraphInputKind::Keys(entry) | GraphInputKind::Values(entry) => {
                let Some(layer) = self.graph.layers().get(entry) else {
                    return Err(Error::internal("an entry without its layer"));
                };
                vec![self.rows.len(), layer.heads, self.tokens(entry)?, layer.head_dim]
            }
            GraphInputKind::Tokens => {
                let width = self.graph.width().unwrap_or(0);
                vec![self.rows.len(), self.token_rows()?, width]
            }
            GraphInputKind::Scale => vec![self.graph.layers().len()],
            GraphInputKind::Mask => {
                let (height, width) = self.mask_size()?;
                vec![self.rows.len(), self.blocks(), height, width]
            }
        })
    }
}

/// Each length once.
fn listed(counts: &[usize]) -> String {
    let mut counts = counts.to_vec();
    counts.sort_unstable();
    counts.dedup();
    let counts: Vec<String> = counts.iter().map(usize::to_string).collect();
    counts.join(" and ")
}

fn least_common_multiple(a: usize, b: usize) -> usize {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    (a / x.max(1)).saturating_mul(b)
}
