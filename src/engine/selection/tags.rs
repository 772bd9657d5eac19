//! Tag sets: does a server carry the tags that a reader asks for (server-selection "tag_sets").

use std::fmt;

use super::criteria::TagSet;
use crate::engine::map::SortedMap;

/// Whether all of `wanted` is among `tags`; an empty set matches every server (SS-18).
pub(super) fn matches(wanted: &TagSet, tags: &SortedMap<String, String>) -> bool {
    wanted.iter().all(|(name, value)| tags.get(name) == Some(value))
}

/// Writes `{dc: ny, rack: 2}`.
pub(super) fn write_tag_set(f: &mut fmt::Formatter<'_>, tags: &TagSet) -> fmt::Result {
    f.write_str("{")?;
    for (i, (name, value)) in tags.iter().enumerate() {
        write!(f, "{}{name}: {value}", if i == 0 { "" } else { ", " })?;
    }
    f.write_str("}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_matches_servers_that_have_at_least_its_tags() {
        let set = |pairs: &[(&str, &str)]| -> TagSet {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        let server = set(&[("dc", "ny"), ("rack", "2"), ("size", "large")]);
        assert!(matches(&set(&[("dc", "ny"), ("rack", "2")]), &server));
        assert!(matches(&set(&[]), &server));
        assert!(!matches(&set(&[("dc", "la")]), &server));
        assert!(!matches(&set(&[("disk", "ssd")]), &server));
        assert!(!matches(&set(&[("dc", "NY")]), &server));
    }
}
