//! Which options go together.

use std::time::Duration;

use super::{ClientOptions, OptionsError};
use crate::engine::time::Shown;

/// The least interval of checks (SDAM minHeartbeatFrequencyMS).
const MIN_HEARTBEAT_FREQUENCY: Duration = Duration::from_millis(500);

/// Bytes, the longest name of an application (mongodb-handshake).
pub(crate) const MAX_APP_NAME: usize = 128;

impl ClientOptions {
    /// Whether the options go together. [`ClientOptions::parse`] has checked it; options made or
    /// changed by hand are checked when a client is made of them.
    ///
    /// # Errors
    ///
    /// The first contradiction, by the options' names.
    pub fn validate(&self) -> Result<(), OptionsError> {
        self.check_hosts()?;
        self.check_load_balanced()?;
        self.check_srv()?;
        self.tls.check()?;
        self.check_proxy()?;
        self.check_numbers()?;
        self.read_preference.validate().map_err(|error| {
            let options = ["readPreference", "readPreferenceTags", "maxStalenessSeconds"];
            OptionsError::conflict(&options, error.to_string())
        })?;
        self.write_concern.validate()
    }

    fn check_hosts(&self) -> Result<(), OptionsError> {
        if self.hosts.is_empty() && self.srv_host.is_none() {
            return Err(OptionsError::syntax("there is no host; write mongodb://host:27017"));
        }
        if self.direct_connection != Some(true) {
            return Ok(());
        }
        if self.srv_host.is_some() {
            return Err(OptionsError::conflict(
                &["directConnection"],
                "directConnection=true needs one host, but mongodb+srv:// may name several; \
                 write mongodb:// and the host",
            ));
        }
        if self.hosts.len() > 1 {
            return Err(OptionsError::conflict(
                &["directConnection"],
                format!(
                    "directConnection=true needs one host, but there are {}; remove the option or \
                     the other hosts",
                    self.hosts.len()
                ),
            ));
        }
        Ok(())
    }

    /// load-balancers "URI Validation".
    fn check_load_balanced(&self) -> Result<(), OptionsError> {
        if self.load_balanced != Some(true) {
            return Ok(());
        }
        if self.hosts.len() > 1 {
            return Err(OptionsError::conflict(
                &["loadBalanced"],
                format!(
                    "loadBalanced=true needs one host, the load balancer, but there are {}",
                    self.hosts.len()
                ),
            ));
        }
        let refused = |other: &'static str| {
            let message = format!("loadBalanced=true does not go with {other}; remove either");
            Err(OptionsError::conflict(&["loadBalanced", other], message))
        };
        if self.repl_set_name.is_some() {
            return refused("replicaSet");
        }
        if self.direct_connection == Some(true) {
            return refused("directConnection");
        }
        if self.srv_max_hosts > 0 {
            return refused("srvMaxHosts");
        }
        Ok(())
    }

    /// initial-dns-seedlist-discovery "URI Validation".
    fn check_srv(&self) -> Result<(), OptionsError> {
        if self.srv_max_hosts > 0 && self.repl_set_name.is_some() {
            return Err(OptionsError::conflict(
                &["srvMaxHosts", "replicaSet"],
                "srvMaxHosts is for sharded clusters, not to go with replicaSet; remove either",
            ));
        }
        Ok(())
    }

    /// socks5-support "MongoClient Configuration".
    fn check_proxy(&self) -> Result<(), OptionsError> {
        let Some(proxy) = &self.proxy else { return Ok(()) };
        if proxy.host.is_empty() {
            let message = "the proxy has no host; give proxyHost";
            return Err(OptionsError::conflict(&["proxyHost"], message));
        }
        if proxy.username.is_some() != proxy.password.is_some() {
            let options = ["proxyUsername", "proxyPassword"];
            let message = "proxyUsername and proxyPassword go together; give both or neither";
            return Err(OptionsError::conflict(&options, message));
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<(), OptionsError> {
        let bad = |option, value: String, expected: &str| {
            Err(OptionsError::BadValue {
                option,
                value: Some(value),
                expected: expected.to_owned(),
            })
        };
        if self.heartbeat() < MIN_HEARTBEAT_FREQUENCY {
            let millis = (self.heartbeat().as_millis() as u64).to_string();
            return bad("heartbeatFrequencyMS", millis, "at least 500");
        }
        let interval = self.srv_rescan_interval;
        if let Some(interval) = interval.filter(|interval| *interval < MIN_HEARTBEAT_FREQUENCY) {
            let text = Shown(interval).to_string();
            return bad("srv_rescan_interval", text, "at least 500 ms");
        }
        if self.max_connecting == 0 {
            return bad("maxConnecting", "0".to_owned(), "at least 1");
        }
        if self.app_name.as_ref().is_some_and(|name| name.len() > MAX_APP_NAME) {
            let name = self.app_name.clone().unwrap_or_default();
            return bad("appName", name, "at most 128 bytes long");
        }
        if self.repl_set_name.as_deref() == Some("") {
            return bad("replicaSet", String::new(), "the name of the replica set");
        }
        if self.max_pool_size > 0 && self.min_pool_size > self.max_pool_size {
            return Err(OptionsError::conflict(
                &["minPoolSize", "maxPoolSize"],
                format!(
                    "minPoolSize is {}, more than maxPoolSize, which is {}; lower the one or raise \
                     the other",
                    self.min_pool_size, self.max_pool_size
                ),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::selection::ReadPreference;

    #[test]
    fn options_made_by_hand_are_checked_too() {
        assert_eq!(ClientOptions::default().validate(), Ok(()));
        let check = |change: fn(&mut ClientOptions)| {
            let mut options = ClientOptions::default();
            change(&mut options);
            options.validate().unwrap_err().options().join(" ")
        };
        assert_eq!(check(|o| o.min_pool_size = 101), "minPoolSize maxPoolSize");
        assert_eq!(check(|o| o.max_connecting = 0), "maxConnecting");
        assert_eq!(check(|o| o.app_name = Some("x".repeat(129))), "appName");
        assert_eq!(check(|o| o.repl_set_name = Some(String::new())), "replicaSet");
        let short = Duration::from_millis(499);
        assert_eq!(
            {
                let options =
                    ClientOptions { heartbeat_frequency: Some(short), ..ClientOptions::default() };
                options.validate().unwrap_err().to_string()
            },
            "option heartbeatFrequencyMS cannot be \"499\": it must be at least 500"
        );
        let tags = |o: &mut ClientOptions| {
            o.read_preference = ReadPreference::primary().with_tags([("dc", "ny")]);
        };
        assert!(check(tags).starts_with("readPreference "));
    }

    // IC-43: no seed, one server alone with several seeds, a set's name where there can be no set,
    // a set without a name, an interval that is too short.
    #[test]
    fn what_makes_no_topology_is_refused_by_its_options() {
        type Change = fn(&mut ClientOptions);
        let refused = |change: Change| {
            let mut options = ClientOptions::default();
            change(&mut options);
            options.validate().map_err(|error| error.options().join(" "))
        };
        let two = |o: &mut ClientOptions| o.hosts.push("b".parse().unwrap());
        assert_eq!(refused(two), Ok(()));
        let table: [(Change, &str); 7] = [
            (|o| o.hosts.clear(), ""),
            (
                |o| {
                    o.hosts.push("b".parse().unwrap());
                    o.direct_connection = Some(true);
                },
                "directConnection",
            ),
            (
                |o| {
                    o.hosts.push("b".parse().unwrap());
                    o.load_balanced = Some(true);
                },
                "loadBalanced",
            ),
            (
                |o| {
                    o.repl_set_name = Some("rs".to_owned());
                    o.load_balanced = Some(true);
                },
                "loadBalanced replicaSet",
            ),
            (
                |o| {
                    o.direct_connection = Some(true);
                    o.load_balanced = Some(true);
                },
                "loadBalanced directConnection",
            ),
            (|o| o.repl_set_name = Some(String::new()), "replicaSet"),
            (|o| o.heartbeat_frequency = Some(Duration::from_millis(499)), "heartbeatFrequencyMS"),
        ];
        for (number, (change, options)) in table.into_iter().enumerate() {
            assert_eq!(refused(change), Err(options.to_owned()), "case {number}");
        }
        assert_eq!(refused(|o| o.heartbeat_frequency = Some(MIN_HEARTBEAT_FREQUENCY)), Ok(()));
    }

    // SD-117: "manuals should warn": both where the option is described and where a user begins.
    #[test]
    fn the_manual_warns_of_long_seed_lists() {
        let of_the_option = include_str!("mod.rs");
        let field = of_the_option.find("pub hosts: Vec<ServerAddress>").expect("the seeds");
        let before = &of_the_option[..field];
        let description = &before[before.rfind("pub struct ClientOptions").expect("it")..];
        assert!(description.contains("A long seed list"), "{description}");
        assert!(include_str!("../../README.md").contains("a long seed list"));
    }
}
