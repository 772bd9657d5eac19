//! A scripted deployment, met without a driver.

use std::sync::Arc;

use async_std::task::block_on;
use bson::{Document, RawDocumentBuf, doc};
use futures_util::{AsyncReadExt as _, AsyncWriteExt as _, FutureExt as _};
use portolan::ServerAddress;
use portolan::engine::wire::{Flags, Framer, Message, OpMsgBuilder, Reply};
use portolan::transport::{BoxStream, Transport};
use portolan_async_std::AsyncStd;
use portolan_sim::scripted::{Deployment, Script};

fn network(deployment: &Deployment) -> impl Transport + use<> {
    deployment.transport(Arc::new(AsyncStd::new()))
}

async fn ask(stream: &mut BoxStream, command: &Document) {
    let body = RawDocumentBuf::try_from(command).expect("BSON");
    let mut bytes = Vec::new();
    let mut message = OpMsgBuilder::begin(&mut bytes, 1, 0, Flags::EXHAUST_ALLOWED);
    message.body(&body);
    message.finish().expect("a short message");
    stream.write_all(&bytes).await.expect("the network takes it");
}

async fn answer(stream: &mut BoxStream) -> (Document, bool) {
    next(stream, &mut Framer::new(100_000)).await.expect("not the end of the stream")
}

/// The next message and whether more are to come; nothing at the end of the stream.
async fn next(stream: &mut BoxStream, framer: &mut Framer) -> Option<(Document, bool)> {
    loop {
        if let Some(frame) = framer.next_frame().expect("a message") {
            let message = Reply::parse(frame).expect("a reply").message;
            let more = message.more_to_come();
            let Message::Msg(message) = message else { panic!("OP_MSG") };
            return Some((Document::try_from(&*message.body).expect("BSON"), more));
        }
        let count = stream.read(framer.unfilled(1)).await.expect("no error");
        if count == 0 {
            return None;
        }
        framer.filled(count);
    }
}

fn member(name: &str) -> ServerAddress {
    ServerAddress::tcp(name, 27017)
}

#[test]
fn what_the_script_sends_first_arrives_first() {
    let mut script = Script::new("rs0", &["a", "b"]);
    script.after(&["b1 connect"]).accept("b1");
    script.after(&["a1 connect"]).accept("a1");
    script.after(&["a1 hello", "b1 hello"]).answer("b1").answer("a1");
    let deployment = Deployment::new(script);
    let network = network(&deployment);
    block_on(async {
        let mut b = network.connect(&member("b")).await.expect("accepted");
        let mut a = network.connect(&member("a")).await.expect("accepted");
        ask(&mut a, &doc! { "hello": 1 }).await;
        assert!(!deployment.is_finished(), "one of two");
        ask(&mut b, &doc! { "hello": 1 }).await;
        assert_eq!(deployment.finished().await, Ok(()));
        let mut early = [0; 16];
        assert!(a.read(&mut early).now_or_never().is_none(), "b's answer is on its way before");
        let (hello, _) = answer(&mut b).await;
        assert_eq!(hello.get_str("primary").ok(), Some("a:27017"));
        let (hello, _) = answer(&mut a).await;
        assert_eq!(hello.get_bool("isWritablePrimary").ok(), Some(true));
    });
}

#[test]
fn what_the_script_does_not_know_ends_it_with_both_names() {
    let mut script = Script::new("rs0", &["a"]);
    script.after(&["a1 connect"]).accept("a1");
    script.after(&["a1 ping"]).answer("a1");
    let deployment = Deployment::new(script);
    let network = network(&deployment);
    block_on(async {
        let mut stream = network.connect(&member("a")).await.expect("accepted");
        ask(&mut stream, &doc! { "hello": 1 }).await;
        let problem = deployment.finished().await.expect_err("it is not in the script");
        assert_eq!(problem, "\"a1 hello\" while the script waits for \"a1 ping\"");
    });
    let mut script = Script::new("rs0", &["a"]);
    script.after(&["a1 connect"]).accept("a2");
    let deployment = Deployment::new(script);
    let dialled = network_of(&deployment);
    block_on(async {
        let problem = futures_util::future::select(Box::pin(deployment.finished()), dialled).await;
        let futures_util::future::Either::Left((Err(problem), _)) = problem else {
            panic!("nobody is dialled");
        };
        assert_eq!(problem, "the script names a2, which was never dialled");
    });
}

/// Dials member `a` and waits for what becomes of it.
fn network_of(deployment: &Deployment) -> futures_util::future::BoxFuture<'static, ()> {
    let network = network(deployment);
    async move { drop(network.connect(&member("a")).await) }.boxed()
}

#[test]
fn a_refusal_a_stream_and_an_end_are_what_they_are_on_a_real_network() {
    let mut script = Script::new("rs0", &["a"]);
    script.after(&["a1 connect"]).refuse("a1");
    script.after(&["a2 connect"]).accept("a2");
    script.after(&["a2 hello"]).answer("a2");
    script.after(&["a2 await"]).follow("a", None).answer("a2").answer("a2").hang_up("a2");
    let deployment = Deployment::new(script);
    let network = network(&deployment);
    block_on(async {
        let refused = network.connect(&member("a")).await.err().expect("refused");
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        let unknown = network.connect(&member("z")).await.err().expect("no such host");
        assert_eq!(unknown.kind(), std::io::ErrorKind::NotFound);
        let mut stream = network.connect(&member("a")).await.expect("accepted");
        ask(&mut stream, &doc! { "hello": 1 }).await;
        let (hello, more) = answer(&mut stream).await;
        assert!(!more);
        let version = hello.get_document("topologyVersion").expect("a version").clone();
        let wait = doc! { "hello": 1, "topologyVersion": version, "maxAwaitTimeMS": 1000_i64 };
        ask(&mut stream, &wait).await;
        let mut framer = Framer::new(100_000);
        for _ in 0..2 {
            let (hello, more) = next(&mut stream, &mut framer).await.expect("another reply");
            let version = hello.get_document("topologyVersion").expect("a version");
            assert_eq!((version.get_i64("counter").ok(), more), (Some(1), true));
        }
        assert!(next(&mut stream, &mut framer).await.is_none(), "the end");
        assert_eq!(deployment.finished().await, Ok(()));
    });
}

// SM-24
#[test]
fn half_of_an_awaitable_hello_is_refused() {
    let deployment = Deployment::at_once("rs0", &["a"]);
    let network = network(&deployment);
    block_on(async {
        let mut stream = network.connect(&member("a")).await.expect("accepted");
        ask(&mut stream, &doc! { "hello": 1, "maxAwaitTimeMS": 1000_i64 }).await;
        let (refused, more) = answer(&mut stream).await;
        assert_eq!(refused.get_i32("code").ok(), Some(31368));
        assert!(!more, "an error ends a stream");
        ask(&mut stream, &doc! { "hello": 1 }).await;
        assert_eq!(answer(&mut stream).await.0.get_f64("ok").ok(), Some(1.0));
    });
}
