//! Numbers on the command line, which may be negative.

use clap::{Arg, Command};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::str::FromStr;

/// A seed; `-1` stands for any, as in other programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed {
    /// The seed itself, also where it was chosen.
    value: u64,
    chosen: bool,
}

impl Seed {
    /// Reads a seed.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "-1" {
            // The standard library's random state differs from process to process. 32 bits are what every other
            // program takes, too.
            let value = RandomState::new().hash_one(std::process::id()) & u64::from(u32::MAX);
            return Ok(Self { value, chosen: true });
        }
        let value = text
            .parse()
            .map_err(|_| format!("expected 0 to {}, or -1 for any seed", u64::MAX))?;
        Ok(Self { value, chosen: false })
    }

    /// The seed; says which one it is, on standard error, if this program chose it.
    pub fn announced(self) -> u64 {
        if self.chosen {
            tell!("seed: {}", self.value);
        }
        self.value
    }
}

impl From<u64> for Seed {
    fn from(value: u64) -> Self {
        Self { value, chosen: false }
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

/// Reads a finite number.
pub fn finite<T: FromStr + Copy + Into<f64>>(text: &str) -> Result<T, String> {
    text.parse()
        .ok()
        .filter(|value: &T| Into::<f64>::into(*value).is_finite())
        .ok_or_else(|| "expected a finite number".to_string())
}

/// Reads a whole number that is not negative.
pub fn whole<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| "expected a whole number, 0 or more".to_string())
}

/// Reads a number of threads.
pub fn threads(text: &str) -> Result<u16, String> {
    const MOST: u16 = 1024;
    text.trim()
        .parse()
        .ok()
        .filter(|threads| (1..=MOST).contains(threads))
        .ok_or_else(|| format!("expected 1 to {MOST} threads, by --threads or OMNIID_THREADS"))
}

/// The same command, whose options take negative numbers: without, `--scale -5` is a mistake, and its message speaks of
/// arguments instead of numbers.
pub fn with_negative_numbers(command: Command) -> Command {
    let negative = |arg: Arg| match arg.is_positional() || !arg.get_action().takes_values() {
        true => arg,
        false => arg.allow_negative_numbers(true),
    };
    command.mut_args(negative).mut_subcommands(with_negative_numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds() {
        assert_eq!(Seed::parse("17"), Ok(Seed::from(17)));
        assert_eq!(Seed::parse(&u64::MAX.to_string()), Ok(Seed::from(u64::MAX)));
        let any = Seed::parse("-1").unwrap();
        assert!(any.chosen && any.value <= u64::from(u32::MAX));
        for text in ["-2", "x", "", "1.5", "18446744073709551616"] {
            assert!(Seed::parse(text).unwrap_err().contains("-1 for any"), "{text}");
        }
    }

    #[test]
    fn finite_numbers() {
        assert_eq!((finite::<f32>("-5"), finite::<f64>("0.1")), (Ok(-5.0), Ok(0.1)));
        for text in ["nan", "inf", "-inf", "1e400", "", "x"] {
            assert!(finite::<f64>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_of_threads() {
        assert_eq!((threads("1"), threads(" 8 ")), (Ok(1), Ok(8)));
        for text in ["0", "-1", "abc", "", "1025", "1e9", "1000000000"] {
            assert!(threads(text).unwrap_err().contains("1 to 1024"), "{text}");
        }
    }
}
