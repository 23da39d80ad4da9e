//! The MakeHuman files, read and indexed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use omniid::{Error, Result};
use rayon::prelude::*;

use super::axis::{axes, Axis};
use super::base_mesh::{landmarks, pivot, to_centimetres, BASE_VERTICES, BODY_VERTICES};
use super::files::{files, folders, stem};
use super::part::FittedPart;
use super::skin::{self, Atlas};
use super::target::{named_targets, Target};
use crate::render::mesh::Topology;
use crate::render::obj::{gather, Obj};
use crate::render::texture::Texture;
use crate::render::vector::Vec3;

/// Below this height (decimetres) nothing is drawn.
const LOWEST: f32 = 3.6;
pub(crate) const RACES: [&str; 3] = ["african", "asian", "caucasian"];
pub(crate) const GENDERS: [&str; 2] = ["female", "male"];

/// One of the painted skins.
pub(crate) struct Skin {
    pub name: String,
    pub atlas: Atlas,
}

/// Everything of the MakeHuman family.
pub(crate) struct MakeHuman {
    pub base: Vec<Vec3>,
    pub identity: Vec<Axis>,
    pub asymmetry: Vec<Target>,
    pub neck: Vec<Axis>,
    macros: BTreeMap<String, Target>,
    /// Per expression unit one target per race.
    pub units: BTreeMap<String, [Target; 3]>,
    /// Vertices of the base mesh that are drawn, and their triangles.
    pub drawn: Vec<u32>,
    pub body: Arc<Topology>,
    pub skins: Vec<Skin>,
    /// Average head's position per texel of the skin atlas, centimetres from the pivot; NaN where nothing is.
    pub texel_positions: Vec<Vec3>,
    pub hair: Vec<FittedPart>,
    /// Per hair style the share of the eyes that it hides.
    pub eye_cover: Vec<f32>,
    pub brows: Vec<FittedPart>,
    pub lashes: Vec<FittedPart>,
    pub eyes: FittedPart,
    pub irises: Vec<Arc<Texture>>,
    pub teeth: Vec<FittedPart>,
    pub tongue: Option<FittedPart>,
    /// The average head in decimetres, helpers included.
    pub average: Vec<Vec3>,
}

impl MakeHuman {
    /// Reads the folder `makehuman`. `texture_side` bounds the textures' size.
    pub fn open(root: &Path, texture_side: u32) -> Result<Self> {
        let obj = Obj::read(&root.join("3dobjs/base.obj"))?;
        if obj.positions.len() != BASE_VERTICES {
            return Err(Error::mismatch(format!(
                "{}: {} vertices, the base mesh hm08 has {BASE_VERTICES}",
                root.join("3dobjs/base.obj").display(),
                obj.positions.len()
            )));
        }
        let vertices = obj.positions.len();
        let targets = root.join("targets");
        let macros = named_targets(&targets.join("macrodetails"), vertices)?;
        let mut identity = Vec::new();
        for folder in [
            "head", "forehead", "eyebrows", "eyes", "nose", "cheek", "mouth", "chin", "ears",
        ] {
            identity.extend(axes(named_targets(&targets.join(folder), vertices)?));
        }
        let neck = axes(named_targets(&targets.join("neck"), vertices)?);
        let asymmetry = named_targets(&targets.join("asym"), vertices)?.into_values().collect();
        let units = units(&targets.join("expression/units"), vertices)?;

        let mut average = obj.positions.clone();
        for gender in GENDERS {
            for race in RACES {
                macro_target(&macros, &format!("{race}-{gender}-young"))?.apply(1.0 / 6.0, &mut average);
            }
        }
        let height = |i: u32| average[i as usize][1];
        let mut body = obj
            .topology(|face| face.iter().all(|c| c[0] < BODY_VERTICES) && face.iter().all(|c| height(c[0]) > LOWEST));
        skin::remap(&mut body);
        let drawn = body.compact();
        let positions = gather(&average, &drawn);
        let centred: Vec<Vec3> = positions.iter().map(|&p| to_centimetres(p, pivot(&average))).collect();
        let texel_positions = skin::texel_positions(&body, &centred);

        let skins = files(&root.join("skins"), "png")?
            .par_iter()
            .map(|path| {
                Ok(Skin {
                    name: stem(path),
                    atlas: Atlas::read(path)?,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let irises = files(&root.join("eyes/materials"), "png")?
            .par_iter()
            .map(|path| Texture::read(path, 512).map(Arc::new))
            .collect::<Result<Vec<_>>>()?;
        let part = |path: PathBuf| FittedPart::read(&path, vertices, texture_side);
        let all = |folder: &str| -> Result<Vec<FittedPart>> {
            folders(&root.join(folder))?
                .into_par_iter()
                .map(|(name, folder)| part(folder.join(format!("{name}.mhclo"))))
                .collect()
        };
        let mut teeth = Vec::new();
        let teeth_texture = root.join("teeth/materials/teeth.png");
        let teeth_texture = teeth_texture
            .exists()
            .then(|| Texture::read(&teeth_texture, 512).map(Arc::new))
            .transpose()?;
        for (name, folder) in folders(&root.join("teeth"))? {
            let path = folder.join(format!("{name}.mhclo"));
            if path.exists() {
                let mut shape = part(path)?;
                shape.texture = teeth_texture.clone().or(shape.texture);
                teeth.push(shape);
            }
        }
        let tongue = root.join("tongue/tongue01/tongue01.mhclo");
        let mut assets = Self {
            eye_cover: Vec::new(),
            identity,
            asymmetry,
            neck,
            macros,
            units,
            drawn,
            body: Arc::new(body),
            skins,
            texel_positions,
            hair: all("hair")?,
            brows: all("eyebrows")?,
            lashes: all("eyelashes")?,
            eyes: part(root.join("eyes/high-poly/high-poly.mhclo"))?,
            irises,
            teeth,
            tongue: tongue.exists().then(|| part(tongue)).transpose()?,
            average,
            base: obj.positions,
        };
        for (what, count) in [
            ("skins", assets.skins.len()),
            ("eyes/materials", assets.irises.len()),
            ("eyebrows", assets.brows.len()),
            ("eyelashes", assets.lashes.len()),
            ("targets", assets.identity.len()),
        ] {
            if count == 0 {
                return Err(Error::format(format!(
                    "{}: the folder {what} holds nothing of use",
                    root.display()
                )));
            }
        }
        let landmarks = landmarks(&assets.average);
        let (_, styles) = assets.average_hair();
        assets.eye_cover = assets
            .hair
            .iter()
            .zip(&styles)
            .map(|(style, positions)| style.eye_cover(positions, &landmarks))
            .collect();
        Ok(assets)
    }

    /// A shape of the macro folder by name.
    pub fn macro_target(&self, name: &str) -> Result<&Target> {
        macro_target(&self.macros, name)
    }

    /// Body and every hair style on the average head, centimetres from the pivot.
    pub fn average_hair(&self) -> (Vec<Vec3>, Vec<Vec<Vec3>>) {
        let origin = pivot(&self.average);
        let centred =
            |positions: Vec<Vec3>| -> Vec<Vec3> { positions.into_iter().map(|p| to_centimetres(p, origin)).collect() };
        let styles = self.hair.iter().map(|style| {
            let mut fitted = Vec::new();
            style.clothes.fit(&self.average, &mut fitted);
            centred(fitted)
        });
        (centred(gather(&self.average, &self.drawn)), styles.collect())
    }

    /// One of the identity axes by name, such as `mouth-trans-in-out`.
    pub fn axis(&self, name: &str) -> Result<&Axis> {
        self.identity
            .iter()
            .find(|axis| axis.name == name)
            .ok_or_else(|| Error::format(format!("the MakeHuman targets lack the identity axis {name:?}")))
    }
}

fn macro_target<'a>(macros: &'a BTreeMap<String, Target>, name: &str) -> Result<&'a Target> {
    macros
        .get(name)
        .ok_or_else(|| Error::format(format!("targets/macrodetails/{name}.target is missing")))
}

/// The expression units: a file per unit in a folder per race.
fn units(folder: &Path, vertices: usize) -> Result<BTreeMap<String, [Target; 3]>> {
    let mut races = Vec::new();
    for race in RACES {
        races.push(named_targets(&folder.join(race), vertices)?);
    }
    let [mut african, mut asian, caucasian] = <[BTreeMap<String, Target>; 3]>::try_from(races).unwrap_or_default();
    let mut units = BTreeMap::new();
    for (name, target) in caucasian {
        let missing = |race: &str| Error::format(format!("{}/{race}/{name}.target is missing", folder.display()));
        let first = african.remove(&name).ok_or_else(|| missing(RACES[0]))?;
        let second = asian.remove(&name).ok_or_else(|| missing(RACES[1]))?;
        units.insert(name, [first, second, target]);
    }
    Ok(units)
}
