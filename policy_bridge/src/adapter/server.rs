//! From an address and a manifest to a policy.

use super::convert::Converter;
use super::error::AdapterError;
use super::groot::GrootRemote;
use super::manifest::{Dialect, Manifest};
use super::openpi::OpenpiRemote;
use super::remote::{AdapterPolicy, Remote};
use super::rest::RestRemote;
use super::vla_eval::VlaEvalRemote;

/// Connects to the server at `url`, compares what it says of itself with the manifest, and makes
/// a policy called `name` of it.
///
/// # Errors
/// [`AdapterError::Server`] if it is not there, speaks something else, or states something that
/// the manifest contradicts.
pub fn connect(name: &str, url: &str, manifest: Manifest) -> Result<AdapterPolicy, AdapterError> {
    let remote: Box<dyn Remote> = match manifest.server.dialect {
        Dialect::Openpi | Dialect::Roboarena | Dialect::VllmOmni => {
            Box::new(OpenpiRemote::connect(url, &manifest)?)
        }
        Dialect::GrootN15 | Dialect::GrootN16 => Box::new(GrootRemote::connect(url, &manifest)?),
        Dialect::VlaEval => Box::new(VlaEvalRemote::connect(url, &manifest)?),
        Dialect::Rest | Dialect::RestDoubleEncoded => {
            Box::new(RestRemote::connect(url, &manifest)?)
        }
    };
    Ok(AdapterPolicy::new(name, Converter::new(manifest), remote))
}
