//! The socket that this program and its client share.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg as pass};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair, sockopt,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::request::MAX_PACKET;

/// The most descriptors that go with one reply.
const MAX_DESCRIPTORS: usize = 2;

/// A socket of packets. Whether it waits for the other side is said with each call, as others may
/// hold the same socket.
#[derive(Debug)]
pub(super) struct Socket(AsyncFd<OwnedFd>);

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    Packet(Packet),
    /// Nobody is at the other end any more.
    Gone,
}

/// A packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet {
    Whole(Vec<u8>),
    /// It was larger than any may be, and its end is lost.
    Cut,
}

/// The socket that this program was started with as that descriptor.
///
/// # Errors
/// If there is none, or it is no socket of packets.
pub(super) fn take(number: i64) -> Result<OwnedFd> {
    let doing = || format!("using file descriptor {number} as a socket");
    let socket = match number {
        0 => io::stdin().as_fd().try_clone_to_owned().with_context(doing)?,
        _ => RawFd::try_from(number)
            .ok()
            .filter(|number| *number > 0)
            .ok_or_else(|| anyhow!("this descriptor does not exist"))
            .and_then(|number| Ok(duplicate(number)?))
            .with_context(doing)?,
    };
    let is_socket_of_packets = sockopt::socket_domain(&socket) == Ok(AddressFamily::UNIX)
        && sockopt::socket_type(&socket) == Ok(SocketType::SEQPACKET);
    if !is_socket_of_packets {
        bail!("file descriptor {number} is not a Unix socket of type SOCK_SEQPACKET");
    }
    Ok(socket)
}

/// Another descriptor of the same thing. This program sends it to itself: that is the one way to
/// have a number that somebody else chose as a descriptor without `unsafe`, and without what a
/// sandbox may forbid (`pidfd_getfd`).
fn duplicate(number: RawFd) -> io::Result<OwnedFd> {
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let numbers = [number];
    let descriptors = [ControlMessage::ScmRights(&numbers)];
    pass::<()>(ours.as_raw_fd(), &[IoSlice::new(b"x")], &descriptors, MsgFlags::empty(), None)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(&theirs, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let found = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    found.ok_or_else(|| Errno::BADF.into())
}

impl Socket {
    /// Inside a runtime.
    #[expect(
        deprecated,
        reason = "its fault is with what closes its descriptor early, which `OwnedFd` never does"
    )]
    pub(super) fn new(socket: OwnedFd) -> Result<Self> {
        Ok(Self(AsyncFd::new(socket).context("listening to the client")?))
    }

    /// The next packet. Descriptors that come with it are closed.
    pub(super) async fn receive(&self) -> Result<Received> {
        let mut buffer = vec![0; MAX_PACKET];
        let received = self.again(Interest::READABLE, || {
            let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
            let mut none = RecvAncillaryBuffer::default();
            Ok(recvmsg(&self.0, &mut [IoSliceMut::new(&mut buffer)], &mut none, flags)?)
        });
        match received.await {
            // An empty packet looks the same, and asks for nothing either.
            Ok(received) if received.bytes == 0 => Ok(Received::Gone),
            Ok(received) if received.flags.contains(ReturnFlags::TRUNC) => {
                Ok(Received::Packet(Packet::Cut))
            }
            Ok(received) => {
                buffer.truncate(received.bytes);
                Ok(Received::Packet(Packet::Whole(buffer)))
            }
            Err(error) if is_gone(&error) => Ok(Received::Gone),
            Err(error) => Err(error).context("reading socket"),
        }
    }

    /// Sends a packet and descriptors with it. `false` if nobody is there to take it.
    pub(super) async fn send(&self, packet: &[u8], descriptors: &[OwnedFd]) -> Result<bool> {
        let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
        let sent = self.again(Interest::WRITABLE, || {
            let mut space =
                [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !borrowed.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
                return Err(io::Error::other("too many descriptors for one packet"));
            }
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            Ok(sendmsg(&self.0, &[IoSlice::new(packet)], &mut control, flags)?)
        });
        match sent.await {
            Ok(_) => Ok(true),
            Err(error) if is_gone(&error) => Ok(false),
            Err(error) => Err(error).context("writing to socket"),
        }
    }

    /// Waits until the client has closed its end, whatever it has sent before. One that only sends
    /// no more is still there.
    pub(super) async fn hung_up(&self) {
        loop {
            let Ok(mut ready) = self.0.ready(Interest::WRITABLE).await else { return };
            if ready.ready().is_write_closed() {
                return;
            }
            ready.clear_ready();
        }
    }

    /// Does it, once it need not wait.
    async fn again<T>(
        &self,
        interest: Interest,
        mut step: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            // First of all: somebody else may have taken note that it can be done.
            match step() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                done => return done,
            }
            let mut ready = self.0.ready(interest).await?;
            if let Ok(done) = ready.try_io(|_| step()) {
                return done;
            }
        }
    }
}

/// Whether the error says no more than that the client is gone.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

#[cfg(test)]
mod tests {
    use rustix::net::{Shutdown, send, shutdown};

    use super::*;

    fn pair() -> (Socket, OwnedFd) {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .unwrap();
        (Socket::new(ours).unwrap(), theirs)
    }

    fn whole(text: &[u8]) -> Received {
        Received::Packet(Packet::Whole(text.to_vec()))
    }

    #[tokio::test]
    async fn packets_come_one_by_one_and_then_the_end() {
        let (socket, client) = pair();
        let flags = SendFlags::empty();
        send(&client, b"one", flags).unwrap();
        send(&client, &vec![b'x'; MAX_PACKET], flags).unwrap();
        send(&client, &vec![b'x'; MAX_PACKET + 1], flags).unwrap();
        send(&client, b"two", flags).unwrap();
        assert_eq!(socket.receive().await.unwrap(), whole(b"one"));
        assert_eq!(socket.receive().await.unwrap(), whole(&vec![b'x'; MAX_PACKET]));
        assert_eq!(socket.receive().await.unwrap(), Received::Packet(Packet::Cut));
        drop(client);
        assert_eq!(socket.receive().await.unwrap(), whole(b"two"));
        assert_eq!(socket.receive().await.unwrap(), Received::Gone);
        assert!(!socket.send(b"x", &[]).await.unwrap());
    }

    #[tokio::test]
    async fn who_is_gone_is_told_from_who_only_says_no_more() {
        let (socket, client) = pair();
        send(&client, b"one", SendFlags::empty()).unwrap();
        shutdown(&client, Shutdown::Write).unwrap();
        let soon = std::time::Duration::from_millis(50);
        assert!(tokio::time::timeout(soon, socket.hung_up()).await.is_err());
        // Nothing was lost by looking.
        assert_eq!(socket.receive().await.unwrap(), whole(b"one"));
        assert!(socket.send(b"answer", &[]).await.unwrap());
        drop(client);
        socket.hung_up().await;
    }

    #[tokio::test]
    async fn a_client_that_reads_late_gets_all() {
        let (socket, client) = pair();
        let packet = vec![b'x'; MAX_PACKET];
        let sending = async {
            for _ in 0..100 {
                assert!(socket.send(&packet, &[]).await.unwrap());
            }
        };
        let reading = tokio::task::spawn_blocking(move || {
            let mut got = 0;
            let mut buffer = vec![0; MAX_PACKET];
            while got < 100 * MAX_PACKET {
                let flags = RecvFlags::empty();
                got += rustix::net::recv(&client, buffer.as_mut_slice(), flags).unwrap().1;
            }
        });
        let ((), read) = tokio::join!(sending, reading);
        read.unwrap();
    }

    #[test]
    fn only_a_socket_of_packets_is_taken() {
        let (ours, _theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .unwrap();
        take(i64::from(ours.as_raw_fd())).unwrap();
        let (stream, _theirs) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                .unwrap();
        let file = tempfile::tempfile().unwrap();
        for number in [stream.as_raw_fd(), file.as_raw_fd()] {
            let error = take(i64::from(number)).unwrap_err().to_string();
            assert!(error.ends_with("is not a Unix socket of type SOCK_SEQPACKET"), "{error}");
        }
        for number in [-1, 1 << 40, 999_999] {
            let error = take(number).unwrap_err().to_string();
            assert_eq!(error, format!("using file descriptor {number} as a socket"));
        }
    }
}
