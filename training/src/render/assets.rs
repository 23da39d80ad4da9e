//! The public files of all families.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use omniid::{Error, Result};

use super::family::Family;
use super::ict::{self, HairStyles, Ict};
use super::lifelike::Moment;
use super::makehuman::{self, MakeHuman};
use super::person::Person;

/// The heads' public files, read once and shared by all people.
pub struct Assets {
    makehuman: Result<Arc<MakeHuman>, String>,
    ict: Result<Arc<Ict>, String>,
    /// For ICT heads, from the other family.
    hair: Option<HairStyles>,
    /// Measured when the first lifelike person is drawn.
    lifelike_makehuman: OnceLock<makehuman::Lifelike>,
    lifelike_ict: OnceLock<Result<ict::Lifelike, String>>,
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
        let assets = Self {
            makehuman,
            ict,
            hair,
            lifelike_makehuman: OnceLock::new(),
            lifelike_ict: OnceLock::new(),
        };
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
                let (head, appearance) = makehuman::prepare(self.makehuman()?, seed)?;
                Person::new(family, seed, Box::new(head), appearance)
            }
            Family::Ict => {
                let (head, appearance) = ict::prepare(self.ict()?, self.hair.as_ref(), seed)?;
                Person::new(family, seed, Box::new(head), appearance)
            }
        }
    }

    /// The person of a seed in the style [`Lifelike`](super::Style::Lifelike) at a time of life: 0 is the first, others
    /// lie up to `years` apart from it and have another haircut, beard and so on. What stays for life is the same in
    /// all of them. Some 60 ms and 4 MB.
    ///
    /// # Errors
    /// As [`Assets::person`].
    pub fn lifelike_person(&self, seed: u64, family: Family, moment: u32, years: f32) -> Result<Person> {
        let moment = Moment { number: moment, years };
        match family {
            Family::MakeHuman => {
                let assets = self.makehuman()?;
                let extra = self.lifelike_makehuman.get_or_init(|| makehuman::Lifelike::new(assets));
                let (head, appearance) = makehuman::prepare_lifelike(assets, extra, seed, moment)?;
                Person::new(family, seed, Box::new(head), appearance)
            }
            Family::Ict => {
                let assets = self.ict()?;
                let other = self.makehuman.as_ref().ok().map(|assets| &**assets);
                let extra = self
                    .lifelike_ict
                    .get_or_init(|| ict::Lifelike::new(assets, other).map_err(|error| error.to_string()))
                    .as_ref()
                    .map_err(|reason| Error::format(reason.clone()))?;
                let (head, appearance) = ict::prepare_lifelike(assets, extra, self.hair.as_ref(), seed, moment)?;
                Person::new(family, seed, Box::new(head), appearance)
            }
        }
    }

    fn makehuman(&self) -> Result<&Arc<MakeHuman>> {
        self.makehuman
            .as_ref()
            .map_err(|reason| Error::invalid(format!("no MakeHuman heads: {reason}")))
    }

    fn ict(&self) -> Result<&Arc<Ict>> {
        self.ict
            .as_ref()
            .map_err(|reason| Error::invalid(format!("no ICT heads: {reason}")))
    }
}
