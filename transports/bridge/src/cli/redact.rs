//! Texts without the passwords of connection strings.

/// `text` with `***` for whatever stands between a scheme and the last @ of its authority.
pub(crate) fn redacted(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let (before, after) = rest.split_at(start + 3);
        shown.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "/?\"'`".contains(c));
        let (authority, tail) = after.split_at(end.unwrap_or(after.len()));
        match authority.rsplit_once('@') {
            Some((_, hosts)) => {
                shown.push_str("***@");
                shown.push_str(hosts);
            }
            None => shown.push_str(authority),
        }
        rest = tail;
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_password_are_gone_and_nothing_else() {
        let text = "see \"mongodb://ann:p@ss@a:1,b:2/db\" and mongodb+srv://u@h, http://x/?a@b";
        let shown = "see \"mongodb://***@a:1,b:2/db\" and mongodb+srv://***@h, http://x/?a@b";
        assert_eq!(redacted(text), shown);
        assert_eq!(redacted("nothing: here"), "nothing: here");
    }
}
