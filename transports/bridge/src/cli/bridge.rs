//! `portolan bridge`: the bridge in front of existing deployments.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use portolan::{Client, ServerAddress};
use portolan_bridge::{
    Access, Believed, DEFAULT_DEPLOYMENT, Deployment, JwtKeys, Limits, Networks, Origins, Served,
    Server, ServerOptions, StaticTokens, Tls,
};
use portolan_tokio::Tokio;

use super::args::PagesArgs;
use super::settings::{DeploymentTable, Settings};
use super::{Failure, asked_to_stop, client, failed, log, options, say};

/// Serves until the program is asked to stop.
pub(crate) async fn run(settings: Settings) -> Result<(), Failure> {
    let mut settings = settings.with_file()?;
    log::install(settings.log_format.unwrap_or_default(), settings.log_level.unwrap_or_default());
    let listen = settings.listen.unwrap_or(DEFAULT_LISTEN);
    let mut server = ServerOptions::new(listen, Vec::new());
    server.origins = origins(settings.dashboard.as_deref(), &settings.allow_origin)?
        .allow_none(settings.allow_no_origin)
        .with_hosts(&settings.allow_host)
        .map_err(|error| usage("allow-host", error))?;
    server.access = access(&settings)?;
    server.tls = tls(&settings)?;
    server.limits = limits(&settings);
    server.metrics_listen = settings.metrics_listen;
    server.trusted_proxies = parsed("trusted-proxy", &settings.trusted_proxy)?;
    server.dashboard = settings.dashboard.take();
    let mut clients = Vec::new();
    for (name, table) in tables(&mut settings)? {
        let (served, client) = serve_one(&name, table).await?;
        server.deployments.push(served);
        clients.push(client);
    }
    let scheme = if server.tls.is_some() { "https" } else { "http" };
    let server = Server::bind(server).await.map_err(|error| cannot_listen(listen, &error))?;
    let address = server.local_addr().map_err(failed)?;
    say(format_args!("listening on {scheme}://{address}"))?;
    if let Some(address) = server.metrics_addr().map_err(failed)? {
        say(format_args!("metrics on http://{address}"))?;
    }
    let deployments = clients.len();
    tracing::info!(target: "portolan_bridge", %address, scheme, deployments, "listening");
    server.serve(asked_to_stop()).await;
    for client in clients {
        client.shutdown().await;
    }
    Ok(())
}

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8017);

/// The demo's bridge: the deployment it acts on is the one it serves.
pub(crate) async fn serve_demo(
    deployment: Arc<dyn Deployment>,
    port: u16,
    pages: PagesArgs,
) -> Result<(), Failure> {
    let origins = origins(pages.dashboard.as_deref(), &pages.allow_origins)?;
    let uri = deployment.uri();
    let (client, driver) = client(options(&uri)?).await?;
    let served = Served::new(Arc::new(Believed::follow(client.topology())), &uri);
    // Its members are this machine's.
    served.networks.learn([127, 0, 0, 1].into());
    tokio::spawn(driver);
    let listen = ([127, 0, 0, 1], port).into();
    let kind = deployment.kind();
    let mut server = ServerOptions::new(listen, vec![served]);
    server.origins = origins;
    server.dashboard = pages.dashboard;
    server.demo = Some(deployment);
    let server = Server::bind(server).await.map_err(|error| cannot_listen(listen, &error))?;
    say(format_args!("replica set: {kind}"))?;
    say(format_args!("connection string: {uri}"))?;
    say(format_args!("listening on http://{}", server.local_addr().map_err(failed)?))?;
    say("Ctrl-C stops everything.")?;
    server.serve(asked_to_stop()).await;
    client.shutdown().await;
    Ok(())
}

/// All deployments by name: flags, then tables of the file.
fn tables(settings: &mut Settings) -> Result<Vec<(String, DeploymentTable)>, Failure> {
    let mut tables = Vec::new();
    if settings.uri.is_some() || settings.uri_file.is_some() {
        let table = DeploymentTable {
            uri: settings.uri.take(),
            uri_file: settings.uri_file.take(),
            allow_target: std::mem::take(&mut settings.allow_target),
            allow_network: std::mem::take(&mut settings.allow_network),
            allow_look_up: std::mem::take(&mut settings.allow_look_up),
        };
        tables.push((DEFAULT_DEPLOYMENT.to_owned(), table));
    }
    for text in std::mem::take(&mut settings.deployment) {
        let (name, uri) = text.split_once('=').ok_or_else(|| {
            usage("deployment", "write it as NAME=URI, such as orders=mongodb://db0")
        })?;
        let table = DeploymentTable { uri: Some(uri.to_owned()), ..DeploymentTable::default() };
        tables.push((name.to_owned(), table));
    }
    tables.extend(std::mem::take(&mut settings.deployments));
    for (place, (name, _)) in tables.iter().enumerate() {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) {
            let text = "a name has letters, digits, - and _, 64 at most";
            return Err(usage("deployment", text));
        }
        if tables[..place].iter().any(|(other, _)| other == name) {
            return Err(usage("deployment", format!("there are two of the name {name}")));
        }
    }
    if tables.is_empty() {
        let text = "no deployment: give --uri or --deployment, or a --config that has one";
        return Err(Failure::Usage(text.to_owned()));
    }
    Ok(tables)
}

/// A deployment, and the client that knows its members.
async fn serve_one(name: &str, table: DeploymentTable) -> Result<(Served, Client), Failure> {
    let uri = match (table.uri, table.uri_file) {
        (Some(uri), None) => uri,
        (None, Some(path)) => text("uri-file", &path)?.trim().to_owned(),
        _ => {
            let text = format!("deployment {name}: give one of uri and uri-file");
            return Err(Failure::Usage(text));
        }
    };
    let options = options(&uri)?;
    let mut look_ups: Vec<String> =
        table.allow_look_up.iter().map(|name| name.to_ascii_lowercase()).collect();
    look_ups.extend(options.srv_host.iter().map(|host| host.to_ascii_lowercase()));
    let options = options.resolve(&Tokio::new()).await.map_err(failed)?;
    let seeds = options.hosts.clone();
    let (client, driver) = client(options).await?;
    let mut served = Served::new(Arc::new(Believed::follow(client.topology())), &uri);
    tokio::spawn(driver);
    served.name = name.to_owned();
    served.targets = parsed("allow-target", &table.allow_target)?;
    served.networks = Networks::named(parsed("allow-network", &table.allow_network)?);
    served.look_ups = look_ups;
    if table.allow_network.is_empty() {
        learn(seeds, served.networks.clone()).await;
    }
    Ok((served, client))
}

/// Allows the kinds of addresses that `seeds` have. Names that do not resolve now are asked for
/// again, for as long as it takes.
async fn learn(seeds: Vec<ServerAddress>, networks: Networks) {
    let learning = async move {
        let mut unknown = seeds;
        loop {
            let mut failed = Vec::new();
            for seed in unknown {
                let ServerAddress::Tcp { host, port } = &seed else { continue };
                match tokio::net::lookup_host((&**host, *port)).await {
                    Ok(found) => found.for_each(|address| networks.learn(address.ip())),
                    Err(_) => failed.push(seed.clone()),
                }
            }
            if failed.is_empty() {
                return;
            }
            unknown = failed;
            tokio::time::sleep(LEARN_AGAIN).await;
        }
    };
    let learned = tokio::spawn(learning);
    let _ = tokio::time::timeout(LEARN_FIRST, learned).await;
}

/// How long a start waits for the seeds' names.
const LEARN_FIRST: Duration = Duration::from_secs(2);
/// How soon they are asked for again.
const LEARN_AGAIN: Duration = Duration::from_secs(5);

fn access(settings: &Settings) -> Result<Access, Failure> {
    let mut lines = String::new();
    for path in &settings.token_file {
        // Each by itself first, so that its lines are counted from its start.
        let text = text("token-file", path)?;
        StaticTokens::parse(&text).map_err(|error| wrong("token-file", path, &error))?;
        lines.push_str(&text);
        lines.push('\n');
    }
    let tokens = StaticTokens::parse(&lines).map_err(failed)?;
    if tokens.is_empty() && !settings.token_file.is_empty() {
        return Err(usage("token-file", "there is no token in it"));
    }
    let has_keys =
        !settings.jwt_hs256_key_file.is_empty() || !settings.jwt_eddsa_key_file.is_empty();
    let jwt = match (&settings.jwt_audience, has_keys) {
        (Some(audience), true) => Some(jwt(settings, audience)?),
        (None, false) => None,
        (None, true) => {
            let text = "give one: tokens made for another service must not open this one";
            return Err(usage("jwt-audience", text));
        }
        (Some(_), false) => {
            let text = "without a key no token is taken; give jwt-hs256-key-file or \
                        jwt-eddsa-key-file";
            return Err(usage("jwt-audience", text));
        }
    };
    Ok(Access { tokens, jwt })
}

fn jwt(settings: &Settings, audience: &str) -> Result<JwtKeys, Failure> {
    let mut keys = JwtKeys::new(audience);
    for path in &settings.jwt_hs256_key_file {
        let bytes = bytes("jwt-hs256-key-file", path)?;
        keys = keys
            .with_hs256(bytes.trim_ascii_end())
            .map_err(|error| wrong("jwt-hs256-key-file", path, &error))?;
    }
    for path in &settings.jwt_eddsa_key_file {
        keys = keys
            .with_eddsa(&bytes("jwt-eddsa-key-file", path)?)
            .map_err(|error| wrong("jwt-eddsa-key-file", path, &error))?;
    }
    Ok(keys)
}

fn tls(settings: &Settings) -> Result<Option<Tls>, Failure> {
    match (&settings.tls_certificate_file, &settings.tls_key_file) {
        (None, None) => Ok(None),
        (Some(certificates), Some(key)) => {
            let pem = bytes("tls-certificate-file", certificates)?;
            let tls = Tls::from_pem(&pem, &bytes("tls-key-file", key)?);
            tls.map(Some).map_err(|error| usage("tls-certificate-file, tls-key-file", error))
        }
        _ => {
            let text = "give both, or neither";
            Err(usage("tls-certificate-file, tls-key-file", text))
        }
    }
}

fn limits(settings: &Settings) -> Limits {
    let mut limits = Limits::default();
    macro_rules! set {
        ($($limit:ident = $setting:expr,)*) => {$(
            if let Some(value) = $setting {
                limits.$limit = value;
            }
        )*};
    }
    set! {
        connections = settings.max_connections,
        connections_per_address = settings.max_connections_per_address,
        sockets = settings.max_sockets,
        streams = settings.max_streams,
        tunnel_window = settings.tunnel_window.map(|size| size.0),
        buffer_total = settings.max_buffered.map(|size| size.0),
        frame = settings.max_frame.map(|size| size.0),
        opens_per_second = settings.opens_per_second,
        opens_burst = settings.opens_burst,
        pings_per_second = settings.pings_per_second,
        handshake = settings.handshake.map(|time| time.0),
        dial = settings.dial.map(|time| time.0),
        idle = settings.idle.map(|time| time.0),
        notice = settings.notice.map(|time| time.0),
        drain = settings.drain.map(|time| time.0),
    }
    limits
}

fn origins(dashboard: Option<&Path>, allowed: &[String]) -> Result<Origins, Failure> {
    if let Some(folder) = dashboard.filter(|folder| !folder.is_dir()) {
        let text = format!("--dashboard {}: there is no such folder", folder.display());
        return Err(Failure::Usage(text));
    }
    Origins::new(allowed, false).map_err(Failure::Usage)
}

fn parsed<T>(name: &str, texts: &[String]) -> Result<Vec<T>, Failure>
where
    T: std::str::FromStr<Err = String>,
{
    texts.iter().map(|text| text.parse()).collect::<Result<_, _>>().map_err(|e| usage(name, e))
}

fn text(name: &str, path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| wrong(name, path, &error))
}

fn bytes(name: &str, path: &PathBuf) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| wrong(name, path, &error))
}

fn usage(name: &str, error: impl std::fmt::Display) -> Failure {
    Failure::Usage(format!("{name}: {error}"))
}

fn wrong(name: &str, path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::Usage(format!("{name} {}: {error}", path.display()))
}

fn cannot_listen(address: SocketAddr, error: &std::io::Error) -> Failure {
    Failure::Failed(format!("cannot listen on {address}: {error}"))
}
