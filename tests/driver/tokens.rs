//! Users whom another system knows: access tokens (MONGODB-OIDC) and Amazon's credentials
//! (MONGODB-AWS).
//!
//! The numbers are those of the prose tests (auth tests/mongodb-oidc.md); no server that speaks
//! OIDC can be installed, so the server's lines are here.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use portolan::bson::spec::BinarySubtype;
use portolan::bson::{Binary, Document, doc};
use portolan::engine::auth::{AuthError, AuthMechanism, AwsCredentials, OidcToken};
use portolan::options::{
    AwsCredentialProvider, ClientOptions, Credential, OidcCallback, OidcRequest, OidcSource,
    SourceError,
};
use portolan::{Client, Error, ErrorKind};

use super::support::scram::{Account, refusal};
use super::support::server::{Act, Request};
use super::support::{Bed, ms, till};

/// Gives "token 1", "token 2" and so on, and remembers what it was asked.
#[derive(Clone, Default)]
struct Idp {
    asked: Arc<Mutex<Vec<OidcRequest>>>,
    refresh: bool,
    fails: bool,
}

impl Idp {
    fn asked(&self) -> Vec<OidcRequest> {
        self.asked.lock().expect("no panic").clone()
    }
}

#[async_trait]
impl OidcCallback for Idp {
    async fn token(&self, request: OidcRequest) -> Result<OidcToken, SourceError> {
        let mut asked = self.asked.lock().expect("no panic");
        asked.push(request);
        if self.fails {
            return Err("the provider sleeps".into());
        }
        let refresh_token = self.refresh.then(|| format!("refresh {}", asked.len()));
        Ok(OidcToken { access_token: format!("token {}", asked.len()), refresh_token })
    }
}

fn options(bed: &Bed, source: OidcSource) -> ClientOptions {
    let mut options =
        ClientOptions::parse(&bed.uri("retryReads=false&maxIdleTimeMS=1")).expect("good options");
    options.suspicion.enabled = false;
    options.credential = Some(Credential::external(AuthMechanism::MongoDbOidc));
    options.oidc = Some(source);
    options
}

fn find(bed: &Bed, client: &Client) -> Result<(), Error> {
    let till = till(client);
    bed.run(async move { till.find_one(doc! {}).await.map(drop) })
}

fn payload(document: &Document) -> Binary {
    let bytes = portolan::bson::serialize_to_vec(document).expect("BSON");
    Binary { subtype: BinarySubtype::Generic, bytes }
}

fn sasl(document: &Document, done: bool) -> Act {
    Act::Reply(doc! { "conversationId": 1, "done": done, "payload": payload(document) })
}

fn accepted() -> Act {
    sasl(&doc! {}, true)
}

/// The payload of a `saslStart` or `saslContinue`.
fn said(command: &Document) -> Document {
    let bytes = command.get_binary_generic("payload").expect("a payload");
    Document::from_reader(&bytes[..]).expect("a document")
}

fn tokens(requests: &[Request]) -> Vec<String> {
    let said = requests.iter().map(|it| said(&it.body));
    said.filter_map(|it| it.get_str("jwt").ok().map(str::to_owned)).collect()
}

fn again() -> Act {
    Act::Reply(doc! { "ok": 0, "code": 391, "errmsg": "reauthentication required" })
}

/// The next operation has a new connection: the one that there is has been idle for too long.
fn on_a_new_connection(bed: &Bed) {
    bed.advance(ms(600));
}

/// 1.1, 1.2 and 4.1.
#[test]
fn a_machine_is_asked_once_and_again_when_the_server_wants_another_token() {
    let (bed, idp) = (Bed::standalone(), Idp::default());
    let client = bed.client_of(options(&bed, OidcSource::machine(idp.clone())));
    bed.rule("a:1", "saslStart", 9, accepted());
    find(&bed, &client).expect("a document");
    on_a_new_connection(&bed);
    find(&bed, &client).expect("a document");
    assert_eq!(tokens(&bed.named("saslStart")), ["token 1", "token 1"]);
    let asked = idp.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].version, asked[0].timeout.as_secs()), (1, 60));
    let start = &bed.named("saslStart")[0].body;
    assert_eq!(start.get_str("$db").expect("a database"), "$external");
    assert!(!start.contains_key("options"), "{start}");
    // A new connection's hello carries the token that is known; the first had none to carry.
    let carried: Vec<bool> = bed
        .named("hello")
        .iter()
        .filter(|it| it.is_handshake())
        .map(|it| it.body.contains_key("speculativeAuthenticate"))
        .collect();
    assert_eq!(carried.iter().filter(|carried| **carried).count(), 1, "{carried:?}");

    bed.forget_log();
    bed.rule("a:1", "find", 1, again());
    find(&bed, &client).expect("a document");
    let names: Vec<String> = bed.requests().into_iter().map(|it| it.name).collect();
    assert_eq!(names, ["find", "saslStart", "find"], "no hello");
    assert_eq!(tokens(&bed.named("saslStart")), ["token 2"]);
    assert_eq!(idp.asked().len(), 2);
}

/// 3.1: a token that was good is refused; 3.2: one that is new is refused; 3.3: another error.
#[test]
fn a_known_token_that_is_refused_is_replaced_and_a_new_one_is_not() {
    let (bed, idp) = (Bed::standalone(), Idp::default());
    let client = bed.client_of(options(&bed, OidcSource::machine(idp.clone())));
    bed.rule("a:1", "saslStart", 1, Act::Reply(refusal()));
    let error = find(&bed, &client).expect_err("a new token is refused");
    assert_eq!((error.code(), idp.asked().len()), (Some(18), 1));
    bed.advance(ms(600));

    // It stays in the cache, is refused once more, and makes room for the next.
    bed.rule("a:1", "saslStart", 1, Act::Reply(refusal()));
    bed.rule("a:1", "saslStart", 9, accepted());
    find(&bed, &client).expect("a document");
    assert_eq!(tokens(&bed.named("saslStart")), ["token 1", "token 1", "token 2"]);

    on_a_new_connection(&bed);
    bed.forget_log();
    bed.with_server("a:1", |server| server.forget_rules());
    let illegal = doc! { "ok": 0, "code": 20, "errmsg": "illegal operation" };
    bed.rule("a:1", "saslStart", 1, Act::Reply(illegal));
    bed.rule("a:1", "saslStart", 9, accepted());
    assert_eq!(find(&bed, &client).expect_err("another error").code(), Some(20));
    bed.advance(ms(600));
    find(&bed, &client).expect("a document");
    assert_eq!(tokens(&bed.named("saslStart")), ["token 2", "token 2"], "still known");
    assert_eq!(idp.asked().len(), 2);
}

/// 4.4 and "Handshake with cached token should use speculative authentication".
#[test]
fn a_known_token_in_the_hello_is_enough() {
    let (bed, idp) = (Bed::standalone(), Idp::default());
    let client = bed.client_of(options(&bed, OidcSource::machine(idp)));
    bed.rule("a:1", "saslStart", 1, accepted());
    find(&bed, &client).expect("a document");
    on_a_new_connection(&bed);
    bed.forget_log();
    let mut hello = bed.with_server("a:1", |server| server.hello.clone());
    let answer = doc! { "conversationId": 1, "done": true, "payload": payload(&doc! {}) };
    hello.insert("speculativeAuthenticate", answer);
    bed.rule("a:1", "handshake", 9, Act::Reply(hello));
    find(&bed, &client).expect("a document");
    let carried: Vec<Request> = bed
        .named("hello")
        .into_iter()
        .filter(|it| it.body.contains_key("speculativeAuthenticate"))
        .collect();
    let first = carried[0].body.get_document("speculativeAuthenticate").expect("a document");
    assert_eq!(said(first), doc! { "jwt": "token 1" });
    assert_eq!(first.get_str("db").expect("a database"), "$external");
    assert_eq!(bed.named("saslStart").len(), 0);
    // Asked again, the token of this connection is no good any more.
    bed.rule("a:1", "find", 1, again());
    bed.rule("a:1", "saslStart", 1, accepted());
    find(&bed, &client).expect("a document");
    assert_eq!(tokens(&bed.named("saslStart")), ["token 2"]);
}

/// Human flow 2.1, 2.3, 4.1 and 4.4.
#[test]
fn a_human_is_asked_for_whom_the_server_says_and_a_refresh_token_spares_him() {
    let bed = Bed::standalone();
    let idp = Idp { refresh: true, ..Idp::default() };
    let source = OidcSource::human(idp.clone()).allowed_hosts(["a"]);
    let mut options = options(&bed, source);
    options.credential.as_mut().expect("a user").username = Some("ann".to_owned());
    let client = bed.client_of(options);
    let whom = doc! { "issuer": "https://issuer", "clientId": "abcd", "requestScopes": ["a"] };
    bed.rule("a:1", "saslStart", 1, sasl(&whom, false));
    bed.rule("a:1", "saslContinue", 1, accepted());
    find(&bed, &client).expect("a document");
    assert_eq!(said(&bed.named("saslStart")[0].body), doc! { "n": "ann" });
    assert_eq!(tokens(&bed.named("saslContinue")), ["token 1"]);
    let asked = idp.asked();
    let known = asked[0].idp.clone().expect("whom to ask");
    assert_eq!(
        (known.issuer.as_str(), known.client_id.as_deref()),
        ("https://issuer", Some("abcd"))
    );
    assert_eq!((asked[0].timeout.as_secs(), &asked[0].refresh_token), (300, &None));
    assert_eq!(asked[0].username.as_deref(), Some("ann"));

    // The server wants another token: a refresh token brings it.
    bed.forget_log();
    bed.rule("a:1", "find", 1, again());
    bed.rule("a:1", "saslStart", 1, accepted());
    find(&bed, &client).expect("a document");
    assert_eq!(tokens(&bed.named("saslStart")), ["token 2"]);
    assert_eq!(idp.asked()[1].refresh_token.as_deref(), Some("refresh 1"));

    // What that brings is refused: the human is asked once more, and what he gives is final.
    bed.forget_log();
    bed.rule("a:1", "find", 1, again());
    bed.rule("a:1", "saslStart", 1, Act::Reply(refusal()));
    bed.rule("a:1", "saslStart", 1, sasl(&whom, false));
    bed.rule("a:1", "saslContinue", 1, Act::Reply(refusal()));
    assert_eq!(find(&bed, &client).expect_err("refused").code(), Some(18));
    assert_eq!(idp.asked().len(), 4);
    assert_eq!(idp.asked()[3].refresh_token, None);
}

/// Human flow 1.6.
#[test]
fn a_human_s_token_is_not_asked_for_a_host_that_is_not_allowed() {
    let (bed, idp) = (Bed::standalone(), Idp::default());
    let client = bed.client_of(options(&bed, OidcSource::human(idp.clone())));
    let error = find(&bed, &client).expect_err("a is no host of MongoDB's");
    assert!(error.to_string().contains("none of the allowed hosts"), "{error}");
    assert_eq!((idp.asked().len(), bed.requests().len()), (0, 0));
}

/// 2.2 to 2.5.
#[test]
fn a_callback_that_fails_and_options_that_contradict_each_other_are_told() {
    let bed = Bed::standalone();
    let idp = Idp { fails: true, ..Idp::default() };
    let client = bed.client_of(options(&bed, OidcSource::machine(idp)));
    let error = find(&bed, &client).expect_err("no token");
    assert!(error.to_string().contains("the provider sleeps"), "{error}");
    let ErrorKind::Authentication { failure, .. } = error.kind() else { panic!("{error:?}") };
    assert!(matches!(failure.error, AuthError::Callback(_)));

    let refused = |change: fn(&mut ClientOptions)| {
        let mut options = options(&bed, OidcSource::machine(Idp::default()));
        change(&mut options);
        let made = Client::new(options, Arc::new(bed.net.clone()));
        made.map(drop).expect_err("options that cannot be used").to_string()
    };
    let environment = |options: &mut ClientOptions| {
        let credential = options.credential.as_mut().expect("a user");
        let properties = &mut credential.mechanism_properties;
        properties.insert("ENVIRONMENT".to_owned(), "test".to_owned());
    };
    let text = refused(environment);
    assert!(text.contains("not both"), "{text}");
    let text = refused(|options| options.oidc = None);
    assert!(text.contains("ClientOptions::oidc"), "{text}");
}

struct Amazon(&'static str);

#[async_trait]
impl AwsCredentialProvider for Amazon {
    async fn credentials(&self) -> Result<AwsCredentials, SourceError> {
        Ok(AwsCredentials {
            access_key_id: self.0.to_owned(),
            secret_access_key: "hunter2".to_owned(),
            session_token: Some("temporary".to_owned()),
        })
    }
}

#[test]
fn amazon_s_credentials_are_asked_for_and_the_secret_is_not_sent() {
    let bed = Bed::standalone();
    let mut account = Account::new("AKIDEXAMPLE", "");
    account.mechanisms = vec!["MONGODB-AWS"];
    bed.with_server("a:1", |server| server.account = Some(account));
    let client = |id: &'static str| {
        let mut options = ClientOptions::parse(&bed.uri("")).expect("good options");
        options.suspicion.enabled = false;
        options.credential = Some(Credential::external(AuthMechanism::MongoDbAws));
        options.aws_credentials = Some(Amazon(id).into());
        bed.client_of(options)
    };
    find(&bed, &client("AKIDEXAMPLE")).expect("a document");
    assert_eq!(said(&bed.named("saslStart")[0].body).get_i32("p").expect("a flag"), 110);
    let answer = said(&bed.named("saslContinue")[0].body);
    assert_eq!(answer.get_str("t").expect("a token"), "temporary");
    assert!(!answer.to_string().contains("hunter2"), "{answer}");
    let error = find(&bed, &client("AKIDOTHER")).expect_err("another id");
    assert_eq!(error.code(), Some(18), "{error:?}");
}
