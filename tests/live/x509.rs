//! Authentication over TLS: by the client's certificate, by password, and by what the server lacks.

use bson::doc;
use portolan::engine::auth::AuthError;
use portolan::options::ClientOptions;
use portolan::{Client, Error, ErrorKind};
use portolan_support::{MemberOptions, Standalone};

use crate::certificates::{Authority, Files};
use crate::watch::{binary, run};

/// A mongod that speaks nothing but TLS and lets nobody in without proof.
struct Guarded {
    server: Standalone,
    authority: Authority,
    files: Files,
    ca: String,
}

/// The subject of the authority's certificate for a client of this name, as servers write it.
fn subject(name: &str) -> String {
    format!("OU=clients,O=Portolan tests,CN={name}")
}

fn start() -> Guarded {
    let (authority, files) = (Authority::new("the tests' authority"), Files::new());
    let ca = files.write("ca.pem", &authority.pem());
    let identity = files.write("server.pem", &authority.server(&["localhost"]).pem());
    let mut extra_args: Vec<String> =
        ["--tlsMode", "requireTLS", "--tlsCertificateKeyFile", &identity, "--tlsCAFile", &ca]
            .map(str::to_owned)
            .to_vec();
    let more = ["--auth", "--tlsAllowConnectionsWithoutCertificates", "--setParameter"];
    extra_args.extend(more.map(str::to_owned));
    extra_args.push("authenticationMechanisms=SCRAM-SHA-256,MONGODB-X509".to_owned());
    let options = MemberOptions { extra_args, ..MemberOptions::default() };
    let server = Standalone::start_with(&binary(), options).expect("a server");
    Guarded { server, authority, files, ca }
}

impl Guarded {
    fn uri(&self, user: &str, options: &str) -> String {
        let port = self.server.address().port();
        format!("mongodb://{user}localhost:{port}/?tlsCAFile={}&{options}", self.ca)
    }

    /// The options that give a client the certificate of this name.
    fn certificate(&self, name: &str) -> String {
        let file = self.files.write(&format!("{name}.pem"), &self.authority.client(name).pem());
        format!("authMechanism=MONGODB-X509&tlsCertificateKeyFile={file}")
    }

    /// The first user comes in by the exception for whoever is on the server's own machine; it
    /// makes the one that the certificate names.
    async fn populate(&self) {
        let first = self.client("", "").await;
        let root = doc! { "createUser": "ann", "pwd": "hunter2", "roles": ["root"] };
        first.database("admin").run_command(root).await.expect("the first user");
        let ann = self.client("ann:hunter2@", "authSource=admin").await;
        let known = doc! { "createUser": subject("known"), "roles": [
            { "role": "readWriteAnyDatabase", "db": "admin" },
        ] };
        ann.database("$external").run_command(known).await.expect("the certificate's user");
    }

    async fn client(&self, user: &str, options: &str) -> Client {
        portolan_async_std::connect(&self.uri(user, options)).await.expect("a client")
    }
}

async fn who(client: &Client) -> Result<String, Error> {
    let notes = client.database("live").collection::<bson::Document>("x509");
    notes.insert_one(doc! { "text": "sealed" }).await?;
    let status = client.database("admin").run_command(doc! { "connectionStatus": 1 }).await?;
    let users =
        status.get_document("authInfo").and_then(|info| info.get_array("authenticatedUsers"));
    Ok(users.map(|users| format!("{users:?}")).unwrap_or_default())
}

/// The server's reason, and no secret.
fn reason(error: &Error) -> String {
    let ErrorKind::Authentication { failure, .. } = error.kind() else { panic!("{error:?}") };
    assert!(matches!(failure.error, AuthError::Refused(_)), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    error.to_string()
}

#[test]
fn a_certificate_is_who_the_client_is() {
    let guarded = start();
    run(async {
        guarded.populate().await;
        let known = guarded.certificate("known");
        // With and without the name that the certificate has anyway.
        let name = subject("known").replace(',', "%2C").replace('=', "%3D").replace(' ', "%20");
        for user in [String::new(), format!("{name}@")] {
            let client = guarded.client(&user, &known).await;
            let found = who(&client).await.expect("let in");
            assert!(found.contains(&subject("known")), "{found}");
            client.shutdown().await;
        }
        let stranger = guarded.client("", &guarded.certificate("stranger")).await;
        let said = reason(&who(&stranger).await.expect_err("nobody knows it"));
        assert!(said.contains("MONGODB-X509"), "{said}");
        let nameless = guarded.client("", "authMechanism=MONGODB-X509").await;
        reason(&who(&nameless).await.expect_err("there is no certificate"));
    });
}

/// The password goes through TLS only, and a mechanism that the server lacks has its words.
#[test]
fn a_mechanism_that_the_server_lacks_is_its_refusal() {
    let guarded = start();
    run(async {
        guarded.populate().await;
        let ann = guarded.client("ann:hunter2@", "authSource=admin").await;
        let found = who(&ann).await.expect("let in");
        assert!(found.contains("ann"), "{found}");
        for mechanism in ["PLAIN", "SCRAM-SHA-1"] {
            let source = if mechanism == "PLAIN" { "$external" } else { "admin" };
            let options = format!("authMechanism={mechanism}&authSource={source}");
            let client = guarded.client("ann:hunter2@", &options).await;
            let said = reason(&who(&client).await.expect_err("not a mechanism of the server"));
            assert!(said.contains(mechanism), "{said}");
        }
    });
    let bare = format!("mongodb://ann:hunter2@{}/?authMechanism=PLAIN", guarded.server.address());
    let options = ClientOptions::parse(&bare).expect("options");
    run(async {
        let error = portolan_async_std::connect_with(options).await.expect_err("in the clear");
        let text = error.to_string();
        assert!(text.contains("PLAIN") && text.to_lowercase().contains("tls"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    });
}
