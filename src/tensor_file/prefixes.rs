//! What wrappers around a model put before its tensors' names.
//!
//! DataParallel writes `module.`, `torch.compile` `_orig_mod.`, Lightning and open_clip keep the weights in a dictionary
//! `state_dict`, beside the state of the optimiser. Many scripts have `model.` of their own.

use super::entry::Entry;
use super::Checkpoint;
use std::collections::{BTreeMap, BTreeSet};

/// Components of names that say nothing about what a tensor is.
const WRAPPERS: [&str; 16] = [
    "_forward_module",
    "_orig_mod",
    "checkpoint",
    "ema",
    "ema_model",
    "ema_state_dict",
    "model",
    "model_ema",
    "model_state_dict",
    "module",
    "net",
    "network",
    "params",
    "params_ema",
    "state_dict",
    "weights",
];

/// What lies beside a model in a training state. It is no reason to keep a wrapper's prefix.
const BESIDE: [&str; 12] = [
    "amp",
    "callbacks",
    "loops",
    "lr_scheduler",
    "lr_schedulers",
    "optimizer",
    "optimizer_state_dict",
    "optimizer_states",
    "optimizers",
    "scaler",
    "scheduler",
    "scheduler_state_dict",
];

/// Most wrappers that are taken off. A name can consist of nothing else, and each one costs a round through all names.
const MAX_WRAPPERS: usize = 8;

fn first(name: &str) -> &str {
    name.split_once('.').map_or("", |(first, _)| first)
}

/// Whether a wrapper's name is that of a moving average of the weights.
fn is_average(prefix: &str) -> bool {
    prefix.split(['.', '_']).any(|part| part == "ema")
}

/// Takes off the prefixes that all tensors share, and drops what lies beside the model. Gives the prefix.
///
/// Of several wrapped models in one file that are moving averages of each other (`model.`, `model_ema.`), the one that
/// is no average is taken, as other programs do.
pub(super) fn unwrap(mut tensors: BTreeMap<String, Entry>) -> (BTreeMap<String, Entry>, String) {
    let mut prefix = String::new();
    for _ in 0..MAX_WRAPPERS {
        let firsts: BTreeSet<&str> = tensors.keys().map(|name| first(name)).collect();
        let wrappers = || firsts.iter().filter(|first| WRAPPERS.contains(first));
        let others = firsts
            .iter()
            .any(|first| !WRAPPERS.contains(first) && !BESIDE.contains(first));
        let plain: Vec<&&str> = wrappers().filter(|first| !is_average(first)).collect();
        let chosen = match (plain.as_slice(), wrappers().collect::<Vec<_>>().as_slice()) {
            _ if others => None,
            ([one], _) | ([], [one]) => Some(format!("{one}.")),
            _ => None,
        };
        let Some(chosen) = chosen else { break };
        tensors = tensors
            .into_iter()
            .filter_map(|(name, entry)| Some((name.strip_prefix(chosen.as_str())?.to_string(), entry)))
            .collect();
        prefix.push_str(&chosen);
    }
    (tensors, prefix)
}

impl Checkpoint {
    /// What stands before one of `anchors` in names, at the begin of a component: where in a larger file the model is
    /// that these names belong to. Of prefixes that continue each other only the shortest is given, and moving averages
    /// only when there is nothing else. Empty when nothing is found, `[""]` when it is the whole file.
    pub(crate) fn prefixes_before(&self, anchors: &[&str]) -> Vec<String> {
        let mut found: BTreeSet<&str> = BTreeSet::new();
        for name in self.names() {
            for anchor in anchors {
                for (at, _) in name.match_indices(anchor) {
                    if at == 0 || name.as_bytes().get(at - 1) == Some(&b'.') {
                        found.insert(&name[..at]);
                    }
                }
            }
        }
        // In this order what continues a prefix stands right behind it.
        let mut shortest: Vec<&str> = Vec::new();
        for prefix in found {
            if !shortest.last().is_some_and(|last| prefix.starts_with(last)) {
                shortest.push(prefix);
            }
        }
        let plain: Vec<&str> = shortest.iter().filter(|prefix| !is_average(prefix)).copied().collect();
        let chosen = if plain.is_empty() { shortest } else { plain };
        chosen.into_iter().map(str::to_string).collect()
    }

    /// The tensors whose names begin with `prefix` (with its trailing dot), under the rest of their names.
    pub(crate) fn unwrapped(&self, prefix: &str) -> Self {
        if prefix.is_empty() {
            return self.clone();
        }
        let below = self
            .tensors
            .iter()
            .filter_map(|(name, entry)| Some((name.strip_prefix(prefix)?.to_string(), entry.clone())));
        let mut view = self.with_tensors(below.collect());
        view.prefix = format!("{}{prefix}", self.prefix).into();
        view
    }
}
