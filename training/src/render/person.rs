//! A person: everything that stays the same from photo to photo.

use omniid::Result;

use super::family::Family;
use super::glasses;
use super::head::{Appearance, Head};
use super::lifelike::Locks;
use super::mesh::{Layer, Shape, Surface};
use super::occlusion;
use super::style::Style;
use super::vector::{dot, mix, normalize, scale, sub, Vec3};

/// One synthetic person: shape, skin, hair, brows, eyes. Made by `Assets::person`; [`Person::render`] takes photos of
/// it. Plain data, shared freely between threads.
pub struct Person {
    pub(crate) family: Family,
    pub(crate) seed: u64,
    head: Box<dyn Head>,
    pub(crate) appearance: Appearance,
    /// Vertices of the glasses, which follow all others.
    glasses: Vec<Vec3>,
    /// Open sky per vertex of the neutral shape.
    pub(crate) openness: Vec<f32>,
    /// How far inside the clothes each vertex is, centimetres; negative outside.
    pub(crate) cloth: Vec<f32>,
    /// Direction of the hair per vertex of grown locks, which begin at this vertex.
    pub(crate) tangents: (usize, Vec<Vec3>),
}

impl Person {
    pub(crate) fn new(family: Family, seed: u64, head: Box<dyn Head>, mut appearance: Appearance) -> Result<Self> {
        let bare = head.shape(&[0.0; 12], [0.0; 2])?;
        let mut first_vertex = bare.positions.len();
        let first_lock = first_vertex;
        for locks in &appearance.locks {
            appearance.layers.push(Layer {
                texture: Some(locks.texture.clone()),
                alpha: true,
                two_sided: true,
                ..Layer::new(locks.topology.clone(), first_vertex, [1.0; 3], locks.surface)
            });
            first_vertex += locks.len();
        }
        let tangents = appearance.locks.iter().flat_map(|locks| locks.tangents.iter().copied());
        let tangents = (first_lock, tangents.collect());
        let frame = &appearance.look.glasses;
        let (topology, glasses) = glasses::glasses(&bare.landmarks, frame);
        let frame_layer = Layer::sheet(topology, first_vertex, frame.colour, Surface::Frame);
        appearance.layers.push(frame_layer);
        let neutral = posed_shape(&*head, &appearance, &glasses, &[0.0; 12], [0.0; 2])?;
        for layer in &mut appearance.layers {
            let vertices = &neutral.positions[layer.first_vertex as usize..];
            if let Some(texture) = &layer.texture {
                let full = &texture.levels[0];
                layer.density = layer
                    .topology
                    .texel_density(vertices, full.width as f32, full.height as f32);
            }
        }
        let directions = match appearance.style {
            Style::Classic => occlusion::DIRECTIONS,
            // Grown hair makes looking dear.
            Style::Lifelike => occlusion::DIRECTIONS / 2,
        };
        let openness = occlusion::openness(&appearance.layers, &neutral.positions, &neutral.normals, directions);
        let neckline = appearance.look.neckline;
        let cloth = neutral
            .positions
            .iter()
            .enumerate()
            .map(|(i, p)| {
                if i >= appearance.skin_vertices {
                    return -100.0;
                }
                let front = if p[2] > -2.0 {
                    neckline * (1.0 - p[0].abs() / 7.0).max(0.0)
                } else {
                    0.0
                };
                -11.0 - 0.35 * p[2] - front - p[1]
            })
            .collect();
        Ok(Self {
            family,
            seed,
            head,
            appearance,
            glasses,
            openness,
            cloth,
            tangents,
        })
    }

    /// Which generator the person comes from.
    pub fn family(&self) -> Family {
        self.family
    }

    /// The style that the person was drawn in.
    pub fn style(&self) -> Style {
        self.appearance.style
    }

    /// The seed that the person was drawn from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The 68 landmarks in the head's own coordinates (centimetres; x to the person's left, y up, z out of the face;
    /// origin between the ears) with an expression.
    ///
    /// # Errors
    /// When the assets lack a part of the expression.
    pub fn landmarks(&self, expression: &[f32; 12]) -> Result<Vec<[f32; 3]>> {
        Ok(self.head.shape(expression, [0.0; 2])?.landmarks)
    }

    pub(crate) fn shape(&self, expression: &[f32; 12], gaze: [f32; 2]) -> Result<Shape> {
        posed_shape(&*self.head, &self.appearance, &self.glasses, expression, gaze)
    }
}

/// The shape with normals.
fn posed_shape(
    head: &dyn Head,
    appearance: &Appearance,
    glasses: &[Vec3],
    expression: &[f32; 12],
    gaze: [f32; 2],
) -> Result<Shape> {
    let layers = &appearance.layers;
    let mut shape = head.shape(expression, gaze)?;
    let first_lock = shape.positions.len();
    place_locks(&appearance.locks, &mut shape.positions);
    shape.positions.extend_from_slice(glasses);
    let mut normals = vec![[0.0; 3]; shape.positions.len()];
    let meshes = layers
        .iter()
        .filter(|layer| !matches!(layer.surface, Surface::Lock | Surface::Whisker));
    for layer in meshes {
        let first = layer.first_vertex as usize;
        layer
            .topology
            .add_normals(&shape.positions[first..], &mut normals[first..]);
    }
    for normal in &mut normals {
        *normal = normalize(*normal);
    }
    for layer in layers.iter().filter(|layer| layer.surface == Surface::Hair) {
        let first = layer.first_vertex as usize;
        let count = layer
            .topology
            .triangles
            .iter()
            .flatten()
            .max()
            .map_or(0, |&m| m as usize + 1);
        let places = shape.positions[first..].iter().zip(&mut normals[first..]);
        for (&position, normal) in places.take(count) {
            // Strips of hair are flat; together they are round.
            let round = normalize(sub(position, [0.0, 1.0, -1.5]));
            let flat = if dot(*normal, round) < 0.0 {
                scale(*normal, -1.0)
            } else {
                *normal
            };
            *normal = normalize(mix(round, flat, 0.45));
        }
    }
    let own = appearance.locks.iter().flat_map(|locks| &locks.normals);
    for (normal, own) in normals[first_lock..].iter_mut().zip(own) {
        *normal = *own;
    }
    shape.normals = normals;
    Ok(shape)
}

/// Appends the vertices of grown hair, rooted in the first vertices.
fn place_locks(locks: &[Locks], positions: &mut Vec<Vec3>) {
    for locks in locks {
        let mut placed = Vec::new();
        locks.place(positions, &mut placed);
        positions.append(&mut placed);
    }
}
