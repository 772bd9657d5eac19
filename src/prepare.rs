//! What becomes of options before a client is made of them: what this version, or this build,
//! cannot do is refused or left out, and said.

use crate::client::Mode;
use crate::error::{Error, Result};
use crate::options::{ClientOptions, Compressor, ON_DEMAND_HEARTBEAT};

/// Makes options ready for use; they have been validated.
pub(crate) fn prepare(options: &mut ClientOptions, mode: Mode) -> Result<()> {
    leave_out_absent_compressors(options);
    refuse_what_is_missing(options, mode)?;
    warn_of_what_is_deprecated(options);
    if let Some(danger) = options.tls_danger()
        && !options.warnings.iter().any(|warning| warning == danger)
    {
        options.warnings.push(danger.to_owned());
    }
    normalize(options);
    let by_mode = match mode {
        Mode::Background => options.heartbeat(),
        Mode::OnDemand => ON_DEMAND_HEARTBEAT,
    };
    options.heartbeat_frequency.get_or_insert(by_mode);
    Ok(())
}

/// What is announced for later is refused now, so that nobody sends data in the clear by surprise.
///
/// What merely makes things faster is left out with a warning.
fn refuse_what_is_missing(options: &mut ClientOptions, mode: Mode) -> Result<()> {
    let mut warn = |what: &str| {
        let warning = format!("{what} is not supported by this version and is left out");
        if !options.warnings.contains(&warning) {
            options.warnings.push(warning);
        }
    };
    if options.server_selection_try_once.is_some() && mode == Mode::Background {
        // Server selection: "Multi-threaded drivers MUST NOT" offer it.
        warn("option serverSelectionTryOnce, which is for drivers without background monitoring,");
    }
    if options.srv_host.is_some() && options.hosts.is_empty() {
        return Err(Error::invalid_argument(
            "the hosts of the mongodb+srv:// connection string are not looked up yet; make the \
             client of `options.resolve(&transport).await?`, or by the connect of a transport's \
             crate",
        ));
    }
    Ok(())
}

/// Compression makes things faster, and connections work without it: only what this build has is
/// offered, and the client says what would bring the others.
fn leave_out_absent_compressors(options: &mut ClientOptions) {
    let (present, absent) = options.compressors.iter().partition(|c| c.is_built_in());
    options.compressors = present;
    let absent: Vec<Compressor> = absent;
    for compressor in absent {
        let name = compressor.as_str();
        options.warnings.push(format!(
            "compressor {name} is left out: portolan was built without its feature \"{name}\"; \
             switch it on, also by the same name in the transport's crate"
        ));
    }
}

/// SS-19: "drivers SHOULD emit a deprecation warning".
fn warn_of_what_is_deprecated(options: &mut ClientOptions) {
    let warning = "read preference option hedge is deprecated since MongoDB 8.0; leave it out";
    if options.read_preference.hedge.is_some() && !options.warnings.iter().any(|w| w == warning) {
        options.warnings.push(warning.to_owned());
    }
}

/// A time limit of zero means none, however it was set.
fn normalize(options: &mut ClientOptions) {
    for limit in [
        &mut options.connect_timeout,
        &mut options.socket_timeout,
        &mut options.wait_queue_timeout,
        &mut options.max_idle_time,
    ] {
        *limit = limit.filter(|limit| !limit.is_zero());
    }
}
