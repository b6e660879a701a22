//! The wire protocol, version 1, without the network: bytes in, checked values out.
//!
//! `docs/protocol.md` states it key by key. Everything that arrives is untrusted: [`Value::decode`]
//! allocates for what a message holds, never for what it claims, and every field is checked for
//! type, size, finiteness and bounds before it becomes a value of
//! [`rehearse_scenarios`].

mod array;
mod attachment;
mod embodiment;
mod encode;
mod error;
mod image;
pub mod judge;
mod limits;
mod observation;
pub mod policy;
mod reply;
mod value;
pub mod world;

pub use self::image::{ImageForm, image_from_value, write_image};
pub use array::{Array, DType};
pub use attachment::{ReplyAttachment, RequestAttachment};
pub use embodiment::{json_from_value, value_from_json};
pub use encode::Encoder;
pub use error::WireError;
pub use limits::{Limits, MAX_TEXT_BYTES, VERSION};
pub use observation::{
    check_observation, observation_from_value, observation_size, write_observation,
};
pub use reply::{ErrorCode, ErrorReply};
pub use value::{Fields, Value};
