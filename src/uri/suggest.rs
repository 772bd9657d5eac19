//! What a misspelled option was meant to be.

/// The one of `names` that `word` is most like, if it is like any; case does not count.
pub(super) fn closest<'n>(word: &str, names: impl Iterator<Item = &'n &'n str>) -> Option<&'n str> {
    let word = word.to_ascii_lowercase();
    let length = word.chars().count();
    let alike = names.filter_map(|name| {
        let most = 1 + name.len() / 6;
        // One mistake makes a word longer or shorter by one: most names need no closer look.
        let distance = (length.abs_diff(name.len()) <= most)
            .then(|| distance(&word, &name.to_ascii_lowercase()))?;
        (distance <= most && distance < name.len() / 2).then_some((distance, *name))
    });
    alike.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// Insertions, deletions and replacements that make `a` into `b` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_recognised_and_strangers_are_not() {
        let names = ["replicaSet", "w", "tls", "serverSelectionTimeoutMS", "maxPoolSize"];
        let closest = |word| closest(word, names.iter());
        assert_eq!(closest("replicasett"), Some("replicaSet"));
        assert_eq!(closest("serverSelectionTimeout"), Some("serverSelectionTimeoutMS"));
        assert_eq!(closest("minPoolSizes"), None);
        assert_eq!(closest("maxPoolsizes"), Some("maxPoolSize"));
        assert_eq!(closest("foo"), None);
        assert_eq!(closest("x"), None);
        assert_eq!(closest(&"replicaSet".repeat(100_000)), None);
    }

    #[test]
    fn distances() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
