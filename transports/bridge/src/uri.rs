//! The connection string that a page is given: no credentials, the members of now.

/// `uri` for strangers to see: without user, password and every option that is not known to be
/// harmless, and with `members` (where there are any) in place of its hosts.
///
/// The seeds that an operator wrote may be other names for the members; a page that dials those
/// would be refused.
pub fn public_uri(uri: &str, members: &[String]) -> String {
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
    let (authority, tail) = match rest.find(['/', '?']) {
        Some(end) => rest.split_at(end),
        None => (rest, ""),
    };
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    let hosts = if members.is_empty() { hosts.to_owned() } else { members.join(",") };
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    let database = path.trim_start_matches('/');
    let options = query.split('&').filter(|option| is_harmless(option)).collect::<Vec<_>>();
    let query = if options.is_empty() { String::new() } else { format!("?{}", options.join("&")) };
    format!("mongodb://{hosts}/{database}{query}")
}

fn is_harmless(option: &str) -> bool {
    let name = option.split('=').next().unwrap_or_default();
    HARMLESS.iter().any(|harmless| harmless.eq_ignore_ascii_case(name))
}

/// Options that hold no secret and no path of this machine.
const HARMLESS: [&str; 33] = [
    "appName",
    "authMechanism",
    "authSource",
    "compressors",
    "connectTimeoutMS",
    "directConnection",
    "heartbeatFrequencyMS",
    "journal",
    "loadBalanced",
    "localThresholdMS",
    "maxConnecting",
    "maxIdleTimeMS",
    "maxPoolSize",
    "maxStalenessSeconds",
    "minPoolSize",
    "readConcernLevel",
    "readPreference",
    "readPreferenceTags",
    "replicaSet",
    "retryReads",
    "retryWrites",
    "serverMonitoringMode",
    "serverSelectionTimeoutMS",
    "serverSelectionTryOnce",
    "socketCheckIntervalMS",
    "socketTimeoutMS",
    "ssl",
    "timeoutMS",
    "tls",
    "w",
    "waitQueueTimeoutMS",
    "wTimeoutMS",
    "zlibCompressionLevel",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_and_unknown_options_are_dropped() {
        let uri = "mongodb://ann:s%40cret@a:1,b:2/app?replicaSet=rs0&tlsCertificateKeyFile=/k.pem\
                   &authMechanismProperties=AWS_SESSION_TOKEN:x&w=majority&tlsCAFile=ca";
        assert_eq!(public_uri(uri, &[]), "mongodb://a:1,b:2/app?replicaSet=rs0&w=majority");
        let shown = public_uri("mongodb://u:p@ss@h/?authsource=admin", &[]);
        assert_eq!(shown, "mongodb://h/?authsource=admin");
    }

    #[test]
    fn members_replace_seeds() {
        let members = ["x:1".to_owned(), "[::1]:2".to_owned()];
        assert_eq!(public_uri("mongodb://u:p@a", &members), "mongodb://x:1,[::1]:2/");
        let srv = "mongodb+srv://u:p@cluster.example/?retryWrites=true";
        assert_eq!(public_uri(srv, &members), "mongodb://x:1,[::1]:2/?retryWrites=true");
    }

    #[test]
    fn a_uri_without_slash_or_with_only_options_is_kept() {
        assert_eq!(public_uri("mongodb://a:1", &[]), "mongodb://a:1/");
        assert_eq!(public_uri("mongodb://a?w=1", &[]), "mongodb://a/?w=1");
    }
}
