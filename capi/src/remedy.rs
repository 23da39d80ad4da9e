//! What the reader of messages about the C ABI itself can do; see `omniid::remedy`.

use omniid::Remedy;

/// A struct that was not made by its macro.
pub(crate) const INIT_MACRO: Remedy = Remedy::new("init-macro", "initialise the struct with its OMNIID_..._INIT macro");
/// Header and library of two releases.
pub(crate) const OTHER_ABI: Remedy = Remedy::new(
    "other-abi",
    "build the program with this library's omniid.h or install the matching library",
);
