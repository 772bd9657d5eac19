//! `portolan bridge`: the bridge in front of an existing deployment.

use std::sync::Arc;

use portolan_bridge::{Believed, Deployment, Limits, Origins, Server, ServerOptions};

use super::args::{BridgeArgs, PagesArgs};
use super::{Failure, asked_to_stop, client, failed, options, say};

/// Serves until the program is asked to stop.
pub(crate) async fn run(args: BridgeArgs) -> Result<(), Failure> {
    let origins = origins(&args.pages, args.allow_no_origin)?;
    let (client, driver) = client(options(&args.uri)?).await?;
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
    say(format_args!("listening on http://{}", server.local_addr().map_err(failed)?))?;
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
    let (client, driver) = client(options(&uri)?).await?;
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
    say(format_args!("replica set: {kind}"))?;
    say(format_args!("connection string: {uri}"))?;
    say(format_args!("listening on http://{}", server.local_addr().map_err(failed)?))?;
    say("Ctrl-C stops everything.")?;
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
