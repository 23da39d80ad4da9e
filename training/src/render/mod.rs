//! Renderer of synthetic people.
//!
//! Identity comes from public parametric heads with a seed; photos of it vary in pose, expression, light and so on, and
//! come with the exact truth. A software rasteriser of our own: the same bytes on every machine with the same
//! arithmetic, whatever the number of threads.

mod assets;
mod augment;
mod background;
mod camera;
mod cutout;
mod distribution;
mod draw;
mod family;
mod folder;
mod glasses;
mod head;
mod ict;
mod lifelike;
mod light;
mod look;
mod makehuman;
mod marks;
mod mesh;
mod noise;
mod obj;
mod occlusion;
mod people;
mod person;
mod photo;
mod polyline;
mod radius_map;
mod raster;
mod sampling;
mod shade;
mod shading;
mod style;
mod text;
mod texture;
mod torso;
mod unwrap;
mod vector;

pub use assets::Assets;
pub use augment::Augmentation;
pub(crate) use background::paint;
pub use camera::{five_points, template, TEMPLATE_CENTRE, TEMPLATE_SCALE};
pub use cutout::CutOut;
pub use distribution::PhotoDistribution;
pub use draw::{Rendered, LARGEST};
pub use family::Family;
pub use folder::{read_truth, render_folder, TruthLine, TRUTH_FILE};
pub use light::{DirectionalLight, Lighting};
pub(crate) use noise::Noise;
pub use people::{render_people, RenderConfig};
pub use person::Person;
pub use photo::{Background, Framing, PhotoSpec};
pub use style::Style;
