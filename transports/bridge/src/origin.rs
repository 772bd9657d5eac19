//! Who may ask: the rules for `Host` and `Origin`.
//!
//! A WebSocket is not bound by the same-origin policy: any page a user visits may open one to
//! `localhost`. The bridge therefore decides by the `Origin` header, which pages cannot forge:
//!
//! - an origin given by `--allow-origin` is allowed;
//! - a page that the bridge served itself is: its origin names the host that the request names;
//! - anything else is refused, and so is a request without the header, unless that is allowed.
//!
//! That second rule alone would fall to DNS rebinding, where a foreign name is made to resolve to
//! this host and both headers agree on it. So a `Host` must be an IP literal, `localhost`, or the
//! host of an allowed origin or given by `--allow-host`: names that a stranger cannot have pointed
//! here.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// The rules of one bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    allowed: Vec<String>,
    hosts: Vec<String>,
    allow_none: bool,
    /// The bridge's own pages come by TLS, and by nothing else.
    secure: bool,
}

/// Why a request is refused; its text is the answer's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No `Host` header, or none that is text.
    NoHost,
    /// A host name that anyone could have pointed here.
    Host(String),
    /// No `Origin` header.
    NoOrigin,
    /// An origin that is neither allowed nor the bridge's own.
    Origin(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHost => write!(f, "The request has no Host header."),
            Self::Host(host) => write!(
                f,
                "The host {host} is not known to this bridge; use its IP address, or start it with \
                 --allow-host for that host."
            ),
            Self::NoOrigin => write!(
                f,
                "The request has no Origin header. Programs other than browsers are served with a \
                 token, or where the bridge is started with --allow-no-origin."
            ),
            Self::Origin(origin) => write!(
                f,
                "The origin {origin} may not use this bridge; start it with \
                 --allow-origin {origin} to trust it."
            ),
        }
    }
}

impl std::error::Error for Refused {}

impl Origins {
    /// Trusts pages of `allowed` besides the bridge's own, and requests without an origin if
    /// `allow_none`.
    ///
    /// # Errors
    ///
    /// The first of `allowed` that is no origin, and what one looks like.
    pub fn new(allowed: &[String], allow_none: bool) -> Result<Self, String> {
        let origin = |text: &String| {
            let origin = text.trim_end_matches('/').to_ascii_lowercase();
            match authority(&origin) {
                Some(host) if !host.is_empty() && !host.contains(['/', '*', '?', '#', '@']) => {
                    Ok(origin)
                }
                _ => Err(format!("\"{text}\" is not an origin; write it as https://example.com")),
            }
        };
        let allowed = allowed.iter().map(origin).collect::<Result<_, _>>()?;
        Ok(Self { allowed, hosts: Vec::new(), allow_none, secure: false })
    }

    /// Whether requests without an origin are fine.
    pub fn allow_none(mut self, allow: bool) -> Self {
        self.allow_none = allow;
        self
    }

    /// Knows itself by these names, too.
    ///
    /// # Errors
    ///
    /// The first that is no host name.
    pub fn with_hosts(mut self, hosts: &[String]) -> Result<Self, String> {
        let wrong = |host: &&String| host.is_empty() || host.contains(['/', ':', '*', '@']);
        if let Some(host) = hosts.iter().find(wrong) {
            return Err(format!("\"{host}\" is not a host; write it as bridge.example"));
        }
        self.hosts.extend(hosts.iter().map(|host| host.to_ascii_lowercase()));
        Ok(self)
    }

    /// Trusts its own pages only where they came by TLS.
    pub(crate) fn secure(mut self) -> Self {
        self.secure = true;
        self
    }

    /// Whether a request may name this host.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn check_host(&self, host: Option<&str>) -> Result<(), Refused> {
        let host = host.ok_or(Refused::NoHost)?.to_ascii_lowercase();
        let name = host_name(&host);
        let is_literal = name.parse::<IpAddr>().is_ok()
            || name
                .strip_prefix('[')
                .and_then(|name| name.strip_suffix(']'))
                .is_some_and(|name| name.parse::<Ipv6Addr>().is_ok());
        let of_allowed = |origin: &String| authority(origin).map(host_name) == Some(name);
        let given = self.hosts.iter().any(|host| host == name);
        if is_literal || given || name == "localhost" || self.allowed.iter().any(of_allowed) {
            return Ok(());
        }
        Err(Refused::Host(host))
    }

    /// Whether a page of this origin may use what a request to `host` asks for. A token authorises
    /// a request without an origin, but not a page of a foreign one.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn check(
        &self,
        host: Option<&str>,
        origin: Option<&str>,
        has_token: bool,
    ) -> Result<(), Refused> {
        self.check_host(host)?;
        let Some(origin) = origin else {
            return if self.allow_none || has_token { Ok(()) } else { Err(Refused::NoOrigin) };
        };
        let origin = origin.to_ascii_lowercase();
        let own = host.map(str::to_ascii_lowercase);
        let is_own = own.is_some() && authority(&origin) == own.as_deref();
        let is_own = is_own && (!self.secure || origin.starts_with("https://"));
        if self.allowed.contains(&origin) || is_own {
            return Ok(());
        }
        Err(Refused::Origin(origin))
    }
}

/// `host[:port]` of an `http` or `https` origin.
fn authority(origin: &str) -> Option<&str> {
    origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"))
}

/// `host:port` without its port.
fn host_name(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(allowed: &[&str]) -> Origins {
        let allowed: Vec<String> = allowed.iter().map(|&origin| origin.to_owned()).collect();
        Origins::new(&allowed, false).unwrap()
    }

    #[test]
    fn the_bridges_own_pages_are_allowed() {
        let rules = rules(&[]);
        for host in ["127.0.0.1:8080", "localhost:8080", "[::1]:8080", "192.168.1.7"] {
            let origin = format!("http://{host}");
            assert_eq!(rules.check(Some(host), Some(&origin), false), Ok(()), "{host}");
        }
        assert_eq!(rules.check(Some("LOCALHOST:1"), Some("http://localhost:1"), false), Ok(()));
    }

    #[test]
    fn other_origins_are_refused() {
        let rules = rules(&[]);
        let host = Some("127.0.0.1:8080");
        for origin in [
            "http://evil.example",
            "http://127.0.0.1:8081",
            "http://127.0.0.1",
            "http://localhost:8080",
            "http://127.0.0.1:8080.evil.example",
            "ftp://127.0.0.1:8080",
            "null",
            "file://",
            "",
        ] {
            let refused = rules.check(host, Some(origin), false);
            assert_eq!(refused, Err(Refused::Origin(origin.to_owned())), "{origin}");
        }
        assert_eq!(rules.check(host, None, false), Err(Refused::NoOrigin));
        assert_eq!(rules.check(None, Some("http://a"), false), Err(Refused::NoHost));
    }

    #[test]
    fn a_rebound_name_is_refused_although_both_headers_agree() {
        let host = Some("evil.example:8080");
        let refused = rules(&[]).check(host, Some("http://evil.example:8080"), false);
        assert_eq!(refused, Err(Refused::Host("evil.example:8080".to_owned())));
        assert!(rules(&[]).check_host(Some("127.0.0.1.evil.example")).is_err());
        assert!(rules(&[]).check_host(Some("localhost.evil.example:80")).is_err());
    }

    #[test]
    fn allowed_origins_are_exact_and_vouch_for_their_host() {
        let rules = rules(&["https://App.Example.com/"]);
        let host = Some("127.0.0.1:8080");
        assert_eq!(rules.check(host, Some("https://app.example.com"), false), Ok(()));
        assert!(rules.check(host, Some("http://app.example.com"), false).is_err());
        assert!(rules.check(host, Some("https://app.example.com:444"), false).is_err());
        assert_eq!(rules.check_host(Some("app.example.com:8080")), Ok(()));
    }

    #[test]
    fn programs_without_an_origin_may_be_allowed() {
        let rules = Origins::new(&[], true).unwrap();
        assert_eq!(rules.check(Some("127.0.0.1:1"), None, false), Ok(()));
        assert!(rules.check(Some("127.0.0.1:1"), Some("http://evil.example"), false).is_err());
    }

    #[test]
    fn a_token_stands_for_a_missing_origin_but_not_for_a_foreign_one() {
        let host = Some("127.0.0.1:1");
        assert_eq!(rules(&[]).check(host, None, true), Ok(()));
        assert!(rules(&[]).check(host, Some("http://evil.example"), true).is_err());
    }

    #[test]
    fn given_hosts_are_known_and_no_others() {
        let rules = rules(&[]).with_hosts(&["Bridge.example".to_owned()]).unwrap();
        let host = Some("bridge.example:8443");
        assert_eq!(rules.check(host, Some("http://bridge.example:8443"), false), Ok(()));
        assert!(rules.check_host(Some("a.bridge.example")).is_err());
        let rules = rules.secure();
        assert!(rules.check(host, Some("http://bridge.example:8443"), false).is_err());
        assert_eq!(rules.check(host, Some("https://bridge.example:8443"), false), Ok(()));
        for bad in ["", "a:1", "https://a", "*.a"] {
            assert!(Origins::default().with_hosts(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_no_origin_is_said() {
        for text in ["example.com", "*", "https://", "https://a/b", "https://*.a", "ws://a"] {
            let error = Origins::new(&[text.to_owned()], false).unwrap_err();
            assert!(error.contains(text) && error.contains("https://example.com"), "{error}");
        }
    }
}
