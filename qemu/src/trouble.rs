//! The one error of the runner: a sentence for the person who reads the log. Nobody
//! branches on it.

use std::fmt;

/// What went wrong, innermost cause last.
#[derive(Debug)]
pub struct Trouble(pub String);

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Trouble {
    fn from(error: E) -> Self {
        Trouble(error.to_string())
    }
}

/// Result of nearly everything here.
pub type Result<T> = std::result::Result<T, Trouble>;

/// Puts what was being done in front of an error.
pub trait While<T> {
    /// `what` reads on from "while": `reading /x`.
    fn doing(self, what: impl fmt::Display) -> Result<T>;
}

impl<T, E: Into<Trouble>> While<T> for std::result::Result<T, E> {
    fn doing(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|error| Trouble(format!("{what}: {}", error.into())))
    }
}

/// Fails with a formatted sentence.
#[macro_export]
macro_rules! fail {
    ($($word:tt)*) => { return Err($crate::trouble::Trouble(format!($($word)*))) };
}
