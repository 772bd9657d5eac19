//! What rustls found, in words that say what to do.

#[cfg(feature = "tls")]
use std::io;
use std::time::Duration;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error};

#[cfg(feature = "tls")]
use crate::driver::open::OpenError;
#[cfg(feature = "tls")]
use crate::engine::sdam::LinkErrorKind;
use crate::engine::sdam::TlsProblem;
use crate::transport::EncryptionError;

/// A session with `host` that failed.
pub(super) fn of_session(host: &str, error: &Error) -> EncryptionError {
    EncryptionError { problem: judge(error), message: describe(host, error) }
}

/// A handshake with `host` that failed.
#[cfg(feature = "tls")]
pub(super) fn of_handshake(host: &str, error: &io::Error) -> OpenError {
    let (problem, message) = match inner(error) {
        None => {
            let message = format!("the TLS handshake with {host} broke off: {error}");
            (TlsProblem::BrokenOff, message)
        }
        Some(error) => (judge(error), describe(host, error)),
    };
    OpenError::new(LinkErrorKind::Tls(problem), message)
}

/// An error behind the handshake, in our words where it is one of TLS: a server of TLS 1.3 refuses
/// the client's certificate only then.
#[cfg(feature = "tls")]
pub(super) fn explained(error: io::Error) -> io::Error {
    match inner(&error) {
        None => error,
        Some(tls) => io::Error::new(error.kind(), describe("the server", tls)),
    }
}

#[cfg(feature = "tls")]
fn inner(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

fn judge(error: &Error) -> TlsProblem {
    match error {
        Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                TlsProblem::Expired
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                TlsProblem::NotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsProblem::WrongHost
            }
            CertificateError::UnknownIssuer => TlsProblem::Untrusted,
            CertificateError::Revoked => TlsProblem::Revoked,
            _ => TlsProblem::BadCertificate,
        },
        Error::InvalidMessage(_) => TlsProblem::NotTls,
        Error::AlertReceived(alert) if is_about_certificates(*alert) => {
            TlsProblem::ClientCertificate
        }
        _ => TlsProblem::Handshake,
    }
}

fn is_about_certificates(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::CertificateRequired
    )
}

fn describe(host: &str, error: &Error) -> String {
    match error {
        Error::InvalidCertificate(certificate) => describe_certificate(host, certificate),
        Error::InvalidMessage(_) => format!(
            "{host} answers the TLS handshake with something else: it may not speak TLS \
             (tls=false); {error}"
        ),
        Error::AlertReceived(alert) if is_about_certificates(*alert) => format!(
            "{host} refuses the client's certificate, or wants one (tlsCertificateKeyFile): TLS \
             alert {alert:?}"
        ),
        Error::AlertReceived(alert) => {
            format!("{host} breaks off the TLS handshake with alert {alert:?}")
        }
        other => format!("the TLS handshake with {host} failed: {other}"),
    }
}

fn describe_certificate(host: &str, error: &CertificateError) -> String {
    match error {
        CertificateError::ExpiredContext { time, not_after } => {
            format!("the certificate of {host} expired {} ago", span(*not_after, *time))
        }
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "the certificate of {host} is valid in {} only, by the clock of this machine",
            span(*time, *not_before)
        ),
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names: Vec<&str> = presented.iter().map(|name| plain(name)).collect();
            let names = if names.is_empty() { "no host".to_owned() } else { names.join(", ") };
            format!(
                "the certificate of {host} is not for that host, but for {names}: connect by such \
                 a name, or give the server a certificate that names this one (as subjectAltName)"
            )
        }
        CertificateError::UnknownIssuer => format!(
            "the certificate of {host} is of an authority that is not trusted: name the \
             authority's certificate in tlsCAFile"
        ),
        other => format!("the certificate of {host} is refused: {other}"),
    }
}

/// `DnsName("a.example")` as `a.example`, `IpAddress(10.0.0.7)` as `10.0.0.7`.
fn plain(name: &str) -> &str {
    let inside = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inside.unwrap_or(name).trim_matches('"')
}

/// From the one to the other, to the day or to the second.
fn span(from: UnixTime, to: UnixTime) -> String {
    let seconds = to.as_secs().saturating_sub(from.as_secs());
    match seconds / DAY {
        0 => format!("{:?}", Duration::from_secs(seconds)),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

/// Seconds.
const DAY: u64 = 24 * 60 * 60;
