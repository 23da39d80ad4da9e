//! Renderer of synthetic people.
//!
//! Identity comes from public parametric heads with a seed; photos of it vary in pose, expression, light and so on, and
//! come with the exact truth. A software rasteriser of our own: the same bytes on every machine with the same
//! arithmetic, whatever the number of threads.

mod augment;
mod background;
mod camera;
mod cutout;
mod distribution;
mod draw;
mod folder;
mod glasses;
mod ict;
mod light;
mod look;
mod makehuman;
mod marks;
mod mesh;
mod obj;
mod occlusion;
mod people;
mod person;
mod photo;
mod raster;
mod shade;
mod text;
mod texture;
mod torso;
mod unwrap;
mod vector;

use std::path::Path;
use std::sync::Arc;

use omniid::{Error, Result};
use serde::{Deserialize, Serialize};

pub use augment::Augmentation;
pub(crate) use background::{paint, Noise};
pub use camera::{five_points, template, TEMPLATE_CENTRE, TEMPLATE_SCALE};
pub use cutout::CutOut;
pub use distribution::PhotoDistribution;
pub use draw::{Rendered, LARGEST};
pub use folder::{read_truth, render_folder, TruthLine, TRUTH_FILE};
pub use light::{DirectionalLight, Lighting};
pub use makehuman::Target;
pub use mesh::Topology;
pub use obj::Obj;
pub use people::{render_people, RenderConfig};
pub use person::Person;
pub use photo::{Background, Framing, PhotoSpec};

use ict::{HairStyles, Ict};
use makehuman::MakeHuman;
use person::Head;

/// A generator of heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Artist-made morph targets with painted skins and hair (CC0).
    MakeHuman,
    /// Scan-derived shape modes with blendshapes (MIT, USC ICT).
    Ict,
}

impl Family {
    /// The name in data sets.
    pub fn name(self) -> &'static str {
        match self {
            Self::MakeHuman => "makehuman",
            Self::Ict => "ict",
        }
    }
}

/// The heads' public files, read once and shared by all people.
pub struct Assets {
    makehuman: Result<Arc<MakeHuman>, String>,
    ict: Result<Arc<Ict>, String>,
    /// For ICT heads, from the other family.
    hair: Option<HairStyles>,
}

impl Assets {
    /// Reads the asset folder, which holds `makehuman/` and `ict_facekit/`. A family whose folder is missing is left
    /// out; see [`Assets::families`] and [`Assets::report`]. Textures larger than 1024 pixels are halved.
    ///
    /// # Errors
    /// When a family is there but broken (the error names file and line), or when both are missing.
    pub fn open(root: &Path) -> Result<Self> {
        let folder = root.join("makehuman");
        let makehuman = if folder.is_dir() {
            Ok(Arc::new(MakeHuman::open(&folder, 1024)?))
        } else {
            Err(format!("{} is not there", folder.display()))
        };
        let folder = root.join("ict_facekit");
        let ict = if folder.is_dir() {
            Ok(Arc::new(Ict::open(&folder)?))
        } else {
            Err(format!("{} is not there", folder.display()))
        };
        let hair = match (&makehuman, &ict) {
            (Ok(makehuman), Ok(_)) => Some(HairStyles::new(makehuman)),
            _ => None,
        };
        let assets = Self { makehuman, ict, hair };
        if assets.families().is_empty() {
            return Err(Error::invalid(format!(
                "no family of heads in {}: {}",
                root.display(),
                assets.report().join("; ")
            )));
        }
        Ok(assets)
    }

    /// The families that are there.
    pub fn families(&self) -> Vec<Family> {
        let mut families = Vec::new();
        if self.makehuman.is_ok() {
            families.push(Family::MakeHuman);
        }
        if self.ict.is_ok() {
            families.push(Family::Ict);
        }
        families
    }

    /// One line per family that is missing, with the reason.
    pub fn report(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Err(reason) = &self.makehuman {
            lines.push(format!(
                "no MakeHuman heads (and no hair for the others): {reason}"
            ));
        }
        if let Err(reason) = &self.ict {
            lines.push(format!("no ICT heads: {reason}"));
        }
        lines
    }

    /// The person of a seed. Some 30 ms and 4 MB; the same seed and family give the same person.
    ///
    /// # Errors
    /// When the family is missing or lacks a file that the person needs.
    pub fn person(&self, seed: u64, family: Family) -> Result<Person> {
        match family {
            Family::MakeHuman => {
                let assets = self
                    .makehuman
                    .as_ref()
                    .map_err(|reason| Error::invalid(format!("no MakeHuman heads: {reason}")))?;
                let (head, parts) = makehuman::prepare(assets, seed)?;
                Person::new(family, seed, Head::MakeHuman(head), parts)
            }
            Family::Ict => {
                let assets = self
                    .ict
                    .as_ref()
                    .map_err(|reason| Error::invalid(format!("no ICT heads: {reason}")))?;
                let (head, parts) = ict::prepare(assets, self.hair.as_ref(), seed)?;
                Person::new(family, seed, Head::Ict(head), parts)
            }
        }
    }
}
