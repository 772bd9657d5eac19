//! Why DNS gives no seeds, in words that say what to do.

use std::fmt;

/// Why the DNS records of a host name give no seeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SrvError {
    /// The look-up failed.
    LookUp {
        /// What was asked for.
        name: String,
        /// Why it failed.
        reason: String,
    },
    /// There are no SRV records.
    NoRecords {
        /// What was asked for.
        name: String,
    },
    /// A record names no host, or no port, at which a server could be.
    NoServer {
        /// What was asked for.
        name: String,
        /// The host and port of the record.
        target: String,
    },
    /// A record names a host of another domain; nothing was contacted.
    ForeignHost {
        /// What was asked for.
        name: String,
        /// The host of the record.
        target: String,
        /// The domain that it must be in.
        domain: String,
    },
    /// There is more than one TXT record.
    SeveralTxtRecords {
        /// The host name that has them.
        host: String,
        /// How many there are.
        count: usize,
    },
    /// A TXT record has an option that it must not have.
    TxtOption {
        /// The host name that has it.
        host: String,
        /// The option's name.
        option: String,
    },
    /// A TXT record is not of the form `name=value&name=value`, or has a value that an option
    /// cannot have.
    TxtSyntax {
        /// The host name that has it.
        host: String,
        /// What is wrong.
        problem: String,
    },
}

impl fmt::Display for SrvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LookUp { name, reason } => {
                write!(f, "the DNS records of {name} cannot be looked up: {reason}")
            }
            Self::NoRecords { name } => write!(
                f,
                "{name} has no SRV records, so there is no host to connect to; check the host of \
                 the connection string and srvServiceName, or write mongodb:// and the hosts"
            ),
            Self::NoServer { name, target } => {
                write!(f, "an SRV record of {name} names {target}, where no server can be")
            }
            Self::ForeignHost { name, target, domain } => write!(
                f,
                "an SRV record of {name} names the host {target}, which is not below the domain \
                 {domain}; nothing was contacted. Correct the record, or the host of the \
                 connection string"
            ),
            Self::SeveralTxtRecords { host, count } => write!(
                f,
                "{host} has {count} TXT records, but one at most may give options; remove the \
                 others"
            ),
            Self::TxtOption { host, option } => write!(
                f,
                "the TXT record of {host} has the option {option}, but only authSource, replicaSet \
                 and loadBalanced may come from DNS; write it into the connection string"
            ),
            Self::TxtSyntax { host, problem } => {
                write!(f, "the TXT record of {host} is invalid: {problem}")
            }
        }
    }
}

impl std::error::Error for SrvError {}
