//! Connection strings as a whole: parts, errors, warnings, secrets, hostile text.

use std::time::Duration;

use super::*;
use crate::engine::selection::ReadPreferenceMode;
use crate::options::{Acknowledgment, ClientOptions, ServerMonitoringMode};

fn options(query: &str) -> ClientOptions {
    ClientOptions::parse(&format!("mongodb://h/?{query}")).unwrap()
}

fn error(uri: &str) -> String {
    ClientOptions::parse(uri).unwrap_err().to_string()
}

// RK-42
#[test]
fn a_string_is_taken_apart() {
    let uri = ConnectionString::parse("mongodb://a%40:b%3A@h1,H2:5,[::1]:6/d?x=1%202&Y=").unwrap();
    assert_eq!(uri.scheme, Scheme::Standard);
    let hosts: Vec<_> = uri.hosts.iter().map(ToString::to_string).collect();
    assert_eq!(hosts, ["h1:27017", "h2:5", "[::1]:6"]);
    assert_eq!(uri.username.as_deref(), Some("a@"));
    assert_eq!(uri.password.as_deref(), Some("b:"));
    assert_eq!(uri.database.as_deref(), Some("d"));
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(uri.options, [pair("x", "1 2"), pair("Y", "")]);
}

#[test]
fn no_text_shows_the_password() {
    let uri = ConnectionString::parse("mongodb://u:hunter2@h/?proxyPassword=hunter2").unwrap();
    assert_eq!(uri.to_string(), "mongodb://...@h:27017/?proxyPassword=...");
    assert!(!format!("{uri:?}").contains("hunter2"));
    let options = ClientOptions::parse(
        "mongodb://u:hunter2@h/?proxyHost=p&proxyUsername=u&proxyPassword=hunter2\
         &tlsCertificateKeyFilePassword=hunter2",
    );
    assert!(!format!("{options:?}").contains("hunter2"));
    for uri in [
        "mongodb://u:hunter2",
        "mongodb://u:hunter2/x@h",
        "mongodb://u:x/hunter2@h",
        "mongodb://u:hunter2?x@h",
        "mongodb://u:hunter2:x@h",
        "mongodb://u:hunter2@x@h",
        "mongodb://u:hunter2%@h",
        "mongodb://u:p@h/?authMechanismProperties=hunter2",
        "mongodb://u:p@h/?authMechanism=MONGODB-OIDC&authMechanismProperties=A:hunter2",
    ] {
        let text = error(uri);
        assert!(!text.contains("hunter2"), "{uri}: {text}");
    }
}

#[test]
fn errors_say_what_to_do() {
    assert!(error("http://h").contains("must begin with mongodb://"));
    assert!(error("mongodb://u:p@s@h").contains("@ as %40"));
    assert!(error("mongodb://u:p/s@h").contains("/ as %2F"));
    assert!(error("mongodb:///tmp/mongodb-27017.sock").contains("%2F"));
    assert!(error("mongodb://a,b:0").contains("host 2 has a port that is not a number"));
    assert!(error("mongodb://h/?a=1?b=2").contains("separate options with &"));
    assert!(error("mongodb+srv://a,b").contains("one host name"));
    assert!(error("mongodb+srv://a:27017").contains("no port"));
    assert!(error("mongodb+srv://a%3A27017").contains("no port"));
    assert!(error("mongodb://[a.sock").contains("not an IPv6 literal"));
    assert!(error("mongodb+srv://%2Ftmp%2Fa.sock").contains("not a Unix domain socket"));
    assert!(error("mongodb://a,b/?directConnection=true").contains("there are 2"));
}

// IC-107, IC-108: other than there, the slash before the options may be left out, as the
// specification says now; whether a value may be empty is the option's business.
#[test]
fn what_has_no_form_is_refused_with_what_to_write_instead() {
    let table = [
        ("mongodb://h/?a=1?b=2", "more than one ?"),
        ("mongodb://h/?=1", "no name"),
        ("mongodb://h/?a", "has no ="),
        ("mongodb://h/?replicaSet=", "replicaSet"),
        ("mongodb://u@x:p@h", "percent-encoded"),
        ("mongodb://u:p:q@h", "percent-encoded"),
        ("mongodb://u:p%@h", "percent-encoded"),
        ("mongodb://u:p/q@h", "percent-encoded"),
        ("mongodb://", "there is no host"),
        ("mongodb:///?replicaSet=rs", "there is no host"),
        ("mongodb://u:p@", "there is no host"),
        ("mongodb://a,,b", "host 2 is empty"),
        ("mongodb:///tmp/mongodb.sock", "there is no host"),
        ("mongodb://%2Ftmp%2Fmongodb", "ends in .sock"),
    ];
    for (uri, expected) in table {
        let text = error(uri);
        assert!(text.contains(expected), "{uri}: {text}");
    }
    let socket = ClientOptions::parse("mongodb://%2Ftmp%2Fmongodb.sock").unwrap().hosts;
    assert_eq!(socket[0].to_string(), "/tmp/mongodb.sock");
    assert_eq!(options("").hosts, ClientOptions::parse("mongodb://h?w=1").unwrap().hosts);
}

#[test]
fn a_bad_value_is_an_error_that_names_option_value_and_range() {
    assert_eq!(
        error("mongodb://h/?heartbeatFrequencyMS=499"),
        "option heartbeatFrequencyMS cannot be \"499\": it must be a whole number of milliseconds, \
         at least 500"
    );
    let mode = error("mongodb://h/?readPreference=Secondary");
    assert!(mode.contains("\"Secondary\"") && mode.contains("secondaryPreferred"), "{mode}");
    assert!(error("mongodb://h/?retryWrites=maybe").contains("true or false"));
    assert!(error("mongodb://h/?zlibCompressionLevel=10").contains("from -1 to 9"));
    assert!(error("mongodb://h/?w=-1").contains("option w cannot be \"-1\""));
    assert!(error("mongodb://h/?maxPoolSize=99999999999").contains("maxPoolSize"));
    assert!(error("mongodb://h/?replicaSet=").contains("replicaSet"));
    let lenient = ClientOptions::parse_leniently("mongodb://h/?heartbeatFrequencyMS=499").unwrap();
    assert_eq!(lenient.heartbeat_frequency, None);
    assert!(lenient.warnings[0].contains("heartbeatFrequencyMS"), "{:?}", lenient.warnings);
}

// IC-17: how servers are monitored is one of three words, as it was one of two there.
#[test]
fn an_unknown_way_of_monitoring_is_refused_by_its_name() {
    for (text, mode) in [
        ("auto", ServerMonitoringMode::Auto),
        ("stream", ServerMonitoringMode::Stream),
        ("poll", ServerMonitoringMode::Poll),
    ] {
        assert_eq!(options(&format!("serverMonitoringMode={text}")).server_monitoring_mode, mode);
    }
    assert_eq!(options("").server_monitoring_mode, ServerMonitoringMode::Auto);
    for unknown in ["scanning", "streamable", "sdam", "Poll"] {
        assert_eq!(
            error(&format!("mongodb://h/?serverMonitoringMode={unknown}")),
            format!(
                "option serverMonitoringMode cannot be \"{unknown}\": it must be auto, stream or \
                 poll"
            )
        );
    }
}

// IC-111
#[test]
fn the_name_of_the_set_makes_a_set_and_what_is_shown_is_in_one_form() {
    let parsed = |uri: &str| {
        let options = ClientOptions::parse(uri).unwrap();
        let hosts: Vec<_> = options.hosts.iter().map(ToString::to_string).collect();
        (hosts.join(","), options.repl_set_name)
    };
    let hosts = || "b:27017,a:5".to_owned();
    assert_eq!(parsed("mongodb://B,a:5/?replicaSet=rs0"), (hosts(), Some("rs0".to_owned())));
    assert_eq!(parsed("mongodb://B,a:5"), (hosts(), None));
    let default = ClientOptions::default();
    assert_eq!((&*default.hosts[0].to_string(), default.hosts.len()), ("localhost:27017", 1));
    let shown = |uri: &str| ConnectionString::parse(uri).unwrap().to_string();
    let canonical = "mongodb://...@b:27017,a:5/shop?replicaSet=...&appName=...";
    for uri in [
        "mongodb://u:hunter2@B,a:5/shop?replicaSet=rs0&appName=till",
        "mongodb://u:hunter%32@%42:27017,A:5/sh%6Fp?replicaSet=rs0&&appName=t%69ll&",
    ] {
        assert_eq!(shown(uri), canonical);
    }
    assert_eq!(shown("mongodb://h"), "mongodb://h:27017/");
}

#[test]
fn an_unknown_option_is_a_warning_with_a_guess() {
    let warnings = options("retryWritess=true&nothing=1").warnings;
    assert_eq!(
        warnings,
        [
            "option retryWritess is unknown and ignored; did you mean retryWrites?",
            "option nothing is unknown and ignored"
        ]
    );
}

#[test]
fn keys_have_no_case_and_the_last_of_a_repeated_one_counts() {
    let options = options("MAXPOOLSIZE=5&maxPoolSize=6&j=1&readPreference=nearest");
    assert_eq!(options.max_pool_size, 6);
    assert_eq!(options.read_preference.mode, ReadPreferenceMode::Nearest);
    assert!(options.warnings[0].contains("more than once"), "{:?}", options.warnings);
}

#[test]
fn deprecated_spellings_work_with_a_warning() {
    let options = options("wtimeout=5&journal=yes&w=dc2");
    assert_eq!(options.write_concern.w_timeout, Some(Duration::from_millis(5)));
    assert_eq!(options.write_concern.journal, Some(true));
    assert_eq!(options.write_concern.w, Some(Acknowledgment::Custom("dc2".into())));
    assert_eq!(options.warnings.len(), 2, "{:?}", options.warnings);
}

// MS-01
#[test]
fn staleness_is_bounded_only_when_a_server_is_selected() {
    let staleness = |query| options(query).read_preference.max_staleness;
    assert_eq!(staleness("readPreference=nearest&maxStalenessSeconds=-1"), None);
    let small = staleness("readPreference=nearest&maxStalenessSeconds=1");
    assert_eq!(small, Some(Duration::from_secs(1)));
    assert!(error("mongodb://h/?maxStalenessSeconds=120").contains("maxStalenessSeconds"));
    assert!(error("mongodb://h/?readPreferenceTags=a:b").contains("primary"));
}

// UO-03
#[test]
fn tag_sets_keep_their_order_and_the_empty_one() {
    let query = "readPreference=secondary&readPreferenceTags=dc:ny,rack:1&readPreferenceTags=";
    let sets = options(query).read_preference.tag_sets;
    assert_eq!(sets.len(), 2);
    assert_eq!(sets[0]["rack"], "1");
    assert!(sets[1].is_empty());
}

#[test]
fn zero_means_no_limit() {
    let options = options("connectTimeoutMS=0&socketTimeoutMS=0&maxIdleTimeMS=0&timeoutMS=0");
    assert_eq!(options.connect_timeout, None);
    assert_eq!(options.socket_timeout, None);
    assert_eq!(options.max_idle_time, None);
    assert_eq!(options.timeout, Some(Duration::ZERO));
}

#[test]
fn srv_strings_keep_the_name_to_look_up() {
    let options = ClientOptions::parse("mongodb+srv://cluster.example.com/db?tls=false").unwrap();
    assert_eq!(options.srv_host.as_deref(), Some("cluster.example.com"));
    assert!(options.hosts.is_empty() && !options.tls_enabled());
    assert!(ClientOptions::parse("mongodb+srv://a.b.c").unwrap().tls_enabled());
}

/// Whatever is written, the answer is a value: no panic, and no text with the password.
#[test]
fn hostile_strings_are_errors_or_options() {
    const PARTS: [&str; 24] = [
        "mongodb://",
        "mongodb+srv://",
        "u:hunter2@",
        "@",
        ":",
        "/",
        "?",
        "&",
        "=",
        ",",
        "%",
        "%4",
        "%zz",
        "%00",
        "[::1]",
        "h",
        "é",
        "h:1",
        "tls",
        "w=",
        "-1",
        "readPreferenceTags=a",
        ".sock",
        "authMechanism=PLAIN",
    ];
    let mut rng = crate::engine::rng::Rng::seeded(1);
    for _ in 0..20_000 {
        let mut uri = String::from(if rng.below(8) == 0 { "" } else { "mongodb://u:hunter2@h" });
        for _ in 0..rng.below(12) {
            uri.push_str(PARTS[rng.below(PARTS.len())]);
        }
        for parsed in [ClientOptions::parse(&uri), ClientOptions::parse_leniently(&uri)] {
            let text = match parsed {
                Ok(options) => options.warnings.join(" "),
                Err(error) => error.to_string(),
            };
            assert!(!text.contains("hunter2"), "{uri}: {text}");
        }
    }
}
