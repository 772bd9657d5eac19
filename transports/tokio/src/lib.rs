//! Portolan on tokio: connect, sleep, now, spawn.
