//! What is drawn, and how.

use crate::data::CropTemplate;
use omniid_minihost::{GenerateOptions, View};
use serde::{Deserialize, Serialize};

/// How pictures are drawn and metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationOptions {
    /// Numbers of photos that identities are made of, rising. The last is the one that other identities are compared
    /// with. Default 1, 3, 5, 7.
    pub counts: Vec<usize>,
    /// Numbers of photos whose single identities are averaged, none above the largest of `counts`. Default none, which
    /// stands for that largest one.
    pub averaged: Vec<usize>,
    /// Pictures drawn of a person. Default 4.
    pub targets: usize,
    /// How they are drawn; the noise differs from person to person and is the same for all identities of a person.
    pub generate: GenerateOptions,
    /// Whether the views determine the true pictures, so that pixels can be compared: yes for renders, no for photos.
    pub pixels: bool,
    /// Whether everything is made grey before the verifier sees it: for grey photos.
    pub grey: bool,
    /// Where faces lie in the pictures.
    pub template: CropTemplate,
    /// Draws of people for the intervals. Default 1000.
    pub resamples: usize,
    /// For drawing people.
    pub seed: u64,
    /// People whose pictures are returned to look at. Default 8.
    pub examples: usize,
    /// Whether the photos that are read are drawn and compared with: for people who have no other ones. Default no.
    pub drawn_are_read: bool,
    /// Views that are drawn of these people besides, from the most photos, to look at. Default none.
    pub portraits: Vec<View>,
    /// Whether the report also has every person's means, for comparing several models person by person. Default no.
    pub per_person: bool,
}

impl Default for GenerationOptions {
    fn default() -> Self {
        Self {
            counts: vec![1, 3, 5, 7],
            averaged: Vec::new(),
            targets: 4,
            generate: GenerateOptions::default(),
            pixels: true,
            grey: false,
            template: CropTemplate::default(),
            resamples: 1000,
            seed: 0,
            examples: 8,
            drawn_are_read: false,
            portraits: Vec::new(),
            per_person: false,
        }
    }
}

/// Whose identity is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Drawn {
    /// The person's, of so many photos together.
    Photos(usize),
    /// The mean of the identities of so many single photos.
    Averaged(usize),
    /// Somebody else's of the family.
    OtherPerson,
    /// The mean of all people's.
    MeanTokens,
    /// Nobody's: the identity is not added at all.
    Nobody,
}

impl Drawn {
    /// Its name in tables.
    pub fn title(self) -> String {
        match self {
            Self::Photos(1) => "1 photo".to_string(),
            Self::Photos(count) => format!("{count} photos"),
            Self::Averaged(count) => format!("mean of {count} single photos"),
            Self::OtherPerson => "another person".to_string(),
            Self::MeanTokens => "mean tokens".to_string(),
            Self::Nobody => "no identity".to_string(),
        }
    }
}
