//! Tokens that are known as they are.
//!
//! Only a keyed hash of each is kept, under a key that dies with the process: nothing that prints
//! or dumps this shows a token, and comparing takes the same time for near misses.

use std::fmt;

use ring::hmac;
use ring::rand::SystemRandom;

use super::is_protocol_text;

/// Tokens, each for some deployments or for all.
#[derive(Clone, Default)]
pub struct StaticTokens {
    key: Option<hmac::Key>,
    tokens: Vec<Known>,
}

#[derive(Clone)]
struct Known {
    tag: hmac::Tag,
    /// None: all.
    deployments: Vec<String>,
}

impl StaticTokens {
    /// Reads a file's text: a token a line, then a blank and the deployments it is for, separated
    /// by commas; without them it is for all. Empty lines and those that start with # say nothing.
    ///
    /// # Errors
    ///
    /// The first line that is wrong, by its number and not by what it says.
    pub fn parse(text: &str) -> Result<Self, String> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| "the system has no random numbers".to_owned())?;
        let mut tokens = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut words = line.split_whitespace();
            let token = words.next().unwrap_or_default();
            if token.len() < SHORTEST || !is_protocol_text(token) {
                return Err(format!(
                    "line {number}: a token has at least {SHORTEST} characters, of letters, \
                     digits and !#$%&'*+-.^_`|~"
                ));
            }
            let deployments: Vec<String> = words
                .next()
                .map(|names| names.split(',').map(str::to_owned).collect())
                .unwrap_or_default();
            if words.next().is_some() || deployments.iter().any(String::is_empty) {
                return Err(format!(
                    "line {number}: after the token come the names of deployments, separated by \
                     commas"
                ));
            }
            tokens.push(Known { tag: hmac::sign(&key, token.as_bytes()), deployments });
        }
        Ok(Self { key: Some(key), tokens })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The deployments that `token` is for, empty for all; `None` where it is not known.
    pub(super) fn find(&self, token: &str) -> Option<&[String]> {
        let key = self.key.as_ref()?;
        let mut found = None;
        // All of them, for the time says which.
        for known in &self.tokens {
            if hmac::verify(key, token.as_bytes(), known.tag.as_ref()).is_ok() {
                found = Some(&*known.deployments);
            }
        }
        found
    }
}

impl fmt::Debug for StaticTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticTokens").field("count", &self.tokens.len()).finish_non_exhaustive()
    }
}

/// The shortest token taken: fewer characters can be guessed.
const SHORTEST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_by_its_line_and_not_by_the_token() {
        for (text, line) in [
            ("short", "line 1"),
            ("long-enough-token-one\n\nlong enough token two", "line 3"),
            ("long-enough-token/one", "line 1"),
            ("long-enough-token-one a,,b", "line 1"),
            ("long-enough-token-one a b", "line 1"),
        ] {
            let error = StaticTokens::parse(text).unwrap_err();
            assert!(error.starts_with(line) && !error.contains("enough"), "{error}");
        }
    }

    #[test]
    fn no_text_shows_a_token() {
        let tokens = StaticTokens::parse("long-enough-token-one").unwrap();
        let text = format!("{tokens:?}");
        assert!(text.contains("count: 1") && !text.contains("enough"), "{text}");
    }
}
