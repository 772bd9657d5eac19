//! From the parts of a connection string to client options.

use super::suggest::closest;
use super::table::{Draft, Repeated, Row, Value};
use super::{ConnectionString, Scheme};
use crate::options::{ClientOptions, CredentialParts, OptionsError, ProxyOptions};

/// What happens to a value that an option cannot have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BadValues {
    /// It is an error.
    Refuse,
    /// It is left out with a warning.
    LeaveOut,
}

impl ConnectionString {
    /// The client options; an unknown option is a warning, a bad value an error.
    ///
    /// # Errors
    ///
    /// A bad value, contradictory options, an incomplete credential.
    pub fn to_options(&self) -> Result<ClientOptions, OptionsError> {
        self.apply(BadValues::Refuse)
    }

    /// The client options; unknown options and bad values are warnings, as specified.
    ///
    /// # Errors
    ///
    /// Contradictory options, an incomplete credential.
    pub fn to_options_leniently(&self) -> Result<ClientOptions, OptionsError> {
        self.apply(BadValues::LeaveOut)
    }

    fn apply(&self, bad_values: BadValues) -> Result<ClientOptions, OptionsError> {
        let mut reading = Reading { draft: self.draft(), given: Vec::new(), left_out: Vec::new() };
        for (key, value) in &self.options {
            reading.read(key, value, self, bad_values)?;
        }
        reading.finish(self.scheme)
    }

    fn draft(&self) -> Draft {
        let mut draft = Draft::default();
        match self.scheme {
            Scheme::Standard => draft.options.hosts.clone_from(&self.hosts),
            Scheme::Srv => {
                draft.options.hosts.clear();
                draft.options.srv_host = self.hosts.first().map(|host| host.host().to_owned());
            }
        }
        draft.options.default_database.clone_from(&self.database);
        draft.credential = CredentialParts {
            username: self.username.clone(),
            password: self.password.clone(),
            database: self.database.clone(),
            ..CredentialParts::default()
        };
        draft
    }

    fn has(&self, name: &str) -> bool {
        self.options.iter().any(|(key, _)| key.eq_ignore_ascii_case(name))
    }
}

/// A connection string half read.
struct Reading {
    draft: Draft,
    /// The options that were read, by name.
    given: Vec<&'static str>,
    /// The options whose values were bad.
    left_out: Vec<&'static str>,
}

impl Reading {
    fn read(
        &mut self,
        key: &str,
        value: &str,
        uri: &ConnectionString,
        bad_values: BadValues,
    ) -> Result<(), OptionsError> {
        let Some(row) = Row::find(key) else {
            self.warn(unknown(key));
            return Ok(());
        };
        if let Some(name) = row.replaced_by {
            if uri.has(name) {
                self.warn(format!("option {} is ignored: {name} is given too", row.name));
                return Ok(());
            }
            self.warn(format!("option {} is deprecated; write {name}", row.name));
        }
        self.check_repeated(row, value)?;
        self.given.push(row.name);
        match row.read(value, &mut self.draft) {
            Ok(()) => {}
            Err(error) if bad_values == BadValues::Refuse => return Err(error),
            Err(error) => {
                self.left_out.push(row.name);
                self.warn(format!("{error}; it is left out"));
            }
        }
        let warnings = std::mem::take(&mut self.draft.warnings);
        self.draft.options.warnings.extend(warnings);
        Ok(())
    }

    fn check_repeated(&mut self, row: &Row, value: &str) -> Result<(), OptionsError> {
        let tls = |name: &str| matches!(name, "tls" | "ssl");
        if tls(row.name) && self.given.iter().any(|name| tls(name)) {
            // "All instances of tls and ssl do not have the same value": an error; else nothing.
            let same = self.draft.options.tls.enabled.is_none_or(|on| value == on.to_string());
            let message = "tls and ssl must have the same value wherever they are given";
            return same.then_some(()).ok_or(OptionsError::conflict(&["tls", "ssl"], message));
        }
        if !self.given.contains(&row.name) {
            return Ok(());
        }
        match row.repeated {
            Repeated::List => {}
            Repeated::Last => {
                self.warn(format!("option {} is given more than once; the last counts", row.name));
            }
            Repeated::Error => {
                let message = format!("option {} must not be given more than once", row.name);
                return Err(OptionsError::conflict(&[row.name], message));
            }
        }
        Ok(())
    }

    fn warn(&mut self, warning: String) {
        self.draft.options.warnings.push(warning);
    }

    fn finish(mut self, scheme: Scheme) -> Result<ClientOptions, OptionsError> {
        self.check_srv(scheme)?;
        self.draft.options.proxy = self.proxy()?;
        let credential = std::mem::take(&mut self.draft.credential);
        self.draft.options.auth_source.clone_from(&credential.auth_source);
        self.draft.options.credential = match credential.clone().build() {
            Ok(credential) => credential,
            // What is missing may be what was left out.
            Err(error) if self.left_out.iter().any(|name| name.starts_with("auth")) => {
                self.warn(error.to_string());
                credential.assemble()
            }
            Err(error) => return Err(error),
        };
        self.draft.options.validate()?;
        Ok(self.draft.options)
    }

    fn check_srv(&self, scheme: Scheme) -> Result<(), OptionsError> {
        for name in ["srvMaxHosts", "srvServiceName"] {
            if scheme == Scheme::Standard && self.given.contains(&name) {
                let message = format!("{name} goes with mongodb+srv:// only; remove it");
                return Err(OptionsError::conflict(&[name], message));
            }
        }
        Ok(())
    }

    /// socks5 "MongoClient Configuration".
    fn proxy(&self) -> Result<Option<ProxyOptions>, OptionsError> {
        let given = |name| self.given.contains(&name);
        if !given("proxyHost") {
            for name in ["proxyPort", "proxyUsername", "proxyPassword"] {
                if given(name) {
                    let message = format!("{name} needs proxyHost");
                    return Err(OptionsError::conflict(&[name, "proxyHost"], message));
                }
            }
            return Ok(None);
        }
        let mut proxy = self.draft.proxy.clone();
        if !given("proxyPort") {
            proxy.port = 1080;
        }
        Ok(Some(proxy))
    }
}

fn unknown(key: &str) -> String {
    match closest(key, Row::names()) {
        Some(name) => format!("option {key} is unknown and ignored; did you mean {name}?"),
        None => format!("option {key} is unknown and ignored"),
    }
}

impl Row {
    /// Reads `value` into `draft`. An empty number or boolean is ignored, as it MUST be.
    fn read(&self, value: &str, draft: &mut Draft) -> Result<(), OptionsError> {
        let bad = |expected: String| OptionsError::BadValue {
            option: self.name,
            // With an @ it may be the rest of a password with an unescaped question mark.
            value: (!self.secret && !value.contains('@')).then(|| value.to_owned()),
            expected,
        };
        match self.value {
            Value::Text(set) => set(draft, value).map_err(bad),
            Value::Bool(_) | Value::Integer(..) if value.is_empty() => {
                draft.warnings.push(format!("option {} is empty and ignored", self.name));
                Ok(())
            }
            Value::Bool(set) => {
                let on = self.read_bool(value, draft).ok_or_else(|| bad("true or false".into()))?;
                set(draft, on);
                Ok(())
            }
            Value::Integer(least, most, set) => match value.parse() {
                Ok(number) if (least..=most).contains(&number) => {
                    set(draft, number);
                    Ok(())
                }
                _ => Err(bad(self.range(least, most))),
            },
        }
    }

    /// "It is RECOMMENDED that alternative values be supported" with a warning.
    fn read_bool(&self, value: &str, draft: &mut Draft) -> Option<bool> {
        let on = match value {
            "true" => return Some(true),
            "false" => return Some(false),
            "1" | "yes" | "y" | "t" => true,
            "0" | "-1" | "no" | "n" | "f" => false,
            _ => return None,
        };
        let name = self.name;
        draft.warnings.push(format!("option {name}={value} is deprecated; write {name}={on}"));
        Some(on)
    }

    fn range(&self, least: i64, most: i64) -> String {
        let unit = if self.name.ends_with("MS") { " of milliseconds" } else { "" };
        match (least, most) {
            (-1, most) if most >= i64::from(i32::MAX) => "-1 (no limit) or a number from 0".into(),
            (least, most) if most >= i64::from(i32::MAX) => {
                format!("a whole number{unit}, at least {least}")
            }
            (least, most) => format!("a whole number{unit} from {least} to {most}"),
        }
    }
}
