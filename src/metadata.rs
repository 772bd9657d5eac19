//! What the client says of itself, read from the process that it runs in.

use crate::client::Client;
use crate::engine::hello::{ClientMetadata, EnvMetadata, OsMetadata};
use crate::error::{Error, Result};
use crate::options::{ClientOptions, DriverInfo};
use crate::transport::Transport;

impl Client {
    /// Adds what a library on top of the driver says of itself to what servers log of the client;
    /// the same twice is the same once. Connections that are open already are left alone.
    ///
    /// # Errors
    ///
    /// If a text contains `|`, which separates one library from the next.
    pub fn append_metadata(&self, library: &DriverInfo) -> Result<()> {
        let appended = self.shared().append_metadata(library);
        appended.map_err(|error| Error::invalid_argument(error.to_string()))
    }
}

/// Whether the process runs on a function platform or in a container.
pub(crate) fn environment() -> EnvMetadata {
    if cfg!(target_os = "unknown") {
        // wasm32 in a JavaScript runtime: there are neither variables nor files.
        return EnvMetadata::default();
    }
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
    let mut metadata = ClientMetadata::new(os, transport.runtime(), environment);
    if let Some(library) = &options.driver_info {
        metadata.append(library).map_err(|error| Error::invalid_argument(error.to_string()))?;
    }
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
