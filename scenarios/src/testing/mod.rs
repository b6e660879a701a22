//! Contract suites: what it means to be a [`World`](crate::interface::World) or a
//! [`Policy`](crate::interface::Policy), as tests that any implementation can run.
//!
//! Each suite takes a function that makes a fresh instance and fails with a panic that names the
//! broken rule, so that an implementation's test is one line:
//!
//! ```
//! use rehearse_scenarios::testing::{check_policy, sample_rig, sample_observations};
//! use rehearse_scenarios::action::ActionChunk;
//! use rehearse_scenarios::interface::PolicyInfo;
//! use rehearse_scenarios::local::ConstantPolicy;
//!
//! let info = PolicyInfo {
//!     name: "still".into(),
//!     embodiment: sample_rig(),
//!     chunk: 1,
//!     max_batch: 64,
//!     digest: None,
//! };
//! let still = ActionChunk::from_values(2, vec![0.0, 0.0])?;
//! check_policy(|| ConstantPolicy::new(info.clone(), still.clone()).unwrap(), &sample_observations(5));
//! # Ok::<(), rehearse_scenarios::action::ActionError>(())
//! ```

mod policy;
mod sample;
mod world;

pub use policy::check_policy;
pub use sample::{sample_observations, sample_recordings, sample_rig, sample_starts};
pub use world::check_world;
