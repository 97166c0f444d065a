//! Where images live: names, and the two doors to what they name.

mod destination;
mod error;
mod name;
mod source;

pub use destination::{
    Accepts, Destination, How, LayerForm, PutManifestError, Role, Stored, Wish,
};
pub use error::Error;
pub use name::ImageName;
pub use source::Source;
