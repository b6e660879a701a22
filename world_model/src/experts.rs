//! The mixture: four experts, all in memory or the active one only.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::config::refuse;
use crate::error::{ModelError, Result};
use crate::expert::Expert;

/// Which experts' weights stay in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Residence {
    /// All of them: no waiting.
    #[default]
    All,
    /// The active one: the least memory; a change of expert reads its weights again.
    Active,
}

impl FromStr for Residence {
    type Err = ModelError;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "all" => Ok(Self::All),
            "active" => Ok(Self::Active),
            other => Err(refuse("resident", other, "it must be `all` or `active`")),
        }
    }
}

/// Reads an expert's weights.
pub type ExpertSource = Box<dyn Fn(usize) -> Result<Expert> + Send + Sync>;

/// Four experts.
pub enum Experts {
    /// All in memory.
    All(Vec<Arc<Expert>>),
    /// One in memory, read when it is asked for.
    Active {
        /// Where the others come from.
        source: ExpertSource,
        /// The one that is there, with its number.
        current: Mutex<Option<(usize, Arc<Expert>)>>,
    },
}

impl Experts {
    /// One in memory at a time, from `source`.
    pub fn active(source: ExpertSource) -> Self {
        Self::Active { source, current: Mutex::new(None) }
    }

    /// Expert `index`, from 0.
    ///
    /// # Errors
    /// [`ModelError::Size`] past the last one, or the source's error.
    pub fn get(&self, index: usize) -> Result<Arc<Expert>> {
        match self {
            Self::All(experts) => experts
                .get(index)
                .cloned()
                .ok_or_else(|| ModelError::size("the mixture", index + 1, experts.len())),
            Self::Active { source, current } => {
                let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some((resident, expert)) = current.as_ref()
                    && *resident == index
                {
                    return Ok(Arc::clone(expert));
                }
                // The old weights go before the new ones come, so that two never share memory.
                *current = None;
                let expert = Arc::new(source(index)?);
                *current = Some((index, Arc::clone(&expert)));
                Ok(expert)
            }
        }
    }
}

impl fmt::Debug for Experts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All(_) => "Experts::All",
            Self::Active { .. } => "Experts::Active",
        })
    }
}
