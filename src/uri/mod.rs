//! Connection strings: their form, and the table of their options.
//!
//! [`ConnectionString`] takes the string apart (connection-string); `table` has one row per option
//! (uri-options); `apply` turns the parts into [`ClientOptions`](crate::options::ClientOptions).
//! No text that comes out of here contains a password.

mod apply;
mod suggest;
mod table;

use std::fmt;

use percent_encoding::percent_decode_str;

use crate::engine::address::{AddressError, DEFAULT_PORT, ServerAddress};
use crate::options::OptionsError;

/// How the seeds are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `mongodb://`: by address.
    Standard,
    /// `mongodb+srv://`: by the name of SRV records.
    Srv,
}

/// A connection string, taken apart and percent-decoded; its options are not yet understood.
///
/// `Debug` and `Display` show no password.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionString {
    /// How the seeds are given.
    pub scheme: Scheme,
    /// The seeds; for [`Scheme::Srv`] the one host name whose records name them, at port 27017.
    pub hosts: Vec<ServerAddress>,
    /// The user's name.
    pub username: Option<String>,
    /// The password; empty and absent differ.
    pub password: Option<String>,
    /// The database after the slash.
    pub database: Option<String>,
    /// The options in their order: keys as written, values decoded.
    pub options: Vec<(String, String)>,
}

impl ConnectionString {
    /// Takes `uri` apart.
    ///
    /// # Errors
    ///
    /// [`OptionsError::Syntax`], saying what to write instead.
    pub fn parse(uri: &str) -> Result<Self, OptionsError> {
        let (scheme, rest) = if let Some(rest) = uri.strip_prefix("mongodb://") {
            (Scheme::Standard, rest)
        } else if let Some(rest) = uri.strip_prefix("mongodb+srv://") {
            (Scheme::Srv, rest)
        } else {
            return syntax("it must begin with mongodb:// or mongodb+srv://");
        };
        // The slash before the question mark may be left out.
        let (location, query) = match rest.split_once('?') {
            Some((location, query)) => (location, Some(query)),
            None => (rest, None),
        };
        let (authority, database) = match location.split_once('/') {
            Some((authority, database)) => (authority, Some(database)),
            None => (location, None),
        };
        let (userinfo, hosts) = match authority.rsplit_once('@') {
            Some((userinfo, hosts)) => (Some(userinfo), hosts),
            None => (None, authority),
        };
        if userinfo.is_none() && database.is_some_and(|text| text.contains('@')) {
            return syntax(UNESCAPED);
        }
        let (username, password) = match userinfo {
            None => (None, None),
            Some(userinfo) => parse_userinfo(userinfo)?,
        };
        Ok(Self {
            scheme,
            hosts: parse_hosts(scheme, hosts)?,
            username,
            password,
            database: parse_database(database.unwrap_or_default())?,
            options: parse_query(query.unwrap_or_default())?,
        })
    }
}

impl fmt::Debug for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionString({self})")
    }
}

impl fmt::Display for ConnectionString {
    /// The string without user name, password and values of options, for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.scheme {
            Scheme::Standard => "mongodb://",
            Scheme::Srv => "mongodb+srv://",
        })?;
        if self.username.is_some() {
            f.write_str("...@")?;
        }
        for (i, host) in self.hosts.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { "," })?;
            match self.scheme {
                Scheme::Standard => write!(f, "{host}")?,
                Scheme::Srv => f.write_str(host.host())?,
            }
        }
        write!(f, "/{}", self.database.as_deref().unwrap_or_default())?;
        for (i, (key, _)) in self.options.iter().enumerate() {
            write!(f, "{}{key}=...", if i == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

const UNESCAPED: &str = "user name and password must be percent-encoded: write @ as %40, : as %3A, \
                         / as %2F, ? as %3F, # as %23, % as %25";

fn syntax<T>(message: impl Into<String>) -> Result<T, OptionsError> {
    Err(OptionsError::syntax(message))
}

/// The text that `text` is the percent-encoding of; `None` where it is none.
fn decode(text: &str) -> Option<String> {
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let digits = rest.get(at + 1..at + 3)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        rest = &rest[at + 3..];
    }
    let text = percent_decode_str(text).decode_utf8().ok()?;
    // Nothing that the options name may contain it, and BSON keys cannot.
    (!text.contains('\0')).then(|| text.into_owned())
}

/// User name and password: "if the user information contains an at-sign, more than one colon, or a
/// percent-sign that does not match, an exception MUST be thrown".
fn parse_userinfo(userinfo: &str) -> Result<(Option<String>, Option<String>), OptionsError> {
    let (username, password) = match userinfo.split_once(':') {
        Some((username, password)) => (username, Some(password)),
        None => (userinfo, None),
    };
    if userinfo.contains('@') || password.is_some_and(|password| password.contains(':')) {
        return syntax(UNESCAPED);
    }
    if username.is_empty() {
        return syntax("there is nothing before the @; write user:password@host, or no @");
    }
    let decode = |text| decode(text).ok_or_else(|| OptionsError::syntax(UNESCAPED));
    Ok((Some(decode(username)?), password.map(decode).transpose()?))
}

fn parse_hosts(scheme: Scheme, text: &str) -> Result<Vec<ServerAddress>, OptionsError> {
    if text.is_empty() {
        return syntax(
            "there is no host; write mongodb://host:27017 (a Unix domain socket with its slashes \
             as %2F)",
        );
    }
    let hosts: Vec<_> = text.split(',').collect();
    if scheme == Scheme::Srv {
        if hosts.len() > 1 {
            return syntax("mongodb+srv:// takes one host name, whose records name the others");
        }
        // Decoded, for a colon that is written %3A is one all the same.
        let host = decode(text).unwrap_or_default();
        if host.contains(':') {
            return syntax("mongodb+srv:// takes no port: the SRV records name it");
        }
        if host.contains('/') {
            return syntax("mongodb+srv:// takes a host name, not a Unix domain socket");
        }
    }
    let numbered = hosts.iter().enumerate();
    numbered.map(|(i, host)| parse_host(host).map_err(|problem| host_error(i, problem))).collect()
}

fn parse_host(text: &str) -> Result<ServerAddress, &'static str> {
    let host = decode(text).ok_or("has a % without two hexadecimal digits (write it as %25)")?;
    if host.contains('/') {
        if !host.ends_with(".sock") {
            return Err("has a slash, but is no Unix domain socket, whose path ends in .sock");
        }
        return Ok(ServerAddress::Unix { path: host.into() });
    }
    if host.starts_with('[') && host.ends_with(".sock") {
        return Err("is not an IPv6 literal; write it as [::1]:27017");
    }
    // Without a slash it is a host name, even if it ends as a socket does.
    if host.ends_with(".sock") {
        if host.contains(':') {
            return Err(BAD_PORT);
        }
        return Ok(ServerAddress::tcp(&host, DEFAULT_PORT));
    }
    // What is wrong is not quoted: without its "@host" a password looks like a port.
    host.parse().map_err(|error| match error {
        AddressError::EmptyHost => "is empty",
        AddressError::BadPort(_) => BAD_PORT,
        AddressError::BadIpv6(_) => "is not an IPv6 literal; write it as [::1]:27017",
        AddressError::TooManyColons(_) => {
            "has more than one colon; write an IPv6 literal in brackets, as [::1]:27017"
        }
    })
}

const BAD_PORT: &str = "has a port that is not a number from 1 to 65535";

fn host_error(index: usize, problem: &str) -> OptionsError {
    OptionsError::syntax(format!("host {} {problem}", index + 1))
}

fn parse_database(text: &str) -> Result<Option<String>, OptionsError> {
    if text.is_empty() {
        return Ok(None);
    }
    let Some(name) = decode(text) else {
        return syntax("the database's name has a % without two hexadecimal digits (write %25)");
    };
    if let Some(bad) = name.chars().find(|c| "/\\ \"$".contains(*c)) {
        return syntax(format!("the database's name must not contain '{bad}'"));
    }
    Ok(Some(name))
}

fn parse_query(text: &str) -> Result<Vec<(String, String)>, OptionsError> {
    if text.contains('?') {
        return syntax(
            "it has more than one ?; separate options with &, write ? in a value as %3F",
        );
    }
    let mut options = Vec::new();
    for (i, pair) in text.split('&').enumerate() {
        if pair.is_empty() {
            continue;
        }
        let Some((key, value)) = pair.split_once('=') else {
            return syntax(format!("option {} has no =; write name=value", i + 1));
        };
        // Not quoted: it may be the rest of a password with an unescaped question mark.
        let legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if key.is_empty() || !key.chars().all(legal) {
            let problem = "has no name of letters and digits before its =";
            return syntax(format!("option {} {problem} ({UNESCAPED})", i + 1));
        }
        let Some(value) = decode(value) else {
            let problem = "whose value has a % without two hexadecimal digits (write it as %25)";
            return syntax(format!("there is an option {key} {problem}"));
        };
        options.push((key.to_owned(), value));
    }
    Ok(options)
}

#[cfg(test)]
mod tests;
