//! Why something was refused, in the words of the people who read it.

pub use crate::config::causes::in_spanish;
use crate::store::StoreError;

/// The same for a failure of the store, whose own words for the system's errors are for logs.
pub fn of_store(error: &StoreError) -> String {
    match error {
        StoreError::Io(error) => format!("error del almacén: {}", in_spanish(error)),
        other => other.to_string(),
    }
}
