//! `portolan bridge`: the bridge in front of an existing deployment.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::StreamExt as _;
use portolan::engine::address::ServerAddress;
use portolan::engine::sdam::TopologyDescription;
use portolan::{Client, Topology};
use portolan_bridge::{Deployment, Limits, Members, Origins, Server, ServerOptions};
use tokio::sync::watch;

use super::args::{BridgeArgs, PagesArgs};
use super::{Failure, asked_to_stop, client, failed};

/// Serves until the program is asked to stop.
pub(crate) async fn run(args: BridgeArgs) -> Result<(), Failure> {
    let origins = origins(&args.pages, args.allow_no_origin)?;
    let (client, driver) = client(&args.uri)?;
    let members = Arc::new(Believed::follow(client.topology()));
    tokio::spawn(driver);
    let limits = Limits {
        sockets: args.max_sockets,
        streams: args.max_streams,
        idle: args.idle,
        ..Limits::default()
    };
    let options = ServerOptions {
        listen: args.listen,
        members,
        uri: args.uri,
        origins,
        dashboard: args.pages.dashboard,
        deployment: None,
        limits,
    };
    let server = Server::bind(options).await.map_err(|error| cannot_listen(args.listen, &error))?;
    println!("listening on http://{}", server.local_addr().map_err(failed)?);
    server.serve(asked_to_stop()).await;
    client.shutdown().await;
    Ok(())
}

/// The demo's bridge: the deployment it acts on is the one it serves.
pub(crate) async fn serve_demo(
    deployment: Arc<dyn Deployment>,
    port: u16,
    pages: PagesArgs,
) -> Result<(), Failure> {
    let origins = origins(&pages, false)?;
    let uri = deployment.uri();
    let (client, driver): (Client, _) = client(&uri)?;
    let members = Arc::new(Believed::follow(client.topology()));
    tokio::spawn(driver);
    let listen = ([127, 0, 0, 1], port).into();
    let kind = deployment.kind();
    let options = ServerOptions {
        listen,
        members,
        uri: uri.clone(),
        origins,
        dashboard: pages.dashboard,
        deployment: Some(deployment),
        limits: Limits::default(),
    };
    let server = Server::bind(options).await.map_err(|error| cannot_listen(listen, &error))?;
    println!("replica set: {kind}");
    println!("connection string: {uri}");
    println!("listening on http://{}", server.local_addr().map_err(failed)?);
    println!("Ctrl-C stops everything.");
    server.serve(asked_to_stop()).await;
    client.shutdown().await;
    Ok(())
}

fn origins(pages: &PagesArgs, allow_none: bool) -> Result<Origins, Failure> {
    if let Some(folder) = &pages.dashboard
        && !folder.is_dir()
    {
        let text = format!("--dashboard {}: there is no such folder", folder.display());
        return Err(Failure::Usage(text));
    }
    Origins::new(&pages.allow_origins, allow_none).map_err(Failure::Usage)
}

fn cannot_listen(address: std::net::SocketAddr, error: &std::io::Error) -> Failure {
    Failure::Failed(format!("cannot listen on {address}: {error}"))
}

/// What the driver believes the members to be.
struct Believed(watch::Receiver<Arc<TopologyDescription>>);

impl Believed {
    /// Follows `topology` for as long as its client lives.
    fn follow(mut topology: Topology) -> Self {
        let (believe, believed) = watch::channel(topology.description());
        tokio::spawn(async move {
            while topology.next().await.is_some() {
                believe.send_replace(topology.description());
            }
        });
        Self(believed)
    }
}

impl Members for Believed {
    fn addresses(&self) -> BTreeSet<ServerAddress> {
        self.0.borrow().addresses()
    }
}
