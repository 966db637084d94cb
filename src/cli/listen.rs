//! The listening address: bound before anything is opened, so that a start which cannot have it
//! leaves nothing behind, and listened on once the server is built.

use std::io::ErrorKind;
use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::net::TcpSocket;

use crate::server::{Settings, StatusSettings};

/// Binds the first address of the settings that can be bound. Nobody can connect before it listens.
///
/// # Errors
/// None can be bound: the reason, and what to do.
pub(super) fn bind(settings: &Settings) -> anyhow::Result<TcpSocket> {
    bind_first(&settings.addresses, &settings.listen, "--listen")
}

/// Binds the address of the listener of operators, if there is to be one.
///
/// # Errors
/// As for [`bind`].
pub(super) fn bind_status(settings: &Settings) -> anyhow::Result<Option<TcpSocket>> {
    let bind =
        |status: &StatusSettings| bind_first(&status.addresses, &status.listen, "--status-listen");
    settings.status.as_ref().map(bind).transpose()
}

fn bind_first(addresses: &[SocketAddr], typed: &str, flag: &str) -> anyhow::Result<TcpSocket> {
    let mut bound = Err(ErrorKind::AddrNotAvailable.into());
    for address in addresses {
        bound = bind_to(*address);
        if bound.is_ok() {
            break;
        }
    }
    bound.map_err(|error: std::io::Error| {
        let remedy = remedy(error.kind(), flag);
        anyhow::Error::new(error).context(format!("cannot listen on {typed}{remedy}"))
    })
}

fn bind_to(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // A port whose connections of an earlier run have not timed out can be had again.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn remedy(kind: ErrorKind, flag: &str) -> String {
    match kind {
        ErrorKind::AddrInUse => {
            format!(", where another program listens: stop it, or give another address with {flag}")
        }
        ErrorKind::PermissionDenied => format!(
            ", which needs rights that this user has not: give a port of 1024 or above with {flag}"
        ),
        ErrorKind::AddrNotAvailable => {
            format!(", which is no address of this machine: give one that is with {flag}")
        }
        _ => String::new(),
    }
}

/// Returns the address that a socket is bound to.
///
/// # Errors
/// The system does not tell.
pub(super) fn address(socket: &TcpSocket) -> anyhow::Result<SocketAddr> {
    socket.local_addr().context("cannot ask for the address")
}
