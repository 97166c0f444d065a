//! `experimental-image-proxy`: a program that started this one fetches images through it.
//!
//! The two share a socket, on which each packet is one JSON text, and pipes, whose reading ends go
//! to the client over that socket. It asks one thing at a time; bytes flow meanwhile.
//!
//! - `request`, `reply`: what is said, as values
//! - `socket`: packets and descriptors, and whether the client is still there
//! - `session`: from a request to its reply
//! - `images`: what is open, and whether the policy lets it in
//! - `pipes`: who writes into which pipe, and how that ended
//! - `flow`: blobs whose reader pauses

mod flow;
mod images;
mod pipes;
mod reply;
pub(crate) mod request;
mod session;
mod socket;

use anyhow::{Result, bail};
use tracing::debug;

use crate::app::App;
use crate::args::names;
use crate::args::value::Values;
use session::{Session, Turn};
use socket::{Received, Socket};

pub(crate) fn run(app: &App, flags: &Values, arguments: &[String]) -> Result<()> {
    if !arguments.is_empty() {
        bail!("accepts 0 arg(s), received {}", arguments.len());
    }
    let socket = socket::take(flags.int(names::SOCKFD).unwrap_or_default())?;
    app.doing("serving images to a client");
    app.run(async { serve(&Socket::new(socket)?, Session::new(app, flags)).await })
}

/// Answers until the client says that it is done, or is gone: neither is an error.
async fn serve(socket: &Socket, mut session: Session<'_>) -> Result<()> {
    loop {
        let packet = match socket.receive().await? {
            Received::Packet(packet) => packet,
            Received::Gone => break,
        };
        let turn = tokio::select! {
            turn = session.take(&packet) => turn,
            () = socket.hung_up() => break,
        };
        let Turn::Reply(reply) = turn else {
            debug!("The client is done");
            return Ok(());
        };
        if !socket.send(&reply.text, &reply.descriptors).await? {
            break;
        }
    }
    debug!("The client is gone");
    Ok(())
}
