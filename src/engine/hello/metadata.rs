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
}

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
        }
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
    /// of `os` but its type, `env`, the end of `platform`.
    pub fn to_document(&self) -> RawDocumentBuf {
        let mut metadata = self.clone();
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
        // No system is named like this, but the limit holds for every argument.
        let excess = metadata.excess();
        shorten(&mut metadata.os.os_type, excess);
        metadata.build()
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
        driver.append(cstr!("name"), self.driver_name.as_str());
        driver.append(cstr!("version"), self.driver_version.as_str());
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

/// Bytes of `application.name` ("Limitations").
const MAX_APPLICATION: usize = 128;
/// Bytes of the whole `client` document ("Limitations").
const MAX_DOCUMENT: usize = 512;

#[cfg(test)]
mod tests {
    use bson::{Document, doc};

    use super::*;

    fn env(variables: &[(&str, &str)]) -> EnvMetadata {
        let lookup = |name: &str| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        EnvMetadata::detect(lookup, false)
    }

    fn full(platform: &str) -> ClientMetadata {
        let os = OsMetadata {
            os_type: "Linux".into(),
            name: Some("n".repeat(60)),
            architecture: Some("x86_64".into()),
            version: Some("12".into()),
        };
        let env = EnvMetadata {
            name: Some(VERCEL.into()),
            region: Some("r".repeat(60)),
            runtime: Some("docker".into()),
            ..EnvMetadata::default()
        };
        ClientMetadata::new(os, platform, env)
    }

    fn document(metadata: &ClientMetadata) -> Document {
        let raw = metadata.to_document();
        assert!(raw.as_bytes().len() <= 512, "{} bytes", raw.as_bytes().len());
        Document::try_from(raw).unwrap()
    }

    #[test]
    fn everything_is_said_where_it_fits() {
        let metadata = full("async-std").with_application("chart").unwrap();
        let expected = doc! {
            "application": { "name": "chart" },
            "driver": { "name": "portolan", "version": env!("CARGO_PKG_VERSION") },
            "os": {
                "type": "Linux", "name": "n".repeat(60), "architecture": "x86_64", "version": "12",
            },
            "platform": "async-std",
            "env": {
                "name": "vercel", "region": "r".repeat(60), "container": { "runtime": "docker" },
            },
        };
        assert_eq!(document(&metadata), expected);
    }

    #[test]
    fn what_is_empty_is_left_out() {
        let metadata = ClientMetadata::new(OsMetadata::default(), "", EnvMetadata::default());
        let keys = document(&metadata.with_application("").unwrap());
        assert_eq!(keys.keys().collect::<Vec<_>>(), ["driver", "os"]);
        assert_eq!(keys.get_document("os").unwrap(), &doc! { "type": "unknown" });
    }

    #[test]
    fn an_application_name_has_at_most_128_bytes() {
        assert!(full("").with_application(&"a".repeat(128)).is_ok());
        let error = full("").with_application(&"é".repeat(65)).unwrap_err();
        assert_eq!(error, ApplicationNameTooLong { length: 130 });
    }

    #[test]
    fn omissions_come_in_the_order_of_the_specification() {
        let fixed = full("").to_document().as_bytes().len();
        // From a platform that just fits, one step of room less each time.
        let exact = 512 - fixed - "platform".len() - 7;
        let whole = document(&full(&"p".repeat(exact)));
        assert!(whole.get_document("env").unwrap().contains_key("region"));

        let step1 = document(&full(&"p".repeat(exact + 1)));
        assert_eq!(step1.get_document("env").unwrap(), &doc! { "name": "vercel" });
        assert!(step1.get_document("os").unwrap().contains_key("name"));

        let step2 = document(&full(&"p".repeat(exact + 120)));
        assert_eq!(step2.get_document("os").unwrap(), &doc! { "type": "Linux" });
        assert_eq!(step2.get_document("env").unwrap(), &doc! { "name": "vercel" });

        let platform = "p".repeat(exact + 240);
        let step3 = document(&full(&platform));
        assert!(!step3.contains_key("env"));
        assert_eq!(step3.get_str("platform").unwrap(), platform);

        let step4 = full(&"é".repeat(1000)).to_document();
        assert!((511..=512).contains(&step4.as_bytes().len()), "cut, and no more than needed");
        assert!(document(&full(&"é".repeat(1000))).get_str("platform").unwrap().ends_with('é'));
    }

    #[test]
    fn even_a_senseless_system_name_fits() {
        let mut metadata = full("").with_application(&"a".repeat(128)).unwrap();
        metadata.os.os_type = "o".repeat(2000);
        document(&metadata);
    }

    #[test]
    fn function_platforms_are_told_by_their_variables() {
        let named = |variables: &[(&str, &str)]| env(variables).name;
        assert_eq!(named(&[]), None);
        assert_eq!(named(&[("AWS_EXECUTION_ENV", "AWS_Lambda_java8")]).as_deref(), Some(AWS));
        assert_eq!(named(&[("AWS_EXECUTION_ENV", "EC2")]), None);
        assert_eq!(named(&[("AWS_LAMBDA_RUNTIME_API", "x")]).as_deref(), Some(AWS));
        assert_eq!(named(&[("FUNCTIONS_WORKER_RUNTIME", "node")]).as_deref(), Some(AZURE));
        assert_eq!(named(&[("K_SERVICE", "s")]).as_deref(), Some(GCP));
        assert_eq!(named(&[("FUNCTION_NAME", "s")]).as_deref(), Some(GCP));
        assert_eq!(named(&[("FUNCTION_NAME", "")]), None);
        assert_eq!(named(&[("VERCEL", "1")]).as_deref(), Some(VERCEL));
        assert_eq!(
            named(&[("VERCEL", "1"), ("AWS_LAMBDA_RUNTIME_API", "x")]).as_deref(),
            Some(VERCEL)
        );
        assert_eq!(named(&[("VERCEL", "1"), ("K_SERVICE", "x")]), None);
        assert_eq!(named(&[("AWS_LAMBDA_RUNTIME_API", "x"), ("K_SERVICE", "x")]), None);
    }

    #[test]
    fn a_platform_brings_its_own_fields_and_a_bad_number_brings_none() {
        let aws = env(&[
            ("AWS_LAMBDA_RUNTIME_API", "x"),
            ("AWS_REGION", "us-east-2"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "big"),
            ("FUNCTION_REGION", "elsewhere"),
        ]);
        assert_eq!(aws.region.as_deref(), Some("us-east-2"));
        assert_eq!(aws.memory_mb, None);
        assert!(aws.is_function());
        let gcp = env(&[
            ("K_SERVICE", "x"),
            ("FUNCTION_MEMORY_MB", "1024"),
            ("FUNCTION_TIMEOUT_SEC", "60"),
            ("FUNCTION_REGION", "us-central1"),
        ]);
        assert_eq!((gcp.memory_mb, gcp.timeout_sec), (Some(1024), Some(60)));
        let vercel = env(&[("VERCEL", "1"), ("VERCEL_REGION", "cdg1")]);
        assert_eq!(vercel.region.as_deref(), Some("cdg1"));
    }

    #[test]
    fn a_container_is_told_beside_a_function() {
        let env = EnvMetadata::detect(
            |name| ["KUBERNETES_SERVICE_HOST", "VERCEL"].contains(&name).then(|| "1".to_owned()),
            true,
        );
        assert_eq!(
            Document::try_from(env.build()).unwrap(),
            doc! {
                "name": "vercel",
                "container": { "runtime": "docker", "orchestrator": "kubernetes" },
            }
        );
        let only = EnvMetadata::detect(|_| None, true);
        assert!(!only.is_function() && only.runtime.is_some());
    }
}
