//! Any bytes as a colour profile: read, and a few colours converted.

pub fn run(bytes: &[u8]) {
    omniid::photo::parsers::profile(bytes);
}
