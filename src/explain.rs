//! Why each server is or is not chosen, as a value.

use std::fmt;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::engine::sdam::TopologyType;
use crate::engine::selection::{Hint, Outcome, Verdict};

/// What a selection would do at this moment, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// What is looked for, in words.
    pub criteria: String,
    /// The kind of deployment, as far as it is known.
    pub topology_type: TopologyType,
    /// Every server with its part in the selection, in the order of their addresses.
    pub verdicts: Vec<Verdict>,
    /// What is probably wrong, where something is.
    pub hints: Vec<Hint>,
}

impl Explanation {
    /// Whether a server would be chosen.
    pub fn is_satisfied(&self) -> bool {
        self.verdicts.iter().any(|verdict| verdict.outcome == Outcome::Suitable)
    }
}

impl fmt::Display for Explanation {
    /// A heading, a line a server, a line a hint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in a topology of type {}", self.criteria, self.topology_type)?;
        self.verdicts.iter().try_for_each(|verdict| write!(f, "\n  {verdict}"))?;
        self.hints.iter().try_for_each(|hint| write!(f, "\nhint: {hint}"))
    }
}

impl Serialize for Explanation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let texts = |hint: &Hint| hint.to_string();
        let mut map = serializer.serialize_map(Some(5))?;
        map.serialize_entry("criteria", &self.criteria)?;
        map.serialize_entry("topologyType", &self.topology_type)?;
        map.serialize_entry("satisfied", &self.is_satisfied())?;
        map.serialize_entry("servers", &self.verdicts)?;
        map.serialize_entry("hints", &self.hints.iter().map(texts).collect::<Vec<_>>())?;
        map.end()
    }
}
