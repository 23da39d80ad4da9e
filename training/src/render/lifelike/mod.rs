//! People as they are: what goes with what in sex, age and origin, hair that grows, skin with relief, light and
//! backgrounds of photographs. The look of [`Style::Lifelike`](super::Style::Lifelike).

mod backdrop;
mod brows;
mod cap;
mod colours;
mod features;
mod grown;
mod haircut;
mod hairline;
mod headwear;
mod light;
mod lock_texture;
mod locks;
mod paint;
mod photos;
mod scatter;
mod strand;
mod strand_light;
mod traits;
mod variation;
mod whiskers;
mod wrinkles;

pub(crate) use backdrop::backdrop;
pub(crate) use brows::BrowForm;
pub(crate) use features::{every_second, FaceMap, Texel};
pub(crate) use grown::Growth;
pub(crate) use haircut::Haircut;
pub(crate) use hairline::Hairline;
pub(crate) use headwear::Headwear;
pub(crate) use locks::Locks;
pub(crate) use paint::{Painter, RELIEF};
pub(crate) use photos::sample;
pub(crate) use scatter::Ground;
pub(crate) use strand_light::strand_light;
pub(crate) use traits::{Moment, Traits};
pub(crate) use variation::Variation;
