//! How many threads the environment asks for.

use crate::error::{Error, Result};

/// The variable that says how many threads compute.
const VARIABLE: &str = "OMNIID_THREADS";

/// Most threads of the pool.
const MOST: usize = 1024;

/// The number of threads that the environment variable `OMNIID_THREADS` asks for; `None` where it is missing or empty.
///
/// # Errors
/// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for anything but 1 to 1024.
pub fn threads_asked_for() -> Result<Option<usize>> {
    match std::env::var_os(VARIABLE) {
        Some(text) => parse(&text.to_string_lossy()),
        None => Ok(None),
    }
}

fn parse(text: &str) -> Result<Option<usize>> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let threads = text.trim().parse().ok().filter(|threads| (1..=MOST).contains(threads));
    threads.map(Some).ok_or_else(|| {
        Error::invalid(format!(
            "the environment variable {VARIABLE} is {text:?}, expected 1 to {MOST} threads"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_of_threads_are_taken() {
        assert_eq!(parse(" 8 ").unwrap(), Some(8));
        assert_eq!(parse("").unwrap(), None);
        for text in ["0", "-1", "abc", "1025", "1000000000", "2.5"] {
            let error = parse(text).unwrap_err();
            assert!(
                error.message().contains(text) && error.message().contains("1 to 1024"),
                "{error}"
            );
        }
    }
}
