//! Connection strings and their options.
//!
//! Format: the README files of connection-string/tests and uri-options/tests. The specification
//! leaves a bad value out with a warning; this project refuses it unless it is asked to be lenient.
//! Both are checked: the lenient reading against the file, the strict one to agree where nothing is
//! wrong, and else to name the option.

use portolan::SortedMap;
use std::time::Duration;

use bson::{Bson, Document, bson};
use portolan::engine::address::{DEFAULT_PORT, ServerAddress};
use portolan::options::{ClientOptions, OptionsError};

use crate::json::{documents, integer, same, text};

/// One file of connection-string or uri-options.
pub(crate) fn connection_string(file: &Document) -> Result<(), String> {
    each(file, |test| {
        let uri = text(test, "uri")?;
        let (strict, lenient) = (ClientOptions::parse(uri), ClientOptions::parse_leniently(uri));
        if !test.get_bool("valid").unwrap_or(true) {
            refused("parse", &strict)?;
            return refused("parse_leniently", &lenient);
        }
        let options = lenient.map_err(|error| format!("refused: {error}"))?;
        if test.get_bool("warning").ok() == Some(true) {
            if options.warnings.is_empty() {
                return Err("expected a warning".to_owned());
            }
            warned_or_named(uri, strict)?;
        } else {
            same("warnings", &Vec::new(), &options.warnings)?;
            same("parse and parse_leniently", &Ok(options.clone()), &strict)?;
        }
        compare(test, &options)
    })
}

/// One file of read-write-concern: it wants bad values refused.
pub(crate) fn concern(file: &Document) -> Result<(), String> {
    each(file, |test| {
        let parsed = ClientOptions::parse(text(test, "uri")?);
        if !test.get_bool("valid").unwrap_or(true) {
            return refused("parse", &parsed);
        }
        let options = parsed.map_err(|error| format!("refused: {error}"))?;
        let read =
            |raw: bson::RawDocumentBuf| Document::try_from(raw).map_err(|error| error.to_string());
        if let Ok(expected) = test.get_document("readConcern") {
            same("readConcern", expected, &read(options.read_concern.to_document())?)?;
        }
        if let Ok(expected) = test.get_document("writeConcern") {
            // The file has the names of options, the command's field names differ.
            let mut fields = Document::new();
            for (name, value) in expected {
                match (name.as_str(), value) {
                    ("wtimeoutMS", Bson::Int32(n)) => fields.insert("wtimeout", i64::from(*n)),
                    ("journal", value) => fields.insert("j", value.clone()),
                    (name, value) => fields.insert(name, value.clone()),
                };
            }
            let actual = read(options.write_concern.to_document())?;
            same("writeConcern", &fields, &actual)?;
        }
        Ok(())
    })
}

/// Runs all cases of a file and names each that fails.
pub(crate) fn each(
    file: &Document,
    run: impl Fn(&Document) -> Result<(), String>,
) -> Result<(), String> {
    let tests = documents(file, "tests");
    if tests.is_empty() {
        return Err("the file has no tests".to_owned());
    }
    let mut failures = Vec::new();
    for test in tests {
        if let Err(difference) = run(test) {
            let name = test.get_str("description").unwrap_or("?");
            let uri = test.get_str("uri").unwrap_or("?");
            failures.push(format!("case \"{name}\" ({uri}): {difference}"));
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

pub(crate) fn refused(
    what: &str,
    parsed: &Result<ClientOptions, OptionsError>,
) -> Result<(), String> {
    match parsed {
        Err(_) => Ok(()),
        Ok(_) => Err(format!("{what} accepts it, expected an error")),
    }
}

/// The strict reading warns too, or it refuses the value and names an option of the string.
fn warned_or_named(uri: &str, strict: Result<ClientOptions, OptionsError>) -> Result<(), String> {
    let uri = uri.to_lowercase();
    match strict {
        Ok(options) if options.warnings.is_empty() => Err("parse does not warn".to_owned()),
        Ok(_) => Ok(()),
        Err(error @ OptionsError::BadValue { option, .. })
            if uri.contains(&option.to_lowercase()) && error.to_string().contains(option) =>
        {
            Ok(())
        }
        Err(error) => Err(format!("parse names no option of the string: {error}")),
    }
}

fn compare(test: &Document, options: &ClientOptions) -> Result<(), String> {
    if test.get_array("hosts").is_ok() {
        let host = |host: &Document| -> Result<(String, Option<u16>), String> {
            let unix = text(host, "type")? == "unix";
            let port = integer(host, "port").map_or(DEFAULT_PORT, |port| port as u16);
            Ok((text(host, "host")?.to_owned(), (!unix).then_some(port)))
        };
        let expected: Result<Vec<_>, String> =
            documents(test, "hosts").into_iter().map(host).collect();
        let actual = |address: &ServerAddress| (address.host().to_owned(), address.port());
        same("hosts", &expected?, &options.hosts.iter().map(actual).collect())?;
    }
    if let Ok(auth) = test.get_document("auth") {
        let credential = options.credential.clone().unwrap_or_default();
        let field = |name| auth.get_str(name).ok().map(str::to_owned);
        same("auth.username", &field("username"), &credential.username)?;
        same("auth.password", &field("password"), &credential.password)?;
        same("auth.db", &field("db"), &options.default_database)?;
    }
    if let Ok(expected) = test.get_document("options") {
        for (name, value) in expected {
            same(name, &Some(value.clone()), &option(options, name)?)?;
        }
    }
    Ok(())
}

/// The value of the option `name`, as the files write it.
pub(crate) fn option(options: &ClientOptions, name: &str) -> Result<Option<Bson>, String> {
    let name = name.to_lowercase();
    [time, number, switch, words, authentication, tls]
        .iter()
        .find_map(|group| group(options, &name))
        .ok_or_else(|| format!("this runner does not know the option {name}"))
}

/// An option's value, if it has one; `None` for the options of other groups.
type Found = Option<Option<Bson>>;

fn time(options: &ClientOptions, name: &str) -> Found {
    let limit = match name {
        "connecttimeoutms" => options.connect_timeout,
        "heartbeatfrequencyms" => options.heartbeat_frequency,
        "localthresholdms" => Some(options.local_threshold),
        "maxidletimems" => options.max_idle_time,
        "serverselectiontimeoutms" => Some(options.server_selection_timeout),
        "sockettimeoutms" => options.socket_timeout,
        "timeoutms" => options.timeout,
        "wtimeoutms" => options.write_concern.w_timeout,
        _ => return None,
    };
    Some(limit.map(|limit: Duration| bson!(limit.as_millis() as i32)))
}

fn number(options: &ClientOptions, name: &str) -> Found {
    let count = match name {
        "maxadaptiveretries" => options.max_adaptive_retries,
        "maxconnecting" => options.max_connecting,
        "maxpoolsize" => options.max_pool_size,
        "minpoolsize" => options.min_pool_size,
        "srvmaxhosts" => options.srv_max_hosts,
        "zlibcompressionlevel" => return Some(Some(bson!(options.zlib_compression_level))),
        "maxstalenessseconds" => {
            let limit = options.read_preference.max_staleness;
            return Some(limit.map(|limit| bson!(limit.as_secs() as i32)));
        }
        _ => return None,
    };
    Some(Some(bson!(count as i32)))
}

fn switch(options: &ClientOptions, name: &str) -> Found {
    Some(match name {
        "directconnection" => options.direct_connection.map(Bson::from),
        "enableoverloadretargeting" => Some(bson!(options.enable_overload_retargeting)),
        "journal" => options.write_concern.journal.map(Bson::from),
        "loadbalanced" => options.load_balanced.map(Bson::from),
        "retrywrites" => Some(bson!(options.retry_writes)),
        "serverselectiontryonce" => options.server_selection_try_once.map(Bson::from),
        _ => return None,
    })
}

fn words(options: &ClientOptions, name: &str) -> Found {
    let set = |set: &SortedMap<String, String>| -> Bson { Bson::Document(document(set)) };
    Some(match name {
        "appname" => options.app_name.clone().map(Bson::from),
        "compressors" => Some(options.compressors.iter().map(|c| c.as_str()).collect()),
        "readconcernlevel" => {
            options.read_concern.level.as_ref().map(|level| bson!(level.as_str()))
        }
        "readpreference" => Some(bson!(options.read_preference.mode.as_str())),
        "readpreferencetags" => Some(options.read_preference.tag_sets.iter().map(set).collect()),
        "replicaset" => options.repl_set_name.clone().map(Bson::from),
        "servermonitoringmode" => {
            Some(bson!(format!("{:?}", options.server_monitoring_mode).to_lowercase()))
        }
        "srvservicename" => Some(bson!(options.srv_service_name.as_str())),
        "w" => Document::try_from(options.write_concern.to_document()).ok()?.remove("w"),
        _ => return None,
    })
}

fn authentication(options: &ClientOptions, name: &str) -> Found {
    let credential = options.credential.clone().unwrap_or_default();
    Some(match name {
        "authmechanism" => credential.mechanism.map(|mechanism| bson!(mechanism.as_str())),
        "authmechanismproperties" => {
            Some(Bson::Document(document(&credential.mechanism_properties)))
        }
        "authsource" => Some(bson!(credential.source)),
        _ => return None,
    })
}

fn tls(options: &ClientOptions, name: &str) -> Found {
    let tls = options.tls.clone();
    Some(match name {
        "tls" => tls.enabled.map(Bson::from),
        "tlsallowinvalidcertificates" => tls.allow_invalid_certificates.map(Bson::from),
        "tlsallowinvalidhostnames" => tls.allow_invalid_hostnames.map(Bson::from),
        "tlscafile" => tls.ca_file.map(Bson::from),
        "tlscertificatekeyfile" => tls.certificate_key_file.map(Bson::from),
        "tlscertificatekeyfilepassword" => tls.certificate_key_file_password.map(Bson::from),
        "tlsdisablecertificaterevocationcheck" => {
            tls.disable_certificate_revocation_check.map(Bson::from)
        }
        "tlsdisableocspendpointcheck" => tls.disable_ocsp_endpoint_check.map(Bson::from),
        "tlsinsecure" => tls.insecure.map(Bson::from),
        _ => return None,
    })
}

fn document(pairs: &SortedMap<String, String>) -> Document {
    pairs.iter().map(|(name, value)| (name.clone(), bson!(value.as_str()))).collect()
}
