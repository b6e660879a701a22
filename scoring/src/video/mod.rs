//! How close predicted frames are to true ones, and how a rollout holds together.
//!
//! - Frame by frame: [`psnr`], [`ssim`], and [`DepthCurve`] for how they fall with depth.
//! - Without a reference: [`transition_smoothness`] and [`simulation_consistency`] (PAN,
//!   arXiv:2511.09057, §7.2), from dense optical [`flow`](horn_schunck).
//! - On features that the caller brings (no network lives here): [`lpips`], [`frechet_distance`]
//!   (FVD, FID) and [`kernel_distance`] (KVD, KID).
//!
//! Frames are `(height, width, channels)` arrays of u8.

mod depth;
mod error;
mod features;
mod flow;
mod lpips;
mod psnr;
mod rollout;
mod ssim;

pub use depth::{DepthBin, DepthCurve, DepthRow};
pub use error::VideoError;
pub use features::{frechet_distance, kernel_distance};
pub use flow::{Flow, FlowOptions, horn_schunck};
pub use lpips::{FeatureLayer, lpips};
pub use psnr::{PSNR_CAP_DB, mean_squared_error, psnr};
pub use rollout::{Smoothness, progressive_mean, simulation_consistency, transition_smoothness};
pub use ssim::{SsimOptions, SsimWindow, ssim};
