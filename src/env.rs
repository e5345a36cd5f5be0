//! Credentials from the environment.

use crate::error::Error;

/// Reads all of these variables, or says which are missing or empty.
pub(crate) fn from_env<const N: usize>(names: [&str; N]) -> Result<[String; N], Error> {
    let mut missing = Vec::new();
    let values = names.map(|name| match std::env::var(name) {
        Ok(value) if !value.trim().is_empty() => value,
        unusable => {
            let reason = match unusable {
                Ok(_) => "is empty",
                Err(std::env::VarError::NotPresent) => "is not set",
                Err(std::env::VarError::NotUnicode(_)) => "is not UTF-8",
            };
            missing.push(format!("{name} {reason}"));
            String::new()
        }
    });
    if missing.is_empty() { Ok(values) } else { Err(Error::invalid_input(missing.join(", "))) }
}
