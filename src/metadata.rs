//! What the client says of itself, read from the process that it runs in.

use crate::engine::hello::{ClientMetadata, EnvMetadata, OsMetadata};
use crate::error::{Error, Result};
use crate::options::ClientOptions;
use crate::transport::Transport;

/// Whether the process runs on a function platform or in a container.
pub(crate) fn environment() -> EnvMetadata {
    let dockerenv = cfg!(target_os = "linux") && std::path::Path::new("/.dockerenv").exists();
    EnvMetadata::detect(|name| std::env::var(name).ok(), dockerenv)
}

/// What the first hello of every connection says.
pub(crate) fn describe(
    options: &ClientOptions,
    transport: &dyn Transport,
    environment: EnvMetadata,
) -> Result<ClientMetadata> {
    let os = OsMetadata {
        os_type: os_type().to_owned(),
        architecture: Some(std::env::consts::ARCH.to_owned()),
        ..OsMetadata::default()
    };
    let metadata = ClientMetadata::new(os, transport.runtime(), environment);
    match &options.app_name {
        None => Ok(metadata),
        Some(name) => metadata
            .with_application(name)
            .map_err(|error| Error::invalid_argument(error.to_string())),
    }
}

fn os_type() -> &'static str {
    match std::env::consts::OS {
        "linux" => "Linux",
        "macos" => "Darwin",
        "windows" => "Windows",
        "" => "unknown",
        other => other,
    }
}
