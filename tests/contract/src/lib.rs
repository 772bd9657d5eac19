//! What the core relies on, as tests that every transport passes.
//!
//! A clause is one function over `Arc<dyn Transport>`; [`contract!`] makes a test of each. The
//! other side is the standard library's, on threads, so that the same code judges every runtime. A
//! clause panics where the transport breaks it.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "bans of the engine")]

mod client;
mod connect;
#[cfg(test)]
mod judges;
mod names;
mod peer;
mod stream;
mod time;

pub use client::*;
pub use connect::*;
pub use names::*;
pub use stream::*;
pub use time::*;

/// A test of each clause: `contract!(make, connect_with, run)`.
///
/// `make` takes a [`portolan_dns::Dns`] and gives a new transport that looks up SRV and TXT records
/// by it; `connect_with` is the leaf's own; `run` runs a future to its end on the transport's
/// runtime.
#[macro_export]
macro_rules! contract {
    ($make:expr, $connect_with:expr, $run:expr) => {
        #[test]
        fn a_name_in_dns_leads_to_a_server() {
            $run($crate::a_name_in_dns_leads_to_a_server($connect_with));
        }

        $crate::clauses! { ($make, $run)
            it_names_its_runtime,
            the_clock_starts_near_zero_and_does_not_run_backwards,
            a_sleep_is_never_early,
            a_sleep_into_the_past_ends_at_once,
            a_deadline_that_never_comes_does_not_fire,
            a_sleep_that_is_dropped_disturbs_no_other,
            nothing_listening_is_connection_refused,
            an_address_without_a_route_is_an_error,
            a_name_that_does_not_resolve_is_an_error,
            a_host_name_is_tried_at_each_of_its_addresses,
            an_ipv6_literal_is_dialled,
            #[cfg(unix)]
            a_unix_socket_carries_bytes,
            #[cfg(unix)]
            a_unix_socket_that_is_not_there_is_an_error,
            #[cfg(target_os = "linux")]
            a_connect_that_is_dropped_is_released,
            a_stream_that_is_dropped_is_closed,
            bytes_come_back_as_they_were_sent,
            a_peer_that_does_not_read_stops_the_writer,
            reads_and_writes_do_not_wait_for_each_other,
            closing_ends_the_sending_half_only,
            a_read_that_is_dropped_loses_nothing,
            the_records_of_a_name_are_looked_up,
            a_name_without_records_and_no_such_name_differ,
        }
    };
}

/// See [`contract!`].
#[doc(hidden)]
#[macro_export]
macro_rules! clauses {
    (($make:expr, $run:expr) $($(#[$attribute:meta])* $clause:ident,)*) => {
        $(
            $(#[$attribute])*
            #[test]
            fn $clause() {
                let server = $crate::DnsServer::start();
                let transport = ::std::sync::Arc::new($make(server.dns()));
                $run($crate::$clause(transport));
            }
        )*
    };
}
