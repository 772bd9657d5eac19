//! Portolan on async-std: connect, sleep, now, spawn.
