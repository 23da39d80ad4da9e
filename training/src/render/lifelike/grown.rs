//! All that grows on a head: hair, beard, brows.

use std::sync::Arc;

use super::brows::BrowForm;
use super::cap::cap_texture;
use super::features::FaceMap;
use super::haircut::Haircut;
use super::hairline::Hairline;
use super::lock_texture::{lock_texture, Fibre, COLUMNS};
use super::locks::Locks;
use super::scatter::Ground;
use super::strand::Scalp;
use super::traits::Traits;
use super::whiskers;
use crate::render::mesh::Surface;
use crate::render::radius_map::RadiusMap;
use crate::render::vector::{mix, Vec3};

/// Hair, beard and brows of a person; `own_hair`: whether the head's hair is grown here.
pub(crate) struct Growth<'a> {
    pub traits: &'a Traits,
    pub line: &'a Hairline,
    pub cut: &'a Haircut,
    pub brows: &'a BrowForm,
    pub map: &'a FaceMap,
    pub own_hair: bool,
    /// Above this height (centimetres from the pivot) something covers the hair.
    pub hidden_above: f32,
}

impl Growth<'_> {
    /// Ribbons of everything, on a head whose surface is `surface`.
    pub fn grow(&self, ground: &Ground, surface: &RadiusMap) -> Vec<Locks> {
        let traits = self.traits;
        let mut locks = Vec::new();
        let texture = |colour: Vec3, grey: f32, open: f32, contrast: f32, number: u64| {
            let fibre = Fibre {
                colour,
                grey,
                open,
                contrast,
            };
            Arc::new(lock_texture(&fibre, traits.for_life.wrapping_add(number)))
        };
        if self.own_hair && self.cut.top > 0.1 {
            let scalp = Scalp {
                ground,
                surface,
                line: self.line,
                cut: self.cut,
                hidden_above: self.hidden_above,
                fullness: traits.fullness,
            };
            let fibre = Fibre {
                colour: traits.hair,
                grey: traits.grey,
                open: 0.0,
                contrast: 0.6,
            };
            let mass = Arc::new(cap_texture(&fibre, traits.curl, traits.for_life.wrapping_add(4)));
            locks.extend(scalp.cap(mass, traits.curl, traits.for_now));
            let open = (0.08 + 0.3 * self.cut.loose).min(0.5);
            let texture = texture(traits.hair, traits.grey, open, 0.4, 1);
            push(
                &mut locks,
                Locks::new(&scalp.grow(&mut traits.now_rng(11)), Surface::Lock, texture, COLUMNS),
            );
        }
        let whiskers = whiskers::grow(ground, &traits.beard, traits.curl, &mut traits.now_rng(12));
        let redder = [traits.hair[0] * 0.95, traits.hair[1] * 0.8, traits.hair[2] * 0.72];
        let colour = mix(traits.brow_colour, redder, 0.5);
        let grey = (1.15 * traits.grey * f32::from(!traits.dyed)).min(0.97);
        let beard = texture(colour, grey, 0.45, 0.7, 2);
        push(&mut locks, Locks::new(&whiskers, Surface::Whisker, beard, COLUMNS));
        let hairs = self.brows.grow(ground, &|p| self.map.brow(p), &mut traits.life_rng(13));
        let brow = texture(traits.brow_colour, 0.0, 0.2, 0.5, 3);
        push(&mut locks, Locks::new(&hairs, Surface::Whisker, brow, COLUMNS));
        locks
    }
}

fn push(all: &mut Vec<Locks>, locks: Locks) {
    if locks.len() > 0 {
        all.push(locks);
    }
}
