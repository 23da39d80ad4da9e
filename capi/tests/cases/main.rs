//! Photos and files as people have them, through the C ABI: what is wrong with an input is said, and nothing is used
//! that should not be. Every input is made here.

mod calls;
mod files;
mod models;
mod photos;
