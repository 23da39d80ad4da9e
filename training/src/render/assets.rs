//! The public files of all families.

use std::path::Path;
use std::sync::Arc;

use omniid::{Error, Result};

use super::family::Family;
use super::ict::{self, HairStyles, Ict};
use super::makehuman::{self, MakeHuman};
use super::person::Person;

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
            lines.push(format!("no MakeHuman heads (and no hair for the others): {reason}"));
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
                let (head, appearance) = makehuman::prepare(assets, seed)?;
                Person::new(family, seed, Box::new(head), appearance)
            }
            Family::Ict => {
                let assets = self
                    .ict
                    .as_ref()
                    .map_err(|reason| Error::invalid(format!("no ICT heads: {reason}")))?;
                let (head, appearance) = ict::prepare(assets, self.hair.as_ref(), seed)?;
                Person::new(family, seed, Box::new(head), appearance)
            }
        }
    }
}
