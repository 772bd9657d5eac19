//! The options that a TXT record may give ("Default Connection String Options").

use percent_encoding::percent_decode_str;

use super::SrvError;

/// The options of a TXT record; `None` for those that it does not give.
///
/// What the connection string says of an option counts more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TxtOptions {
    /// `authSource`.
    pub auth_source: Option<String>,
    /// `replicaSet`.
    pub replica_set: Option<String>,
    /// `loadBalanced`.
    pub load_balanced: Option<bool>,
}

impl TxtOptions {
    /// Reads the TXT records of `host`, each with its strings joined.
    ///
    /// # Errors
    ///
    /// There is more than one record, or it says what it must not say.
    pub fn parse(host: &str, records: &[String]) -> Result<Self, SrvError> {
        match records {
            [] => Ok(Self::default()),
            [record] => Self::read(record).map_err(|wrong| wrong.at(host)),
            several => {
                Err(SrvError::SeveralTxtRecords { host: host.to_owned(), count: several.len() })
            }
        }
    }

    fn read(record: &str) -> Result<Self, Wrong> {
        let mut options = Self::default();
        for pair in record.split('&').filter(|pair| !pair.is_empty()) {
            let name = pair.split('=').next().unwrap_or_default();
            let value = || match pair.split_once('=') {
                Some((_, value)) if !value.is_empty() => decode(name, value),
                _ => Err(Wrong::Syntax(format!("{name} has no value; write {name}=value"))),
            };
            match name.to_ascii_lowercase().as_str() {
                "authsource" => options.auth_source = Some(value()?),
                "replicaset" => options.replica_set = Some(value()?),
                "loadbalanced" => {
                    options.load_balanced = Some(match value()?.as_str() {
                        "true" => true,
                        "false" => false,
                        _ => return Err(Wrong::Syntax("loadBalanced is true or false".to_owned())),
                    });
                }
                _ => return Err(Wrong::Option(name.to_owned())),
            }
        }
        Ok(options)
    }
}

/// What is wrong with a record.
enum Wrong {
    Option(String),
    Syntax(String),
}

impl Wrong {
    fn at(self, host: &str) -> SrvError {
        let host = host.to_owned();
        match self {
            Self::Option(option) => SrvError::TxtOption { host, option },
            Self::Syntax(problem) => SrvError::TxtSyntax { host, problem },
        }
    }
}

fn decode(name: &str, value: &str) -> Result<String, Wrong> {
    match percent_decode_str(value).decode_utf8() {
        Ok(text) if !text.contains('\0') => Ok(text.into_owned()),
        _ => Err(Wrong::Syntax(format!("the value of {name} is no text"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(record: &str) -> Result<TxtOptions, SrvError> {
        TxtOptions::parse("a.b.c", &[record.to_owned()])
    }

    // SRV-07
    #[test]
    fn three_options_may_come_from_dns() {
        let options = parse("replicaSet=rs&AUTHSOURCE=%24external&loadBalanced=false").unwrap();
        assert_eq!(options.replica_set.as_deref(), Some("rs"));
        assert_eq!(options.auth_source.as_deref(), Some("$external"));
        assert_eq!(options.load_balanced, Some(false));
        assert_eq!(TxtOptions::parse("a.b.c", &[]), Ok(TxtOptions::default()));
        assert_eq!(parse(""), Ok(TxtOptions::default()));
    }

    // SRV-02, SRV-07
    #[test]
    fn nothing_else_may() {
        for option in ["ssl", "tls", "socketTimeoutMS", "v", ""] {
            let error = parse(&format!("replicaSet=rs&{option}=x")).unwrap_err();
            let (host, option) = ("a.b.c".to_owned(), option.to_owned());
            assert_eq!(error, SrvError::TxtOption { host, option });
        }
        assert!(matches!(parse("v=spf1 -all"), Err(SrvError::TxtOption { .. })));
    }

    #[test]
    fn a_wrong_form_is_an_error() {
        for record in
            ["authSource", "authSource=", "loadBalanced=1", "replicaSet=%ff", "replicaSet=%00"]
        {
            assert!(matches!(parse(record), Err(SrvError::TxtSyntax { .. })), "{record}");
        }
    }

    #[test]
    fn two_records_are_one_too_many() {
        let records = ["replicaSet=rs".to_owned(), "authSource=db".to_owned()];
        let error = TxtOptions::parse("a.b.c", &records).unwrap_err();
        assert_eq!(error, SrvError::SeveralTxtRecords { host: "a.b.c".into(), count: 2 });
    }
}
