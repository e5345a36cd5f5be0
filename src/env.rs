//! Reads credentials from environment variables.

use crate::error::Error;

/// Reads environment variables.
///
/// # Errors
///
/// [`is_invalid_input`](Error::is_invalid_input): some are not set, empty or not UTF-8. The message names all of them.
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
    if missing.is_empty() {
        Ok(values)
    } else {
        Err(Error::invalid_input(format!("environment variables: {}", missing.join(", "))))
    }
}
