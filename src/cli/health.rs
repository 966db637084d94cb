//! The command `sessionlake health`: asks a running server whether it lives, or is ready.
//!
//! It is the probe of images that have no shell and no curl. Nothing but the network is touched: no
//! file of the lake or of the state directory is opened.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use reqwest::{Client, Identity, StatusCode};
use serde_json::Value;

use super::{Failure, Outcome, manual, out, runtime, warn};
use crate::config::value::duration;
use crate::config::{self, Environment, Flags, list};
use crate::server::Settings;
use crate::tls::TlsFiles;

/// Bytes of an answer that are read.
const ANSWER_BYTES: usize = 65_536;

/// Ask a running server whether it lives, or is ready, for probes of containers.
///
/// Takes the settings of serve, and asks the address that they listen on, from this machine. Prints
/// what the server says: its parts that are not ready, and its trouble, where it tells (to an operator,
/// or if it needs no credentials). A certificate is not checked: the server is on this machine.
///
/// A server with tls_client_ca answers nobody without a certificate: --client-cert and --client-key
/// give one; without them the listener of operators (status_listen) is asked, if it asks for none.
///
/// A server that replays its journal, or drains, lives and is not ready.
#[derive(Debug, clap::Args)]
#[command(after_long_help = manual!("\
  sessionlake health
      Does it live?

  sessionlake health --ready --config sessionlake.toml
      Does it take sessions?"))]
pub(super) struct Args {
    /// Ask whether it takes sessions, not only whether it lives.
    #[arg(long)]
    ready: bool,

    /// Longest time to wait for the answer, from 100 ms to 1 h.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = wait)]
    timeout: Duration,

    /// Certificate to present to a server with tls_client_ca, with its chain (PEM).
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_cert: Option<PathBuf>,

    /// Its private key (PEM).
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    client_key: Option<PathBuf>,

    #[command(flatten)]
    flags: Flags<{ list::SERVE }>,
}

fn wait(text: &str) -> Result<Duration, String> {
    duration(text, 100, 3_600_000)
}

pub(super) fn run(args: &Args, environment: &Environment) -> Outcome {
    let loaded = config::serve(&args.flags, environment)?;
    warn(&loaded.warnings);
    let identity = identity(args).map_err(Failure::Usage)?;
    let url = url(&loaded.settings, args.ready, identity.is_some()).map_err(Failure::Usage)?;
    let asked = ask(&url, args.timeout, identity);
    let (status, text) = runtime::current_thread()?.block_on(asked)?;
    let said = sentences(&text);
    out::report(&said)?;
    match status {
        StatusCode::OK => Ok(ExitCode::SUCCESS),
        StatusCode::SERVICE_UNAVAILABLE => Ok(ExitCode::FAILURE),
        other => Err(anyhow!("{url} answered {other}: is another program listening there?").into()),
    }
}

/// Reads the certificate to present, with its key.
fn identity(args: &Args) -> anyhow::Result<Option<Identity>> {
    let (Some(cert), Some(key)) = (&args.client_cert, &args.client_key) else { return Ok(None) };
    let mut pem = Vec::new();
    for path in [key, cert] {
        let read = std::fs::read(path);
        pem.extend(read.with_context(|| format!("cannot read {}", path.display()))?);
        pem.push(b'\n');
    }
    let names =
        || format!("{} and {} are no certificate with its key", cert.display(), key.display());
    Identity::from_pem(&pem).map(Some).with_context(names)
}

/// Returns the URL to ask. A server that listens on every address of the machine is asked on loopback, and
/// one that asks for a certificate on its listener of operators, unless there is one to present.
fn url(settings: &Settings, ready: bool, has_certificate: bool) -> anyhow::Result<String> {
    let asks = |tls: &Option<TlsFiles>| tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    let (addresses, tls) = match &settings.status {
        _ if has_certificate || !asks(&settings.tls) => (&settings.addresses, &settings.tls),
        Some(status) if !asks(&status.tls) => (&status.addresses, &status.tls),
        _ => bail!(
            "with tls_client_ca this server answers nobody without a client certificate: give one \
             (--client-cert, --client-key), or give the server a listener of operators on loopback \
             (status_listen = \"127.0.0.1:3001\"), which is asked then"
        ),
    };
    let first = addresses.first().context("there is no address to ask")?;
    let address = SocketAddr::new(reachable(first.ip()), first.port());
    if address.port() == 0 {
        return Err(anyhow!(
            "port 0 takes a free port at each start, and nobody else knows it: give one with --listen"
        ));
    }
    let scheme = if tls.is_some() { "https" } else { "http" };
    let path = if ready { "ready" } else { "live" };
    Ok(format!("{scheme}://{address}/health/{path}"))
}

fn reachable(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(all) if all.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(all) if all.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        one => one,
    }
}

/// Returns the status and the text of the answer of `url`.
async fn ask(
    url: &str,
    timeout: Duration,
    identity: Option<Identity>,
) -> anyhow::Result<(StatusCode, String)> {
    let mut client = Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("sessionlake-health/", env!("CARGO_PKG_VERSION")))
        .timeout(timeout)
        .tls_danger_accept_invalid_certs(true);
    if let Some(identity) = identity {
        client = client.identity(identity);
    }
    let client = client.build().context("cannot set up the HTTP client")?;
    let failed = || format!("no answer from {url} within {timeout:?}");
    let mut answer = client.get(url).send().await.with_context(failed)?;
    let status = answer.status();
    let mut text = Vec::new();
    while let Some(bytes) = answer.chunk().await.with_context(failed)? {
        text.extend_from_slice(&bytes);
        if text.len() > ANSWER_BYTES {
            break;
        }
    }
    Ok((status, String::from_utf8_lossy(&text).into_owned()))
}

/// Returns the answer as lines: the status, then each part that is not ready or in trouble.
fn sentences(answer: &str) -> String {
    let Ok(Value::Object(answer)) = serde_json::from_str(answer) else { return String::new() };
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut lines = format!("{}\n", text(answer.get("status")));
    for of in ["parts", "trouble"] {
        for part in answer.get(of).and_then(Value::as_array).into_iter().flatten() {
            let (name, reason) = (text(part.get("part")), text(part.get("reason")));
            lines.push_str(&format!("{name}: {reason}\n"));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_in_lines() {
        let answer = r#"{"status":"not ready","parts":[{"part":"journal","reason":"full"}],
            "trouble":[{"part":"lake","reason":"away"}]}"#;
        assert_eq!(sentences(answer), "not ready\njournal: full\nlake: away\n");
        assert_eq!(sentences(r#"{"status":"live"}"#), "live\n");
        assert_eq!(sentences("<html>"), "");
    }

    #[test]
    fn every_address_is_asked_on_loopback() {
        assert_eq!(reachable("0.0.0.0".parse().unwrap()), Ipv4Addr::LOCALHOST);
        assert_eq!(reachable("::".parse().unwrap()), Ipv6Addr::LOCALHOST);
        assert_eq!(reachable("10.1.2.3".parse().unwrap()).to_string(), "10.1.2.3");
    }
}
