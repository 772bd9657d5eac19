//! What a client says of itself, and what it leaves out where there is no room.

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
    assert_eq!(named(&[("VERCEL", "1"), ("AWS_LAMBDA_RUNTIME_API", "x")]).as_deref(), Some(VERCEL));
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

fn library(name: &str, version: Option<&str>, platform: Option<&str>) -> DriverInfo {
    let text = |text: Option<&str>| text.map(str::to_owned);
    DriverInfo { name: name.to_owned(), version: text(version), platform: text(platform) }
}

/// What the metadata says of the driver and the platform, without this driver's own texts.
fn libraries(metadata: &ClientMetadata) -> [String; 3] {
    let document = document(metadata);
    let driver = document.get_document("driver").unwrap();
    let texts = [driver.get_str("name"), driver.get_str("version"), document.get_str("platform")];
    texts.map(|text| text.unwrap().split('|').skip(1).collect::<Vec<_>>().join("|"))
}

/// The prose tests 1 to 3 and 7 ("Client Metadata Update Prose Tests"), as far as they are about
/// the document.
#[test]
fn libraries_on_top_are_appended_and_the_same_twice_is_the_same_once() {
    let metadata = |more: &[DriverInfo]| {
        let os = OsMetadata::default();
        let mut metadata = ClientMetadata::new(os, "async-std", EnvMetadata::default());
        let first = library("library", Some("1.2"), Some("Library Platform"));
        assert_eq!(metadata.append(&first), Ok(true));
        let new: Vec<bool> = more.iter().map(|it| metadata.append(it).unwrap()).collect();
        (libraries(&metadata), new)
    };
    let texts = |name: &str, version: &str, platform: &str| {
        [name.to_owned(), version.to_owned(), platform.to_owned()]
    };
    let (found, new) = metadata(&[library("framework", Some("2.0"), Some("Framework Platform"))]);
    let both = "Library Platform|Framework Platform";
    assert_eq!((found, new), (texts("library|framework", "1.2|2.0", both), vec![true]));
    let (found, _) = metadata(&[library("framework", None, None)]);
    assert_eq!(found, texts("library|framework", "1.2", "Library Platform"));

    let same = library("library", Some("1.2"), Some("Library Platform"));
    let other = library("library", Some("1.2"), Some("Framework Platform"));
    let (found, new) = metadata(&[same.clone(), other, same]);
    assert_eq!(found, texts("library|library", "1.2|1.2", both));
    assert_eq!(new, [false, true, false]);

    let (_, new) = metadata(&[library("x", Some(""), None), library("x", None, Some(""))]);
    assert_eq!(new, [true, false], "an empty text is none");
    assert_eq!(metadata(&[library("", None, Some(""))]).1, [false]);
}

#[test]
fn a_library_s_text_must_not_look_like_two() {
    let mut metadata = full("async-std");
    for bad in [
        library("a|b", None, None),
        library("a", Some("1|2"), None),
        library("a", None, Some("x|y")),
    ] {
        let error = metadata.append(&bad).unwrap_err();
        assert!(error.to_string().contains(&error.text), "{error}");
    }
    assert_eq!(metadata, full("async-std"));
}

#[test]
fn libraries_give_way_when_nothing_else_is_left() {
    let mut metadata = full("async-std").with_application(&"a".repeat(128)).unwrap();
    metadata.append(&library("inner", Some("1"), Some(&"p".repeat(300)))).unwrap();
    metadata.append(&library(&"n".repeat(400), Some("2"), None)).unwrap();
    let document = document(&metadata);
    assert_eq!(document.get_document("driver").unwrap().get_str("name").unwrap(), "portolan|inner");
    assert!(!document.contains_key("env"));
}
