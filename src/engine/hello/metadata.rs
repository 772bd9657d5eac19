//! What a client says of itself in its first hello (specification mongodb-handshake, "Hello
//! Command" and "Limitations").
//!
//! The engine reads no environment: whoever builds the client looks and hands in what it saw.

use std::borrow::Cow;
use std::fmt;

use bson::RawDocumentBuf;
use bson::raw::{CStr, cstr};
use serde::{Deserialize, Serialize};

/// The `client` document of a handshake: application, driver, system, runtime, environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientMetadata {
    application: Option<String>,
    driver_name: String,
    driver_version: String,
    os: OsMetadata,
    platform: String,
    env: EnvMetadata,
    /// The libraries on top, the innermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    libraries: Vec<DriverInfo>,
}

/// What a library built on this driver says of itself ("Supporting Wrapping Libraries"). An empty
/// text is the same as none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriverInfo {
    /// The library's name.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// What it runs on.
    pub platform: Option<String>,
}

impl DriverInfo {
    /// "If a field is the empty string, treat it as unset."
    fn normalized(&self) -> Self {
        let set = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let (version, platform) = (set(&self.version), set(&self.platform));
        Self { name: self.name.clone(), version, platform }
    }
}

/// A text that the metadata cannot take in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelimiterInDriverInfo {
    /// The text.
    pub text: String,
}

impl fmt::Display for DelimiterInDriverInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.text;
        write!(
            f,
            "the driver info \"{text}\" contains '{DELIMITER}', which separates one library's \
                   from the next; choose another name, version or platform"
        )
    }
}

impl std::error::Error for DelimiterInDriverInfo {}

/// The operating system that the client runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OsMetadata {
    /// The system's kind, as `uname -s` has it; "unknown" where that cannot be known.
    pub os_type: String,
    /// The system's full name.
    pub name: Option<String>,
    /// The machine, as `uname -m` has it.
    pub architecture: Option<String>,
    /// The system's version.
    pub version: Option<String>,
}

impl Default for OsMetadata {
    fn default() -> Self {
        Self { os_type: "unknown".to_owned(), name: None, architecture: None, version: None }
    }
}

/// A function platform, a container, or neither.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvMetadata {
    /// The function platform: `aws.lambda`, `azure.func`, `gcp.func` or `vercel`.
    pub name: Option<Cow<'static, str>>,
    /// Seconds that one call of the function may take.
    pub timeout_sec: Option<i32>,
    /// Mebibytes that the function may use.
    pub memory_mb: Option<i32>,
    /// The platform's region.
    pub region: Option<String>,
    /// The container runtime: `docker`.
    pub runtime: Option<Cow<'static, str>>,
    /// The container's orchestrator: `kubernetes`.
    pub orchestrator: Option<Cow<'static, str>>,
}

impl EnvMetadata {
    /// Concludes the environment from environment variables ("FaaS" and "Container").
    ///
    /// `variable` looks one up; an empty one counts as absent. `dockerenv` says whether the file
    /// `/.dockerenv` exists.
    pub fn detect(variable: impl Fn(&str) -> Option<String>, dockerenv: bool) -> Self {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let number = |name: &str| variable(name)?.parse().ok();
        let platform = function_platform(&variable);
        let mut env = Self { name: platform.map(Cow::Borrowed), ..Self::default() };
        match platform {
            Some(AWS) => {
                env.region = variable("AWS_REGION");
                env.memory_mb = number("AWS_LAMBDA_FUNCTION_MEMORY_SIZE");
            }
            Some(GCP) => {
                env.memory_mb = number("FUNCTION_MEMORY_MB");
                env.timeout_sec = number("FUNCTION_TIMEOUT_SEC");
                env.region = variable("FUNCTION_REGION");
            }
            Some(VERCEL) => env.region = variable("VERCEL_REGION"),
            _ => {}
        }
        env.runtime = dockerenv.then_some(Cow::Borrowed("docker"));
        env.orchestrator = variable("KUBERNETES_SERVICE_HOST").map(|_| Cow::Borrowed("kubernetes"));
        env
    }

    /// Whether the client runs on a function platform; there `serverMonitoringMode=auto` polls.
    pub fn is_function(&self) -> bool {
        self.name.is_some()
    }
}

/// `vercel` wins over `aws.lambda`; any other combination names no platform at all.
fn function_platform(variable: &impl Fn(&str) -> Option<String>) -> Option<&'static str> {
    let set = |name: &str| variable(name).is_some();
    let lambda = variable("AWS_EXECUTION_ENV").is_some_and(|env| env.starts_with("AWS_Lambda_"));
    let aws = lambda || set("AWS_LAMBDA_RUNTIME_API");
    let azure = set("FUNCTIONS_WORKER_RUNTIME");
    let gcp = set("K_SERVICE") || set("FUNCTION_NAME");
    match (set("VERCEL"), aws, azure, gcp) {
        (true, _, false, false) => Some(VERCEL),
        (false, true, false, false) => Some(AWS),
        (false, false, true, false) => Some(AZURE),
        (false, false, false, true) => Some(GCP),
        _ => None,
    }
}

/// An application name of more than 128 bytes, which servers refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationNameTooLong {
    /// Bytes of the name.
    pub length: usize,
}

impl fmt::Display for ApplicationNameTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.length;
        write!(f, "the application name has {length} bytes; at most {MAX_APPLICATION} are allowed")
    }
}

impl std::error::Error for ApplicationNameTooLong {}

impl ClientMetadata {
    /// This driver on this system and runtime.
    ///
    /// `platform` names the runtime, most important things first: its end goes where there is not
    /// enough room.
    pub fn new(os: OsMetadata, platform: impl Into<String>, env: EnvMetadata) -> Self {
        Self {
            application: None,
            driver_name: "portolan".to_owned(),
            driver_version: env!("CARGO_PKG_VERSION").to_owned(),
            os,
            platform: platform.into(),
            env,
            libraries: Vec::new(),
        }
    }

    /// Adds what a library on top of the driver says of itself; says whether that is new.
    ///
    /// "Drivers MUST ensure that any duplicate `DriverInfoOptions` [...] do not result in
    /// additional metadata being appended."
    ///
    /// # Errors
    ///
    /// "Drivers MUST throw an error if any of these strings contains that character."
    pub fn append(&mut self, library: &DriverInfo) -> Result<bool, DelimiterInDriverInfo> {
        let library = library.normalized();
        let DriverInfo { name, version, platform } = &library;
        for text in [Some(name), version.as_ref(), platform.as_ref()].into_iter().flatten() {
            if text.contains(DELIMITER) {
                return Err(DelimiterInDriverInfo { text: text.clone() });
            }
        }
        let new = library != DriverInfo::default() && !self.libraries.contains(&library);
        if new {
            self.libraries.push(library);
        }
        Ok(new)
    }

    /// The same client for an application of this name (`appName`).
    ///
    /// # Errors
    ///
    /// If the name has more than 128 bytes.
    pub fn with_application(self, name: &str) -> Result<Self, ApplicationNameTooLong> {
        if name.len() > MAX_APPLICATION {
            return Err(ApplicationNameTooLong { length: name.len() });
        }
        let application = (!name.is_empty()).then(|| name.to_owned());
        Ok(Self { application, ..self })
    }

    /// The `client` document, at most 512 bytes.
    ///
    /// What does not fit is left out in the specification's order: all of `env` but its name, all
    /// of `os` but its type, `env`, the end of `platform`; then, where there is still no room, the
    /// libraries on top, the outermost first.
    pub fn to_document(&self) -> RawDocumentBuf {
        let mut metadata = self.clone();
        metadata.platform = metadata.joined(&self.platform, |it| it.platform.as_deref());
        let omissions: [fn(&mut Self); 3] = [
            |it| it.env = EnvMetadata { name: it.env.name.take(), ..EnvMetadata::default() },
            |it| it.os = OsMetadata { os_type: it.os.os_type.clone(), ..OsMetadata::default() },
            |it| it.env = EnvMetadata::default(),
        ];
        for omit in omissions {
            if metadata.excess() == 0 {
                break;
            }
            omit(&mut metadata);
        }
        let excess = metadata.excess();
        shorten(&mut metadata.platform, excess);
        while metadata.excess() > 0 && metadata.libraries.pop().is_some() {}
        // No system is named like this, but the limit holds for every argument.
        let excess = metadata.excess();
        shorten(&mut metadata.os.os_type, excess);
        metadata.build()
    }

    /// The driver's own text and the libraries', with delimiters.
    fn joined<'a>(
        &'a self,
        own: &'a str,
        of: impl Fn(&'a DriverInfo) -> Option<&'a str>,
    ) -> String {
        let libraries = self.libraries.iter().filter_map(of);
        let texts = std::iter::once(own).chain(libraries).filter(|text| !text.is_empty());
        texts.collect::<Vec<_>>().join(DELIMITER)
    }

    /// Bytes above the limit.
    fn excess(&self) -> usize {
        self.build().as_bytes().len().saturating_sub(MAX_DOCUMENT)
    }

    fn build(&self) -> RawDocumentBuf {
        let mut document = RawDocumentBuf::new();
        if let Some(name) = &self.application {
            let mut application = RawDocumentBuf::new();
            application.append(cstr!("name"), name.as_str());
            document.append(cstr!("application"), application);
        }
        let mut driver = RawDocumentBuf::new();
        let name = self.joined(&self.driver_name, |it| Some(&it.name));
        let version = self.joined(&self.driver_version, |it| it.version.as_deref());
        driver.append(cstr!("name"), name);
        driver.append(cstr!("version"), version);
        document.append(cstr!("driver"), driver);
        document.append(cstr!("os"), self.os.build());
        if !self.platform.is_empty() {
            document.append(cstr!("platform"), self.platform.as_str());
        }
        if self.env != EnvMetadata::default() {
            document.append(cstr!("env"), self.env.build());
        }
        document
    }
}

impl OsMetadata {
    fn build(&self) -> RawDocumentBuf {
        let mut document = RawDocumentBuf::new();
        document.append(cstr!("type"), self.os_type.as_str());
        append_text(&mut document, cstr!("name"), self.name.as_deref());
        append_text(&mut document, cstr!("architecture"), self.architecture.as_deref());
        append_text(&mut document, cstr!("version"), self.version.as_deref());
        document
    }
}

impl EnvMetadata {
    fn build(&self) -> RawDocumentBuf {
        let mut document = RawDocumentBuf::new();
        append_text(&mut document, cstr!("name"), self.name.as_deref());
        if let Some(seconds) = self.timeout_sec {
            document.append(cstr!("timeout_sec"), seconds);
        }
        if let Some(memory) = self.memory_mb {
            document.append(cstr!("memory_mb"), memory);
        }
        append_text(&mut document, cstr!("region"), self.region.as_deref());
        if self.runtime.is_some() || self.orchestrator.is_some() {
            let mut container = RawDocumentBuf::new();
            append_text(&mut container, cstr!("runtime"), self.runtime.as_deref());
            append_text(&mut container, cstr!("orchestrator"), self.orchestrator.as_deref());
            document.append(cstr!("container"), container);
        }
        document
    }
}

fn append_text(document: &mut RawDocumentBuf, key: &CStr, text: Option<&str>) {
    if let Some(text) = text {
        document.append(key, text);
    }
}

/// Takes at least `excess` bytes off the end of `text`, between two characters.
fn shorten(text: &mut String, excess: usize) {
    let mut end = text.len().saturating_sub(excess);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
}

const AWS: &str = "aws.lambda";
const AZURE: &str = "azure.func";
const GCP: &str = "gcp.func";
const VERCEL: &str = "vercel";

/// What separates the driver's own texts from those of the libraries on top.
const DELIMITER: &str = "|";

/// Bytes of `application.name` ("Limitations").
const MAX_APPLICATION: usize = 128;
/// Bytes of the whole `client` document ("Limitations").
const MAX_DOCUMENT: usize = 512;

#[cfg(test)]
#[path = "metadata_tests.rs"]
mod tests;
