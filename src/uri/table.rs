//! The options of a connection string: one row each (uri-options).
//!
//! A new option is a new row: its name, the type of its value with the range, and where it goes.

use std::time::Duration;

use crate::engine::map::SortedMap;
use crate::engine::selection::TagSet;
use crate::options::{
    Acknowledgment, ClientOptions, Compressor, CredentialParts, ProxyOptions, ReadConcernLevel,
};

/// What the options are read into.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) options: ClientOptions,
    pub(super) credential: CredentialParts,
    pub(super) proxy: ProxyOptions,
    /// Warnings of the option that is being read.
    pub(super) warnings: Vec<String>,
}

/// One option.
pub(super) struct Row {
    /// Its name as the specification spells it; compared without case.
    pub(super) name: &'static str,
    /// How its value is read.
    pub(super) value: Value,
    /// What it means to be given more than once.
    pub(super) repeated: Repeated,
    /// The name that took this one's place.
    pub(super) replaced_by: Option<&'static str>,
    /// Whether values must not be shown.
    pub(super) secret: bool,
}

/// How a value is read, and where it goes.
pub(super) enum Value {
    /// `true` or `false`.
    Bool(fn(&mut Draft, bool)),
    /// An integer from the first to the second number.
    Integer(i64, i64, fn(&mut Draft, i64)),
    /// Any text, or `Err` with what is allowed.
    Text(fn(&mut Draft, &str) -> Result<(), String>),
}

/// What it means that an option is given more than once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeated {
    /// The last one counts, with a warning.
    Last,
    /// Each adds one.
    List,
    /// An error, for the sake of security.
    Error,
}

impl Row {
    const fn of(name: &'static str, value: Value) -> Self {
        let repeated = Repeated::Last;
        Self { name, value, repeated, replaced_by: None, secret: false }
    }

    const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    const fn repeated(self, repeated: Repeated) -> Self {
        Self { repeated, ..self }
    }

    const fn replaced_by(self, name: &'static str) -> Self {
        Self { replaced_by: Some(name), ..self }
    }

    /// The row of `key`.
    pub(super) fn find(key: &str) -> Option<&'static Self> {
        TABLE.iter().find(|row| row.name.eq_ignore_ascii_case(key))
    }

    /// The names of all options.
    pub(super) fn names() -> impl Iterator<Item = &'static &'static str> {
        TABLE.iter().map(|row| &row.name)
    }
}

const fn flag(name: &'static str, set: fn(&mut Draft, bool)) -> Row {
    Row::of(name, Value::Bool(set))
}

const fn integer(name: &'static str, least: i64, most: i64, set: fn(&mut Draft, i64)) -> Row {
    Row::of(name, Value::Integer(least, most, set))
}

/// A non-negative number of milliseconds.
const fn millis(name: &'static str, least: i64, set: fn(&mut Draft, i64)) -> Row {
    integer(name, least, MAX, set)
}

const fn text(name: &'static str, set: fn(&mut Draft, &str) -> Result<(), String>) -> Row {
    Row::of(name, Value::Text(set))
}

/// "All integer options are 32-bit unless specified otherwise."
const MAX: i64 = i32::MAX as i64;

/// Every option of the specification, in the order of its names.
pub(super) static TABLE: &[Row] = &[
    text("appName", app_name),
    text("authMechanism", |draft, value| {
        draft.credential.mechanism = Some(value.parse()?);
        Ok(())
    }),
    text("authMechanismProperties", |draft, value| {
        draft.credential.properties = pairs(value)?;
        Ok(())
    })
    .secret(),
    text("authSource", |draft, value| {
        draft.credential.auth_source = Some(name(value, "the name of a database")?);
        Ok(())
    }),
    text("compressors", compressors),
    millis("connectTimeoutMS", 0, |draft, n| draft.options.connect_timeout = limit(n)),
    flag("directConnection", |draft, on| draft.options.direct_connection = Some(on)),
    flag("enableOverloadRetargeting", |draft, on| draft.options.enable_overload_retargeting = on),
    millis("heartbeatFrequencyMS", 500, |draft, n| draft.options.heartbeat_frequency = Some(ms(n))),
    flag("journal", |draft, on| draft.options.write_concern.journal = Some(on)),
    flag("loadBalanced", |draft, on| draft.options.load_balanced = Some(on)),
    millis("localThresholdMS", 0, |draft, n| draft.options.local_threshold = ms(n)),
    integer("maxAdaptiveRetries", 0, MAX, |draft, n| draft.options.max_adaptive_retries = count(n)),
    integer("maxConnecting", 1, MAX, |draft, n| draft.options.max_connecting = count(n)),
    millis("maxIdleTimeMS", 0, |draft, n| draft.options.max_idle_time = limit(n)),
    integer("maxPoolSize", 0, MAX, |draft, n| draft.options.max_pool_size = count(n)),
    // UO-03, MS-01: what is too small for the heartbeat interval is an error at selection.
    integer("maxStalenessSeconds", -1, MAX, |draft, n| {
        let seconds = u64::try_from(n).ok();
        draft.options.read_preference.max_staleness = seconds.map(Duration::from_secs);
    }),
    integer("minPoolSize", 0, MAX, |draft, n| draft.options.min_pool_size = count(n)),
    text("proxyHost", |draft, value| {
        draft.proxy.host = name(value, "a host name or an IP literal")?;
        Ok(())
    })
    .repeated(Repeated::Error),
    integer("proxyPort", 0, 65_535, |draft, n| {
        draft.proxy.port = u16::try_from(n).unwrap_or_default();
    })
    .repeated(Repeated::Error),
    text("proxyUsername", |draft, value| {
        // "Drivers MUST ignore this option if it specifies a zero-length string."
        draft.proxy.username = name(value, "a user name").ok();
        Ok(())
    })
    .repeated(Repeated::Error),
    text("proxyPassword", |draft, value| {
        draft.proxy.password = name(value, "a password").ok();
        Ok(())
    })
    .repeated(Repeated::Error)
    .secret(),
    text("readConcernLevel", |draft, value| {
        draft.options.read_concern.level = Some(ReadConcernLevel::from(value));
        Ok(())
    }),
    text("readPreference", |draft, value| {
        let mode = value.parse().map_err(|_| modes())?;
        draft.options.read_preference.mode = mode;
        Ok(())
    }),
    text("readPreferenceTags", |draft, value| {
        draft.options.read_preference.tag_sets.push(pairs(value)?);
        Ok(())
    })
    .repeated(Repeated::List),
    text("replicaSet", |draft, value| {
        draft.options.repl_set_name = Some(name(value, "the name of the replica set")?);
        Ok(())
    }),
    flag("retryReads", |draft, on| draft.options.retry_reads = on),
    flag("retryWrites", |draft, on| draft.options.retry_writes = on),
    text("serverMonitoringMode", |draft, value| {
        draft.options.server_monitoring_mode = value.parse()?;
        Ok(())
    }),
    millis("serverSelectionTimeoutMS", 1, |draft, n| {
        draft.options.server_selection_timeout = ms(n);
    }),
    flag("serverSelectionTryOnce", |draft, on| draft.options.server_selection_try_once = Some(on)),
    millis("socketTimeoutMS", 0, |draft, n| draft.options.socket_timeout = limit(n)),
    integer("srvMaxHosts", 0, MAX, |draft, n| draft.options.srv_max_hosts = count(n)),
    text("srvServiceName", srv_service_name),
    flag("ssl", |draft, on| draft.options.tls.enabled = Some(on)),
    millis("timeoutMS", 0, |draft, n| draft.options.timeout = Some(ms(n))),
    flag("tls", |draft, on| draft.options.tls.enabled = Some(on)),
    flag("tlsAllowInvalidCertificates", |draft, on| {
        draft.options.tls.allow_invalid_certificates = Some(on);
    }),
    flag("tlsAllowInvalidHostnames", |draft, on| {
        draft.options.tls.allow_invalid_hostnames = Some(on);
    }),
    text("tlsCAFile", |draft, value| {
        draft.options.tls.ca_file = Some(name(value, "the name of a file")?);
        Ok(())
    }),
    text("tlsCertificateKeyFile", |draft, value| {
        draft.options.tls.certificate_key_file = Some(name(value, "the name of a file")?);
        Ok(())
    }),
    text("tlsCertificateKeyFilePassword", |draft, value| {
        draft.options.tls.certificate_key_file_password = Some(value.to_owned());
        Ok(())
    })
    .secret(),
    flag("tlsDisableCertificateRevocationCheck", |draft, on| {
        draft.options.tls.disable_certificate_revocation_check = Some(on);
    }),
    flag("tlsDisableOCSPEndpointCheck", |draft, on| {
        draft.options.tls.disable_ocsp_endpoint_check = Some(on);
    }),
    flag("tlsInsecure", |draft, on| draft.options.tls.insecure = Some(on)),
    text("w", w),
    millis("waitQueueTimeoutMS", 1, |draft, n| draft.options.wait_queue_timeout = Some(ms(n))),
    integer("wTimeoutMS", 0, i64::MAX, |draft, n| draft.options.write_concern.w_timeout = limit(n)),
    integer("wTimeout", 0, i64::MAX, |draft, n| draft.options.write_concern.w_timeout = limit(n))
        .replaced_by("wTimeoutMS"),
    integer("zlibCompressionLevel", -1, 9, |draft, n| {
        draft.options.zlib_compression_level = i32::try_from(n).unwrap_or(-1);
    }),
];

fn count(n: i64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn ms(n: i64) -> Duration {
    Duration::from_millis(u64::try_from(n).unwrap_or_default())
}

/// A time limit; 0 means none.
fn limit(n: i64) -> Option<Duration> {
    (n != 0).then(|| ms(n))
}

/// A text that is not empty.
fn name(value: &str, expected: &str) -> Result<String, String> {
    if value.is_empty() { Err(expected.to_owned()) } else { Ok(value.to_owned()) }
}

fn modes() -> String {
    let modes = crate::engine::selection::ReadPreferenceMode::ALL.map(|mode| mode.as_str());
    format!("one of {}", modes.join(", "))
}

/// `name:value,name:value`; the value may contain colons.
fn pairs(text: &str) -> Result<SortedMap<String, String>, String> {
    let mut pairs = TagSet::new();
    for pair in text.split(',').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once(':').filter(|(name, _)| !name.is_empty()).ok_or(
            "pairs of the form name:value, separated by commas (no value may contain a comma)",
        )?;
        pairs.insert(name.to_owned(), value.to_owned());
    }
    Ok(pairs)
}

fn app_name(draft: &mut Draft, value: &str) -> Result<(), String> {
    let most = crate::options::MAX_APP_NAME;
    if value.len() > most {
        return Err(format!("at most {most} bytes long"));
    }
    draft.options.app_name = Some(value.to_owned());
    Ok(())
}

/// "Unknown compressors MUST yield a warning and MUST NOT be included in the handshake."
fn compressors(draft: &mut Draft, value: &str) -> Result<(), String> {
    draft.options.compressors.clear();
    for word in value.split(',').filter(|word| !word.is_empty()) {
        match Compressor::ALL.into_iter().find(|compressor| compressor.as_str() == word) {
            Some(compressor) => draft.options.compressors.push(compressor),
            None => draft.warnings.push(format!(
                "option compressors: \"{word}\" is not supported and left out; use snappy, zlib or \
                 zstd"
            )),
        }
    }
    Ok(())
}

/// RFC 6335 section 5.1, except that it may be longer ("as long as the 63rd (62nd with prepended
/// underscore) character DNS query limit is not surpassed").
fn srv_service_name(draft: &mut Draft, value: &str) -> Result<(), String> {
    let legal = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let letter = value.bytes().any(|byte| byte.is_ascii_alphabetic());
    let hyphens = value.starts_with('-') || value.ends_with('-') || value.contains("--");
    if !legal || !letter || hyphens || value.len() > 62 {
        return Err("1 to 62 letters, digits and single hyphens inside, with a letter".to_owned());
    }
    draft.options.srv_service_name = value.to_owned();
    Ok(())
}

fn w(draft: &mut Draft, value: &str) -> Result<(), String> {
    let w = match value.parse::<i64>() {
        Ok(nodes) => match u32::try_from(nodes) {
            Ok(nodes) if i64::from(nodes) <= MAX => Acknowledgment::Nodes(nodes),
            _ => return Err("a number of members that is not negative, or a name".to_owned()),
        },
        Err(_) => Acknowledgment::from(name(value, "a number of members, or a name")?.as_str()),
    };
    draft.options.write_concern.w = Some(w);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_without_case_and_replacements_exist() {
        for (i, row) in TABLE.iter().enumerate() {
            let same = |other: &Row| other.name.eq_ignore_ascii_case(row.name);
            assert!(!TABLE[i + 1..].iter().any(same), "{} is there twice", row.name);
            if let Some(name) = row.replaced_by {
                assert!(Row::find(name).is_some(), "{name} is not in the table");
            }
        }
    }

    #[test]
    fn service_names_follow_the_rfc() {
        let check = |name: &str| srv_service_name(&mut Draft::default(), name).is_ok();
        assert!(check("mongodb") && check("custom-name2") && check(&"a".repeat(62)));
        for bad in ["", "12", "-a", "a-", "a--b", "a_b", &"a".repeat(63)] {
            assert!(!check(bad), "{bad}");
        }
    }
}
